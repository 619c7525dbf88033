"""Pairs: two pictures on one canvas, composited and encoded on the fly (meant for a GPU)."""
from collections import defaultdict

import torch
from diffusers import AutoencoderKL

import data


class Pairs:
    """Draws pairs of one style with their latents and captions."""

    def __init__(self, config, captioner, device):
        self.captioner, self.device = captioner, device
        self.pictures, self.colours = data.pictures(config), data.palette()
        self.vae = AutoencoderKL.from_pretrained(config["work"] / "vae").to(device)
        self.by_style = defaultdict(list)
        for index, row in enumerate(captioner.rows):
            self.by_style[row["style"]].append(index)

    @torch.no_grad()
    def draw(self, count, coloured, rng):
        """Returns (latents float [count, 4, 32, 32] on the device, list of captions)."""
        canvases, texts = [], []
        for _ in range(count):
            first = rng.randrange(len(self.captioner.rows))
            second = rng.choice(self.by_style[self.captioner.rows[first]["style"]])
            relation = rng.choice(["left", "above"])
            ground = rng.randrange(1, len(data.COLOUR_NAMES)) if rng.random() < coloured else 0
            a, b = (torch.tensor(self.pictures[i])[None] for i in (first, second))
            canvases.append(data.composite_pair(a, b, relation, self.colours[[ground]]))
            texts.append(self.captioner.draw_pair(first, second, relation, data.COLOUR_NAMES[ground], rng))
        return self.vae.encode(torch.cat(canvases).to(self.device)).latent_dist.mean.float(), texts
