#!/usr/bin/env python3
"""Runs diffusers' schedulers on a toy model and stores what tests/unit/test_sampling.cpp replays.

Usage: make_schedulers.py [out.json]    needs torch, diffusers, numpy (last run: diffusers 0.39)

The model is model(x, t) = 0.5 x + 0.1 sin(t / 100); the start is x[j] = sin(1 + j) times init_noise_sigma; draw k of
noise has element j equal to 1.3 sin(1.7 k + 0.9 j + 0.5). Both are formulas, so the test needs no stored noise.
Each case holds the scheduler's config, and per number of steps its timesteps, the samples after every step and how
many times noise was drawn.
"""
import importlib
import json
import math
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch

ELEMENTS = 3
STEPS = (1, 4, 20, 50)
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LATENT = {"clip_sample": False}

CASES = [
    ("DDIMScheduler", LATENT, {}),
    ("DDIMScheduler", {**LATENT, **SCALED, "steps_offset": 1, "set_alpha_to_one": False}, {}),
    ("DDIMScheduler", {**LATENT, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}, {}),
    ("DDIMScheduler", {**LATENT, "timestep_spacing": "linspace", "prediction_type": "sample"}, {}),
    ("DDIMScheduler", {**LATENT, **SCALED}, {"eta": 1.0}),
    ("DDPMScheduler", LATENT, {}),
    ("DDPMScheduler", {**LATENT, **SCALED, "variance_type": "fixed_large", "timestep_spacing": "linspace"}, {}),
    ("DDPMScheduler", {**LATENT, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}, {}),
    ("DDPMScheduler", {**LATENT, "prediction_type": "sample", "variance_type": "fixed_small_log"}, {}),
    ("DPMSolverMultistepScheduler", {}, {}),
    ("DPMSolverMultistepScheduler", SCALED, {}),
    ("DPMSolverMultistepScheduler", {**SCALED, "solver_order": 1, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    ("DPMSolverMultistepScheduler", {"solver_type": "heun", "timestep_spacing": "trailing"}, {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, {}),
    ("DPMSolverMultistepScheduler", {**SCALED, "use_karras_sigmas": True, "prediction_type": "v_prediction"}, {}),
    ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min", "lower_order_final": False}, {}),
    ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min", "euler_at_final": True, "prediction_type": "sample"}, {}),
    ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}, {}),
    ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "solver_order": 1}, {}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}),
    ("DPMSolverMultistepScheduler", {**SCALED, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}, {}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "prediction_type": "flow_prediction",
                                     "use_flow_sigmas": True, "flow_shift": 3.0}, {}),
    ("EulerDiscreteScheduler", {}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "use_karras_sigmas": True}, {}),
    ("EulerDiscreteScheduler", {"final_sigmas_type": "sigma_min", "prediction_type": "sample"}, {}),
    ("EulerAncestralDiscreteScheduler", {}, {}),
    ("EulerAncestralDiscreteScheduler", {**SCALED, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    ("EulerAncestralDiscreteScheduler", {**SCALED, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}, {}),
    ("FlowMatchEulerDiscreteScheduler", {}, {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, {}),
]


class Noise:
    """Stands in for diffusers' randn_tensor: counted draws of a fixed formula."""

    def __init__(self):
        self.draws = 0

    def __call__(self, shape, generator=None, device=None, dtype=None, layout=None):
        k, self.draws = self.draws, self.draws + 1
        return torch.tensor([[1.3 * math.sin(1.7 * k + 0.9 * j + 0.5) for j in range(ELEMENTS)]], dtype=torch.float32)


def module_of(class_name):
    return importlib.import_module(getattr(diffusers, class_name).__module__)


def run(class_name, config, options, steps):
    scheduler = getattr(diffusers, class_name)(**config)
    noise = Noise()
    module_of(class_name).randn_tensor = noise
    scheduler.set_timesteps(steps)
    start = torch.tensor([[math.sin(1 + j) for j in range(ELEMENTS)]], dtype=torch.float32)
    x = start * getattr(scheduler, "init_noise_sigma", 1.0)
    trajectory = []
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        model = 0.5 * seen + 0.1 * math.sin(float(t) / 100)
        x = scheduler.step(model, t, x, return_dict=False, **options)[0]
        trajectory.append([float(f"{v:.9g}") for v in x[0].tolist()])
    assert all(np.isfinite(trajectory).ravel()), (class_name, config, steps)
    return {"steps": steps, "timesteps": [float(f"{float(t):.9g}") for t in scheduler.timesteps],
            "draws": noise.draws, "trajectory": trajectory}


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden" / "schedulers.json"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    cases = []
    for class_name, config, options in CASES:
        cases.append({"config": {"_class_name": class_name, **config}, "options": options,
                      "runs": [run(class_name, config, options, n) for n in STEPS]})
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"diffusers":"{diffusers.__version__}","cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {out.stat().st_size} bytes: {out}")


if __name__ == "__main__":
    main()
