#!/usr/bin/env python3
"""The bundled model drawn by t2i and by diffusers on the CPU, side by side: the same weights, prompt, seeds, steps, f32 and threads.

    pip install torch diffusers 'transformers<5' sentencepiece protobuf numpy Pillow
    scripts/bench_vs_diffusers.py [--t2i build/t2i] [--steps 50] [--threads 2] [--rounds 5]

Both are whole processes that take turns: one that draws a single picture, one that draws five. The first is what a user waits for;
a further picture costs a quarter of their difference. Prints a table of medians and how far the pictures differ.
Exit codes: 0 done, 1 a picture differs by more than one level of 255, 2 usage.
"""
import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "train"))
render = importlib.import_module("render")
MODEL = ROOT / "assets" / "sticker-256"
PROMPT, SEED, MANY = "a red apple", 42, 5


def draw(count, folder, steps, threads):
    """Draws `count` pictures with diffusers, one after the other, into folder/000.png …"""
    import torch
    torch.set_num_threads(threads)
    requests = [{"id": f"{k:03}", "prompt": PROMPT, "seed": SEED + k} for k in range(count)]
    render.by_diffusers(MODEL, requests, folder, steps, render.defaults(MODEL)[1], batch=1)


def measure(command):
    """(seconds, peak MiB) of a whole process. Throws CalledProcessError when it fails."""
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.monotonic() - start, os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=errors)
    return seconds, usage.ru_maxrss / 1024


def compare(first, second):
    """The largest difference of a pixel value between the pictures of two folders, in levels of 255."""
    import numpy as np
    from PIL import Image
    names = [f"{k:03}.png" for k in range(MANY)]
    ours, theirs = (np.stack([np.asarray(Image.open(folder / name).convert("RGB")).astype(int) for name in names]) for folder in (first, second))
    return int(np.abs(ours - theirs).max())


def main():
    """Parses the command line, measures in turns and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--t2i", default=ROOT / "build" / "t2i")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draw", nargs=2, metavar=("COUNT", "FOLDER"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.draw:
        return draw(int(a.draw[0]), Path(a.draw[1]), a.steps, a.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folders = {"t2i": Path(temporary) / "t2i", "diffusers": Path(temporary) / "diffusers"}
        for folder in folders.values():
            folder.mkdir()

        def command(side, count):
            if side == "t2i":
                return [a.t2i, "-m", MODEL, "-p", PROMPT, "-s", SEED, "--steps", a.steps, "-b", count, "--engine-batch", 1, "-t", a.threads,
                        "--device", "cpu", "--dtype", "f32", "-q", "-o", f"{folders[side]}/"]
            return [sys.executable, __file__, "--steps", a.steps, "--threads", a.threads, "--draw", count, folders[side]]

        times = {(side, count): [] for count in (1, MANY) for side in folders}
        for _ in range(a.rounds):
            for side, count in times:
                times[side, count].append(measure(command(side, count)))
        print("| what | t2i | diffusers | ratio |\n| --- | --: | --: | --: |")

        def line(what, unit, value):
            ours, theirs = (value(side) for side in folders)
            print(f"| {what} | {ours:.3g} {unit} | {theirs:.3g} {unit} | {theirs / ours:.1f} |")

        def middle(side, count, which):
            return statistics.median(sample[which] for sample in times[side, count])

        line(f"from the start of the program to the first picture, {a.steps} steps", "s", lambda side: middle(side, 1, 0))
        line("a further picture", "s", lambda side: (middle(side, MANY, 0) - middle(side, 1, 0)) / (MANY - 1))
        line("most memory", "MiB", lambda side: middle(side, MANY, 1))
        apart = compare(*folders.values())
        print(f"\n{MANY} pictures, at most {apart} level{'' if apart == 1 else 's'} of 255 apart; {a.threads} threads, f32, {a.rounds} rounds.")
    return 0 if apart <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
