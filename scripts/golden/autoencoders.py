"""Goldens of AutoencoderKL and AutoencoderTiny (diffusers), with random weights; and of TAESD with its real ones.

The real weights are read from $T2I_SHARED_DIR or ../shared beside the repository (data/weights/taesd).
"""
import os

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file

import common

KL = {
    "two_levels": dict(block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, latent_channels=4, scaling_factor=0.18215),
    "no_attention_no_quant": dict(block_out_channels=[4, 8, 8, 16], layers_per_block=2, norm_num_groups=2, latent_channels=6,
                                  scaling_factor=0.37, shift_factor=0.11, latents_mean=[0.1] * 6, latents_std=[2.0] * 6,
                                  mid_block_add_attention=False,
                                  use_quant_conv=False, use_post_quant_conv=False),
}
TINY = {
    "three_levels": dict(encoder_block_out_channels=[8, 8, 8], decoder_block_out_channels=[8, 8, 8], num_encoder_blocks=[1, 2, 1],
                         num_decoder_blocks=[2, 1, 1], latent_channels=4, scaling_factor=1.0),
    "scaled": dict(encoder_block_out_channels=[12, 12], decoder_block_out_channels=[12, 12], num_encoder_blocks=[1, 1],
                   num_decoder_blocks=[1, 1], latent_channels=3, scaling_factor=0.5, shift_factor=0.25),
}


def as_tensor(d):
    return common.tensor(d["shape"], d["seed"], d["scale"], d["shift"])


def run_kl(name, config, number, outputs):
    levels = len(config["block_out_channels"])
    full = dict(in_channels=3, out_channels=3, act_fn="silu", down_block_types=["DownEncoderBlock2D"] * levels,
                up_block_types=["UpDecoderBlock2D"] * levels, **config)
    model = AutoencoderKL(**full).eval()
    tensors = common.fill(model, 300 + number)
    factor = 2 ** (levels - 1)
    latents = common.describe("latents", [2, config["latent_channels"], 5, 3], 70 + number, 1.5)
    rgb = common.describe("rgb", [2, 3, 4 * factor, 3 * factor], 80 + number, 1.0)
    scale = config["scaling_factor"]  # and nothing else, as the pipelines of PixArt and DiT have it
    outputs[f"{name}.decoded"] = model.decode(as_tensor(latents) / scale).sample
    outputs[f"{name}.encoded"] = model.encode(as_tensor(rgb)).latent_dist.mean * scale
    return {"name": name, "stem": "diffusion_pytorch_model", "config": {"_class_name": "AutoencoderKL", **full},
            "latents": latents, "rgb": rgb, "tensors": tensors}


def run_tiny(name, config, number, outputs):
    full = dict(in_channels=3, out_channels=3, act_fn="relu", upsample_fn="nearest", upsampling_scaling_factor=2, **config)
    model = AutoencoderTiny(**full).eval()
    tensors = common.fill(model, 400 + number, lambda key, shape: (1.6 / (shape[1] * 9 / 3) ** 0.5, 0.0) if len(shape) == 4 else None)
    factor = 2 ** (len(config["num_decoder_blocks"]) - 1)
    latents = common.describe("latents", [2, config["latent_channels"], 5, 3], 75 + number, 2.5)
    rgb = common.describe("rgb", [2, 3, 4 * factor, 3 * factor], 85 + number, 1.0)
    scale = config["scaling_factor"]
    outputs[f"{name}.decoded"] = model.decode(as_tensor(latents) / scale).sample
    outputs[f"{name}.encoded"] = model.encode(as_tensor(rgb)).latents * scale
    return {"name": name, "stem": "diffusion_pytorch_model", "config": {"_class_name": "AutoencoderTiny", **full},
            "latents": latents, "rgb": rgb, "tensors": tensors}


def run_taesd(outputs):
    shared = os.environ.get("T2I_SHARED_DIR") or common.REPO.parent / "shared"
    state = {}
    for part, offset in (("encoder", 0), ("decoder", 1)):
        for key, value in load_file(f"{shared}/data/weights/taesd/taesd_{part}.safetensors").items():
            index, rest = key.split(".", 1)
            state[f"{part}.layers.{int(index) - offset}.{rest}"] = value.float()
    model = AutoencoderTiny().eval()
    model.load_state_dict(state)
    # A picture with a gradient, an edge and a little noise.
    size = 64
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    noise = common.describe("noise", [1, 3, size, size], 90, 0.125)
    rgb = torch.stack([x / size * 1.5 - 0.75, y / size * 1.5 - 0.75, torch.where(x + y < size, 0.5, -0.5)])[None] + as_tensor(noise)
    latents = model.encode(rgb).latents
    outputs["taesd.rgb"] = rgb.float()
    outputs["taesd.encoded"] = latents
    outputs["taesd.decoded"] = model.decode(latents).sample
    print("taesd mean squared error", float(((outputs["taesd.decoded"] - rgb) ** 2).mean()))


def main():
    common.prepare()
    outputs = {}
    kl = [run_kl(name, config, i, outputs) for i, (name, config) in enumerate(KL.items())]
    tiny = [run_tiny(name, config, i, outputs) for i, (name, config) in enumerate(TINY.items())]
    run_taesd(outputs)
    for name, value in outputs.items():
        assert 0.02 < value.std() < 50, (name, value.std())
    common.write("autoencoders", {"kl": kl, "tiny": tiny}, outputs)


if __name__ == "__main__":
    main()
