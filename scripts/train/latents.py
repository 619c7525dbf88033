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


def grounds(config, count):
    """Which colours the cached canvases of `count` pictures have: work/grounds.npy of a narrowed cache (narrow.py), else ground_table()."""
    path = config["work"] / "grounds.npy"
    return torch.from_numpy(np.load(path)) if path.exists() else ground_table(count, config["latents"]["colours_per_picture"])


def finished(config, count):
    """How many columns of the cache of `count` pictures are whole."""
    return int((config["work"] / "latents.done").read_text()) // count


@torch.no_grad()
def build_cache(config, device):
    """Encodes the posterior's mean into work/latents.npy, float16 [N, K, 4, 32, 32], resuming at the first gap.

    The K canvases of a picture are those of grounds(); all pictures come on white first, then on their next colour, so that
    training can start on the finished columns. work/latents.done holds how many canvases are done.
    """
    pictures = data.pictures(config)
    table = grounds(config, len(pictures))
    path, progress = config["work"] / "latents.npy", config["work"] / "latents.done"
    done = int(progress.read_text()) if progress.exists() else 0
    shape = (*table.shape, 4, data.CANVAS // 8, data.CANVAS // 8)
    out = np.lib.format.open_memmap(path, mode="r+" if done else "w+", dtype=np.float16, shape=shape)
    vae = AutoencoderKL.from_pretrained(config["work"] / "vae").to(device, memory_format=torch.channels_last)
    colours = data.palette()
    chunk = config["latents"]["chunk"]
    for column in range(done // len(pictures), table.shape[1]):
        for start in range(done - column * len(pictures), len(pictures), chunk):
            x = data.composite(torch.tensor(pictures[start:start + chunk]), colours[table[start:start + chunk, column]])
            x = x.to(device, memory_format=torch.channels_last)
            out[start:start + chunk, column] = vae.encode(x).latent_dist.mean.cpu().numpy()
            out.flush()
            done = column * len(pictures) + min(start + chunk, len(pictures))
            progress.with_suffix(".tmp").write_text(str(done))
            progress.with_suffix(".tmp").rename(progress)


class Latents:
    """The finished columns of the cache in memory, with a shuffled pass over the pictures.

    A pass takes each picture once, those of the groups in `passes` of the vocabulary only in that share of the passes: what a model knows
    already needs fewer. Attributes: values float16 [N, K, 4, 32, 32]; grounds int64 [N, K] (colour indices).
    """

    def __init__(self, config):
        cache = np.load(config["work"] / "latents.npy", mmap_mode="r")
        columns = finished(config, len(cache))
        if columns < 2:
            raise ValueError("the latents on white and on a first colour are not finished: run the stage latents")
        self.values = torch.from_numpy(cache[:, :columns].copy())
        self.grounds = grounds(config, len(self.values))[:, :columns]
        shares = config["vocabulary"].get("passes", {})
        self.shares = torch.tensor([shares.get(row.get("group"), 1.0) for row in data.rows(config)])
        self.order = []

    def next_indices(self, count, generator):
        """`count` picture indices, each picture once per pass, or in its share of the passes."""
        while len(self.order) < count:
            order = torch.randperm(len(self.values), generator=generator)
            if self.shares.min() < 1:
                order = order[torch.rand(len(order), generator=generator) < self.shares[order]]
            self.order += order.tolist()
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
