"""The sticker pictures: which ones a configuration uses, their decoded cache, and compositing on a background."""
import io
import json
import tarfile

import numpy as np
import torch
from PIL import Image

CANVAS, PICTURE, HALF = 256, 224, 112      # canvas, a picture alone, a picture of a pair (pixels)
MARGIN = (CANVAS - PICTURE) // 2

COLOURS = {
    "white": "#ffffff", "black": "#000000", "gray": "#9e9e9e", "red": "#e53935", "orange": "#fb8c00",
    "yellow": "#fdd835", "green": "#43a047", "teal": "#00897b", "blue": "#1e88e5", "navy": "#1a237e",
    "purple": "#8e24aa", "pink": "#f48fb1",
}
COLOUR_NAMES = list(COLOURS)


def palette():
    """The named colours as a float tensor [12, 3] in 0…255, white first."""
    return torch.tensor([[int(c[i:i + 2], 16) for i in (1, 3, 5)] for c in COLOURS.values()], dtype=torch.float32)


def rows(config, every_group=False):
    """The caption rows (dictionaries of captions.jsonl) of the configured sets and groups, in file order.

    `groups` null, or `every_group`, means every group; rows without a `char` (no concept identity) are left out unless
    `unnamed` is true.
    """
    chosen = config["vocabulary"]
    kept = []
    with open(config["data"] / "captions.jsonl", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["set"] not in chosen["sets"]:
                continue
            if not every_group and chosen["groups"] is not None and row.get("group") not in chosen["groups"]:
                continue
            if "char" in row or chosen.get("unnamed", False):
                kept.append(row)
    return kept


def build_cache(config, _device=None):
    """Decodes every chosen picture once into work/pictures.npy, uint8 [N, 224, 224, 4] (RGBA, straight alpha)."""
    path = config["work"] / "pictures.npy"
    chosen = rows(config)
    if path.exists() and np.load(path, mmap_mode="r").shape[0] == len(chosen):
        return
    temporary = config["work"] / "pictures.tmp.npy"
    out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(chosen), PICTURE, PICTURE, 4))
    tars = {}
    for i, row in enumerate(chosen):
        folder, name = row["file"].split("/", 1)
        if folder not in tars:
            tars[folder] = tarfile.open(config["data"] / f"{folder}.tar")
        with Image.open(io.BytesIO(tars[folder].extractfile(name).read())) as picture:
            out[i] = np.asarray(picture.convert("RGBA").resize((PICTURE, PICTURE), Image.LANCZOS))
    out.flush()
    temporary.rename(path)


def pictures(config):
    """The decoded cache as a memory-mapped uint8 array [N, 224, 224, 4]; its order is that of rows()."""
    return np.load(config["work"] / "pictures.npy", mmap_mode="r")


def composite(rgba, colours):
    """Places pictures alone on coloured canvases.

    rgba: uint8 tensor [B, 224, 224, 4]; colours: float tensor [B, 3] in 0…255.
    Returns float [B, 3, 256, 256] in -1…1.
    """
    rgba = rgba.permute(0, 3, 1, 2).float()
    alpha = rgba[:, 3:] / 255
    back = colours[:, :, None, None]
    canvas = back.expand(-1, -1, CANVAS, CANVAS).clone()
    canvas[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN] = rgba[:, :3] * alpha + back * (1 - alpha)
    return canvas / 127.5 - 1


def shrink(rgba):
    """Halves pictures [B, 224, 224, 4] uint8 to [B, 112, 112, 4] uint8, averaging colour by alpha."""
    x = rgba.float()
    alpha = x[..., 3:]
    box = lambda v: v.reshape(v.shape[0], HALF, 2, HALF, 2, -1).mean((2, 4))
    small_alpha = box(alpha)
    colour = box(x[..., :3] * alpha) / small_alpha.clamp(min=1e-3)
    return torch.cat([colour, small_alpha], -1).round().clamp(0, 255).to(torch.uint8)


def composite_pair(first, second, relation, colours):
    """Places two pictures of each example on one canvas, halves side by side ("left") or stacked ("above").

    first, second: uint8 [B, 224, 224, 4]; relation: "left" or "above"; colours: float [B, 3] in 0…255.
    Returns float [B, 3, 256, 256] in -1…1.
    """
    back = colours[:, :, None, None]
    canvas = back.expand(-1, -1, CANVAS, CANVAS).clone()
    inset = (CANVAS // 2 - HALF) // 2
    middle = (CANVAS - HALF) // 2
    for k, rgba in enumerate((shrink(first), shrink(second))):
        rgba = rgba.permute(0, 3, 1, 2).float()
        alpha = rgba[:, 3:] / 255
        along = inset + k * CANVAS // 2
        y, x = (middle, along) if relation == "left" else (along, middle)
        canvas[:, :, y:y + HALF, x:x + HALF] = rgba[:, :3] * alpha + back * (1 - alpha)
    return canvas / 127.5 - 1
