"""What the golden generators share: weights by formula, files in tests/golden.

Weights and inputs are not stored. Element i of a tensor is

    u(seed, i) * scale + shift        in float32, rounded after each operation

where u is the top 24 bits of splitmix64(seed, i) as a number in [-1, 1). tests/support/fixture.cpp does the same, so a
manifest (config, and name, shape, seed, scale, shift of every tensor) stands for a whole model folder.
"""
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

REPO = Path(__file__).resolve().parents[2]
GOLDEN = REPO / "tests" / "golden"


def uniform(seed, count):
    """u(seed, 0), ..., u(seed, count - 1) as float32 in [-1, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.int64).astype(np.float32) / np.float32(2**23) - np.float32(1)


def tensor(shape, seed, scale=1.0, shift=0.0):
    """The tensor that a description (shape, seed, scale, shift) stands for."""
    u = uniform(seed, math.prod(shape))
    values = u * np.float32(scale) + np.float32(shift)
    return torch.from_numpy(values.reshape(shape))


def describe(name, shape, seed, scale, shift=0.0):
    scale, shift = float(np.float32(scale)), float(np.float32(shift))
    return {"name": name, "shape": list(shape), "seed": seed, "scale": scale, "shift": shift}


def seed_of(text, base):
    """A seed for a tensor from its name and the case's own seed."""
    return (zlib.crc32(text.encode()) + base * 0x9E3779B1) % 2**32


def default_scale(name, shape):
    """(scale, shift) that keep activations near unit variance: uniform on [-s, s] has variance s^2 / 3."""
    if len(shape) == 1:
        is_norm = "norm" in name.rsplit(".", 2)[-2] if "." in name else False
        return (0.2, 1.0) if is_norm and name.endswith("weight") else (0.1, 0.0)
    if "scale_shift_table" in name:
        return (0.5, 0.0)
    fan_in = math.prod(shape[1:])
    return (math.sqrt(3.0 / fan_in), 0.0)


def fill(model, base, scales=None, skip=()):
    """Overwrites a model's state dict by formula and returns the descriptions of its tensors.

    scales: function of (name, shape) that returns (scale, shift), or None for default_scale's.
    """
    descriptions = []
    state = model.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            if name in skip:
                continue
            chosen = scales(name, tuple(value.shape)) if scales else None
            scale, shift = chosen or default_scale(name, tuple(value.shape))
            d = describe(name, value.shape, seed_of(name, base), scale, shift)
            value.copy_(tensor(d["shape"], d["seed"], d["scale"], d["shift"]))
            descriptions.append(d)
    return descriptions


def relative(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def versions():
    import diffusers
    import sentencepiece
    import transformers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__,
            "sentencepiece": sentencepiece.__version__}


def prepare():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)


def layout(value, indent=0, width=140):
    """JSON with everything that fits on one line: short enough to read, and a diff shows what changed."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= width or not isinstance(value, (dict, list)) or not value:
        return line
    if isinstance(value, list) and not isinstance(value[0], (dict, list)):
        return line
    pad = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        items = [json.dumps(k, ensure_ascii=False) + ": " + layout(v, indent + 1, width) for k, v in value.items()]
        return "{" + pad + ("," + pad).join(items) + "}"
    return "[" + pad + ("," + pad).join(layout(v, indent + 1, width) for v in value) + "]"


def write(name, manifest, outputs=None):
    """tests/golden/<name>.json, and the reference's results in <name>.safetensors."""
    manifest = {"made_by": f"scripts/golden/{name}.py", "versions": versions(), **manifest}
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(layout(manifest) + "\n", encoding="utf-8")
    if outputs:
        arrays = {k: np.ascontiguousarray(v.numpy() if isinstance(v, torch.Tensor) else v) for k, v in outputs.items()}
        save_file(arrays, GOLDEN / f"{name}.safetensors")
        (GOLDEN / f"{name}.safetensors").chmod(0o644)
    print(name, sum(p.stat().st_size for p in GOLDEN.glob(name + ".*")), "bytes")
