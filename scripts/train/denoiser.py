"""The denoiser: a small PixArtTransformer2DModel and a fast forward pass over its weights."""
import math

import torch
import torch.nn.functional as F
from diffusers import PixArtTransformer2DModel

from text import MASKED


def build(options, caption_width):
    """A fresh PixArtTransformer2DModel for 32x32x4 latents."""
    width = options["heads"] * options["head_width"]
    return PixArtTransformer2DModel(
        num_attention_heads=options["heads"], attention_head_dim=options["head_width"], in_channels=4, out_channels=4,
        num_layers=options["layers"], cross_attention_dim=width, caption_channels=caption_width, sample_size=32,
        patch_size=options["patch"], norm_type="ada_norm_single", attention_bias=True, activation_fn="gelu-approximate",
        norm_elementwise_affine=False, norm_eps=1e-6, use_additional_conditions=False)


def initialise(model):
    """Starts every block as the identity and the output at zero, as adaLN-single models are trained."""
    def basic(module):
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    model.apply(basic)
    kernel = model.pos_embed.proj.weight
    torch.nn.init.xavier_uniform_(kernel.view(kernel.shape[0], -1))
    torch.nn.init.zeros_(model.pos_embed.proj.bias)
    torch.nn.init.normal_(model.adaln_single.linear.weight, std=0.02)
    for block in model.transformer_blocks:
        torch.nn.init.normal_(block.scale_shift_table, std=0.02)
    torch.nn.init.zeros_(model.proj_out.weight)
    return model


class Denoiser(torch.nn.Module):
    """Computes what a PixArtTransformer2DModel computes, with its weights, by plain products and a softmax.

    Projections of one input are fused. In training a random part of the tokens may be left out, which
    costs proportionally less; the positions left in are passed as `kept`.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.heads, self.patch = model.config.num_attention_heads, model.config.patch_size

    def attend(self, q, k, v, bias=None):
        """q: [B, N, D]; k, v: [B, M, D]; bias: broadcastable to [B, heads, N, M]. Returns [B, N, D]."""
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores if bias is None else scores + bias
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def patchify(self, x):
        """[B, 4, H, W] to tokens [B, N, patch * patch * 4], in the order of the transformer's output (row, column, channel)."""
        b, c, h, w = x.shape
        p = self.patch
        return x.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w // p ** 2, p * p * c)

    def forward(self, tokens, time, captions, mask, kept):
        """One denoising step.

        tokens: noisy latents, patchified, only the positions kept [B, N, p*p*4]; time: [B] in 0…1000;
        captions: [B, L, C] encoder states; mask: bool [B, L]; kept: int64 [B, N], positions of the tokens.
        Returns the velocity of those tokens, [B, N, p*p*4].
        """
        m = self.model
        width = m.inner_dim
        kernel = m.pos_embed.proj.weight.permute(0, 2, 3, 1).reshape(width, -1)
        x = F.linear(tokens, kernel, m.pos_embed.proj.bias) + m.pos_embed.pos_embed[0][kept].to(tokens.dtype)
        frequencies = torch.exp(-math.log(10000) / 128 * torch.arange(128, device=time.device))
        angles = time[:, None].float() * frequencies
        embedded = m.adaln_single.emb.timestep_embedder(torch.cat([angles.cos(), angles.sin()], -1).to(tokens.dtype))
        modulation = m.adaln_single.linear(F.silu(embedded)).view(-1, 6, width)
        text = m.caption_projection(captions)
        bias = (~mask)[:, None, None] * MASKED
        for block in m.transformer_blocks:
            shift1, scale1, gate1, shift2, scale2, gate2 = (block.scale_shift_table[None] + modulation).unsqueeze(2).unbind(1)
            a = block.attn1
            h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale1) + shift1
            q, k, v = F.linear(h, torch.cat([a.to_q.weight, a.to_k.weight, a.to_v.weight]),
                               torch.cat([a.to_q.bias, a.to_k.bias, a.to_v.bias])).chunk(3, -1)
            x = x + gate1 * a.to_out[0](self.attend(q, k, v))
            a = block.attn2
            k, v = F.linear(text, torch.cat([a.to_k.weight, a.to_v.weight]),
                            torch.cat([a.to_k.bias, a.to_v.bias])).chunk(2, -1)
            x = x + a.to_out[0](self.attend(a.to_q(x), k, v, bias))
            h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale2) + shift2
            x = x + gate2 * block.ff.net[2](F.gelu(block.ff.net[0].proj(h), approximate="tanh"))
        shift, scale = (m.scale_shift_table[None] + embedded[:, None]).chunk(2, 1)
        return m.proj_out(F.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift)
