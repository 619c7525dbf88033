#!/usr/bin/env python3
"""Runs every stage of the second edition on a tiny vocabulary, and checks what must hold of them. Takes a minute or two on two cores.

usage: rehearse.py [FOLDER]     (default: a temporary folder, removed afterwards)
Checked: a widened autoencoder encodes and decodes as before; a run resumed twice from one checkpoint ends in the same weights;
narrowed caches are those of the larger vocabulary; a grown model, with a wide decoder that an adversary judged, is exported and agrees
with what was trained; diffusers draws with it, and in one step with its one-step lane.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtAlphaPipeline

import checkpoint
import config as configuration
import data
import latents
import widen

HERE, MODEL = Path(__file__).resolve().parent, configuration.REPO / "assets" / "sticker-256"
WIDTHS = [[32, 32, 64, 128], [16, 32, 64, 128], [16, 16, 64, 128]]
ADVERSARY = {"weight": 0.01, "width": 8, "levels": 2, "learning_rate": 0.0002, "from": 0.5}
TINY = {
    "base": str(HERE / "whole.json"), "compile": False, "vocabulary": {"sets": ["twemoji"], "groups": ["Animals & Nature"]},
    "tokenizer": {"pieces": 900}, "latents": {"colours_per_picture": 1}, "vae": {"held_out": 4}, "text": {"examples": 1536, "batch": 16},
    "denoiser": {"layers": 8, "examples": 96, "decay_examples": 64, "pair_reuse": 4, "phases": [
        {"until": 48, "tokens": 32, "batch": 16}, {"until": None, "tokens": 64, "batch": 16}]},
    "decoder": {"examples": 16, "channels": WIDTHS[1], "adversary": ADVERSARY},
    "onestep": {"examples": 64, "batch": 16, "teacher_steps": 2, "reuse": 10, "adversary": ADVERSARY},
}


def check(holds, what):
    """Ends the run where something does not hold."""
    print(("ok: " if holds else "FAILED: ") + what, flush=True)
    if not holds:
        sys.exit(1)


@torch.no_grad()
def widening():
    """A widened autoencoder computes what it did, and its copies are read unequally."""
    before = AutoencoderKL.from_pretrained(MODEL / "vae", torch_dtype=torch.float32)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    z = before.encode(x).latent_dist.mean
    for widths in WIDTHS:
        after = widen.widen(before, widths)
        apart = max((after.encode(x).latent_dist.mean - z).abs().max().item(), (after.decode(z).sample - before.decode(z).sample).abs().max().item())
        check(apart < 1e-3, f"widened to {widths}: at most {apart:.1e} apart")
    weight = widen.widen(before, WIDTHS[0]).decoder.mid_block.resnets[0].conv1.weight
    check(not torch.allclose(weight[:, 0::2], weight[:, 1::2]), "copies are read unequally")


class Folder:
    """A work folder with its configuration."""

    def __init__(self, root, name, entries):
        self.work, self.file = root / name, root / f"{name}.json"
        self.work.mkdir()
        self.file.write_text(json.dumps(entries | {"work": str(self.work)}))

    def run(self, *arguments):
        """One stage."""
        subprocess.run([sys.executable, str(HERE / "train.py"), "--config", str(self.file), "--stage", *arguments], check=True)


def narrowing(root):
    """Narrowed caches hold the chosen pictures' rows, with the colours that these had."""
    chosen = Folder(root, "narrow", TINY)
    config = configuration.load(chosen.file)
    every, own = (data.rows(config, every_group=kind) for kind in (True, False))
    larger = root / "larger"
    larger.mkdir()
    for name, kind, shape in (("pictures", np.uint8, (data.PICTURE, data.PICTURE, 4)), ("latents", np.float16, (2, 4, 32, 32))):
        cache = np.lib.format.open_memmap(larger / f"{name}.npy", mode="w+", dtype=kind, shape=(len(every), *shape))
        cache.reshape(len(every), -1)[:, 0] = np.arange(len(every)) % 251
    (larger / "latents.done").write_text(str(len(every) + 5))  # the second column is under way
    chosen.run("narrow", "--from", str(larger))
    places = [index for index, row in enumerate(every) if row["group"] == "Animals & Nature"]
    check([every[k]["file"] for k in places] == [row["file"] for row in own], "the rows of a group keep their order")
    for name in ("pictures", "latents"):
        found = np.load(chosen.work / f"{name}.npy", mmap_mode="r").reshape(len(own), -1)[:, 0]
        check((found == np.array(places) % 251).all(), f"{name} narrowed")
    table = latents.ground_table(len(every), config["latents"]["colours_per_picture"])
    check(torch.equal(latents.grounds(config, len(own)), table[places]), "the colours stay those of the larger vocabulary")
    check(latents.finished(config, len(own)) == 1, "only finished columns are taken")


def resuming(folder):
    """The stable run and the decay, resumed twice from one checkpoint."""
    ends = []
    shutil.copy(folder.work / "denoiser.pt", folder.work / "kept.pt")
    for _ in range(2):
        shutil.copy(folder.work / "kept.pt", folder.work / "denoiser.pt")
        (folder.work / "decay.pt").unlink()
        folder.run("denoiser", "--examples", "160")
        ends.append(checkpoint.load(folder.work / "decay.pt")["model"])
    apart = max((ends[0][k] - ends[1][k]).abs().max().item() for k in ends[0])
    check(apart == 0, "resumed twice from one checkpoint: the same weights")


def drawing(folder, steps, guidance):
    """A picture that diffusers draws with an exported folder."""
    pipe = PixArtAlphaPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("panda", num_inference_steps=steps, guidance_scale=guidance, height=256, width=256, use_resolution_binning=False,
                   clean_caption=False, max_sequence_length=40, generator=torch.Generator().manual_seed(1), output_type="np").images[0]
    check(picture.shape == (256, 256, 3) and np.isfinite(picture).all(), f"diffusers draws with {folder.name} in {steps}")


def main():
    """Runs and checks."""
    torch.manual_seed(0)
    widening()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        root.mkdir(exist_ok=True)
        narrowing(root)
        few = Folder(root, "few", TINY)
        few.run("data")
        few.run("tokenizer")
        few.run("grow", "--from", str(MODEL))
        few.run("latents")
        few.run("text")
        few.run("denoiser")
        resuming(few)
        few.run("decoder")
        few.run("onestep")
        few.run("export")
        exported = few.work / "export" / "sticker-256"
        widths = json.loads((exported / "vae" / "config.json").read_text())["block_out_channels"]
        check(widths == WIDTHS[1], f"the decoder is as wide as asked for: {widths}")
        drawing(exported, 2, 1.5)
        drawing(few.work / "export" / "sticker-256-one-step", 1, 1.0)


if __name__ == "__main__":
    main()
