"""Trains the autoencoder's decoder further, the encoder and so the latents staying as they are.

The blotches of a small model are errors of single latents, which a decoder that learnt on exact latents shows faithfully. Here a share
of every batch is what a denoiser leaves of a sticker (restore.py), and the decoder learns to give the clean sticker; the rest are
true latents, so that it still reconstructs.
"""
import math
import time

import torch
from diffusers import AutoencoderKL

import checkpoint
import data
import vae as autoencoder
from latents import Latents
from restore import Restorer


class Pictures:
    """Draws batches of (latents, the clean canvases they stand for), a share `restored` of them brought back by the denoiser."""

    def __init__(self, config, device, held_out):
        self.options, self.device = config["decoder"], device
        self.pictures, self.colours, self.latents = data.pictures(config), data.palette(), Latents(config)
        self.restorer = Restorer(config, device)
        out = set(held_out)
        self.usable = [i for i in self.restorer.usable if i not in out]
        self.others = [i for i in range(len(self.pictures)) if i not in out]

    def draw(self, generator):
        """Returns (latents [B, 4, 32, 32], canvases [B, 3, 256, 256] in -1…1), both on the device; half of them on white."""
        o = self.options
        restored = round(o["batch"] * o["restored"])
        pick = lambda source, n: [source[i] for i in torch.randint(len(source), (n,), generator=generator).tolist()]
        indices = pick(self.usable, restored) + pick(self.others, o["batch"] - restored)
        columns = torch.randint(1, self.latents.grounds.shape[1], (o["batch"],), generator=generator)
        columns[torch.rand(o["batch"], generator=generator) < 0.5] = 0
        grounds = self.latents.grounds[indices, columns]
        latents = self.latents.values[indices, columns].float().to(self.device)
        if restored:
            names = [data.COLOUR_NAMES[c] for c in grounds[:restored].tolist()]
            latents[:restored] = self.restorer.restore(latents[:restored], indices[:restored], names, generator)
        canvases = data.composite(torch.stack([torch.tensor(self.pictures[i]) for i in indices]), self.colours[grounds])
        return latents, canvases.to(self.device, memory_format=torch.channels_last)


def train(config, device):
    """Refines vae/ on `examples` pictures over all sittings; work/decoder.pt is resumable, vae/ is replaced at the end."""
    options, work = config["decoder"], config["work"]
    pictures = data.pictures(config)
    _, held_out = autoencoder.split(pictures, config["vae"]["held_out"])
    model = AutoencoderKL.from_pretrained(work / "vae").to(device, memory_format=torch.channels_last)
    decoder = torch.nn.ModuleList([model.post_quant_conv, model.decoder])
    average = checkpoint.Average(decoder, options["average"])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=options["learning_rate"], betas=(0.9, 0.99), weight_decay=0.0,
                                  fused=True)
    generator = torch.Generator().manual_seed(config["seed"] + 1)
    step, clock = checkpoint.resume(checkpoint.load(work / "decoder.pt"), decoder, average, optimizer, generator,
                                    config["checkpoint_seconds"])
    batches = Pictures(config, device, held_out)

    def save():
        checkpoint.save(work / "decoder.pt",
                        checkpoint.training_state(decoder, average, optimizer, generator, step, clock))

    steps, losses, mark = options["examples"] // options["batch"], [], time.monotonic()
    while step < steps:
        rate = options["learning_rate"] * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        latents, x = batches.draw(generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=config["autocast"]):
            y = model.decode(latents).sample
        loss, l1 = autoencoder.difference(y.float(), x, options)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(decoder)
        step += 1
        losses.append(l1.item())
        if step % 25 == 0:
            speed = len(losses) * options["batch"] / (time.monotonic() - mark)
            print(f"decoder step {step} {clock.elapsed / 60:.1f} min l1 {sum(losses) / len(losses):.4f} {speed:.1f} pictures/s", flush=True)
            losses, mark = [], time.monotonic()
        if clock.due():
            save()
    save()
    average.copy_to(decoder)
    facts = {"decoder_minutes": round(clock.elapsed / 60, 1)}
    autoencoder.finish(config, model.eval(), pictures, held_out, data.palette(), device, facts)
