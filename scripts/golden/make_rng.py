#!/usr/bin/env python3
"""Stores what torch.randn draws on the CPU, for tests/unit/test_rng.cpp.

Usage: make_rng.py [out.json]    needs torch (last run: 2.15)

Each case is a seed and a list of sizes drawn one after the other from the same generator. Long draws keep their first
and last 16 values.
"""
import json
import sys
from pathlib import Path

import torch

CASES = [(0, [5]), (0, [16]), (0, [20]), (7, [1, 3, 15, 16, 17, 33]), (42, [4096]), (2**32 + 5, [18]), (5, [18]),
         (2**63 + 11, [31, 2, 64]), (123456789, [1, 2, 1, 2, 700])]


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden" / "rng.json"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    cases = []
    for seed, sizes in CASES:
        generator = torch.Generator("cpu").manual_seed(seed)
        draws = []
        for size in sizes:
            values = torch.randn(size, generator=generator).tolist()
            kept = values if size <= 64 else values[:16] + values[-16:]
            draws.append({"size": size, "values": [float(f"{v:.9g}") for v in kept]})
        cases.append({"seed": str(seed), "draws": draws})
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"torch":"{torch.__version__}","cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
