"""PixArt's transformer in plain PyTorch, for bench_vs_torch.py: needs nothing but torch.

Parameter names are those of diffusers' PixArtTransformer2DModel, so its checkpoints load as they are. What a request fixes
(caption projection, keys and values of the text, modulation tables of all timesteps) is computed once by prepare(), as t2i
does, so that neither side is timed on it.
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


def sinusoid(timesteps, width=256):
    """[N, width] f32: cosines, then sines (diffusers, Timesteps with flip_sin_to_cos and shift 0)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half)
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


class Block(nn.Module):
    def __init__(self, width, heads, eps):
        super().__init__()
        self.eps = eps
        self.scale_shift_table = nn.Parameter(torch.empty(6, width))
        self.attn1, self.attn2, self.ff = Attention(width, heads), Attention(width, heads), FeedForward(width)

    def forward(self, x, modulation, text, mask=None):
        """x [B, T, D]; modulation [6, D], the block's table added; text: keys and values."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        normed = modulated(x, shift1, scale1, self.eps)
        x = x + gate1 * self.attn1(normed, self.attn1.keys_values(normed))
        x = x + self.attn2(x, text, mask)
        return x + gate2 * self.ff(modulated(x, shift2, scale2, self.eps))


class TwoLayers(nn.Module):
    def __init__(self, inner, width, activation):
        super().__init__()
        self.activation = activation
        self.linear_1, self.linear_2 = nn.Linear(inner, width), nn.Linear(width, width)

    def forward(self, x):
        return self.linear_2(self.activation(self.linear_1(x)))


class PixArt(nn.Module):
    def __init__(self, config):
        super().__init__()
        heads, width = config["num_attention_heads"], config["num_attention_heads"] * config["attention_head_dim"]
        self.patch, self.eps = config["patch_size"], config["norm_eps"]
        self.base = config["sample_size"] // self.patch
        self.interpolation_scale = config["interpolation_scale"] or max(config["sample_size"] // 64, 1)
        self.out_channels = config["out_channels"]
        self.pos_embed, self.adaln_single = nn.Module(), nn.Module()
        self.pos_embed.proj = nn.Conv2d(config["in_channels"], width, self.patch, self.patch)
        self.adaln_single.emb = nn.Module()
        self.adaln_single.emb.timestep_embedder = TwoLayers(256, width, F.silu)
        self.adaln_single.linear = nn.Linear(width, 6 * width)
        self.caption_projection = TwoLayers(config["caption_channels"], width, lambda x: F.gelu(x, approximate="tanh"))
        self.transformer_blocks = nn.ModuleList(Block(width, heads, self.eps) for _ in range(config["num_layers"]))
        self.scale_shift_table = nn.Parameter(torch.empty(2, width))
        self.proj_out = nn.Linear(width, self.patch**2 * self.out_channels)
        self.run_blocks_by(lambda block: block)

    def run_blocks_by(self, wrap):
        """wrap: torch.compile, say. The blocks share their code, so one compilation serves all."""
        self.runners = [wrap(block) for block in self.transformer_blocks]  # a plain list: not parameters a second time

    @property
    def dtype(self):
        return self.proj_out.weight.dtype

    def prepare(self, timesteps, text, lengths, height, width):
        """timesteps [N], text [B, L, C], lengths: B ints or None (no mask); height, width of the latents.

        Returns what forward() reads: positions, modulations [N, layers, 6, D], of the head [N, 2, D], keys and values, mask."""
        d = self.proj_out.in_features
        device = self.proj_out.weight.device
        embedded = self.adaln_single.emb.timestep_embedder(sinusoid(timesteps).to(self.dtype))
        common = self.adaln_single.linear(F.silu(embedded)).unflatten(-1, (6, d))
        tables = torch.stack([block.scale_shift_table for block in self.transformer_blocks])
        context = self.caption_projection(text.to(self.dtype))
        mask = None
        if lengths is not None:
            valid = torch.arange(text.shape[1], device=device) < torch.tensor(lengths, device=device)[:, None]
            mask = valid[:, None, None, :]
        grid = positions(d, height // self.patch, width // self.patch, self.base, self.interpolation_scale)
        return {"positions": grid.to(device, self.dtype), "modulations": common[:, None] + tables,
                "head": embedded[:, None] + self.scale_shift_table, "mask": mask,
                "text": [block.attn2.keys_values(context) for block in self.transformer_blocks]}

    def forward(self, latents, modulations, head, request):
        """latents [B, C, H, W]; modulations [layers, 6, D] and head [2, D] of one timestep → [B, out_channels, H, W]."""
        rows, columns = latents.shape[2] // self.patch, latents.shape[3] // self.patch
        x = self.pos_embed.proj(latents.to(self.dtype)).flatten(2).transpose(1, 2) + request["positions"]
        for i, run in enumerate(self.runners):
            x = run(x, modulations[i], request["text"][i], request["mask"])
        x = self.proj_out(modulated(x, head[0], head[1], 1e-6))
        x = x.unflatten(1, (rows, columns)).unflatten(-1, (self.patch, self.patch, self.out_channels))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
