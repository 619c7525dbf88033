#!/usr/bin/env python3
"""The bundled model drawn by t2i and by diffusers on the CPU, side by side: the same weights, prompt, seeds, steps, dtype and threads.

    pip install torch 'diffusers<0.40' 'transformers<5' sentencepiece protobuf numpy Pillow
    scripts/bench/vs_diffusers.py [--t2i build/t2i] [--dtype f32|bf16] [--steps 50] [--threads 2] [--rounds 5]
    scripts/bench/vs_diffusers.py --step pixart-xl-2 [--dtype f32|bf16] …

Both are whole processes that take turns: one that draws a single picture, one that draws five. The first is what a user waits for;
a further picture costs a quarter of their difference. Prints a table of medians and how far the pictures differ: in f32 from each
other, in bf16 each from diffusers' in f32. With --step it times one CFG step of an untrained model of that shape instead.
Exit codes: 0 done, 1 a picture differs by more than one level of 255 (bf16: more than 1.2 times as much as diffusers'), 2 usage.
"""
import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "train"))
render = importlib.import_module("render")
MODEL = ROOT / "assets" / "sticker-256"
PROMPT, SEED, MANY = "a red apple", 42, 5


TORCH = {"f32": "float32", "bf16": "bfloat16"}
TEXT_TOKENS = 120  # of a step


def draw(count, folder, a, dtype):
    """Draws `count` pictures with diffusers, one after the other, into folder/000.png …"""
    import torch
    torch.set_num_threads(a.threads)
    requests = [{"id": f"{k:03}", "prompt": PROMPT, "seed": SEED + k} for k in range(count)]
    render.by_diffusers(MODEL, requests, folder, a.steps, render.defaults(MODEL)[1], batch=1, dtype=TORCH[dtype])


def time_step(a):
    """Prints the median time of a CFG step of both sides over the same random weights, in turns."""
    import torch
    from diffusers import PixArtTransformer2DModel
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as weights:
        def ours():
            report = Path(weights) / "bench.json"
            subprocess.run([str(a.t2i), "bench", "--random", a.step, "--text-tokens", str(TEXT_TOKENS), "--weights", weights, "--runs", "5",
                            "--dtype", a.dtype, "-t", str(a.threads), "--json", str(report)], check=True, stdout=subprocess.DEVNULL)
            return json.loads(report.read_text())["rows"][0]["median_ms"]

        times = {"t2i": [ours()], "diffusers": []}
        model = PixArtTransformer2DModel.from_pretrained(weights, torch_dtype=getattr(torch, TORCH[a.dtype])).eval()
        side, channels = model.config.sample_size, model.config.in_channels
        latents = torch.randn(2, channels, side, side, dtype=model.dtype)
        text = torch.randn(2, TEXT_TOKENS, model.config.caption_channels, dtype=model.dtype)
        mask = torch.ones(2, TEXT_TOKENS, dtype=model.dtype)

        @torch.no_grad()
        def theirs():
            start = time.monotonic()
            model(latents, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=torch.tensor([500, 500]),
                  added_cond_kwargs={"resolution": None, "aspect_ratio": None})
            return (time.monotonic() - start) * 1000

        theirs()
        for _ in range(a.rounds):
            times["diffusers"].append(statistics.median(theirs() for _ in range(5)))
            times["t2i"].append(ours())
    middle = {side: statistics.median(values) for side, values in times.items()}
    print(f"| what | t2i | diffusers | ratio |\n| --- | --: | --: | --: |\n| one CFG step of {a.step}, {TEXT_TOKENS} text tokens, {a.dtype} | "
          f"{middle['t2i']:.0f} ms | {middle['diffusers']:.0f} ms | {middle['diffusers'] / middle['t2i']:.1f} |")
    return 0


def measure(command):
    """(seconds, peak MiB, what it printed) of a whole process. Throws CalledProcessError when it fails."""
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.monotonic() - start, os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return seconds, usage.ru_maxrss / 1024, output


def compare(first, second):
    """(mean, largest) difference of pixel values between the pictures of two folders, in levels of 255."""
    import numpy as np
    from PIL import Image
    names = [f"{k:03}.png" for k in range(MANY)]
    ours, theirs = (np.stack([np.asarray(Image.open(folder / name).convert("RGB")).astype(int) for name in names]) for folder in (first, second))
    difference = np.abs(ours - theirs)
    return float(difference.mean()), int(difference.max())


def main():
    """Parses the command line, measures in turns and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--t2i", default=ROOT / "build" / "t2i")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=list(TORCH), default="f32")
    parser.add_argument("--step", choices=["pixart-xl-2", "pixart-tiny"])
    parser.add_argument("--draw", nargs=3, metavar=("COUNT", "FOLDER", "DTYPE"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.draw:
        return draw(int(a.draw[0]), Path(a.draw[1]), a, a.draw[2])
    if a.step:
        return time_step(a)
    with tempfile.TemporaryDirectory() as temporary:
        folders = {"t2i": Path(temporary) / "t2i", "diffusers": Path(temporary) / "diffusers"}
        for folder in folders.values():
            folder.mkdir()

        def by_diffusers(count, folder, dtype):
            return [sys.executable, __file__, "--steps", a.steps, "--threads", a.threads, "--draw", count, folder, dtype]

        def command(side, count):
            if side == "t2i":
                return [a.t2i, "-m", MODEL, "-p", PROMPT, "-s", SEED, "--steps", a.steps, "-b", count, "--engine-batch", 1, "-t", a.threads,
                        "--device", "cpu", "--dtype", a.dtype, "-q", "-o", f"{folders[side]}/"]
            return by_diffusers(count, folders[side], a.dtype)

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
        end = f"{a.threads} threads, {a.dtype}, {a.rounds} rounds."
        if a.dtype == "f32":
            _, apart = compare(*folders.values())
            print(f"\n{MANY} pictures, at most {apart} level{'' if apart == 1 else 's'} of 255 apart; {end}")
            return 0 if apart <= 1 else 1
        exact = Path(temporary) / "exact"
        exact.mkdir()
        measure(by_diffusers(MANY, exact, "f32"))
        ours, theirs = (compare(folder, exact)[0] for folder in folders.values())
        print(f"\n{MANY} pictures, {ours:.2f} levels of 255 from diffusers' in f32 on average, diffusers' own {theirs:.2f}; {end}")
        return 0 if ours <= 1.2 * theirs else 1


if __name__ == "__main__":
    sys.exit(main())
