"""The logic of scripts/gpu: merging of reports, comparison of pictures, reading of what other programs print."""
import contextlib
import io
import os
import shutil
import struct
import sys
import tempfile
import time
import unittest
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "gpu"))
import gpu_check  # noqa: E402
import machine  # noqa: E402
import parts  # noqa: E402
import pictures  # noqa: E402
import report  # noqa: E402


def a_report(entries, **changes):
    base = {"schema": 1, "commit": "c" * 40, "modified": False, "files": {"t2i": "1"}, "machine": {"gpu": "A", "driver": "1.0", "cores": 4}}
    return {**base, **changes, "parts": entries}


def png(width, height, rgb, filters=None):
    """An 8-bit RGB PNG; filters: one a row, applied as the specification defines them."""
    stride, raw, above = 3 * width, b"", bytes(3 * width)
    for y in range(height):
        line = rgb[y * stride : (y + 1) * stride]
        kind = filters[y] if filters else 0
        coded = bytearray()
        for i, value in enumerate(line):
            left = line[i - 3] if i >= 3 else 0
            corner = above[i - 3] if i >= 3 else 0
            guess = {0: 0, 1: left, 2: above[i], 3: (left + above[i]) // 2, 4: pictures.paeth(left, above[i], corner)}[kind]
            coded.append((value - guess) & 255)
        raw += bytes([kind]) + bytes(coded)
        above = line
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return pictures.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def is_running(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Merging(unittest.TestCase):
    def test_parts_are_added_and_replaced_in_their_order(self):
        old = a_report({"bench": report.part("passed", 9), "build": report.part("failed", 1, "no nvcc")})
        new = a_report({"build": report.part("passed", 2)})
        merged = report.merge(old, new)
        self.assertEqual(list(merged["parts"]), ["build", "bench"])
        self.assertEqual(merged["parts"]["build"], {"status": "passed", "seconds": 2})
        self.assertEqual(report.missing(merged), ["conformance", "sanitizer", "pictures", "torch"])

    def test_a_first_report_stands_alone(self):
        new = a_report({"build": report.part("passed", 2)})
        self.assertEqual(report.merge(None, new), new)

    def test_other_binaries_commits_and_cards_do_not_mix(self):
        new = a_report({})
        for changed in (
            {"commit": "d" * 40},
            {"modified": True},
            {"files": {"t2i": "2"}},
            {"schema": 0},
            {"machine": {"gpu": "B", "driver": "1.0"}},
            {"machine": {"gpu": "A", "driver": "2.0"}},
        ):
            with self.subTest(changed), self.assertRaises(report.Mismatch):
                report.merge(a_report({}, **changed), new)

    def test_what_is_no_part_of_the_identity_may_change(self):
        old = a_report({"bench": report.part("passed", 1)}, machine={"gpu": "A", "driver": "1.0", "cores": 8})
        self.assertIn("bench", report.merge(old, a_report({}))["parts"])

    def test_a_part_that_did_not_pass_says_why(self):
        with self.assertRaises(ValueError):
            report.part("skipped", 1)
        with self.assertRaises(ValueError):
            report.part("fine", 1)

    def test_a_report_is_written_whole_and_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.json")
            self.assertIsNone(report.read(path))
            report.write(path, a_report({"build": report.part("skipped", 0, "红")}))
            self.assertEqual(report.read(path), a_report({"build": report.part("skipped", 0, "红")}))
            self.assertEqual(os.listdir(folder), ["r.json"])
            with open(path, "w", encoding="utf-8") as file:
                file.write("{\"schema\": 1,")
            with self.assertRaises(report.Mismatch):
                report.read(path)


class Pictures(unittest.TestCase):
    WIDTH, HEIGHT = 7, 6
    RGB = bytes((x * 37 + x * x) & 255 for x in range(3 * WIDTH * HEIGHT))

    def test_every_filter_is_undone(self):
        for filters in ([0] * 6, [1] * 6, [2] * 6, [3] * 6, [4] * 6, [4, 3, 2, 1, 0, 4]):
            self.assertEqual(pictures.decode(png(self.WIDTH, self.HEIGHT, self.RGB, filters)), (self.WIDTH, self.HEIGHT, self.RGB))

    def test_differences_are_counted_by_the_largest_channel_of_a_pixel(self):
        changed = bytearray(self.RGB)
        changed[0] ^= 1  # one level in one channel
        changed[3] = (changed[3] + 2) & 255 if changed[3] < 254 else changed[3] - 2
        changed[4] = changed[4] + 1 if changed[4] < 255 else 254
        changed[30] = changed[30] + 100 if changed[30] < 156 else changed[30] - 100
        result = pictures.compare(png(7, 6, self.RGB), png(7, 6, bytes(changed)))
        self.assertEqual(result["pixels"], 42)
        self.assertEqual(result["largest"], 100)
        self.assertAlmostEqual(result["mean"], (1 + 2 + 100) / 42)
        self.assertAlmostEqual(result["share_within_2"], 41 / 42)

    def test_equal_pictures_differ_nowhere(self):
        result = pictures.compare(png(7, 6, self.RGB), png(7, 6, self.RGB, [4] * 6))
        self.assertEqual((result["largest"], result["share_within_2"]), (0, 1.0))

    def test_what_cannot_be_compared_is_refused(self):
        good = png(7, 6, self.RGB)
        for bad in (b"", b"JFIF", good[:-30], good.replace(b"IDAT", b"IDAU"), png(6, 7, self.RGB)):
            with self.assertRaises((ValueError, zlib.error)):
                pictures.compare(good, bad)

    def test_the_share_of_pixels_decides(self):
        near = {"prompt": "a", "share_within_2": 0.9991}
        self.assertEqual(parts.judge_pictures([near]), "")
        self.assertIn("0.99800", parts.judge_pictures([near, {"prompt": "b", "share_within_2": 0.998}]))


class Outputs(unittest.TestCase):
    def test_catch2(self):
        passed = "===\nAll tests passed (14251 assertions in 20 test cases)\n\n"
        self.assertEqual(parts.catch_totals(passed), {"cases": 20, "assertions": 14251, "failed": 0})
        failed = "test cases:  20 |  19 passed | 1 failed\nassertions: 90 | 89 passed | 1 failed\n"
        self.assertEqual(parts.catch_totals(failed), {"cases": 20, "failed": 1})
        self.assertEqual(parts.catch_totals("killed"), {})

    def test_the_error_explains_more_than_what_was_said_last(self):
        self.assertEqual(parts.reason_in("t2i: error: --device cuda: no driver\nadvice\n\n"), "t2i: error: --device cuda: no driver")
        self.assertEqual(parts.reason_in("a\nb\n"), "b")
        self.assertEqual(parts.reason_in(""), "no output")

    def test_compute_sanitizer(self):
        self.assertEqual(parts.sanitizer_summary("========= ERROR SUMMARY: 0 errors\n"), ("0 errors", True))
        races = "========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings) \n"
        self.assertEqual(parts.sanitizer_summary(races), ("1 hazard displayed (1 error, 0 warnings) ", True))
        self.assertEqual(parts.sanitizer_summary("Error: Device not supported\n"), ("", False))

    def test_nvidia_smi(self):
        line = "NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559, 1980, 2619, 700.00\n"
        (card,) = machine.parse_gpus(line)
        self.assertEqual((card["gpu"], card["compute_capability"]), ("NVIDIA H100 80GB HBM3", "9.0"))
        self.assertEqual(len(machine.parse_gpus(line * 2)), 2)
        for text in ("", "No devices were found\n"):
            with self.assertRaises(machine.NoGpu):
                machine.parse_gpus(text)

    def test_a_command_that_takes_too_long_is_ended_with_its_children(self):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log")
            with self.assertRaises(machine.OutOfTime):
                machine.run(["sh", "-c", "sleep 60 & echo $!; wait"], machine.Clock(3), log)
            with open(log, encoding="utf-8") as file:
                child = int(file.read().split("\n")[1])
        # A signal takes a moment, and what ended may still wait to be collected by init.
        deadline = time.monotonic() + 20
        while is_running(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(is_running(child))

    def test_a_command_gives_code_and_output(self):
        with tempfile.TemporaryDirectory() as folder:
            code, output = machine.run(["sh", "-c", "echo $WORD; echo b >&2; exit 7"], machine.Clock(10), os.path.join(folder, "log"), {"WORD": "a"})
        self.assertEqual((code, output), (7, "a\nb\n"))


class CommandLine(unittest.TestCase):
    def test_parts_run_in_their_order(self):
        self.assertEqual(gpu_check.parse_arguments(["--only", "bench,build"]).parts, ["build", "bench"])
        self.assertEqual(gpu_check.parse_arguments([]).parts, list(report.PARTS))
        self.assertEqual(set(parts.FUNCTIONS), set(report.PARTS))

    def test_an_unknown_part_is_named(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(gpu_check.main("/nowhere", ["--only", "benchmark"]), 2)
        self.assertIn('no part "benchmark"', said.getvalue())

    def test_without_a_gpu_there_is_one_line_and_code_4(self):
        path, os.environ["PATH"] = os.environ["PATH"], "/nowhere"
        try:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                self.assertEqual(gpu_check.main("/nowhere", []), 4)
        finally:
            os.environ["PATH"] = path
        self.assertEqual(said.getvalue(), "t2i: no GPU: nvidia-smi is not installed\n")


class WholeRun(unittest.TestCase):
    """gpu_check over stand-ins for the card, the tools and the program: what it calls, and what it makes of the answers."""

    SMI = "NVIDIA H100 80GB HBM3, 580.95.05, 9.0, 81559, 1980, 2619, 700.00"

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.archive = os.path.join(self.folder, "archive")
        self.output = os.path.join(self.folder, "gpu_check.json")
        picture = os.path.join(self.folder, "picture.png")
        with open(picture, "wb") as file:
            file.write(png(7, 6, Pictures.RGB))
        other = os.path.join(self.folder, "other.png")
        with open(other, "wb") as file:
            file.write(png(7, 6, bytes(255 - v for v in Pictures.RGB)))
        # bf16 pictures differ: that is reported and not judged.
        self.script("archive/bin/t2i", f"""
            dtype=
            [ "$1" = doctor ] && echo 'GPU 0 works'
            while [ $# -gt 0 ]; do
                case $1 in
                    --dtype) dtype=$2 ;;
                    --json) echo '{{"peak_gflops": 1, "rows": []}}' >"$2" ;;
                    -o) cp "$([ "$dtype" = bf16 ] && echo {other} || echo {picture})" "$2" ;;
                esac
                shift
            done""")
        self.script("archive/lib/t2i/libt2i_cuda.so", "")
        conformance = 'echo "$T2I_BACKEND $T2I_REQUIRE_GPU $T2I_CASE_BYTES"; echo "All tests passed (9 assertions in 3 test cases)"'
        self.script("archive/tests/test_conformance", conformance)
        for name in ("test_gpu", "test_cuda"):
            self.script("archive/tests/" + name, 'echo "All tests passed (2 assertions in 1 test case)"')
        os.makedirs(os.path.join(self.archive, "share/t2i"))
        with open(os.path.join(self.archive, "share/t2i/build.json"), "w", encoding="utf-8") as file:
            file.write('{"commit": "' + "c" * 40 + '", "modified": false}')
        self.script("tools/nvidia-smi", f"echo '{self.SMI}'")
        self.script("tools/compute-sanitizer", """
            tool=$2; while [ "${1#/}" = "$1" ]; do shift; done; "$@"
            if [ $tool = memcheck ]; then echo '========= ERROR SUMMARY: 0 errors'; else
            echo '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)'; fi""")
        self.path = os.environ["PATH"]
        os.environ["PATH"] = os.path.join(self.folder, "tools") + ":" + self.path
        self.addCleanup(os.environ.__setitem__, "PATH", self.path)

    def script(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)

    def check(self, *arguments):
        """(exit code, what was printed, parts of the report)"""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = gpu_check.main(self.folder, ["--prebuilt", self.archive, "--output", self.output, *arguments])
        written = report.read(self.output)
        return code, said.getvalue(), written["parts"] if written else {}

    def test_all_parts(self):
        code, said, entries = self.check()
        self.assertEqual(code, 0, said)
        statuses = {name: entry["status"] for name, entry in entries.items()}
        self.assertEqual(statuses, {"build": "skipped", "conformance": "passed", "sanitizer": "passed", "pictures": "passed",
                                    "bench": "passed", "torch": "skipped"})
        self.assertEqual(entries["conformance"]["tests"]["test_conformance"], {"code": 0, "cases": 3, "assertions": 9, "failed": 0})
        self.assertEqual(entries["sanitizer"]["tools"]["racecheck"]["summary"], "0 hazards displayed (0 errors, 0 warnings)")
        self.assertEqual(entries["build"]["doctor"], ["GPU 0 works"])
        self.assertLess(entries["pictures"]["cuda_bf16"][0]["share_within_2"], 0.5)
        self.assertEqual(set(entries["bench"]["runs"]), set(parts.BENCHES))
        with open(os.path.join(self.folder, "gpu_check_logs/sanitizer-memcheck.log"), encoding="utf-8") as file:
            self.assertIn("cuda 1 1048576", file.read())

    def test_parts_alone_come_together_and_other_binaries_are_refused_first(self):
        self.assertEqual(self.check("--only", "conformance")[0], 0)
        code, said, entries = self.check("--only", "pictures")
        self.assertEqual((code, list(entries)), (0, ["conformance", "pictures"]), said)
        self.script("archive/bin/t2i", "exit 1")
        code, said, entries = self.check("--only", "pictures")
        self.assertEqual(code, 3)
        self.assertIn("another files", said)
        self.assertEqual(entries["pictures"]["status"], "passed")
        code, said, entries = self.check("--only", "pictures", "--fresh")
        self.assertEqual((code, list(entries)), (1, ["pictures"]))

    def test_a_wrong_result_fails_its_part(self):
        self.script("archive/tests/test_conformance", "echo 'test.cpp:3: FAILED:'; exit 1")
        code, _, entries = self.check("--only", "conformance")
        self.assertEqual((code, entries["conformance"]["status"]), (1, "failed"))
        self.assertIn("test.cpp:3: FAILED:", entries["conformance"]["why"])

    def test_a_suite_that_ran_nothing_has_not_passed(self):
        self.script("archive/tests/test_gpu", "echo 'No tests ran'")
        code, _, entries = self.check("--only", "conformance")
        self.assertEqual((code, entries["conformance"]["why"]), (1, "test_gpu ran no case"))

    def test_a_tool_that_finds_something_fails_and_one_that_cannot_run_is_skipped(self):
        self.script("tools/compute-sanitizer", "echo '========= ERROR SUMMARY: 2 errors'; exit 86")
        code, _, entries = self.check("--only", "sanitizer")
        self.assertEqual((code, entries["sanitizer"]["why"]), (1, "memcheck: 2 errors"))
        self.script("tools/compute-sanitizer", "echo 'Error: not supported on this device'; exit 1")
        code, _, entries = self.check("--only", "sanitizer")
        self.assertEqual((code, entries["sanitizer"]["status"]), (0, "skipped"))
        self.assertIn("not supported on this device", entries["sanitizer"]["why"])

    def test_a_part_that_takes_too_long_fails(self):
        self.script("archive/tests/test_conformance", "sleep 30")
        code, _, entries = self.check("--only", "conformance", "--limit", "0.3")
        self.assertEqual((code, entries["conformance"]["status"]), (1, "failed"))
        self.assertIn("did not end within", entries["conformance"]["why"])

    def test_an_archive_without_the_module_is_said(self):
        os.unlink(os.path.join(self.archive, "lib/t2i/libt2i_cuda.so"))
        code, said, _ = self.check("--only", "conformance")
        self.assertEqual(code, 3)
        self.assertIn("libt2i_cuda.so: not in the archive", said)


if __name__ == "__main__":
    unittest.main()
