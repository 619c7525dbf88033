#!/usr/bin/env python3
"""Memory and time of a first picture at real size, by t2i and by diffusers, each a whole process: one table.

    pip install torch 'diffusers<0.40' 'transformers<5' sentencepiece protobuf
    scripts/bench/random_pixart.py FOLDER
    scripts/bench/real_size.py FOLDER [--t2i build/t2i] [--steps 20] [--size PIXELS] [--text-encoder FILE.gguf …] [--keep]
                               [--no-diffusers] [--threads 2]

A row is one process that loads the folder in bf16 and draws one picture: its largest resident memory, its time by the clock, and of t2i
the sum of the stages that `-v` prints, and how much longer the process took than that. Before each row its files are read once, so that
they come from the page cache as far as memory goes. Exit codes: 0 done, 1 a process failed, 2 usage.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from vs_diffusers import measure

ROOT = Path(__file__).resolve().parents[2]
PROMPT, SEED = "a red apple on a wooden table", 42
STAGE = re.compile(r"([\d.]+) (ms|s)\b(?![^(]*\))")  # of the line "load …, text …": not GFLOP/s in brackets


def by_diffusers(a):
    """Draws the picture with diffusers, in this process."""
    import torch
    from diffusers import PixArtAlphaPipeline
    torch.set_num_threads(a.threads)
    pipeline = PixArtAlphaPipeline.from_pretrained(a.folder, torch_dtype=torch.bfloat16)
    pipeline(PROMPT, negative_prompt="", num_inference_steps=a.steps, guidance_scale=4.5, height=a.size, width=a.size, clean_caption=False,
             use_resolution_binning=False, generator=torch.Generator().manual_seed(SEED)).images[0].save(a.draw)


def read_once(paths):
    """Reads every file of the folders and files, so that they come from the page cache afterwards, as far as memory goes."""
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file():
                with open(file, "rb", buffering=0) as opened:
                    while opened.read(1 << 24):
                        pass


def gigabytes(mebibytes):
    """In units of 10^9 bytes."""
    return mebibytes * 2**20 / 1e9


def sum_of_stages(output):
    """Seconds of all stages that t2i -v printed."""
    line = next(line for line in output.splitlines() if line.startswith("load "))
    return sum(float(number) * (0.001 if unit == "ms" else 1) for number, unit in STAGE.findall(line))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--t2i", default=ROOT / "build" / "t2i")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=None, help="of the picture (default: the model's)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--text-encoder", action="append", default=[], help="a row with this encoder in place of the folder's")
    parser.add_argument("--keep", action="store_true", help="a row whose encoder stays in memory")
    parser.add_argument("--no-diffusers", action="store_true")
    parser.add_argument("--draw", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.draw:
        return by_diffusers(a)
    own = [a.folder / "transformer", a.folder / "vae"]
    whole = own + [a.folder / "text_encoder"]
    rows = [("t2i", [], whole)] + [(f"t2i, text encoder {Path(file).name}", ["--text-encoder", file], own + [Path(file)])
                                   for file in a.text_encoder]
    if a.keep:
        rows.append(("t2i --keep", ["--keep"], whole))
    print("| what | memory GB | wall s | stages s | wall / stages |\n| --- | --: | --: | --: | --: |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        size = ["-W", a.size, "-H", a.size] if a.size else []
        for name, flags, files in rows:
            read_once(files)
            command = [a.t2i, "-v", "-m", a.folder, "-p", PROMPT, "-s", SEED, "--steps", a.steps, "--cfg-scale", 4.5, "-t", a.threads, "--dtype",
                       "bf16", "--device", "cpu", *size, *flags, "-o", f"{temporary}/{len(name)}.png"]
            seconds, mebibytes, output = measure(command)
            stages = sum_of_stages(output)
            print(f"| {name} | {gigabytes(mebibytes):.2f} | {seconds:.2f} | {stages:.2f} | {seconds / stages:.3f} |", flush=True)
        if not a.no_diffusers:
            command = [sys.executable, __file__, a.folder, "--steps", a.steps, "--threads", a.threads, "--draw", f"{temporary}/d.png"]
            read_once(whole)
            seconds, mebibytes, _ = measure(command + (["--size", a.size] if a.size else []))
            print(f"| diffusers | {gigabytes(mebibytes):.2f} | {seconds:.2f} | | |")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.output}")
