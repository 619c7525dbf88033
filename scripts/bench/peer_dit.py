"""Class-conditional DiT in plain PyTorch, for vs_torch.py.

Parameter names are those of diffusers' DiTTransformer2DModel. The modulation tables of all timesteps and labels are computed once
by prepare(), as t2i does, so that neither side is timed on it.
"""
import torch
import torch.nn.functional as F
from torch import nn

from peer_parts import Attention, FeedForward, PatchTransformer, TwoLayers, modulated, sinusoid

NORM1_EPS = HEAD_EPS = 1e-6  # AdaLayerNormZero's and norm_out's own, whatever norm_eps says


class Embedder(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.timestep_embedder = TwoLayers(256, width, F.silu)
        self.class_embedder = nn.Module()
        self.class_embedder.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, waves, labels):
        """waves [N, 256], labels [B] -> [N, B, width]"""
        return self.timestep_embedder(waves)[:, None] + self.class_embedder.embedding_table(labels)


class Block(nn.Module):
    def __init__(self, width, heads, classes, eps):
        super().__init__()
        self.eps = eps
        self.norm1 = nn.Module()
        self.norm1.emb, self.norm1.linear = Embedder(width, classes), nn.Linear(width, 6 * width)
        self.attn1, self.ff = Attention(width, heads), FeedForward(width)

    def forward(self, x, modulation):
        """x [B, T, D]; modulation [6, B, 1, D]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        normed = modulated(x, shift1, scale1, NORM1_EPS)
        x = x + gate1 * self.attn1(normed, self.attn1.keys_values(normed))
        return x + gate2 * self.ff(modulated(x, shift2, scale2, self.eps))


class DiT(PatchTransformer):
    def __init__(self, config):
        super().__init__(config)
        self.classes = config["num_embeds_ada_norm"]
        self.transformer_blocks = nn.ModuleList(
            Block(self.width, self.heads, self.classes, config["norm_eps"]) for _ in range(config["num_layers"]))
        self.proj_out_1 = nn.Linear(self.width, 2 * self.width)
        self.proj_out_2 = nn.Linear(self.width, self.patch**2 * self.out_channels)
        self.run_blocks_by(lambda block: block)

    def random_condition(self, rows, _):
        """Labels: first half no class, then classes 0, 1, 2 ... (src/app/random_model.cpp)."""
        half = rows // 2
        return torch.tensor([self.classes] * half + [i % self.classes for i in range(rows - half)], device=self.device)

    def prepare(self, timesteps, labels, height, width):
        """timesteps [N], labels [B]; height, width of the latents.

        Returns what forward() reads: positions, modulations [N, layers, 6, B, 1, D], of the head [N, 2, B, 1, D]."""
        waves = sinusoid(timesteps, 1).to(self.dtype)
        tables = lambda linear, emb, count: linear(F.silu(emb(waves, labels))).unflatten(-1, (count, 1, self.width)).transpose(1, 2)
        blocks = [tables(block.norm1.linear, block.norm1.emb, 6) for block in self.transformer_blocks]
        return {"positions": self.grid(height, width), "modulations": torch.stack(blocks, 1),
                "head": tables(self.proj_out_1, self.transformer_blocks[0].norm1.emb, 2)}

    def forward(self, latents, modulations, head, request):
        """latents [B, C, H, W]; modulations [layers, 6, B, 1, D] and head [2, B, 1, D] of one timestep -> [B, out_channels, H, W]."""
        x = self.into_patches(latents, request["positions"])
        for i, run in enumerate(self.runners):
            x = run(x, modulations[i])
        return self.out_of_patches(self.proj_out_2(modulated(x, head[0], head[1], HEAD_EPS)), latents)
