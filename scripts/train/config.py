"""Configuration: a JSON file plus the few paths and device choices that every stage shares."""
import json
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import torch

REPO = Path(__file__).resolve().parents[2]


class Config(dict):
    """A dictionary whose keys also read as attributes; nested dictionaries are wrapped on access."""

    def __getattr__(self, name):
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return Config(value) if isinstance(value, dict) else value


def merged(below, above):
    """The dictionary `below` with the entries of `above` over it, nested dictionaries merged alike."""
    both = lambda key: isinstance(below.get(key), dict) and isinstance(above[key], dict)
    return below | {key: merged(below[key], above[key]) if both(key) else above[key] for key in above}


def read(path):
    """A configuration file's own entries over those of the file that its `base` names, which lies beside it."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    base = entries.pop("base", None)
    return merged(read(path.parent / base), entries) if base else entries


def load(path):
    """Reads a configuration file and adds its name as `file` and the resolved folders `data` and `work`, both Path objects.

    The data folder is $T2I_DATA or, failing that, ../shared/data/stickers beside the repository; the work folder (caches,
    checkpoints, logs, export) is $T2I_WORK or, failing that, `work` of the file, relative to the repository.
    """
    config = Config(read(Path(path)))
    config["file"] = Path(path).name
    config["data"] = Path(os.environ.get("T2I_DATA", REPO.parent / "shared" / "data" / "stickers"))
    config["work"] = Path(os.environ.get("T2I_WORK", REPO / config["work"]))
    config["work"].mkdir(parents=True, exist_ok=True)
    return config


def quicker_in_bfloat16(steps=4):
    """Whether this CPU trains a transformer quicker under bfloat16 autocast than in float32: times `steps` steps of one block of each.

    A step is what a denoiser's is made of (attention, MLP, norms, forth and back), the best of them counts, and bfloat16 must win by a
    tenth. Emulated bfloat16 is many times slower; AVX-512 BF16 and AMX are up to twice as fast.
    """
    state = torch.random.get_rng_state()  # what is drawn afterwards must not depend on the measurement
    block = torch.nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    x, best = torch.randn(32, 64, 256), {False: math.inf, True: math.inf}
    for step in range(2 * (steps + 1)):
        enabled = step % 2 == 1
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = block(x).square().mean()
        loss.backward()
        block.zero_grad(set_to_none=True)
        if step > 1:  # the first of each prepares kernels
            best[enabled] = min(best[enabled], time.perf_counter() - start)
    torch.random.set_rng_state(state)
    print(f"a training step of one block: {best[False] * 1000:.1f} ms in float32, {best[True] * 1000:.1f} ms in bfloat16", flush=True)
    return best[True] < 0.9 * best[False]


def device(config):
    """The torch device: `device` of the configuration, where "auto" means CUDA when there is one."""
    name = config["device"]
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def prepare(config, seed_offset=0):
    """Sets threads, seeds, matmul precision and `autocast` ("auto": see below) for this process; returns the torch device."""
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    torch.set_float32_matmul_precision("high")
    torch.set_flush_denormal(True)
    seed = config["seed"] + seed_offset
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    chosen = device(config)
    if config["autocast"] == "auto":
        config["autocast"] = chosen.type == "cuda" or quicker_in_bfloat16()
    return chosen
