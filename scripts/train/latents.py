"""The latents cache: every picture encoded beforehand on white and on some of the colours."""
import numpy as np
import torch
from diffusers import AutoencoderKL

import data


def ground_table(count, per_picture):
    """Which colours each picture is cached on: int64 [N, 1 + per_picture], white (0) first, the rest rotating."""
    others = len(data.COLOUR_NAMES) - 1
    rotation = (torch.arange(count)[:, None] * per_picture + torch.arange(per_picture)[None]) % others
    return torch.cat([torch.zeros(count, 1, dtype=torch.int64), 1 + rotation], 1)


@torch.no_grad()
def build_cache(config, device):
    """Encodes the posterior's mean into work/latents.npy, float16 [N, K, 4, 32, 32], resuming at the first gap.

    The K canvases of a picture are those of ground_table(); work/latents.done holds how many pictures are done.
    """
    pictures = data.pictures(config)
    grounds = ground_table(len(pictures), config["latents"]["colours_per_picture"])
    path, progress = config["work"] / "latents.npy", config["work"] / "latents.done"
    done = int(progress.read_text()) if progress.exists() else 0
    shape = (*grounds.shape, 4, data.CANVAS // 8, data.CANVAS // 8)
    out = np.lib.format.open_memmap(path, mode="r+" if done else "w+", dtype=np.float16, shape=shape)
    vae = AutoencoderKL.from_pretrained(config["work"] / "vae").to(device, memory_format=torch.channels_last)
    colours = data.palette()
    chunk = config["latents"]["chunk"]
    for start in range(done, len(pictures), chunk):
        rgba = torch.tensor(pictures[start:start + chunk])
        for k in range(grounds.shape[1]):
            x = data.composite(rgba, colours[grounds[start:start + chunk, k]])
            x = x.to(device, memory_format=torch.channels_last)
            out[start:start + chunk, k] = vae.encode(x).latent_dist.mean.cpu().numpy()
        out.flush()
        progress.write_text(str(min(start + chunk, len(pictures))))


class Latents:
    """The cache in memory, with a shuffled pass over the pictures.

    Attributes: values float16 [N, K, 4, 32, 32]; grounds int64 [N, K] (colour indices).
    """

    def __init__(self, config):
        self.values = torch.from_numpy(np.load(config["work"] / "latents.npy"))
        self.grounds = ground_table(len(self.values), config["latents"]["colours_per_picture"])
        self.order = []

    def next_indices(self, count, generator):
        """`count` picture indices, each picture once per pass."""
        while len(self.order) < count:
            self.order += torch.randperm(len(self.values), generator=generator).tolist()
        taken, self.order = self.order[:count], self.order[count:]
        return taken

    def draw(self, count, coloured, generator):
        """A batch: (indices, colour names, latents float [count, 4, 32, 32]); `coloured` is the share not on white."""
        indices = self.next_indices(count, generator)
        slots = torch.randint(1, self.grounds.shape[1], (count,), generator=generator)
        slots[torch.rand(count, generator=generator) >= coloured] = 0
        picked = torch.tensor(indices)
        names = [data.COLOUR_NAMES[c] for c in self.grounds[picked, slots].tolist()]
        return indices, names, self.values[picked, slots].float()
