"""PixArt's transformer in plain PyTorch, for vs_torch.py.

Parameter names are those of diffusers' PixArtTransformer2DModel. What a request fixes (caption projection, keys and values of
the text, modulation tables of all timesteps) is computed once by prepare(), as t2i does, so that neither side is timed on it.
"""
import torch
import torch.nn.functional as F
from torch import nn

from peer_parts import Attention, FeedForward, PatchTransformer, TwoLayers, modulated, sinusoid

TEXT_SEED = 1000003  # src/app/random_model.cpp draws from it too


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


class PixArt(PatchTransformer):
    def __init__(self, config):
        super().__init__(config)
        self.eps = config["norm_eps"]
        self.interpolation_scale = config["interpolation_scale"] or max(config["sample_size"] // 64, 1)
        self.adaln_single = nn.Module()
        self.adaln_single.emb = nn.Module()
        self.adaln_single.emb.timestep_embedder = TwoLayers(256, self.width, F.silu)
        self.adaln_single.linear = nn.Linear(self.width, 6 * self.width)
        self.caption_projection = TwoLayers(config["caption_channels"], self.width, lambda x: F.gelu(x, approximate="tanh"))
        self.transformer_blocks = nn.ModuleList(Block(self.width, self.heads, self.eps) for _ in range(config["num_layers"]))
        self.scale_shift_table = nn.Parameter(torch.empty(2, self.width))
        self.proj_out = nn.Linear(self.width, self.patch**2 * self.out_channels)
        self.run_blocks_by(lambda block: block)

    def random_condition(self, rows, text_tokens):
        """Text [rows, text_tokens, C] of normal numbers."""
        generator = torch.Generator().manual_seed(TEXT_SEED)
        return torch.randn(rows, text_tokens, self.caption_projection.linear_1.in_features, generator=generator).to(self.device)

    def prepare(self, timesteps, text, height, width, lengths=None):
        """timesteps [N], text [B, L, C]; height, width of the latents; lengths: B ints, or None (no mask).

        Returns what forward() reads: positions, modulations [N, layers, 6, D], of the head [N, 2, D], keys and values, mask."""
        embedded = self.adaln_single.emb.timestep_embedder(sinusoid(timesteps, 0).to(self.dtype))
        common = self.adaln_single.linear(F.silu(embedded)).unflatten(-1, (6, self.width))
        tables = torch.stack([block.scale_shift_table for block in self.transformer_blocks])
        context = self.caption_projection(text.to(self.dtype))
        mask = None
        if lengths is not None:
            valid = torch.arange(text.shape[1], device=self.device) < torch.tensor(lengths, device=self.device)[:, None]
            mask = valid[:, None, None, :]
        return {"positions": self.grid(height, width, self.interpolation_scale), "modulations": common[:, None] + tables,
                "head": embedded[:, None] + self.scale_shift_table, "mask": mask,
                "text": [block.attn2.keys_values(context) for block in self.transformer_blocks]}

    def forward(self, latents, modulations, head, request):
        """latents [B, C, H, W]; modulations [layers, 6, D] and head [2, D] of one timestep -> [B, out_channels, H, W]."""
        x = self.into_patches(latents, request["positions"])
        for i, run in enumerate(self.runners):
            x = run(x, modulations[i], request["text"][i], request["mask"])
        return self.out_of_patches(self.proj_out(modulated(x, head[0], head[1], 1e-6)), latents)
