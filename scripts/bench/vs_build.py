#!/usr/bin/env python3
"""Compares two builds of t2i: what is timed alternates between them, so that a machine whose speed drifts slows both.

    scripts/bench/vs_build.py OLD NEW [--rounds 20] [--only first,further,step,batch] [--pictures 60] [--dtype auto] [--json FILE]

OLD and NEW are two t2i programs. Four figures, each the median over the rounds, and the median of the rounds' ratios:
a first picture (the whole process), a further picture, one CFG step of PixArt-XL/2, a batch of 60 (the whole process).
Takes about a minute a round with the bundled model on two cores; let nothing else run beside it.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "a red apple"


def run(command):
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"vs_build: {' '.join(command)}: {done.stderr.strip()}")
    return (time.monotonic() - start) * 1e3


def bench_row(program, arguments, row, folder):
    """The median of one row of `t2i bench`, in ms."""
    figures = os.path.join(folder, "bench.json")
    run([program, "bench", *arguments, "--json", figures])
    with open(figures, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    return next(r["median_ms"] for r in rows if r["what"].startswith(row))


def first_picture(program, args, folder):
    return run([program, "-q", "-p", PROMPT, "--steps", "20", "--dtype", args.dtype, "-o", os.path.join(folder, "a.png")])


def further_picture(program, args, folder):
    return bench_row(program, ["--steps", "20", "--warm-ups", "2", "--runs", "5", "--dtype", args.dtype], "whole picture", folder)


def pixart_step(program, args, folder):
    weights = os.path.join(folder, "pixart")
    os.makedirs(weights, exist_ok=True)
    return bench_row(program, ["--random", "pixart-xl-2", "--weights", weights, "--warm-ups", "1", "--runs", "3",
                               "--dtype", args.dtype], "", folder)


def batch(program, args, folder):
    prompts = os.path.join(folder, "prompts.txt")
    with open(prompts, "w", encoding="utf-8") as file:
        file.writelines(f"{PROMPT} {i + 1000}\n" for i in range(args.pictures))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return run([program, "batch", prompts, "-o", os.path.join(out, "pictures"), "--steps", "20", "--dtype", args.dtype, "-q"])


FIGURES = {"first": ("first picture, the whole process", first_picture), "further": ("a further picture", further_picture),
           "step": ("one CFG step of PixArt-XL/2", pixart_step), "batch": ("batch, the whole process", batch)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--pictures", type=int, default=60, help="of the batch")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", help="every single time, too")
    args = parser.parse_args()
    chosen = args.only.split(",")
    if not set(chosen) <= set(FIGURES) or args.rounds < 1:
        parser.error(f"--only takes {', '.join(FIGURES)}; --rounds at least 1")

    print("| what | old, ms | new, ms | new / old |\n| --- | --: | --: | --: |", flush=True)
    times = {}
    with tempfile.TemporaryDirectory(prefix="t2i-bench-") as folder:
        for name in chosen:
            what, measure = FIGURES[name]
            measure(args.old, args, folder)  # warms up the machine's caches of files, for both
            measure(args.new, args, folder)
            old, new = [], []
            for i in range(args.rounds):
                # Who goes first changes, so that neither always has the warmer machine.
                for program, to in ((args.old, old), (args.new, new))[::1 if i % 2 else -1]:
                    to.append(measure(program, args, folder))
            times[name] = {"old_ms": old, "new_ms": new}
            ratio = statistics.median(n / o for o, n in zip(old, new))
            print(f"| {what} | {statistics.median(old):.1f} | {statistics.median(new):.1f} | {ratio:.3f} |", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"old": args.old, "new": args.new, "dtype": args.dtype, "times": times}, file, indent=1)


if __name__ == "__main__":
    main()
