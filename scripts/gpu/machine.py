"""The card, the driver, the toolkit; running programs with a deadline; hashes."""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time

GPU_FIELDS = {
    "name": "gpu",
    "driver_version": "driver",
    "compute_cap": "compute_capability",
    "memory.total": "memory_mib",
    "clocks.max.sm": "max_sm_mhz",
    "clocks.max.memory": "max_memory_mhz",
    "power.limit": "power_limit_w",
}


class NoGpu(Exception):
    """There is no GPU that could be checked; the message says why."""


def parse_gpus(text):
    """nvidia-smi's csv,noheader,nounits lines of GPU_FIELDS as dictionaries, one a card."""
    cards = []
    for line in text.strip().splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(GPU_FIELDS):
            raise NoGpu(f"nvidia-smi said: {line.strip()}")
        cards.append(dict(zip(GPU_FIELDS.values(), values)))
    if not cards:
        raise NoGpu("nvidia-smi lists no card")
    return cards


def gpus():
    if not shutil.which("nvidia-smi"):
        raise NoGpu("nvidia-smi is not installed")
    query = ["nvidia-smi", "--query-gpu=" + ",".join(GPU_FIELDS), "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise NoGpu(((done.stdout + done.stderr).strip().splitlines() or ["nvidia-smi failed"])[0])
    return parse_gpus(done.stdout)


def clocks():
    """What the card runs at now, as nvidia-smi prints it: a throttled card explains a slow figure."""
    query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def find_tool(name):
    """A program on the PATH or in the CUDA toolkit, or None."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer")


def toolkit():
    """"13.0 (V13.0.88)" of nvcc, or "" without one."""
    nvcc = find_tool("nvcc")
    if not nvcc:
        return ""
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"release ([\d.]+), (V[\d.]+)", text)
    return f"{found[1]} ({found[2]})" if found else ""


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def describe():
    """The report's "machine". Raises NoGpu."""
    cards = gpus()
    return {**cards[0], "cards": len(cards), "toolkit": toolkit(), "cpu": cpu_name(), "cores": len(os.sched_getaffinity(0))}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class OutOfTime(Exception):
    """A part took longer than it may."""


class Clock:
    """A part's time: it ends before `limit_s`."""

    def __init__(self, limit_s):
        self.start = time.monotonic()
        self.limit_s = limit_s

    def seconds(self):
        return time.monotonic() - self.start

    def left(self):
        left = self.limit_s - self.seconds()
        if left <= 0:
            raise OutOfTime(f"did not end within {self.limit_s:.0f} s")
        return left


def run(command, clock, log, environment=None, folder=None):
    """(exit code, output) of a command; its output also goes to the file `log`, after the command itself.

    A command that outlives the clock is ended with everything it started, and OutOfTime is raised.
    """
    with open(log, "w", encoding="utf-8") as file:
        file.write("$ " + " ".join(command) + "\n")
        file.flush()
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **(environment or {})}, start_new_session=True
        )
        try:
            code = process.wait(timeout=clock.left())
        except (subprocess.TimeoutExpired, OutOfTime) as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise OutOfTime(f"{os.path.basename(command[0])} did not end within {clock.limit_s:.0f} s (see {log})") from error
    with open(log, encoding="utf-8", errors="replace") as file:
        return code, file.read().split("\n", 1)[1]
