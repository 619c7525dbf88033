"""Pairs: two pictures on one canvas, composited and encoded on the fly and shown a few times each."""
from collections import defaultdict

import torch
from diffusers import AutoencoderKL

import data
from captions import pair_kept_back

CHUNK = 16   # pairs encoded at once
MIXED = 128  # pairs among which the next is drawn


class Pairs:
    """Draws pairs of one style with their latents and captions.

    Encoding costs about as much as a training step of the same example, so every pair made is drawn `pair_reuse` times, in random
    order and with another caption each time.
    """

    def __init__(self, config, captioner, device):
        self.captioner, self.device = captioner, device
        self.reuse, self.stock = config["denoiser"]["pair_reuse"], []
        self.pictures, self.colours = data.pictures(config), data.palette()
        self.vae = AutoencoderKL.from_pretrained(config["work"] / "vae").to(device, memory_format=torch.channels_last)
        self.by_style = defaultdict(list)
        for index, row in enumerate(captioner.rows):
            self.by_style[row["style"]].append(index)

    @torch.no_grad()
    def make(self, coloured, rng):
        """CHUNK new pairs as a list of (latent [4, 32, 32] on the CPU, first row, second row, relation, colour)."""
        facts, canvases = [], []
        while len(facts) < CHUNK:
            first = rng.randrange(len(self.captioner.rows))
            second = rng.choice(self.by_style[self.captioner.rows[first]["style"]])
            if pair_kept_back(self.captioner.rows[first], self.captioner.rows[second]):
                continue
            relation = rng.choice(["left", "above"])
            ground = rng.randrange(1, len(data.COLOUR_NAMES)) if rng.random() < coloured else 0
            a, b = (torch.tensor(self.pictures[i])[None] for i in (first, second))
            canvases.append(data.composite_pair(a, b, relation, self.colours[[ground]]))
            facts.append((first, second, relation, data.COLOUR_NAMES[ground]))
        canvases = torch.cat(canvases).to(self.device, memory_format=torch.channels_last)
        return [(latent, *fact) for latent, fact in zip(self.vae.encode(canvases).latent_dist.mean.float().cpu(), facts)]

    def draw(self, count, coloured, rng):
        """Returns (latents float [count, 4, 32, 32] on the device, list of captions)."""
        while len(self.stock) < count + MIXED * (self.reuse - 1):
            self.stock += self.make(coloured, rng) * self.reuse
        drawn = [self.stock.pop(rng.randrange(len(self.stock))) for _ in range(count)]
        return torch.stack([pair[0] for pair in drawn]).to(self.device), [self.captioner.draw_pair(*pair[1:], rng) for pair in drawn]
