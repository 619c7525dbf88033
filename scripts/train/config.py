"""Configuration: a JSON file plus the few paths and device choices that every stage shares."""
import json
import os
import random
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


def load(path):
    """Reads a configuration file and adds its name as `file` and the resolved folders `data` and `work`, both Path objects.

    The data folder is $T2I_DATA or, failing that, ../shared/data/stickers beside the repository;
    the work folder (caches, checkpoints, logs, export) is `work` of the file, relative to the repository.
    """
    config = Config(json.loads(Path(path).read_text(encoding="utf-8")))
    config["file"] = Path(path).name
    config["data"] = Path(os.environ.get("T2I_DATA", REPO.parent / "shared" / "data" / "stickers"))
    config["work"] = REPO / config["work"]
    config["work"].mkdir(parents=True, exist_ok=True)
    return config


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
    if config["autocast"] == "auto":  # bfloat16 where it is the faster type
        config["autocast"] = chosen.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return chosen
