"""Proves a build of t2i on the GPU of this machine and writes gpu_check.json; run it through scripts/gpu_check.sh."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import machine
import parts
import report

USAGE, INPUT, DEVICE = 2, 3, 4  # exit codes, as t2i's
LIMIT_S = 530  # a part ends within 9 minutes


class Failure(Exception):
    def __init__(self, code, line):
        super().__init__(line)
        self.code = code


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=__doc__.split(";")[0] + ".")
    parser.add_argument("--only", metavar="PART[,PART]", help="of " + " ".join(report.PARTS) + " (default: all)")
    parser.add_argument("--prebuilt", metavar="PATH", help="an archive of package.sh, unpacked or not, instead of building")
    parser.add_argument("--build", metavar="DIR", help="build folder (default: build-gpu in the repository)")
    parser.add_argument("--output", default="gpu_check.json", metavar="FILE", help="the report; parts are added to one that is there")
    parser.add_argument("--fresh", action="store_true", help="start a new report")
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="S", help=f"seconds a part may take (default {LIMIT_S})")
    options = parser.parse_args(arguments)
    options.parts = options.only.split(",") if options.only else list(report.PARTS)
    for name in options.parts:
        if name not in report.PARTS:
            raise Failure(USAGE, f'no part "{name}" ({", ".join(report.PARTS)})')
    options.parts.sort(key=report.PARTS.index)
    if options.prebuilt and options.build:
        raise Failure(USAGE, "--prebuilt and --build exclude each other")
    return options


def unpack(archive, folder):
    """Unpacks with CMake, which knows zstd where tar does not. Returns the folder inside."""
    cmake = machine.find_tool("cmake")
    command = [cmake, "-E", "tar", "xf", archive] if cmake else ["tar", "--zstd", "-xf", archive]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    inside = [entry.path for entry in os.scandir(folder) if entry.is_dir()]
    if done.returncode != 0 or len(inside) != 1:
        raise Failure(INPUT, f"{archive}: cannot be unpacked: {parts.reason_in(done.stderr)}")
    return inside[0]


def find_programs(root, options, scratch):
    if not options.prebuilt:
        return parts.Programs(os.path.abspath(options.build or os.path.join(root, "build-gpu")), is_archive=False)
    path = os.path.abspath(options.prebuilt)
    if not os.path.exists(path):
        raise Failure(INPUT, f"{path}: no such file or folder")
    programs = parts.Programs(path if os.path.isdir(path) else unpack(path, scratch), is_archive=True)
    if missing := programs.missing():
        raise Failure(INPUT, f"{missing}: not in the archive: it was made from a build without CUDA or tests")
    return programs


def commit_of(root, programs):
    """{"commit", "modified"} of an archive's build, of the sources that `git archive` packed, of the git checkout, or of the environment."""
    if programs.is_archive:
        with open(os.path.join(programs.folder, "share/t2i/build.json"), encoding="utf-8") as file:
            info = json.load(file)
        return {"commit": info["commit"], "modified": info["modified"]}
    with open(os.path.join(root, "scripts/commit.txt"), encoding="utf-8") as file:
        if packed := re.fullmatch("([0-9a-f]{40}) [0-9]+", file.read().strip()):
            return {"commit": packed[1], "modified": False}
    def git(*command):
        return subprocess.run(["git", "-C", root, *command], capture_output=True, text=True, check=True).stdout.strip()
    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": git("status", "--porcelain", "--untracked-files=no") != ""}
    except (OSError, subprocess.CalledProcessError):
        if commit := os.environ.get("T2I_COMMIT"):
            return {"commit": commit, "modified": False}
    raise Failure(INPUT, "neither git nor scripts/commit.txt names the commit: set T2I_COMMIT")


def run_part(name, check):
    clock = machine.Clock(check.limit_s)
    try:
        return parts.FUNCTIONS[name](check, clock)
    except machine.OutOfTime as error:
        return report.part("failed", clock.seconds(), str(error))


def current_report(root, programs, card, entries):
    if missing := programs.missing():
        raise Failure(INPUT, f"{missing}: not there; run the part build first, or name an archive with --prebuilt")
    return {"schema": report.SCHEMA, **commit_of(root, programs), "files": programs.hashes(), "machine": card, "parts": entries}


def earlier_report(options, root, programs, card):
    """The report to add to, or None. Raises Mismatch, before any time is spent, when it is of other binaries."""
    earlier = report.read(options.output)
    if earlier is not None:
        report.merge(earlier, current_report(root, programs, card, {}))
    return earlier


def check_all(root, options):
    card = machine.describe()
    logs = os.path.abspath(os.path.splitext(options.output)[0] + "_logs")
    os.makedirs(logs, exist_ok=True)
    if options.fresh and os.path.exists(options.output):
        os.unlink(options.output)
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        programs = find_programs(root, options, scratch)
        check = parts.Check(root, programs, logs, options.limit)
        for name in options.parts:
            if name != "build":
                earlier_report(options, root, programs, card)
            print(f"{name} …", file=sys.stderr, flush=True)
            entry = run_part(name, check)
            print(f"{name}: {entry['status']}" + (f": {entry['why']}" if "why" in entry else ""), flush=True)
            failed = failed or entry["status"] == "failed"
            if programs.missing():
                return 1  # the build failed, and there is nothing to report on
            # Written after every part: what a later one loses, an earlier one has kept.
            new = current_report(root, programs, card, {name: entry})
            report.write(options.output, report.merge(earlier_report(options, root, programs, card), new))
    left = report.missing(report.read(options.output))
    print(options.output + (f" (not run yet: {', '.join(left)})" if left else ""))
    return 1 if failed else 0


def main(root, arguments):
    try:
        return check_all(root, parse_arguments(arguments))
    except Failure as failure:
        code, line = failure.code, str(failure)
    except machine.NoGpu as error:
        code, line = DEVICE, f"no GPU: {error}"
    except report.Mismatch as error:
        code, line = INPUT, f"the report cannot take these parts: {error} (give another --output, or --fresh)"
    print("t2i: " + line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), sys.argv[1:]))
