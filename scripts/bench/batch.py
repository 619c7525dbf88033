#!/usr/bin/env python3
"""The figures of prompt files as one table, each with the command that made it: speed, memory, a long file's start.

    scripts/bench/batch.py [--t2i build/t2i] [--pictures 60] [--lines 1000000]

Takes about three minutes with the bundled model on two cores; let nothing else run beside it.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

EARLY, LATE = 200, 2000  # pictures between which memory must stay flat


def fail(line):
    print(f"batch: {line}", file=sys.stderr)
    sys.exit(1)


def resident_mib(pid, field):
    """VmRSS (now) or VmHWM (most) of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":")) / 1024


def lines_in(path):
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for(process, reached, what):
    while not reached():
        if process.poll() is not None:
            fail(f"t2i batch ended with {process.returncode} before {what}")
        time.sleep(0.01)


def speed(t2i, pictures):
    with tempfile.NamedTemporaryFile(suffix=".json") as figures:
        command = f"bench --batch {pictures} --steps 20"
        subprocess.run([t2i, *command.split(), "--json", figures.name], check=True, stdout=subprocess.DEVNULL)
        report = json.load(open(figures.name, encoding="utf-8"))
        print(f"{report['machine']}\n", flush=True)
        print("| what | measured | command |\n| --- | --- | --- |", flush=True)
        for row in report["rows"]:
            yield row["what"], f"{row['median_ms']:.1f} ms a picture", f"t2i {command}"


def start_batch(t2i, folder, lines, flags):
    prompts, out = os.path.join(folder, "prompts.txt"), os.path.join(folder, "out")
    with open(prompts, "w", encoding="utf-8") as file:
        file.writelines(f"a cat, number {i}\n" for i in range(lines))
    os.mkdir(out)
    begin = time.monotonic()
    process = subprocess.Popen([t2i, "batch", prompts, "-o", out, "-q", *flags], stdout=subprocess.DEVNULL)
    return process, os.path.join(out, "journal.jsonl"), begin


def memory(t2i):
    flags = ["--steps", "1", "--engine-batch", "4"]
    with tempfile.TemporaryDirectory() as folder:
        process, journal, _ = start_batch(t2i, folder, LATE + EARLY, flags)
        wait_for(process, lambda: lines_in(journal) >= EARLY, f"picture {EARLY}")
        early = resident_mib(process.pid, "VmRSS")
        wait_for(process, lambda: lines_in(journal) >= LATE, f"picture {LATE:,}")
        late = resident_mib(process.pid, "VmRSS")
        if process.wait() != 0:
            fail("t2i batch failed")
    command = f"t2i batch {LATE + EARLY}-lines.txt {' '.join(flags)}"
    yield f"memory at picture {EARLY} and at picture {LATE:,}", f"{early:.1f} and {late:.1f} MiB ({100 * (late / early - 1):+.1f} %)", command


def long_file(t2i, lines):
    flags = ["--steps", "1", "--engine-batch", "4"]
    with tempfile.TemporaryDirectory() as folder:
        process, journal, begin = start_batch(t2i, folder, lines, flags)
        wait_for(process, lambda: lines_in(journal) > 0, "its first picture")
        first = time.monotonic() - begin
        time.sleep(2)  # into the run: what it holds then
        most = resident_mib(process.pid, "VmHWM")
        process.send_signal(signal.SIGINT)
        process.wait()
    with tempfile.TemporaryDirectory() as folder:
        process, journal, _ = start_batch(t2i, folder, 100, flags)
        wait_for(process, lambda: lines_in(journal) >= 60, "picture 60")
        short = resident_mib(process.pid, "VmHWM")
        process.wait()
    command = f"t2i batch {lines:,}-lines.txt {' '.join(flags)}"
    yield f"{lines:,} lines: from the start to the first picture in the journal", f"{first:.2f} s", command
    yield f"{lines:,} lines: most memory, beside that of 100 lines", f"{most:.1f} beside {short:.1f} MiB", command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--t2i", default="build/t2i")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    if not os.access(options.t2i, os.X_OK):
        fail(f"{options.t2i}: not a program; build it, or say --t2i")
    for rows in (speed(options.t2i, options.pictures), memory(options.t2i), long_file(options.t2i, options.lines)):
        for row in rows:
            print("| " + " | ".join((*row[:2], f"`{row[2]}`")) + " |", flush=True)


if __name__ == "__main__":
    main()
