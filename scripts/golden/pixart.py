"""Goldens of the PixArt transformer: diffusers' PixArtTransformer2DModel with padded, masked text."""
import torch
from diffusers import PixArtTransformer2DModel

import common

BASE = dict(in_channels=4, out_channels=8, num_layers=2, patch_size=2, sample_size=8, activation_fn="gelu-approximate",
            num_embeds_ada_norm=1000, norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
            attention_bias=True, interpolation_scale=1, use_additional_conditions=False)


def case(heads, size, caption, text, lengths, latents, timesteps=(999, 421, 0), factor=8, **config):
    width = heads * size
    sizes = dict(num_attention_heads=heads, attention_head_dim=size, cross_attention_dim=width, caption_channels=caption)
    return dict(config={**BASE, **sizes, **config}, text=text, lengths=lengths, latents=latents, timesteps=timesteps,
                pixels_per_latent=factor)


CASES = {
    "head_8": case(2, 8, 24, 120, [5, 120], [2, 4, 8, 8]),
    "patch_4": case(2, 16, 32, 300, [1, 300], [2, 4, 16, 16], sample_size=16, patch_size=4, out_channels=4,
                    num_layers=1, interpolation_scale=0.5),
    "head_64_wide_grid": case(3, 64, 32, 120, [17], [1, 4, 8, 12], sample_size=32, interpolation_scale=2, num_layers=3),
    "head_72": case(4, 72, 40, 120, [9, 64], [2, 4, 8, 8], interpolation_scale=None, timesteps=(500.5,)),
    "size_conditions": case(3, 16, 24, 300, [30, 3], [2, 4, 16, 8], sample_size=128, interpolation_scale=None,
                            use_additional_conditions=None),
    "unprojected_text": case(2, 16, None, 120, [12, 1, 40], [3, 4, 4, 8], cross_attention_dim=20, attention_bias=False,
                             norm_eps=1e-5, out_channels=4),
    "size_conditions_factor_4": case(3, 16, 24, 300, [30, 3], [2, 4, 16, 8], sample_size=128, timesteps=(421,), factor=4,
                                     use_additional_conditions=True),
}
BLOCKS_OF = "head_8"


def main():
    common.prepare()
    cases, outputs = [], {}
    for number, (name, c) in enumerate(CASES.items()):
        config = c["config"]
        model = PixArtTransformer2DModel(**config).eval()
        tensors = common.fill(model, 200 + number)
        batch = c["latents"][0]
        context = config["caption_channels"] or config["cross_attention_dim"]
        text = common.describe("text", [batch, c["text"], context], 50 + number, 1.5)
        latents = common.describe("latents", c["latents"], 60 + number, 1.7)
        mask = torch.tensor([[1] * n + [0] * (c["text"] - n) for n in c["lengths"]])
        height, width = (c["pixels_per_latent"] * extent for extent in c["latents"][2:])
        kept = {}
        if name == BLOCKS_OF:
            for i, block in enumerate(model.transformer_blocks):
                block.register_forward_hook(
                    lambda _, args, kwargs, out, i=i: kept.update({f"in.{i}": args[0], f"out.{i}": out, f"time.{i}": kwargs["timestep"],
                                                                  f"text.{i}": kwargs["encoder_hidden_states"]}), with_kwargs=True)
        for step, t in enumerate(c["timesteps"]):
            as_tensor = lambda d: common.tensor(d["shape"], d["seed"], d["scale"], d["shift"])
            out = model(as_tensor(latents), encoder_hidden_states=as_tensor(text), encoder_attention_mask=mask,
                        timestep=torch.tensor([t] * batch),
                        added_cond_kwargs={"resolution": torch.tensor([[float(height), float(width)]] * batch),
                                           "aspect_ratio": torch.tensor([[height / width]] * batch)}).sample
            outputs[f"{name}.{step}"] = out
            assert out.std() > 0.05, (name, out.std())
            if name == BLOCKS_OF and step == 0:
                for key in ("in.0", "out.0", "out.1", "time.0"):
                    outputs[f"{name}.block_{key}"] = kept[key].clone()
                outputs[f"{name}.block_text"] = kept["text.0"][:, : max(c["lengths"])].contiguous()
        cases.append({"name": name, "stem": "diffusion_pytorch_model", "config": {"_class_name": "PixArtTransformer2DModel", **config},
                      "text": text, "lengths": c["lengths"], "latents": latents, "timesteps": list(c["timesteps"]),
                      "pixels_per_latent": c["pixels_per_latent"], "tensors": tensors})
    common.write("pixart", {"cases": cases}, outputs)


if __name__ == "__main__":
    main()
