"""Goldens of the bundled model: what diffusers draws with assets/sticker-256, to be made again whenever its weights change."""
import json

import torch
from diffusers import PixArtAlphaPipeline

import common

MODEL = common.REPO / "assets" / "sticker-256"
CASES = {"apple": dict(prompt="a red apple", seed=42), "chinese_background": dict(prompt="蓝色背景上的汉堡", seed=7)}
STEPS = 20


def main():
    common.prepare()
    defaults = json.loads((MODEL / "t2i.json").read_text(encoding="utf-8"))
    pipe = PixArtAlphaPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    cases, outputs = [], {}
    for name, c in CASES.items():
        latents = pipe(c["prompt"], num_inference_steps=STEPS, guidance_scale=defaults["cfg_scale"], height=256, width=256,
                       generator=torch.Generator("cpu").manual_seed(c["seed"]), use_resolution_binning=False, clean_caption=False,
                       max_sequence_length=defaults["max_prompt_tokens"], output_type="latent").images
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        pixels = (decoded * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
        outputs[f"{name}.latents"], outputs[f"{name}.rgb"] = latents[0], (pixels * 255).round().astype("uint8")
        cases.append({"name": name, "request": {"prompt": c["prompt"], "negative_prompt": "", "seed": c["seed"], "steps": STEPS,
                                                "cfg_scale": defaults["cfg_scale"], "width": 256, "height": 256}})
    common.write("bundled", {"cases": cases}, outputs)


if __name__ == "__main__":
    main()
