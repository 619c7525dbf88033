"""Goldens of resolution binning: which size diffusers' PixArt pipelines draw at for which request, how they bring a picture to the
size that was asked for, and whole pictures of a small random model, one of a prompt with clean_caption=True (needs Beautiful Soup
and ftfy, too).
"""
import random

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline
from diffusers.image_processor import PixArtImageProcessor
from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import ASPECT_RATIO_256_BIN, ASPECT_RATIO_512_BIN, ASPECT_RATIO_1024_BIN
from diffusers.pipelines.pixart_alpha.pipeline_pixart_sigma import ASPECT_RATIO_2048_BIN

import common
import pipeline

TABLES = {32: ASPECT_RATIO_256_BIN, 64: ASPECT_RATIO_512_BIN, 128: ASPECT_RATIO_1024_BIN, 256: ASPECT_RATIO_2048_BIN}
# [h, w] as drawn, [H, W] as asked
RESIZED = [([4, 6], [2, 5]), ([4, 6], [7, 3]), ([6, 4], [9, 9]), ([5, 5], [5, 7]), ([3, 8], [1, 1]), ([8, 3], [8, 2])]
MODEL = dict(heads=2, size=8, layers=2, sample=32)
STEPS = 2
PICTURES = {
    "binned": dict(height=100, width=75, prompt="a red apple", clean=False, seed=5),
    "binned and cleaned": dict(height=64, width=160, prompt="<b>A red</b> apple &amp; a dog (close-up), 1920x1080", clean=True, seed=6),
}


def classified():
    rng = random.Random(1)
    sizes = [(1, 1), (1, 4096), (4096, 1), (1000, 1000), (256, 192), (333, 250)] + [(rng.randint(1, 4096), rng.randint(1, 4096)) for _ in range(60)]
    return [[side, h, w, *PixArtImageProcessor.classify_height_width_bin(h, w, ratios=table)] for side, table in TABLES.items() for h, w in sizes]


def resized():
    cases = []
    for number, (drawn, asked) in enumerate(RESIZED):
        shape = [2, *drawn, 3]
        pictures = common.tensor(shape, 900 + number).permute(0, 3, 1, 2)
        out = PixArtImageProcessor.resize_and_crop_tensor(pictures, asked[1], asked[0]).permute(0, 2, 3, 1)
        cases.append({"from": common.describe("from", shape, 900 + number, 1.0), "to": asked, "values": [round(v, 7) for v in out.flatten().tolist()]})
    return cases


def pictures():
    tokenizer = pipeline.T5Tokenizer(str(pipeline.VOCABULARY), extra_ids=0, legacy=True)
    t5, dit, vae, components = pipeline.random_parts(MODEL, 20, tokenizer.vocab_size)
    scheduler = DPMSolverMultistepScheduler()
    pipe = PixArtAlphaPipeline(tokenizer=tokenizer, text_encoder=t5, vae=vae, transformer=dit, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    cases, outputs = [], {}
    for name, c in PICTURES.items():
        call = dict(prompt=c["prompt"], negative_prompt="blurry", num_inference_steps=STEPS, guidance_scale=4.5, height=c["height"], width=c["width"],
                    clean_caption=c["clean"])  # and use_resolution_binning, which is on by itself
        seeded = lambda: torch.Generator("cpu").manual_seed(c["seed"])
        outputs[f"{name}.latents"] = pipe(**call, generator=seeded(), output_type="latent").images[0]
        picture = pipe(**call, generator=seeded(), output_type="np").images[0]
        outputs[f"{name}.rgb"] = (picture * 255).round().astype("uint8")
        print(name, outputs[f"{name}.latents"].shape, picture.shape, round(float(outputs[f"{name}.rgb"].std()), 1))
        cases.append({"name": name, "request": {"prompt": c["prompt"], "negative_prompt": "blurry", "seed": c["seed"], "steps": STEPS, "cfg_scale": 4.5,
                                                "width": c["width"], "height": c["height"], "clean_caption": c["clean"], "resolution_binning": True}})
    return {"pipeline": pipeline.described(PixArtAlphaPipeline, scheduler, components), "cases": cases}, outputs


def main():
    common.prepare()
    drawn, outputs = pictures()
    common.write("binning", {"classified": classified(), "resized": resized(), **drawn}, outputs)


if __name__ == "__main__":
    main()
