"""Goldens of class-conditional DiT: diffusers' DiTTransformer2DModel, and whole pictures of its DiTPipeline."""
import math

import torch
from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel, DPMSolverMultistepScheduler

import common
from pipeline import difference, random_vae

BASE = dict(in_channels=4, out_channels=8, num_layers=2, patch_size=2, sample_size=8, activation_fn="gelu-approximate",
            num_embeds_ada_norm=10, norm_type="ada_norm_zero", norm_elementwise_affine=False, attention_bias=True)


def case(heads, size, labels, latents, timesteps=(999, 421, 0), copied=False, **config):
    """copied: one embedder in every block, as published checkpoints have it; else each block has its own."""
    return dict(config={**BASE, "num_attention_heads": heads, "attention_head_dim": size, **config}, labels=labels, latents=latents,
                timesteps=timesteps, copied=copied)


# Label 10 of 10 classes is the unconditional one.
CASES = {
    "own_embedders": case(2, 24, [3, 10], [2, 4, 8, 8]),
    "copied_embedders": case(3, 16, [0, 9, 10], [3, 4, 8, 8], num_layers=3, copied=True),
    "patch_4": case(2, 16, [7], [1, 4, 16, 16], sample_size=16, patch_size=4, out_channels=4, num_layers=1, timesteps=(250,)),
    "larger_grid": case(2, 8, [10, 1], [2, 4, 16, 16], norm_eps=1e-2, attention_bias=False, timesteps=(999, 1)),
    "head_72": case(2, 72, [5, 5], [2, 4, 8, 8], num_layers=1, timesteps=(500,)),
}

# Only a few of a thousand classes have names here: the pipeline's unconditional class is number 1000, whatever the model.
LABELS = {0: "tench, Tinca tinca", 134: "crane", 207: "golden retriever", 264: "Cardigan, Cardigan Welsh corgi", 474: "cardigan",
          517: "crane", 999: "toilet tissue, toilet paper, bathroom tissue"}
PICTURES = {
    "ddim_guided": dict(prompt="golden retriever", other="tench", seed=42, cfg=4.0, heads=2, size=24, layers=2, steps=8,
                        scheduler=DDIMScheduler(clip_sample=False)),
    "dpm_number": dict(prompt="999", other="cardigan", seed=2**32 + 7, cfg=1.5, heads=3, size=16, layers=1, steps=10,
                       out_channels=4, scheduler=DPMSolverMultistepScheduler()),
    "unguided": dict(prompt="Cardigan", other="cardigan", seed=5, cfg=1.0, heads=2, size=16, layers=2, steps=6, patch=1,
                     scheduler=DDIMScheduler(clip_sample=False)),
}


def dit_scale(key, shape):
    if "embedding_table" in key:
        return (1.0, 0.0)
    if ".norm1.linear.weight" in key:  # so that class and timestep matter
        return (1.5 * math.sqrt(3.0 / shape[1]), 0.0)
    return (0.7 * math.sqrt(3.0 / shape[1]), 0.0) if key == "proj_out_2.weight" else None


def fill(model, base, copied):
    """common.fill; with `copied` every block's embedder is the first block's."""
    descriptions = common.fill(model, base, dit_scale)
    if not copied:
        return descriptions
    first = {d["name"]: d for d in descriptions if d["name"].startswith("transformer_blocks.0.norm1.emb.")}
    state = model.state_dict()
    for d in descriptions:
        parts = d["name"].split(".")
        source = first.get(".".join(["transformer_blocks", "0", *parts[2:]]))
        if source:
            d.update(seed=source["seed"], scale=source["scale"], shift=source["shift"])
            state[d["name"]].copy_(state[source["name"]])
    return descriptions


def transformer_cases(outputs):
    cases = []
    for number, (name, c) in enumerate(CASES.items()):
        config = c["config"]
        model = DiTTransformer2DModel(**config).eval()
        tensors = fill(model, 800 + number, c["copied"])
        batch = c["latents"][0]
        latents = common.describe("latents", c["latents"], 80 + number, 1.7)
        x = common.tensor(latents["shape"], latents["seed"], latents["scale"], latents["shift"])
        for step, t in enumerate(c["timesteps"]):
            run = lambda labels: model(x, timestep=torch.tensor([t] * batch), class_labels=torch.tensor(labels)).sample
            out = run(c["labels"])
            outputs[f"{name}.{step}"] = out
            changed = common.relative(run([(n + 1) % 10 for n in c["labels"]]).numpy(), out.numpy())
            assert out.std() > 0.05 and changed > 0.05, (name, out.std(), changed)
        cases.append({"name": name, "stem": "diffusion_pytorch_model", "config": {"_class_name": "DiTTransformer2DModel", **config},
                      "labels": c["labels"], "latents": latents, "timesteps": list(c["timesteps"]), "tensors": tensors})
    return cases


def draw(pipe, c, prompt):
    """Latents [4, h, w] and picture [H, W, 3] uint8."""
    kept = {}
    decode = pipe.vae.decode
    pipe.vae.decode = lambda latents: (kept.update(latents=latents * pipe.vae.config.scaling_factor), decode(latents))[1]
    label = int(prompt) if prompt.isdigit() else pipe.get_label_ids([prompt])[0]
    images = pipe(class_labels=[label], guidance_scale=c["cfg"], num_inference_steps=c["steps"], output_type="np",
                  generator=torch.Generator("cpu").manual_seed(c["seed"])).images
    pipe.vae.decode = decode
    return kept["latents"][0], (images[0] * 255).round().astype("uint8")


def picture_cases(outputs):
    cases = []
    for number, (name, c) in enumerate(PICTURES.items()):
        config = dict(num_attention_heads=c["heads"], attention_head_dim=c["size"], in_channels=4, out_channels=c.get("out_channels", 8),
                      num_layers=c["layers"], attention_bias=True, sample_size=8, patch_size=c.get("patch", 2),
                      activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_zero",
                      norm_elementwise_affine=False, norm_eps=1e-5)
        dit = DiTTransformer2DModel(**config).eval()
        tensors = fill(dit, 820 + number, copied=True)
        vae, vae_component = random_vae(840 + number)
        pipe = DiTPipeline(transformer=dit, vae=vae, scheduler=c["scheduler"], id2label=LABELS)
        pipe.set_progress_bar_config(disable=True)
        latents, picture = draw(pipe, c, c["prompt"])
        changes = {"spread": float(picture.std()), "other class": difference(picture, draw(pipe, c, c["other"])[1])}
        print(name, {k: round(v, 1) for k, v in changes.items()}, "latents", round(float(latents.std()), 2))
        assert changes["spread"] > 20 and changes["other class"] > 5, name
        outputs[f"{name}.latents"], outputs[f"{name}.rgb"] = latents, picture
        index = {"_class_name": "DiTPipeline", "_diffusers_version": common.versions()["diffusers"],
                 "id2label": {str(k): v for k, v in LABELS.items()}, "scheduler": ["diffusers", type(c["scheduler"]).__name__],
                 "transformer": ["diffusers", "DiTTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}
        request = {"prompt": c["prompt"], "negative_prompt": "", "seed": c["seed"], "steps": c["steps"], "cfg_scale": c["cfg"],
                   "width": 64, "height": 64}
        components = {"transformer": {"stem": "diffusion_pytorch_model", "tensors": tensors,
                                      "config": {"_class_name": "DiTTransformer2DModel", **config}}, "vae": vae_component}
        files = {"scheduler/scheduler_config.json": {"text": c["scheduler"].to_json_string()}}
        cases.append({"name": name, "request": request, "pipeline": {"model_index": index, "files": files, "components": components}})
    return cases


def main():
    common.prepare()
    outputs = {}
    manifest = {"cases": transformer_cases(outputs), "pictures": picture_cases(outputs)}
    common.write("dit", manifest, outputs)


if __name__ == "__main__":
    main()
