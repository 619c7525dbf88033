#!/usr/bin/env python3
"""Draws sheets of samples with the program itself, none chosen by its result.

usage: sheet.py samples [BINARY] [OUTPUT]    twelve prompts, seed 42, 50 steps (default: build/t2i assets/samples.png)
       sheet.py contact [BINARY] [OUTPUT]    64 prompts drawn by the seeds 0 to 63, which also draw the pictures, at the model's own
                                             steps (default: build/t2i assets/sticker-256/contact.png)
       sheet.py compare [BINARY]             the contact sheet's pictures by the program and by diffusers: how far they differ
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import config as configuration
import questions
import render

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "assets" / "sticker-256"
SAMPLES = ["a red apple", "红苹果", "panda, noto style", "penguin, twemoji style, on a pink background", "hamburger on a blue background",
           "tiger face", "葡萄", "黄色背景上的鲸鱼", "tulip", "pizza, fluent flat style", "蝴蝶", "frog on a purple background"]
SIDE = 128


def contact():
    """The contact sheet's requests, over the vocabulary of the configuration that made the model."""
    made = json.loads((MODEL / "training.json").read_text(encoding="utf-8"))
    return questions.sheet(configuration.load(ROOT / "scripts" / "train" / made.get("config", "cpu.json")))


def pictures(requests, draw):
    """The pictures of the requests, numpy uint8 [N, 256, 256, 3]; draw(requests, folder) writes them."""
    requests = [request | {"id": f"{k:02}"} for k, request in enumerate(requests)]
    with tempfile.TemporaryDirectory() as folder:
        draw(requests, Path(folder))
        return np.stack([np.asarray(Image.open(Path(folder) / f"{r['id']}.png").convert("RGB")) for r in requests])


def lay_out(drawn, columns, output):
    """Writes pictures as a sheet, row by row."""
    sheet = Image.new("RGB", (SIDE * columns, SIDE * (len(drawn) // columns)))
    for k, picture in enumerate(drawn):
        sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.LANCZOS), (SIDE * (k % columns), SIDE * (k // columns)))
    sheet.save(output, optimize=True)


def main():
    """Parses the command line and draws."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("samples", "contact", "compare"):
        sys.exit(__doc__)
    kind, binary = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ROOT / "build" / "t2i"
    steps, guidance = render.defaults(MODEL)

    def by_program(requests, folder):
        render.by_program(binary, MODEL, requests, folder, 50 if kind == "samples" else steps, guidance, "f32")

    requests = [{"prompt": p, "seed": 42} for p in SAMPLES] if kind == "samples" else contact()
    drawn = pictures(requests, by_program)
    if kind == "compare":
        theirs = pictures(requests, lambda asked, folder: render.by_diffusers(MODEL, asked, folder, steps, guidance))
        difference = np.abs(drawn.astype(int) - theirs)
        print(f"{len(drawn)} pictures, {steps} steps: at most {difference.max()} levels of 255 apart, "
              f"{(difference > 0).mean():.2%} of the values differ at all")
    else:
        output = MODEL / "contact.png" if kind == "contact" else ROOT / "assets" / "samples.png"
        lay_out(drawn, 8 if kind == "contact" else 6, sys.argv[3] if len(sys.argv) > 3 else output)


if __name__ == "__main__":
    main()
