"""What the transformers of vs_torch.py share, in plain PyTorch: needs nothing but torch.

Parameter names are those of diffusers, so its checkpoints load as they are.
"""
import json
import math
import struct

import torch
import torch.nn.functional as F
from torch import nn


def read_safetensors(path):
    """Tensors by name, on the CPU."""
    dtypes = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "I32": torch.int32}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.uint8, offset=begin, count=end - begin).clone()
        tensors[name] = flat.view(dtypes[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def sincos(width, positions):
    """[len(positions), width]: sines, then cosines (diffusers, get_1d_sincos_pos_embed_from_grid)."""
    omega = 1.0 / 10000 ** (torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = positions.double()[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def positions(width, rows, columns, base, scale):
    """[rows * columns, width] f32; the first half holds the column (diffusers, get_2d_sincos_pos_embed)."""
    x = torch.arange(columns, dtype=torch.float32) / (columns / base) / scale
    y = torch.arange(rows, dtype=torch.float32) / (rows / base) / scale
    x, y = x.repeat(rows), y.repeat_interleave(columns)
    return torch.cat([sincos(width // 2, x), sincos(width // 2, y)], dim=1).float()


def sinusoid(timesteps, shift, width=256):
    """[N, width] f32: cosines, then sines (diffusers, Timesteps with flip_sin_to_cos; shift: its downscale_freq_shift)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / (half - shift))
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, text):
        return self.split(self.to_k(text)), self.split(self.to_v(text))

    def forward(self, x, keys_values, mask=None):
        out = F.scaled_dot_product_attention(self.split(self.to_q(x)), *keys_values, attn_mask=mask)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        up = nn.Module()
        up.proj = nn.Linear(width, 4 * width)
        self.net = nn.ModuleList([up, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


def modulated(x, shift, scale, eps):
    return F.layer_norm(x, x.shape[-1:], eps=eps) * (1 + scale) + shift


class TwoLayers(nn.Module):
    def __init__(self, inner, width, activation):
        super().__init__()
        self.activation = activation
        self.linear_1, self.linear_2 = nn.Linear(inner, width), nn.Linear(width, width)

    def forward(self, x):
        return self.linear_2(self.activation(self.linear_1(x)))


class PatchTransformer(nn.Module):
    """Blocks over patches of latents. A subclass makes transformer_blocks, calls run_blocks_by, and ends in self.head."""

    def __init__(self, config):
        super().__init__()
        self.heads = config["num_attention_heads"]
        self.width = self.heads * config["attention_head_dim"]
        self.patch, self.out_channels = config["patch_size"], config["out_channels"]
        self.base = config["sample_size"] // self.patch
        self.pos_embed = nn.Module()
        self.pos_embed.proj = nn.Conv2d(config["in_channels"], self.width, self.patch, self.patch)

    def run_blocks_by(self, wrap):
        """wrap: torch.compile, say. The blocks share their code, so one compilation serves all."""
        self.runners = [wrap(block) for block in self.transformer_blocks]  # a plain list: not parameters a second time

    @property
    def dtype(self):
        return self.pos_embed.proj.weight.dtype

    @property
    def device(self):
        return self.pos_embed.proj.weight.device

    def grid(self, height, width, scale=1.0):
        """Positions of the patches of latents of this size."""
        table = positions(self.width, height // self.patch, width // self.patch, self.base, scale)
        return table.to(self.device, self.dtype)

    def into_patches(self, latents, grid):
        """[B, C, H, W] -> [B, T, width]"""
        return self.pos_embed.proj(latents.to(self.dtype)).flatten(2).transpose(1, 2) + grid

    def out_of_patches(self, x, latents):
        """[B, T, patch^2 out_channels] -> [B, out_channels, H, W] of the latents' size"""
        x = x.unflatten(1, (latents.shape[2] // self.patch, latents.shape[3] // self.patch))
        x = x.unflatten(-1, (self.patch, self.patch, self.out_channels))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
