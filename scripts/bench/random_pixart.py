#!/usr/bin/env python3
"""Writes a whole PixArt-alpha folder of random bf16 weights in the published shapes, 10.9 GB, to measure memory and time at real size.

    pip install numpy
    scripts/bench/random_pixart.py OUT [--text-dtype bf16|f32] [--layers 24] [--depth 28] [--side 256|1024]

T5-XXL's encoder (4.8 billion parameters, in shards of at most 5 GB), PixArt-XL/2 (of --side 1024 as PixArt-XL-2-1024-MS is configured:
conditions for size and shape, positions over 2), Stable Diffusion's autoencoder, the scheduler
and the tokenizer of the bundled model. Deviations are those that these models are initialised with, so that activations stay in range.
Tensors are written one by one: it needs 300 MB of memory. --text-dtype f32 writes the encoder as it is published, 19 GB.
Exit codes: 0 done, 2 usage.
"""
import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "assets" / "sticker-256"
SHARD_BYTES = 5_000_000_000
T5 = {"vocab_size": 32128, "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64}
WIDTH = 1152  # of PixArt-XL/2
DTYPES = {"bf16": ("BF16", 2), "f32": ("F32", 4)}


class Values:
    """Normal numbers: one pool of them, read from another place for every tensor."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.pool = self.random.standard_normal(1 << 23, dtype=np.float32)

    def chunks(self, count, deviation, dtype):
        """The bytes of `count` values in pieces."""
        while count > 0:
            start = int(self.random.integers(0, len(self.pool) // 2))
            piece = self.pool[start:start + min(count, len(self.pool) // 2)] * np.float32(deviation)
            count -= len(piece)
            yield (piece.view(np.uint32) >> 16).astype(np.uint16).tobytes() if dtype == "bf16" else piece.tobytes()


def write_safetensors(path, tensors, values, dtype):
    """tensors: (name, shape, deviation), where a deviation of None stands for ones."""
    kind, size = DTYPES[dtype]
    header, offset = {}, 0
    for name, shape, _ in tensors:
        end = offset + math.prod(shape) * size
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape, deviation in tensors:
            if deviation is None:
                one = np.ones(math.prod(shape), np.float32)
                file.write((one.view(np.uint32) >> 16).astype(np.uint16).tobytes() if dtype == "bf16" else one.tobytes())
            else:
                for piece in values.chunks(math.prod(shape), deviation, dtype):
                    file.write(piece)


def t5_tensors(layers):
    d, f, inner = T5["d_model"], T5["d_ff"], T5["d_kv"] * T5["num_heads"]
    yield "shared.weight", (T5["vocab_size"], d), 1.0
    for i in range(layers):
        attention, mlp = f"encoder.block.{i}.layer.0", f"encoder.block.{i}.layer.1"
        yield f"{attention}.SelfAttention.q.weight", (inner, d), (d * T5["d_kv"]) ** -0.5
        yield f"{attention}.SelfAttention.k.weight", (inner, d), d ** -0.5
        yield f"{attention}.SelfAttention.v.weight", (inner, d), d ** -0.5
        yield f"{attention}.SelfAttention.o.weight", (d, inner), inner ** -0.5
        if i == 0:
            yield f"{attention}.SelfAttention.relative_attention_bias.weight", (32, T5["num_heads"]), d ** -0.5
        yield f"{attention}.layer_norm.weight", (d,), None
        yield f"{mlp}.DenseReluDense.wi_0.weight", (f, d), d ** -0.5
        yield f"{mlp}.DenseReluDense.wi_1.weight", (f, d), d ** -0.5
        yield f"{mlp}.DenseReluDense.wo.weight", (d, f), f ** -0.5
        yield f"{mlp}.layer_norm.weight", (d,), None
    yield "encoder.final_layer_norm.weight", (d,), None


def linear(name, out, inner):
    yield f"{name}.weight", (out, inner), inner ** -0.5
    yield f"{name}.bias", (out,), 0.02


def pixart_tensors(depth, side):
    d = WIDTH
    yield "pos_embed.proj.weight", (d, 4, 2, 2), 0.25
    yield "pos_embed.proj.bias", (d,), 0.02
    for part in ("timestep_embedder.linear_1", "timestep_embedder.linear_2"):
        yield from linear(f"adaln_single.emb.{part}", d, 256 if part.endswith("1") else d)
    if side == 1024:
        for part in ("resolution", "aspect_ratio"):
            yield from linear(f"adaln_single.emb.{part}_embedder.linear_1", d // 3, 256)
            yield from linear(f"adaln_single.emb.{part}_embedder.linear_2", d // 3, d // 3)
    yield from linear("adaln_single.linear", 6 * d, d)
    yield from linear("caption_projection.linear_1", d, T5["d_model"])
    yield from linear("caption_projection.linear_2", d, d)
    for i in range(depth):
        block = f"transformer_blocks.{i}"
        yield f"{block}.scale_shift_table", (6, d), d ** -0.5
        for attention in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                yield from linear(f"{block}.{attention}.{part}", d, d)
        yield from linear(f"{block}.ff.net.0.proj", 4 * d, d)
        yield from linear(f"{block}.ff.net.2", d, 4 * d)
    yield "scale_shift_table", (2, d), d ** -0.5
    yield from linear("proj_out", 32, d)


def conv(name, out, inner, side):
    yield f"{name}.weight", (out, inner, side, side), (inner * side * side) ** -0.5
    yield f"{name}.bias", (out,), 0.02


def norm(name, width):
    yield f"{name}.weight", (width,), None
    yield f"{name}.bias", (width,), 0.02


def resnet(name, out, inner):
    yield from norm(f"{name}.norm1", inner)
    yield from conv(f"{name}.conv1", out, inner, 3)
    yield from norm(f"{name}.norm2", out)
    yield from conv(f"{name}.conv2", out, out, 3)
    if out != inner:
        yield from conv(f"{name}.conv_shortcut", out, inner, 1)


def middle(half):
    yield from norm(f"{half}.mid_block.attentions.0.group_norm", 512)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from linear(f"{half}.mid_block.attentions.0.{part}", 512, 512)
    for i in range(2):
        yield from resnet(f"{half}.mid_block.resnets.{i}", 512, 512)


def vae_tensors():
    widths = [128, 256, 512, 512]
    yield from conv("encoder.conv_in", 128, 3, 3)
    for i, out in enumerate(widths):
        for j in range(2):
            yield from resnet(f"encoder.down_blocks.{i}.resnets.{j}", out, widths[max(0, i - 1)] if j == 0 else out)
        if i < 3:
            yield from conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", out, out, 3)
    yield from middle("encoder")
    yield from norm("encoder.conv_norm_out", 512)
    yield from conv("encoder.conv_out", 8, 512, 3)
    yield from conv("decoder.conv_in", 512, 4, 3)
    for i, out in enumerate(reversed(widths)):
        for j in range(3):
            yield from resnet(f"decoder.up_blocks.{i}.resnets.{j}", out, list(reversed(widths))[max(0, i - 1)] if j == 0 else out)
        if i < 3:
            yield from conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", out, out, 3)
    yield from middle("decoder")
    yield from norm("decoder.conv_norm_out", 128)
    yield from conv("decoder.conv_out", 3, 128, 3)
    yield from conv("quant_conv", 8, 8, 1)
    yield from conv("post_quant_conv", 4, 4, 1)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_text_encoder(folder, layers, dtype, values):
    folder.mkdir()
    shards, filled = [[]], 0
    for tensor in t5_tensors(layers):
        size = math.prod(tensor[1]) * DTYPES[dtype][1]
        if filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += size
    names = {}
    for i, tensors in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / file, tensors, values, dtype)
        names.update((tensor[0], file) for tensor in tensors)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": names})
    write_json(folder / "config.json", {"architectures": ["T5EncoderModel"], "model_type": "t5", "feed_forward_proj": "gated-gelu",
                                        "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
                                        "relative_attention_max_distance": 128, "num_layers": layers, **T5})


def main():
    """Parses the command line and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text-dtype", choices=list(DTYPES), default="bf16")
    parser.add_argument("--layers", type=int, default=24, help="of the text encoder")
    parser.add_argument("--depth", type=int, default=28, help="of the transformer")
    parser.add_argument("--side", type=int, choices=[256, 1024], default=256, help="of the pictures")
    a = parser.parse_args()
    a.out.mkdir(parents=True)
    values = Values()
    for part in ("model_index.json", "scheduler", "tokenizer"):
        (shutil.copytree if (BUNDLED / part).is_dir() else shutil.copy)(BUNDLED / part, a.out / part)
    schedule = json.loads((a.out / "scheduler" / "scheduler_config.json").read_text())
    write_json(a.out / "scheduler" / "scheduler_config.json", {**schedule, "prediction_type": "epsilon", "use_flow_sigmas": False})
    write_text_encoder(a.out / "text_encoder", a.layers, a.text_dtype, values)
    (a.out / "transformer").mkdir()
    write_safetensors(a.out / "transformer" / "diffusion_pytorch_model.safetensors", list(pixart_tensors(a.depth, a.side)), values, "bf16")
    write_json(a.out / "transformer" / "config.json",
               {"_class_name": "PixArtTransformer2DModel", "num_layers": a.depth, "num_attention_heads": 16, "attention_head_dim": 72,
                "in_channels": 4, "out_channels": 8, "patch_size": 2, "sample_size": a.side // 8, "attention_bias": True, "norm_type": "ada_norm_single",
                "norm_elementwise_affine": False, "norm_eps": 1e-6, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
                "cross_attention_dim": WIDTH, "caption_channels": T5["d_model"], "interpolation_scale": 2 if a.side == 1024 else 1,
                "use_additional_conditions": a.side == 1024})
    (a.out / "vae").mkdir()
    write_safetensors(a.out / "vae" / "diffusion_pytorch_model.safetensors", list(vae_tensors()), values, "bf16")
    write_json(a.out / "vae" / "config.json",
               {"_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
                "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "in_channels": 3, "out_channels": 3,
                "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "sample_size": a.side, "scaling_factor": 0.18215})
    return 0


if __name__ == "__main__":
    sys.exit(main())
