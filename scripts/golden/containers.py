"""Goldens of the formats of checkpoints: small files of torch.save and of the Python package gguf, and what is in them.

Needs torch 2.15 and gguf (PyPI, its reader and its reference of quantised blocks). Writes tests/golden/containers/ and the seeds of
the fuzz targets.
"""
import argparse
import collections
import json
import math
import pathlib
import shutil
import zipfile

import gguf
import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/containers"
CORPUS = ROOT / "tests/fuzz/corpus"

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.float8_e4m3fn: "F8_E4M3",
         torch.float8_e5m2: "F8_E5M2", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
         torch.int8: "I8", torch.int16: "I16", torch.uint16: "U16", torch.complex64: "C64"}
expected = {}


def number(x):
    return x if math.isfinite(x) else str(x)


def describe(t):
    entry = {"dtype": NAMES[t.dtype], "shape": list(t.shape)}
    if t.dtype.is_floating_point or t.dtype in (torch.int32, torch.uint8):
        entry["values"] = [number(x) for x in t.detach().to(torch.float64).flatten().tolist()]
    return entry


def tensors_of(value, prefix=""):
    """Every tensor by its dotted name."""
    if isinstance(value, torch.Tensor):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else []
    found = {}
    for key, member in items:
        if isinstance(key, (str, int)):
            found.update(tensors_of(member, f"{prefix}.{key}" if prefix else str(key)))
    return found


def save(name, value, weights="", **options):
    torch.save(value, OUT / name, **options)
    expected[name] = {"weights": weights, "tensors": {k: describe(v) for k, v in tensors_of(value).items()}}


class Layer(torch.Tensor):
    """A subclass: its pickle says _rebuild_from_type_v2."""


def torch_files():
    a = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 4 - 1
    flat = collections.OrderedDict(**{"conv.weight": a.reshape(3, 2, 2, 1), "conv.bias": torch.tensor([1.5, -2.0, 0.25]),
                                      "steps": torch.tensor(7), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5)})
    flat._metadata = collections.OrderedDict({"": {"version": 1}, "conv": {"version": 1}})
    save("flat.pt", flat)
    save("stream.pt", flat, _use_new_zipfile_serialization=False)
    save("protocol4.pt", flat, pickle_protocol=4)

    shared = torch.arange(10, dtype=torch.float32)
    save("strided.pt", {"transposed": a.t(), "column": a[:, 1], "every_other": shared[1::2], "tail": shared[6:], "whole": shared,
                        "expanded": torch.tensor([3.0]).expand(2, 3), "channels_last": torch.arange(
                            24, dtype=torch.float16).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)})

    values = torch.tensor([0.0, 1.0, -1.5, 3.140625, 448.0, 0.001953125])
    dtypes = {str(d)[6:]: values.to(d) for d in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
                                                 torch.float8_e5m2)}
    dtypes |= {str(d)[6:]: torch.tensor([0, 1, 100]).to(d) for d in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
                                                                      torch.uint16, torch.bool, torch.complex64)}
    save("dtypes.pt", dtypes)

    model = {"x.weight": torch.nn.Parameter(a.clone()), "x.bias": a[0].clone().as_subclass(Layer)}
    ema = {k: v.detach().as_subclass(torch.Tensor) * 2 for k, v in model.items()}
    moments = {"step": torch.tensor(3.0), "exp_avg": a * 0.5}
    opt = {"state": {0: moments, 1: moments}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0, 1]}]}
    args = argparse.Namespace(model="DiT-XL/2", image_size=256, out=pathlib.PurePosixPath("a").as_posix())
    save("training.pt", {"model": model, "ema": ema, "opt": opt, "args": args}, "ema")
    notes = {"epoch": 3, "score": np.float64(0.25), "rng": np.arange(3), "device": torch.device("cpu"), "size": torch.Size([1, 2]),
             "tags": {"a", "b"}, "dtype": torch.float16, "callbacks": {argparse.ArgumentParser: {"best": torch.tensor(1.0)}}}
    save("lightning.ckpt", {"state_dict": ema, "loops": [], "optimizer_states": [opt], **notes}, "state_dict")
    save("pixart.pth", {"state_dict": model, "state_dict_ema": ema, "epoch": 1}, "state_dict")
    save("only.pt", {"params_ema": ema, "iteration": 5}, "params_ema")
    save("two.pt", {"generator": model, "discriminator": ema})
    save("numbers.pt", [a, {"b": a}])

    with zipfile.ZipFile(OUT / "flat.pt") as little, zipfile.ZipFile(OUT / "big.pt", "w") as big:  # as a big-endian machine writes it
        root = "other folder 模型"
        for entry in reversed(little.infolist()):  # in another order, with other padding
            data, name = little.read(entry), entry.filename.split("/", 1)[1]
            if name == "byteorder":
                data = b"big"
            if name.startswith("data/"):
                width = 8 if len(data) == 8 and name == "data/2" else 4
                data = np.frombuffer(data, f"u{width}").byteswap().tobytes()
            big.writestr(f"{root}/{name}", data)
    expected["big.pt"] = expected["flat.pt"]


def gguf_files():
    """Bytes of each block type by a formula; values by gguf's own reference."""
    writer = gguf.GGUFWriter(OUT / "types.gguf", "t5encoder")
    writer.add_name("a \"name\"")
    writer.add_uint32("t5encoder.block_count", 1)
    writer.add_float32("t5encoder.attention.layer_norm_epsilon", 1e-6)
    writer.add_bool("flag", True)
    writer.add_array("tokens", ["a", "bc", "▁d"])
    writer.add_array("scores", [0.5, -1.0])
    found = {}
    plain = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I32": np.int32}
    for name, kind in plain.items():
        data = np.arange(-3, 3).astype(kind).reshape(2, 3)
        writer.add_tensor(name.lower(), data)
        found[name.lower()] = {"dtype": name, "shape": [2, 3], "values": data.astype(float).flatten().tolist()}
    half = np.float16(1.0).tobytes()
    minimum = np.float16(0.5).tobytes()
    places = {"BF16": {}, "Q4_0": {0: half}, "Q8_0": {0: half}, "Q4_K": {0: half, 2: minimum}, "Q5_K": {0: half, 2: minimum},
              "Q6_K": {208: half}, "Q3_K": {108: half}, "Q4_1": {0: half, 2: minimum}}
    for name, scales in places.items():
        kind = gguf.GGMLQuantizationType[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        block = bytearray((37 * b + 11) & 255 for b in range(size))
        for at, scale in scales.items():
            block[at:at + 2] = scale
        data = np.frombuffer(bytes(block), np.uint8)
        rows = np.stack([data, data]) if values > 1 else np.array([[0, 0x3F, 0x80, 0xBF, 0xC0, 0x3F]], np.uint8)
        writer.add_tensor(name.lower(), rows, raw_dtype=kind)
        decoded = gguf.quants.dequantize(rows, kind)
        found[name.lower()] = {"dtype": name, "shape": list(decoded.shape), "values": decoded.astype(float).flatten().tolist()}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected["types.gguf"] = {"weights": "", "tensors": found}


def corpus():
    seeds = {"torch_zip": ["flat.pt", "strided.pt", "training.pt", "big.pt", "dtypes.pt"], "torch_stream": ["stream.pt"],
             "gguf": ["types.gguf"]}
    for target, names in seeds.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(OUT / name, CORPUS / target / name.split(".")[0])
    (CORPUS / "pickle").mkdir(parents=True, exist_ok=True)
    for name in ("flat.pt", "protocol4.pt", "training.pt", "lightning.ckpt", "dtypes.pt", "numbers.pt"):
        with zipfile.ZipFile(OUT / name) as archive:
            pickle = next(e for e in archive.namelist() if e.endswith("/data.pkl"))
            (CORPUS / "pickle" / name.split(".")[0]).write_bytes(archive.read(pickle))


if __name__ == "__main__":
    torch.manual_seed(0)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    torch_files()
    gguf_files()
    corpus()
    versions = {"torch": torch.__version__, "gguf": getattr(gguf, "__version__", "0.19")}
    (OUT / "expected.json").write_text(json.dumps({"versions": versions, "files": expected}, ensure_ascii=False) + "\n")
