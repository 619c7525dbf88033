#!/usr/bin/env python3
"""Draws the README's sheet of samples with the program itself: twelve prompts, seed 42, 50 steps, none chosen by its result.

usage: sheet.py [BINARY] [OUTPUT]        (default: build/t2i assets/samples.png)
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["a red apple", "红苹果", "panda, noto style", "penguin, twemoji style, on a pink background", "hamburger on a blue background",
           "tiger face", "葡萄", "黄色背景上的鲸鱼", "tulip", "pizza, fluent flat style", "蝴蝶", "frog on a purple background"]
SIDE, COLUMNS = 128, 6


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "t2i"
    output = sys.argv[2] if len(sys.argv) > 2 else ROOT / "assets" / "samples.png"
    sheet = Image.new("RGB", (SIDE * COLUMNS, SIDE * (len(PROMPTS) // COLUMNS)))
    with tempfile.TemporaryDirectory() as folder:
        for k, prompt in enumerate(PROMPTS):
            picture = Path(folder) / "picture.png"
            subprocess.run([binary, "--quiet", "--model", ROOT / "assets" / "sticker-256", "--prompt", prompt, "--seed", "42", "--steps", "50",
                            "-o", picture], check=True, stdout=subprocess.DEVNULL)
            sheet.paste(Image.open(picture).resize((SIDE, SIDE), Image.LANCZOS), (SIDE * (k % COLUMNS), SIDE * (k // COLUMNS)))
    sheet.save(output, optimize=True)


if __name__ == "__main__":
    main()
