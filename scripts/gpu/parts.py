"""What gpu_check.sh checks, one function a part: each returns a part of the report (report.part)."""
import json
import os
import re
import shutil
import sys

import machine
import pictures
from report import part

# English and Chinese, all styles, a background colour: see the bundled model's card.
PROMPTS = (("a red apple", 42), ("红苹果", 7), ("panda, noto style", 1), ("pizza, fluent flat style", 3), ("tulip on a pink background", 11))
STEPS = 50
LEVELS, SHARE = 2, 0.999  # a picture in f32 on the GPU is that of the CPU: so many levels in so many of its pixels
GPU_TESTS = ("test_conformance", "test_gpu", "test_cuda")  # the last: whether the cuDNN that is here takes our plans
SANITIZER_TOOLS = ("memcheck", "racecheck")
SANITIZER_FAILED = 86  # no exit code of the tests'
SANITIZER_CASE_BYTES = 1 << 20  # a case that moves more takes too long under the tools


class Programs:
    """The program, its CUDA module and the tests, in a build folder or an unpacked archive."""

    def __init__(self, folder, is_archive):
        self.folder = folder
        self.is_archive = is_archive
        self.t2i = os.path.join(folder, "bin/t2i" if is_archive else "t2i")
        self.module = os.path.join(folder, "lib/t2i/libt2i_cuda.so" if is_archive else "libt2i_cuda.so")
        self.tests = os.path.join(folder, "tests") if is_archive else folder

    def test(self, name):
        return os.path.join(self.tests, name)

    def missing(self):
        """The first file that is not there, or None."""
        return next((path for path in (self.t2i, self.module, *map(self.test, GPU_TESTS)) if not os.path.exists(path)), None)

    def hashes(self):
        return {os.path.basename(path): machine.sha256(path) for path in (self.t2i, self.module, self.test("test_conformance"))}


class Check:
    """What the parts share."""

    def __init__(self, root, programs, logs, limit_s):
        self.root, self.programs, self.logs, self.limit_s = root, programs, logs, limit_s

    def log(self, name):
        return os.path.join(self.logs, name + ".log")

    def scratch(self, name):
        path = os.path.join(self.logs, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path


def reason_in(text):
    """Why a program failed, as a rule: its error, else the last thing it said."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("t2i: error: ")]
    return (errors or lines or ["no output"])[-1]


def doctor(check, clock):
    """(what `t2i doctor` says of the card, lines; why it cannot make pictures there, or "")"""
    code, output = machine.run([check.programs.t2i, "doctor", "--device", "cuda"], clock, check.log("doctor"))
    return output.splitlines(), "" if code == 0 else reason_in(output)


def build(check, clock):
    """Builds for the card that is there, which is CMake's default. What is built, or an archive's, must work there."""
    if check.programs.is_archive:
        said, why = doctor(check, clock)
        return part("failed" if why else "skipped", clock.seconds(), why or "an archive is checked as it is", doctor=said)
    folder, cmake = check.programs.folder, machine.find_tool("cmake")
    if not cmake:
        return part("failed", clock.seconds(), "no cmake")
    generator = ["-G", "Ninja"] if machine.find_tool("ninja") else []
    configure = [cmake, "-S", check.root, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", "-DT2I_CUDA=ON", "-DT2I_TESTS=ON"]
    for name, command in (("configure", configure), ("compile", [cmake, "--build", folder, "--parallel"])):
        code, output = machine.run(command, clock, check.log("build-" + name))
        if code != 0:
            errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
            return part("failed", clock.seconds(), f"{name}: {errors[0] if errors else reason_in(output)}")
    if missing := check.programs.missing():
        return part("failed", clock.seconds(), f"the build left no {missing}")
    said, why = doctor(check, clock)
    return part("failed" if why else "passed", clock.seconds(), why, doctor=said)


def catch_totals(output):
    """{"cases", "assertions", "failed"} of a Catch2 run's last lines; {} where there are none."""
    if found := re.search(r"All tests passed \((\d+) assertions? in (\d+) test cases?\)", output):
        return {"cases": int(found[2]), "assertions": int(found[1]), "failed": 0}
    found = re.search(r"test cases:\s*(\d+)(?:.*?(\d+) failed)?", output)
    return {"cases": int(found[1]), "failed": int(found[2] or 0)} if found else {}


def first_failure(output):
    """The line of a Catch2 log that says what failed first."""
    return next((line.strip() for line in output.splitlines() if "FAILED" in line or "error:" in line), reason_in(output))


def conformance(check, clock):
    """Every operation on the card against the reference, and what only a card can show."""
    results = {}
    environment = {"T2I_REQUIRE_GPU": "1", "T2I_BACKEND": "cuda"}
    for name in GPU_TESTS:
        code, output = machine.run([check.programs.test(name)], clock, check.log(name), environment)
        results[name] = {"code": code, **catch_totals(output)}
        if code != 0:
            return part("failed", clock.seconds(), f"{name}: {first_failure(output)}", tests=results)
        if not results[name].get("cases"):
            return part("failed", clock.seconds(), f"{name} ran no case", tests=results)
    return part("passed", clock.seconds(), tests=results)


def sanitizer_summary(output):
    """(what the tool counted, whether it worked at all)."""
    found = re.findall(r"=+ (?:ERROR|RACECHECK) SUMMARY: (.*)", output)
    return (found[-1] if found else ""), bool(found)


def sanitizer(check, clock):
    """compute-sanitizer over the small cases of every operation."""
    tool = machine.find_tool("compute-sanitizer")
    if not tool:
        return part("skipped", clock.seconds(), "compute-sanitizer is not installed")
    environment = {"T2I_REQUIRE_GPU": "1", "T2I_BACKEND": "cuda", "T2I_CASE_BYTES": str(SANITIZER_CASE_BYTES)}
    results = {}
    for name in SANITIZER_TOOLS:
        command = [tool, "--tool", name, "--error-exitcode", str(SANITIZER_FAILED), "--print-limit", "20", check.programs.test("test_conformance")]
        code, output = machine.run(command, clock, check.log("sanitizer-" + name), environment)
        summary, worked = sanitizer_summary(output)
        results[name] = {"code": code, "summary": summary, **catch_totals(output)}
        if not worked:
            return part("skipped", clock.seconds(), f"{name} does not run here: {reason_in(output)}", tools=results)
        if code != 0:
            why = f"{name}: {summary}" if code == SANITIZER_FAILED else f"{name}: {first_failure(output)}"
            return part("failed", clock.seconds(), why, tools=results)
    return part("passed", clock.seconds(), tools=results)


def draw(check, clock, folder, device, dtype):
    """The PNGs of PROMPTS, in memory; or (None, why)."""
    made = []
    for i, (prompt, seed) in enumerate(PROMPTS):
        path = os.path.join(folder, f"{device}-{dtype}-{i}.png")
        command = [check.programs.t2i, "-q", "-p", prompt, "-s", str(seed), "--steps", str(STEPS), "--device", device, "--dtype", dtype, "-o", path]
        code, output = machine.run(command, clock, check.log(f"picture-{device}-{dtype}-{i}"))
        if code != 0:
            return None, f"{device} {dtype}: {reason_in(output)}"
        with open(path, "rb") as file:
            made.append(file.read())
    return made, ""


def judge_pictures(compared):
    """Why f32 pictures are not the CPU's, or ""."""
    for entry in compared:
        if entry["share_within_2"] < SHARE:
            return f"\"{entry['prompt']}\": {entry['share_within_2']:.5f} of the pixels within {LEVELS} levels, {SHARE} asked for"
    return ""


def compare_pictures(check, clock):
    """The bundled model on the CPU in f32 against the card in f32 (judged) and bf16 (reported)."""
    folder = check.scratch("pictures")
    results, why = {}, ""
    reference, failure = draw(check, clock, folder, "cpu", "f32")
    if failure:
        return part("failed", clock.seconds(), failure)
    for dtype in ("f32", "bf16"):
        made, failure = draw(check, clock, folder, "cuda", dtype)
        if failure:
            return part("failed", clock.seconds(), failure, **results)
        results["cuda_" + dtype] = [
            {"prompt": prompt, "seed": seed, **pictures.compare(ours, theirs, LEVELS)}
            for (prompt, seed), ours, theirs in zip(PROMPTS, made, reference)
        ]
        if dtype == "f32":
            why = judge_pictures(results["cuda_f32"])
    return part("failed" if why else "passed", clock.seconds(), why, **results)


BENCHES = {
    "bundled_bf16": ["--dtype", "bf16"],
    "bundled_f32": ["--dtype", "f32"],
    "bundled_bf16_batch_32": ["--dtype", "bf16", "-b", "32"],
    "pixart_xl_2_step": ["--random", "pixart-xl-2", "--dtype", "bf16"],
    "pixart_xl_2_step_batch_32": ["--random", "pixart-xl-2", "--dtype", "bf16", "-b", "32"],
    "dit_xl_2_step": ["--random", "dit-xl-2", "--dtype", "bf16"],
    "dit_xl_2_step_batch_32": ["--random", "dit-xl-2", "--dtype", "bf16", "-b", "32"],
    "prompt_file": ["--batch", "768", "--steps", "20", "--dtype", "bf16"],
    "operations_bf16": ["--op", "all", "--dtype", "bf16"],
    "operations_f32": ["--op", "all", "--dtype", "f32"],
    "attention_bf16_fast_math": ["--op", "attention", "--dtype", "bf16", "--fast-math"],
    "pixart_xl_2_step_fast_math": ["--random", "pixart-xl-2", "--dtype", "bf16", "--fast-math"],
}


def bench(check, clock):
    """t2i bench on the card: each run measures the peaks that its fractions are of."""
    folder, results = check.scratch("bench"), {}
    before = machine.clocks()
    for name, flags in BENCHES.items():
        path = os.path.join(folder, name + ".json")
        command = [check.programs.t2i, "bench", "--device", "cuda", *flags, "--json", path]
        code, output = machine.run(command, clock, check.log("bench-" + name))
        if code != 0:
            return part("failed", clock.seconds(), f"{name}: {reason_in(output)}", runs=results, clocks=[before, machine.clocks()])
        with open(path, encoding="utf-8") as file:
            results[name] = json.load(file)
    return part("passed", clock.seconds(), runs=results, clocks=[before, machine.clocks()])


def torch(check, clock):
    """Side by side with PyTorch on the same random weights."""
    script = os.path.join(check.root, "scripts", "bench", "vs_torch.py")
    python = sys.executable
    if not os.path.exists(script):
        return part("skipped", clock.seconds(), "there is no scripts/bench/vs_torch.py")
    code, output = machine.run([python, "-c", "import torch; print(torch.__version__, torch.cuda.is_available())"], clock, check.log("torch-version"))
    version = reason_in(output)
    if code != 0 or not version.endswith("True"):
        return part("skipped", clock.seconds(), f"{python} has no PyTorch that sees the card: {version}")
    path = os.path.join(check.scratch("torch"), "vs_torch.json")
    command = [python, script, "--t2i", check.programs.t2i, "--device", "cuda", "--json", path,
               "--seconds", str(int(0.9 * clock.left()))]
    code, output = machine.run(command, clock, check.log("torch"))
    results = {"torch": version.split()[0]}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            results["runs"] = json.load(file)
    if code != 0:
        return part("failed", clock.seconds(), reason_in(output), **results)
    return part("passed", clock.seconds(), **results)


FUNCTIONS = {
    "build": build,
    "conformance": conformance,
    "sanitizer": sanitizer,
    "pictures": compare_pictures,
    "bench": bench,
    "torch": torch,
}
