"""Goldens of whole pictures: diffusers' PixArt pipelines with small random models, from prompt to 8-bit picture.

Also trains the small vocabulary that those models share (tests/golden/vocabulary.model), where it is not there yet.
"""
import io
import json
import math

import numpy as np
import sentencepiece
import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler,
                       DPMSolverSinglestepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
                       LCMScheduler, PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel, PNDMScheduler,
                       SASolverScheduler, UniPCMultistepScheduler)
from transformers import T5Config, T5EncoderModel, T5Tokenizer

import common

VOCABULARY = common.GOLDEN / "vocabulary.model"
LONG = "a red apple and a green pear on a wooden table, a cat and a dog under it, " * 12

CASES = {
    "alpha_learned_variance": dict(pipeline=PixArtAlphaPipeline, text=120, heads=2, size=8, layers=2, seed=42, cfg=4.5,
                                   prompt="A Red Apple", negative="blurry", scheduler=DPMSolverMultistepScheduler()),
    "sigma_long_prompt": dict(pipeline=PixArtSigmaPipeline, text=300, heads=2, size=16, layers=2, seed=7, cfg=4.5, interpolation=0.5,
                              out_channels=4, prompt=LONG, negative="", scheduler=DPMSolverMultistepScheduler()),
    "alpha_head_72_flow": dict(pipeline=PixArtAlphaPipeline, text=120, heads=2, size=72, layers=1, seed=3, cfg=3.0, width=96, height=64,
                               prompt="一只红色的猫 on a table", negative="a dog",
                               scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)),
    "sigma_flow": dict(pipeline=PixArtSigmaPipeline, text=300, heads=4, size=8, layers=3, seed=11, cfg=4.5, out_channels=4,
                       prompt="green pears, blue fish", negative="red",
                       scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)),
    "alpha_ddim": dict(pipeline=PixArtAlphaPipeline, text=120, heads=3, size=8, layers=1, seed=2**32 + 5, cfg=4.5, patch=1,
                       prompt="a dog", negative="a cat", scheduler=DDIMScheduler(clip_sample=False)),
}
STEPS = 20

# Other schedulers for the first case: (name, class of the file, its options, steps, sampler asked for, its class). The options are
# all that the file says.
DPM = DPMSolverMultistepScheduler
DIT = {"beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "clip_sample": False, "num_train_timesteps": 1000,
       "prediction_type": "epsilon", "set_alpha_to_one": True, "steps_offset": 0, "trained_betas": None}  # facebook/DiT-XL-2-256
SCHEDULERS = [
    ("unipc", UniPCMultistepScheduler, {"solver_order": 3}, 5, "", None),
    ("unipc without x0", UniPCMultistepScheduler, {"predict_x0": False, "final_sigmas_type": "sigma_min"}, 4, "", None),
    ("deis", DEISMultistepScheduler, {}, 4, "", None),
    ("sa_solver", SASolverScheduler, {}, 7, "", None),
    ("heun", HeunDiscreteScheduler, {"beta_start": 0.0001, "beta_end": 0.02}, 3, "", None),
    ("plms", PNDMScheduler, {"skip_prk_steps": True, "steps_offset": 1}, 6, "", None),
    ("pndm", PNDMScheduler, {}, 5, "", None),
    ("lcm", LCMScheduler, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}, 4, "", None),
    ("dpm++2s", DPMSolverSinglestepScheduler, {}, 5, "", None),
    ("dpm++3m", DPM, {"solver_order": 3, "use_exponential_sigmas": True}, 5, "", None),
    ("dpm++2m_sde", DPM, {"algorithm_type": "sde-dpmsolver++", "use_lu_lambdas": True}, 4, "", None),
    ("dpm++2m of a fixed variance", DPM, {"variance_type": "fixed_small"}, 4, "", None),
    ("dpm2m thresholded", DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "thresholding": True,
                                "sample_max_value": 3.0, "dynamic_thresholding_ratio": 0.9}, 4, "", None),
    ("ddim clipped", DDIMScheduler, {}, 4, "", None),
    ("ddpm thresholded", DDPMScheduler, {"thresholding": True, "sample_max_value": 2.0, "beta_schedule": "sigmoid"}, 4, "", None),
    ("ddim at zero signal", DDIMScheduler, {"clip_sample": False, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction",
                                            "timestep_spacing": "trailing"}, 4, "", None),
    # The picture of one step is the data prediction.
    ("one step of ddpm", DDPMScheduler, {"clip_sample": False, "timestep_spacing": "trailing", "variance_type": "fixed_large"}, 1, "", None),
    ("one step of ddim", DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False, "timestep_spacing": "trailing"}, 1, "", None),
    ("one step of lcm", LCMScheduler, {}, 1, "", None),
    # A sampler that is asked for takes from the file what it says, and from its own class what it does not.
    ("DiT's file, dpm++2m", DDIMScheduler, DIT, 5, "dpm++2m", DPM),
    ("DiT's file, unipc", DDIMScheduler, DIT, 5, "unipc", UniPCMultistepScheduler),
    ("DiT's file, euler", DDIMScheduler, DIT, 5, "euler", EulerDiscreteScheduler),
    ("DiT's file, euler_a", DDIMScheduler, DIT, 5, "euler_a", EulerAncestralDiscreteScheduler),
    ("an empty file, ddim", DPM, {}, 5, "ddim", DDIMScheduler),
    ("an empty file, ddpm", DPM, {}, 5, "ddpm", DDPMScheduler),
]


def train_vocabulary():
    words = "a red green blue apple pear cat dog fish table wooden on under and the blurry of it 一只 红色 的 猫 狗".split()
    generator = np.random.default_rng(0)
    sentences = [" ".join(generator.choice(words, 8)) + generator.choice([".", ",", "", "!"]) for _ in range(400)]
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=writer, vocab_size=96, hard_vocab_limit=False, character_coverage=1.0,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity", minloglevel=2)
    VOCABULARY.write_bytes(writer.getvalue())


def random_vae(base, with_encoder=False):
    """A small AutoencoderKL with factor 8, and the description that stands for it."""
    vae_config = dict(in_channels=3, out_channels=3, act_fn="silu", down_block_types=["DownEncoderBlock2D"] * 4,
                      up_block_types=["UpDecoderBlock2D"] * 4, block_out_channels=[8, 8, 16, 16], layers_per_block=1,
                      norm_num_groups=4, latent_channels=4, scaling_factor=0.18215)
    vae = AutoencoderKL(**vae_config).eval()
    vae_tensors = common.fill(vae, base, lambda key, shape: (0.8 * math.sqrt(3.0 / (shape[1] * 9)), 0.0)
                              if key == "decoder.conv_out.weight" else None)
    # A picture needs the decoder alone, but for one that begins with another.
    vae_tensors = [t for t in vae_tensors if with_encoder or not t["name"].startswith(("encoder.", "quant_conv."))]
    return vae, {"stem": "diffusion_pytorch_model", "tensors": vae_tensors, "config": {"_class_name": "AutoencoderKL", **vae_config}}


def random_parts(c, number, vocabulary):
    """The three models, and the descriptions that stand for them."""
    width = c["heads"] * c["size"]
    t5_config = dict(d_model=24, d_kv=8, num_heads=3, d_ff=32, num_layers=2, vocab_size=vocabulary)
    t5 = T5EncoderModel(T5Config(**t5_config, feed_forward_proj="gated-gelu", dropout_rate=0.0)).eval()

    def t5_scale(key, shape):
        if key.endswith("shared.weight") or "relative_attention_bias" in key:
            return (math.sqrt(3.0), 0.0)
        return (math.sqrt(3.0 / shape[1] / 8), 0.0) if ".q.weight" in key else None

    t5_tensors = common.fill(t5, 500 + number, t5_scale, skip=("encoder.embed_tokens.weight",))

    dit_config = dict(num_attention_heads=c["heads"], attention_head_dim=c["size"], in_channels=4, out_channels=c.get("out_channels", 8),
                      num_layers=c["layers"], cross_attention_dim=width, attention_bias=True, sample_size=c.get("sample", 8), patch_size=c.get("patch", 2),
                      activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
                      norm_elementwise_affine=False, norm_eps=1e-6, interpolation_scale=c.get("interpolation", 1),
                      use_additional_conditions=False, caption_channels=24)
    dit = PixArtTransformer2DModel(**dit_config).eval()

    def dit_scale(key, shape):
        if "attn2.to_out.0.weight" in key:  # the prompt should matter
            return (2.5 * math.sqrt(3.0 / shape[1]), 0.0)
        return (0.7 * math.sqrt(3.0 / shape[1]), 0.0) if key == "proj_out.weight" else None

    dit_tensors = common.fill(dit, 600 + number, dit_scale)

    vae, vae_component = random_vae(700 + number)
    components = {
        "text_encoder": {"stem": "model", "tensors": t5_tensors, "config": {
            "architectures": ["T5EncoderModel"], "model_type": "t5", "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
            "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, **t5_config}},
        "transformer": {"stem": "diffusion_pytorch_model", "tensors": dit_tensors,
                        "config": {"_class_name": "PixArtTransformer2DModel", **dit_config}},
        "vae": vae_component,
    }
    return t5, dit, vae, components


def described(pipeline, scheduler, components):
    """What stands for the model's folder."""
    config = scheduler.to_json_string()  # as diffusers saves it: with -Infinity, which is not JSON
    index = {"_class_name": pipeline.__name__, "_diffusers_version": common.versions()["diffusers"],
             "scheduler": ["diffusers", type(scheduler).__name__], "text_encoder": ["transformers", "T5EncoderModel"],
             "tokenizer": ["transformers", "T5Tokenizer"], "transformer": ["diffusers", "PixArtTransformer2DModel"],
             "vae": ["diffusers", "AutoencoderKL"]}
    files = {"tokenizer/spiece.model": VOCABULARY.name, "scheduler/scheduler_config.json": {"text": config},
             "tokenizer/tokenizer_config.json": {"text": json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "legacy": True})}}
    return {"model_index": index, "files": files, "components": components}


def draw(pipe, c, steps=STEPS, **changes):
    """Latents [4, h, w] and picture [H, W, 3] uint8."""
    call = dict(prompt=c["prompt"].lower().strip(), negative_prompt=c["negative"].lower().strip(), guidance_scale=c["cfg"])
    call.update(changes)
    latents = pipe(**call, num_inference_steps=steps, generator=torch.Generator("cpu").manual_seed(c["seed"] % 2**64),
                   height=c.get("height", 64), width=c.get("width", 64), output_type="latent", use_resolution_binning=False,
                   clean_caption=False, max_sequence_length=c["text"], eta=0.0).images
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pixels = (decoded * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return latents[0], (pixels * 255).round().astype("uint8")


def draw_with_schedulers(pipe, c):
    """The latents of every row of SCHEDULERS, and what a test needs to make them."""
    rows, outputs = [], {}
    for name, file_class, options, steps, sampler, sampler_class in SCHEDULERS:
        file = {"_class_name": file_class.__name__, **options}
        if sampler_class is None:
            pipe.scheduler = file_class.from_config(file)
        else:  # latents are not clipped on account of a class that does so by default
            clip = {} if "clip_sample" in file or "DD" not in sampler_class.__name__ else {"clip_sample": False}
            pipe.scheduler = sampler_class.from_config(file_class.from_config(file).config, **clip)
        latents, _ = draw(pipe, c, steps=steps)
        assert np.isfinite(latents.numpy()).all(), name
        rows.append({"name": name, "scheduler": json.dumps(file), "sampler": sampler, "steps": steps})
        outputs[f"{name}.latents"] = latents
    return rows, outputs


def difference(a, b):
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def main():
    common.prepare()
    if not VOCABULARY.exists():
        train_vocabulary()
    tokenizer = T5Tokenizer(str(VOCABULARY), extra_ids=0, legacy=True)
    cases, outputs = [], {}
    for number, (name, c) in enumerate(CASES.items()):
        t5, dit, vae, components = random_parts(c, number, tokenizer.vocab_size)
        pipe = c["pipeline"](tokenizer=tokenizer, text_encoder=t5, vae=vae, transformer=dit, scheduler=c["scheduler"])
        pipe.set_progress_bar_config(disable=True)
        latents, picture = draw(pipe, c)
        changes = {"spread": float(picture.std()), "other prompt": difference(picture, draw(pipe, c, prompt="blue fish")[1]),
                   "other negative": difference(picture, draw(pipe, c, negative_prompt="green pear")[1])}
        print(name, {k: round(v, 1) for k, v in changes.items()}, "latents", round(float(latents.std()), 2),
              "at the ends", round(float(((picture == 0) | (picture == 255)).mean()), 3))
        assert changes["spread"] > 20 and changes["other prompt"] > 5 and changes["other negative"] > 5, name
        outputs[f"{name}.latents"], outputs[f"{name}.rgb"] = latents, picture
        request = {"prompt": c["prompt"], "negative_prompt": c["negative"], "seed": c["seed"], "steps": STEPS, "cfg_scale": c["cfg"],
                   "width": c.get("width", 64), "height": c.get("height", 64)}
        cases.append({"name": name, "request": request, "pipeline": described(c["pipeline"], c["scheduler"], components)})
        if number == 0:
            schedulers, latents = draw_with_schedulers(pipe, c)
            outputs.update(latents)
    common.write("pipeline", {"cases": cases, "schedulers": schedulers}, outputs)


if __name__ == "__main__":
    main()
