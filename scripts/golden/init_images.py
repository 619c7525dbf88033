"""Goldens of pictures that begin with a picture: Pillow's change of size, where each scheduler begins (get_timesteps and add_noise of
diffusers' img2img pipelines), and whole pictures of small random PixArt models.

diffusers has no such pipeline for PixArt: its loop, which needs no other parts, is joined here with the functions of
StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline and, for flows, StableDiffusion3Img2ImgPipeline.
"""
import json
import math
from types import SimpleNamespace

import diffusers
import numpy as np
import torch
from diffusers import (AutoencoderTiny, PixArtAlphaPipeline, StableDiffusion3Img2ImgPipeline, StableDiffusionImg2ImgPipeline,
                       StableDiffusionInpaintPipeline)
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

import common
import make_schedulers
import pipeline
from make_schedulers import DEIS, FLOW, LATENT, MULTI, SA, SCALED, SINGLE, UNIPC, V, X0, Noise, column, module_of

# [h, w] of a picture, [H, W] as asked, how
RESIZED = [([7, 9], [5, 4], "stretch"), ([5, 4], [9, 11], "stretch"), ([40, 30], [8, 8], "crop"), ([30, 41], [16, 24], "crop"), ([6, 6], [6, 6], "crop"),
           ([9, 20], [9, 7], "stretch"), ([20, 9], [31, 9], "stretch"), ([3, 50], [8, 8], "crop"), ([1, 1], [4, 3], "stretch")]

# Where a run begins: steps, strength
BEGINNINGS = [(4, 1.0), (4, 0.5), (5, 0.5), (7, 0.9), (20, 0.3), (17, 0.58), (3, 0.34)]
BEGUN = [
    ("DDIMScheduler", LATENT, {}),
    ("DDIMScheduler", {**LATENT, **SCALED, "steps_offset": 1, "set_alpha_to_one": False}, {"eta": 1.0}),
    ("DDPMScheduler", {**LATENT, "timestep_spacing": "trailing"}, {}),
    (MULTI, {}, {}),
    (MULTI, {**SCALED, "solver_order": 3, "use_karras_sigmas": True}, {}),
    (MULTI, {"algorithm_type": "sde-dpmsolver++", "timestep_spacing": "leading", "steps_offset": 1}, {}),
    (MULTI, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "lower_order_final": False}, {}),
    (MULTI, FLOW, {}),
    (SINGLE, {}, {}),
    (SINGLE, {**SCALED, "solver_order": 3, "lower_order_final": True}, {}),
    (SINGLE, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"}, {}),
    (UNIPC, {}, {}),
    (UNIPC, {**SCALED, "solver_order": 3, "use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"}, {}),
    (UNIPC, FLOW, {}),
    (DEIS, {"solver_order": 3}, {}),
    (DEIS, {**SCALED, **V}, {}),
    (SA, {}, {}),
    (SA, {**SCALED, "predictor_order": 3, "corrector_order": 4, "use_karras_sigmas": True}, {}),
    ("HeunDiscreteScheduler", {}, {}),
    ("HeunDiscreteScheduler", {**SCALED, "use_karras_sigmas": True, **X0}, {}),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}, {}),
    ("PNDMScheduler", {**SCALED, **V, "skip_prk_steps": True, "timestep_spacing": "trailing"}, {}),
    ("LCMScheduler", {}, {}),
    ("EulerDiscreteScheduler", {}, {}),
    ("EulerDiscreteScheduler", {**SCALED, "use_karras_sigmas": True, "timestep_spacing": "leading"}, {}),
    ("EulerAncestralDiscreteScheduler", SCALED, {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, {}),
]

MODEL = dict(heads=2, size=8, layers=2)
KARRAS = {"use_karras_sigmas": True}
# name, autoencoder, scheduler's class and options, steps, the request
PICTURES = [
    ("dpm++2m", "kl", MULTI, {}, 12, dict(strength=0.6)),
    ("euler_a, stretched", "kl", "EulerAncestralDiscreteScheduler", SCALED, 5, dict(strength=0.8, resize_mode="stretch")),
    ("plms", "kl", "PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}, 8, dict(strength=0.75)),
    ("full strength", "kl", "DDIMScheduler", LATENT, 4, dict(strength=1.0)),
    ("flow_euler", "kl", "FlowMatchEulerDiscreteScheduler", {}, 5, dict(strength=0.5)),
    ("tiny autoencoder", "tiny", MULTI, KARRAS, 6, dict(strength=0.5)),
    ("mask, ddim", "kl", "DDIMScheduler", LATENT, 5, dict(strength=0.75, mask=True)),
    ("mask, full strength", "kl", "EulerDiscreteScheduler", {}, 4, dict(strength=1.0, mask=True)),
    ("mask, euler_a", "kl", "EulerAncestralDiscreteScheduler", SCALED, 5, dict(strength=0.8, mask=True)),
    ("mask, unipc", "kl", UNIPC, {}, 6, dict(strength=0.7, mask=True)),
    ("mask, heun", "kl", "HeunDiscreteScheduler", {}, 4, dict(strength=0.75, mask=True)),
    ("mask, sa_solver", "kl", SA, {}, 7, dict(strength=0.9, mask=True)),
    ("mask, flow", "kl", MULTI, FLOW, 5, dict(strength=0.7, mask=True)),
    ("mask, tiny autoencoder", "tiny", "EulerAncestralDiscreteScheduler", {}, 4, dict(strength=0.6, mask=True)),
]
PROMPT, NEGATIVE, CFG, SEED, SIDE = "a red apple", "blurry", 4.5, 12, 64


def is_flow(scheduler):
    return scheduler.config.get("prediction_type") == "flow_prediction" or type(scheduler).__name__.startswith("FlowMatch")


def begin(scheduler, steps, strength):
    """The timesteps that are left, and add_noise of flow-matching Euler under the name that the others have."""
    if not hasattr(scheduler, "add_noise"):
        scheduler.add_noise = lambda x, noise, t: scheduler.scale_noise(x, t, noise)
    scheduler.set_timesteps(steps)
    pipe = StableDiffusion3Img2ImgPipeline if is_flow(scheduler) else StableDiffusionImg2ImgPipeline
    return pipe.get_timesteps(SimpleNamespace(scheduler=scheduler), steps, strength, "cpu")[0]


def pixels(height, width, seed):
    return ((common.uniform(seed, height * width * 3) + 1) * 127.5).astype("uint8").reshape(height, width, 3)


def resized():
    cases, outputs = [], {}
    for number, (size, asked, mode) in enumerate(RESIZED):
        processor = VaeImageProcessor(vae_scale_factor=1)
        picture = processor.resize(Image.fromarray(pixels(*size, 40 + number)), asked[0], asked[1], {"stretch": "default"}.get(mode, mode))
        outputs[f"resized {number}"] = np.asarray(picture)
        outputs[f"resized {number} from"] = pixels(*size, 40 + number)
        cases.append({"to": asked, "mode": mode})
    return cases, outputs


def begun(class_name, config, options, steps, strength):
    """As make_schedulers.run(): the same model and noise, and a picture and first noise by formulas, too."""
    scheduler = getattr(diffusers, class_name)(**config)
    noise = Noise()
    module_of(class_name).randn_tensor = noise
    timesteps = begin(scheduler, steps, strength)
    picture = column(math.sin(1 + j) for j in range(make_schedulers.ELEMENTS))
    first = column(1.1 * math.cos(0.7 * j + 0.2) for j in range(make_schedulers.ELEMENTS))
    x = scheduler.add_noise(picture, first, timesteps[:1])
    trajectory = [x.flatten().tolist()]
    for t in timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(0.5 * seen + 0.1 * math.sin(float(t) / 100), t, x, return_dict=False, **options)[0]
        trajectory.append(x.flatten().tolist())
    assert np.isfinite(trajectory).all(), (class_name, config, steps)
    return {"steps": steps, "strength": strength, "timesteps": [float(f"{float(t):.9g}") for t in timesteps], "draws": noise.draws,
            "trajectory": [[float(f"{v:.9g}") for v in row] for row in trajectory]}


def whole_vae():
    vae, component = pipeline.random_vae(730, with_encoder=True)
    return vae, component


def tiny_vae():
    config = dict(in_channels=3, out_channels=3, encoder_block_out_channels=[8, 8, 8, 8], decoder_block_out_channels=[8, 8, 8, 8], act_fn="relu",
                  latent_channels=4, num_encoder_blocks=[1, 1, 1, 1], num_decoder_blocks=[1, 1, 1, 1], upsample_fn="nearest", scaling_factor=1.0)
    vae = AutoencoderTiny(**config).eval()
    tensors = common.fill(vae, 740)
    return vae, {"stem": "diffusion_pytorch_model", "tensors": tensors, "config": {"_class_name": "AutoencoderTiny", **config}}


def drawn(pipe, vae, scheduler, steps, request, picture, mask):
    """Latents [4, h, w] and picture [H, W, 3] uint8."""
    generator = torch.Generator("cpu").manual_seed(SEED)
    embeds, embeds_mask, negative, negative_mask = pipe.encode_prompt(PROMPT, True, negative_prompt=NEGATIVE, max_sequence_length=120, clean_caption=False)
    embeds, embeds_mask = torch.cat([negative, embeds]), torch.cat([negative_mask, embeds_mask])
    pipe.scheduler = scheduler
    timesteps = begin(scheduler, steps, request["strength"])
    mode = {"stretch": "default"}.get(request.get("resize_mode"), "crop")
    init = VaeImageProcessor(vae_scale_factor=8).preprocess(Image.fromarray(picture), SIDE, SIDE, resize_mode=mode)
    parts = SimpleNamespace(vae=vae, scheduler=scheduler, vae_scale_factor=8)
    parts._encode_vae_image = lambda image, generator: StableDiffusionInpaintPipeline._encode_vae_image(parts, image=image, generator=generator)
    if mask is None:
        latents = StableDiffusionImg2ImgPipeline.prepare_latents(parts, init, timesteps[:1], 1, 1, torch.float32, "cpu", generator)
    else:
        latents, noise, image_latents = StableDiffusionInpaintPipeline.prepare_latents(
            parts, 1, 4, SIDE, SIDE, torch.float32, "cpu", generator, None, image=init, timestep=timesteps[:1],
            is_strength_max=request["strength"] == 1.0, return_noise=True, return_image_latents=True)
        processor = VaeImageProcessor(vae_scale_factor=8, do_normalize=False, do_binarize=True, do_convert_grayscale=True)
        condition = processor.preprocess(Image.fromarray(mask), SIDE, SIDE, resize_mode=mode)
        latent_mask, _ = StableDiffusionInpaintPipeline.prepare_mask_latents(parts, condition, init * (condition < 0.5), 1, SIDE, SIDE, torch.float32, "cpu",
                                                                             generator, False)
        assert 0 < latent_mask.mean() < 1
    extra = pipe.prepare_extra_step_kwargs(generator, 0.0)
    conditions = {"resolution": None, "aspect_ratio": None}
    for i, t in enumerate(timesteps):
        seen = scheduler.scale_model_input(torch.cat([latents] * 2), t) if hasattr(scheduler, "scale_model_input") else torch.cat([latents] * 2)
        said = pipe.transformer(seen, encoder_hidden_states=embeds, encoder_attention_mask=embeds_mask, timestep=t[None].expand(2),
                                added_cond_kwargs=conditions, return_dict=False)[0]
        unconditional, conditional = said.chunk(2)
        said = (unconditional + CFG * (conditional - unconditional)).chunk(2, dim=1)[0]  # without the variance
        latents = scheduler.step(said, t, latents, **extra, return_dict=False)[0]
        if mask is not None:
            known = image_latents
            if i < len(timesteps) - 1:
                known = scheduler.add_noise(known, noise, torch.tensor([timesteps[i + 1]]))
            latents = (1 - latent_mask) * known + latent_mask * latents
    decoded = vae.decode(latents / vae.config.scaling_factor).sample
    return latents[0], ((decoded * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8")


def pictures():
    tokenizer = pipeline.T5Tokenizer(str(pipeline.VOCABULARY), extra_ids=0, legacy=True)
    t5, dit, _, components = pipeline.random_parts(MODEL, 30, tokenizer.vocab_size)
    vaes = {"kl": whole_vae(), "tiny": tiny_vae()}
    components["vae"] = vaes["kl"][1]
    scheduler = diffusers.DPMSolverMultistepScheduler()
    pipe = PixArtAlphaPipeline(tokenizer=tokenizer, text_encoder=t5, vae=vaes["kl"][0], transformer=dit, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    # Broad areas, so that the autoencoder has something to tell apart; a mask whose edges cut through latents.
    picture = np.asarray(Image.fromarray(pixels(6, 8, 60)).resize((96, 72), Image.BICUBIC))
    mask = np.zeros((72, 96, 3), "uint8")
    mask[10:50, 37:, :] = 255
    mask[30:40, 20:60, 1] = 200  # green alone: grey above one half
    outputs, cases = {"picture": picture, "mask": mask}, []
    for name, vae, class_name, options, steps, request in PICTURES:
        file = {"_class_name": class_name, **options}
        scheduler = getattr(diffusers, class_name).from_config(file)
        latents, rgb = drawn(pipe, vaes[vae][0], scheduler, steps, request, picture, mask if request.get("mask") else None)
        print(name, "latents", round(float(latents.std()), 2), "spread", round(float(rgb.std()), 1),
              "at the ends", round(float(((rgb == 0) | (rgb == 255)).mean()), 3))
        assert np.isfinite(latents.numpy()).all() and rgb.std() > 10, name
        outputs[f"{name}.latents"], outputs[f"{name}.rgb"] = latents, rgb
        asked = {"strength": request["strength"], "resize_mode": request.get("resize_mode", ""), "mask": request.get("mask", False)}
        cases.append({"name": name, "vae": vae, "scheduler": json.dumps(file), **asked,
                      "request": {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "steps": steps, "cfg_scale": CFG, "width": SIDE, "height": SIDE}})
    return {"pipeline": pipeline.described(PixArtAlphaPipeline, diffusers.DPMSolverMultistepScheduler(), components), "tiny": vaes["tiny"][1],
            "pictures": cases}, outputs


def main():
    common.prepare()
    drawings, outputs = pictures()  # before the schedulers' noise is replaced
    sizes, arrays = resized()
    runs = [{"config": {"_class_name": class_name, **config}, "options": options,
             "runs": [begun(class_name, config, options, steps, strength) for steps, strength in BEGINNINGS]} for class_name, config, options in BEGUN]
    common.write("init_images", {"resized": sizes, "begun": runs, **drawings}, {**outputs, **arrays})


if __name__ == "__main__":
    main()
