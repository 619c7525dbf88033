#!/usr/bin/env python3
"""Runs diffusers' schedulers on a toy model and stores what tests/unit/test_sampling.cpp replays.

Usage: make_schedulers.py [out.json]    needs torch, diffusers, numpy, scipy (last run: diffusers 0.39)

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


# Cases that need a few steps alone: every number of them between 1 and 5, an odd and a large one.
TAILS = (1, 2, 3, 5, 8, 17)
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
V, X0 = {"prediction_type": "v_prediction"}, {"prediction_type": "sample"}
TRAINED = {"num_train_timesteps": 40, "trained_betas": [round(0.002 + 0.01 * i / 40, 6) for i in range(40)]}
DYNAMIC = {"thresholding": True, "sample_max_value": 1.7, "dynamic_thresholding_ratio": 0.7}
MULTI, SINGLE, UNIPC, DEIS, SA = ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler",
                                  "DEISMultistepScheduler", "SASolverScheduler")
SIGMAS = [{f"use_{name}_sigmas": True} for name in ("karras", "exponential", "beta")]
TAIL_CASES = [
    # betas
    ("DDIMScheduler", {**LATENT, "beta_schedule": "squaredcos_cap_v2"}, {}),
    ("DDPMScheduler", {**LATENT, "beta_schedule": "sigmoid"}, {}),
    ("DDPMScheduler", {**LATENT, "beta_schedule": "laplace", **V}, {}),
    ("DDIMScheduler", {**LATENT, **TRAINED}, {}),
    (MULTI, TRAINED, {}),
    ("DDIMScheduler", {**LATENT, "rescale_betas_zero_snr": True, **V, "timestep_spacing": "trailing"}, {}),
    ("DDPMScheduler", {**LATENT, **SCALED, "rescale_betas_zero_snr": True, **V, "timestep_spacing": "linspace"}, {}),
    (MULTI, {"rescale_betas_zero_snr": True, **V}, {}),
    ("EulerDiscreteScheduler", {"rescale_betas_zero_snr": True, **V, "timestep_spacing": "trailing"}, {}),
    ("EulerAncestralDiscreteScheduler", {**SCALED, "rescale_betas_zero_snr": True}, {}),
    # clipping and thresholding
    ("DDIMScheduler", {}, {}),
    ("DDIMScheduler", {"clip_sample_range": 0.5, **V, "set_alpha_to_one": False}, {"eta": 0.6}),
    ("DDIMScheduler", {**LATENT, **DYNAMIC}, {}),
    ("DDIMScheduler", {**LATENT, "thresholding": True, **X0}, {}),
    ("DDPMScheduler", {}, {}),
    ("DDPMScheduler", {**DYNAMIC}, {}),
    ("DDPMScheduler", {**LATENT, "thresholding": True, "sample_max_value": 0.8}, {}),
    (MULTI, DYNAMIC, {}),
    (MULTI, {**DYNAMIC, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, {}),
    (SINGLE, DYNAMIC, {}),
    (DEIS, DYNAMIC, {}),
    (UNIPC, {**SCALED, **DYNAMIC}, {}),
    (UNIPC, {**DYNAMIC, "predict_x0": False, "final_sigmas_type": "sigma_min"}, {}),
    ("LCMScheduler", {"clip_sample": True, "rescale_betas_zero_snr": True}, {}),
    (SA, DYNAMIC, {}),
    ("LCMScheduler", {**DYNAMIC}, {}),
    ("LCMScheduler", {"clip_sample": True}, {}),
    ("HeunDiscreteScheduler", {"clip_sample": True, "clip_sample_range": 1.5}, {}),
    # DPM-Solver, multistep
    (MULTI, {"solver_order": 3}, {}),
    (MULTI, {**SCALED, "solver_order": 3, "final_sigmas_type": "sigma_min", "lower_order_final": False, **V}, {}),
    (MULTI, {"solver_order": 3, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}, {}),
    (MULTI, {**SCALED, "solver_order": 3, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, {}),
    (MULTI, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun", **X0}, {}),
    (MULTI, {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", **V}, {}),
    (MULTI, {**SCALED, "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"}, {}),
    (MULTI, {"variance_type": "fixed_small", "euler_at_final": True, "final_sigmas_type": "sigma_min"}, {}),
    (MULTI, {"use_lu_lambdas": True}, {}),
    (MULTI, {**SCALED, "use_exponential_sigmas": True}, {}),
    (MULTI, {**SCALED, "use_beta_sigmas": True, "final_sigmas_type": "sigma_min"}, {}),
    (MULTI, {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}, {}),
    (MULTI, {"lambda_min_clipped": -4.0}, {}),
    (MULTI, {"lambda_min_clipped": -4.0, "timestep_spacing": "trailing"}, {}),
    (MULTI, {"lambda_min_clipped": -4.0, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    # single-step
    (SINGLE, {}, {}),
    (SINGLE, {"solver_order": 3}, {}),
    (SINGLE, {**SCALED, "solver_order": 3, "solver_type": "heun", "lower_order_final": True, **V}, {}),
    (SINGLE, {"final_sigmas_type": "sigma_min", "solver_type": "heun", **X0}, {}),
    (SINGLE, {"solver_order": 1}, {}),
    (SINGLE, {"solver_order": 3, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, {}),
    (SINGLE, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, {}),
    (SINGLE, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"}, {}),
    (SINGLE, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3}, {}),
    (SINGLE, {**SCALED, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3, "solver_type": "heun",
              "lambda_min_clipped": -1.5}, {}),
    (SINGLE, FLOW, {}),
    *[(SINGLE, {**SCALED, **sigmas}, {}) for sigmas in SIGMAS],
    # UniPC
    (UNIPC, {}, {}),
    (UNIPC, {**SCALED, "solver_order": 3, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    (UNIPC, {**SCALED, "solver_type": "bh1", "solver_order": 3, "final_sigmas_type": "sigma_min", **V}, {}),
    (UNIPC, {"solver_order": 1, **X0, "timestep_spacing": "trailing"}, {}),
    (UNIPC, {**SCALED, "predict_x0": False, "final_sigmas_type": "sigma_min"}, {}),
    (UNIPC, {"lower_order_final": False, "final_sigmas_type": "sigma_min", "disable_corrector": [0, 2]}, {}),
    (UNIPC, {"rescale_betas_zero_snr": True, **V}, {}),
    (UNIPC, FLOW, {}),
    *[(UNIPC, {**SCALED, **sigmas, "final_sigmas_type": "sigma_min"}, {}) for sigmas in SIGMAS],
    # DEIS
    (DEIS, {}, {}),
    (DEIS, {**SCALED, "solver_order": 3, "timestep_spacing": "trailing"}, {}),
    (DEIS, {"solver_order": 3, "lower_order_final": False, **V}, {}),
    (DEIS, {"solver_order": 1, **X0}, {}),
    (DEIS, FLOW, {}),
    *[(DEIS, {**SCALED, **sigmas}, {}) for sigmas in SIGMAS],
    # SA-Solver
    (SA, {}, {}),
    (SA, {**SCALED, "predictor_order": 3, "corrector_order": 4, "timestep_spacing": "trailing"}, {}),
    (SA, {**SCALED, "predictor_order": 1, "corrector_order": 1, **V}, {}),
    (SA, {**SCALED, "algorithm_type": "noise_prediction"}, {}),
    (SA, {**SCALED, "lower_order_final": False, **X0, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    (SA, FLOW, {}),
    *[(SA, {**SCALED, **sigmas}, {}) for sigmas in SIGMAS],
    # Heun, PNDM, LCM
    ("HeunDiscreteScheduler", {}, {}),
    ("HeunDiscreteScheduler", {"beta_schedule": "scaled_linear", **V, "timestep_spacing": "leading", "steps_offset": 1}, {}),
    ("HeunDiscreteScheduler", {"beta_schedule": "exp", **X0, "timestep_spacing": "trailing"}, {}),
    *[("HeunDiscreteScheduler", {**SCALED, **sigmas}, {}) for sigmas in SIGMAS],
    ("PNDMScheduler", {"skip_prk_steps": True}, {}),
    ("PNDMScheduler", {**SCALED, "skip_prk_steps": True, "set_alpha_to_one": True, "steps_offset": 1, **V}, {}),
    ("PNDMScheduler", {"skip_prk_steps": True, "timestep_spacing": "trailing"}, {}),
    ("PNDMScheduler", {}, {}),
    ("PNDMScheduler", {**SCALED, **V, "timestep_spacing": "linspace"}, {}),
    ("LCMScheduler", {}, {}),
    ("LCMScheduler", {**V, "beta_schedule": "linear", "original_inference_steps": 30, "rescale_betas_zero_snr": True}, {}),
    ("LCMScheduler", {**X0, "timestep_scaling": 1.0, "set_alpha_to_one": False}, {}),
    # Euler
    *[("EulerDiscreteScheduler", {**SCALED, **sigmas}, {}) for sigmas in SIGMAS[1:]],
    ("EulerDiscreteScheduler", {**SCALED, "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "interpolation_type": "log_linear"}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "timestep_type": "continuous", **V}, {}),
]


def column(values):
    return torch.tensor(list(values), dtype=torch.float32).reshape(1, ELEMENTS, 1)


class Noise:
    """Stands in for diffusers' randn_tensor: counted draws of a fixed formula."""

    def __init__(self):
        self.draws = 0

    def __call__(self, shape, generator=None, device=None, dtype=None, layout=None):
        k, self.draws = self.draws, self.draws + 1
        return column(1.3 * math.sin(1.7 * k + 0.9 * j + 0.5) for j in range(ELEMENTS))


def module_of(class_name):
    return importlib.import_module(getattr(diffusers, class_name).__module__)


def run(class_name, config, options, steps):
    scheduler = getattr(diffusers, class_name)(**config)
    noise = Noise()
    module_of(class_name).randn_tensor = noise
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else two equal timesteps at the beginning would lose one
    start = column(math.sin(1 + j) for j in range(ELEMENTS))
    x = start * getattr(scheduler, "init_noise_sigma", 1.0)
    trajectory = []
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        model = 0.5 * seen + 0.1 * math.sin(float(t) / 100)
        x = scheduler.step(model, t, x, return_dict=False, **options)[0]
        trajectory.append([float(f"{v:.9g}") for v in x.flatten().tolist()])
    assert all(np.isfinite(trajectory).ravel()), (class_name, config, steps)
    return {"steps": steps, "timesteps": [float(f"{float(t):.9g}") for t in scheduler.timesteps],
            "draws": noise.draws, "trajectory": trajectory}


def is_refused(class_name, config, steps):
    """What diffusers fails at: Runge-Kutta needs 4 steps."""
    return class_name == "PNDMScheduler" and not config.get("skip_prk_steps") and steps < 4


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden" / "schedulers.json"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    cases = []
    for class_name, config, options, steps in [(*c, STEPS) for c in CASES] + [(*c, TAILS) for c in TAIL_CASES]:
        runs = [run(class_name, config, options, n) for n in steps if not is_refused(class_name, config, n)]
        cases.append({"config": {"_class_name": class_name, **config}, "options": options, "runs": runs})
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"diffusers":"{diffusers.__version__}","cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {out.stat().st_size} bytes: {out}")


if __name__ == "__main__":
    main()
