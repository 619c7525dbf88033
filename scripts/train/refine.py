"""Trains the autoencoder's decoder further, the encoder and so the latents staying as they are."""
import math
import time

import torch
from diffusers import AutoencoderKL

import checkpoint
import data
import vae as autoencoder


def train(config, device):
    """Refines vae/ for `decoder.minutes` over all sittings, on whole pictures and slightly noisy latents."""
    options, work = config["decoder"], config["work"]
    pictures, colours = data.pictures(config), data.palette()
    chosen, held_out = autoencoder.split(pictures, config["vae"]["held_out"])
    model = AutoencoderKL.from_pretrained(work / "vae").to(device, memory_format=torch.channels_last)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    decoder = torch.nn.ModuleList([model.post_quant_conv, model.decoder])
    average = checkpoint.Average(decoder, options["average"])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=options["learning_rate"], betas=(0.9, 0.99), weight_decay=0.0,
                                  fused=True)
    generator = torch.Generator().manual_seed(config["seed"] + 1)
    step, clock = checkpoint.resume(checkpoint.load(work / "decoder.pt"), decoder, average, optimizer, generator,
                                    config["checkpoint_seconds"])

    def save():
        checkpoint.save(work / "decoder.pt",
                        checkpoint.training_state(decoder, average, optimizer, generator, step, clock))

    budget, losses, mark = options["minutes"] * 60, [], time.monotonic()
    while clock.elapsed < budget:
        progress = clock.elapsed / budget
        rate = options["learning_rate"] * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = rate
        spec = {"crop": data.CANVAS, "size": options["batch"]}
        x = autoencoder.sample_batch(pictures, chosen, spec, colours, generator)
        x = x.to(device, memory_format=torch.channels_last)
        with torch.no_grad():
            latents = model.encode(x).latent_dist.mean
            latents = latents + options["noise"] * torch.randn(latents.shape, generator=generator).to(device)
        y = model.decode(latents).sample
        loss, l1 = autoencoder.difference(y, x, options)
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
    autoencoder.finish(config, model.eval(), pictures, held_out, colours, device, {"decoder_minutes": round(clock.elapsed / 60, 1)})
