"""Trains the autoencoder's decoder further, the encoder and so the latents staying as they are.

The blotches of a small model are errors of single latents, which a decoder that learnt on exact latents shows faithfully. Here a share
of every batch is what a denoiser leaves of a sticker (restore.py), and the decoder learns to give the clean sticker; the rest are
true latents, so that it still reconstructs. It may be widened first (widen.py), its loss may look at what the eye sees, flat areas and
edges (seen()), and an adversary may judge it (adversary.py).
"""
import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import checkpoint
import data
import vae as autoencoder
import widen
from adversary import Adversary
from latents import Latents
from restore import Restorer

FLAT, EDGE = 1.5 / 127.5, 20 / 127.5  # of pictures in -1…1: a 5x5 deviation that counts as flat, a slope that counts as an edge


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


def seen(y, x, weights):
    """What the eye sees of pictures [B, 3, H, W] in -1…1 beside the clean ones x: a scalar.

    `flat_weight` times the mean slope where the clean picture is flat (blotches), plus `sharp_weight` times how much of the slope is
    missing along its edges (blur).
    """
    slope = lambda v: ((v[..., :-1, 1:] - v[..., :-1, :-1]).square() + (v[..., 1:, :-1] - v[..., :-1, :-1]).square() + 1e-8).sqrt()
    box = lambda v: F.avg_pool2d(v, 5, 1, 2)
    deviation = (box(x.square()) - box(x).square()).clamp(min=0).sqrt().amax(1, keepdim=True)
    flat = (F.max_pool2d(deviation, 5, 1, 2) < FLAT)[..., :-1, :-1].float()
    grey_x, grey_y = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    slope_x = slope(grey_x)
    edge = (slope_x > EDGE).float()
    blotches = (slope(y).mean(1, keepdim=True) * flat).sum() / flat.sum().clamp(min=1)
    blur = (F.relu(slope_x - slope(grey_y)) * edge).sum() / edge.sum().clamp(min=1)
    return weights.get("flat_weight", 0) * blotches + weights.get("sharp_weight", 0) * blur


def load(config, device):
    """The autoencoder of the work folder, at the widths `channels` of the decoder where it has others and these are given."""
    model = AutoencoderKL.from_pretrained(config["work"] / "vae")
    channels = config["decoder"].get("channels")
    if channels and list(model.config.block_out_channels) != channels:
        model = widen.widen(model, channels, config["seed"])
    return model.to(device, memory_format=torch.channels_last)


def train(config, device):
    """Refines vae/ on `examples` pictures over all sittings; work/decoder.pt is resumable, vae/ is replaced at the end."""
    options, work = config["decoder"], config["work"]
    pictures = data.pictures(config)
    _, held_out = autoencoder.split(pictures, config["vae"]["held_out"])
    model = load(config, device)
    decoder = torch.nn.ModuleList([model.post_quant_conv, model.decoder])
    average = checkpoint.Average(decoder, options["average"])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=options["learning_rate"], betas=(0.9, 0.99), weight_decay=0.0,
                                  fused=True)
    generator = torch.Generator().manual_seed(config["seed"] + 1)
    adversary = Adversary(3, options["adversary"], device) if options.get("adversary") else None
    saved = checkpoint.load(work / "decoder.pt")
    step, clock = checkpoint.resume(saved, decoder, average, optimizer, generator, config["checkpoint_seconds"])
    if saved and adversary:
        adversary.restore(saved["adversary"])
    batches = Pictures(config, device, held_out)

    def save():
        state = checkpoint.training_state(decoder, average, optimizer, generator, step, clock)
        checkpoint.save(work / "decoder.pt", state | ({"adversary": adversary.state()} if adversary else {}))

    steps, report = options["examples"] // options["batch"], checkpoint.Report("decoder", "l1", "pictures", options["batch"], clock)
    while step < steps:
        rate = options["learning_rate"] * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        latents, x = batches.draw(generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=config["autocast"]):
            y = model.decode(latents).sample
        y = y.float()
        loss, l1 = autoencoder.difference(y, x, options)
        if options.get("flat_weight") or options.get("sharp_weight"):
            loss = loss + seen(y, x, options)
        if adversary:
            right = adversary.watch(x, y)
            loss = loss + adversary.term(y, step / steps)
        checkpoint.descend(loss, decoder, optimizer, average)
        step += 1
        report.add(step, l1.item(), f" adversary right {right:.2f}" if adversary else "")
        if clock.due():
            save()
    save()
    average.copy_to(decoder)
    facts = {"decoder_minutes": round(clock.elapsed / 60, 1)}
    autoencoder.finish(config, model.eval(), pictures, held_out, data.palette(), device, facts)
