"""Random weights under the names, shapes and containers of published files, at their real size: python published.py FOLDER [--blocks N]

    DiT-XL-2-256x256.pt             facebook's DiT, 2.7 GB
    PixArt-XL-2-512x512.pth         PixArt-alpha, {"state_dict": ...}, 2.4 GB
    vae-ft-mse-840000-ema-pruned.ckpt   latent diffusion's autoencoder, {"state_dict": ...}, 0.3 GB

What they draw is noise; they are for memory and time, and to see that nothing of a published file is refused.
"""
import argparse
from pathlib import Path

import torch

WIDTH, LATENTS = 1152, 4


def linear(out, name, rows, columns, bias=True):
    out[name + ".weight"] = torch.randn(rows, columns) * columns**-0.5
    if bias:
        out[name + ".bias"] = torch.zeros(rows)


def transformer(tokens, blocks):
    """What facebook's DiT and PixArt name alike."""
    out = {"pos_embed": torch.zeros(1, tokens, WIDTH), "x_embedder.proj.weight": torch.randn(WIDTH, LATENTS, 2, 2) / 4,
           "x_embedder.proj.bias": torch.zeros(WIDTH)}
    linear(out, "t_embedder.mlp.0", WIDTH, 256)
    linear(out, "t_embedder.mlp.2", WIDTH, WIDTH)
    for i in range(blocks):
        linear(out, f"blocks.{i}.attn.qkv", 3 * WIDTH, WIDTH)
        linear(out, f"blocks.{i}.attn.proj", WIDTH, WIDTH)
        linear(out, f"blocks.{i}.mlp.fc1", 4 * WIDTH, WIDTH)
        linear(out, f"blocks.{i}.mlp.fc2", WIDTH, 4 * WIDTH)
    linear(out, "final_layer.linear", 4 * 2 * LATENTS, WIDTH)
    return out


def facebook_dit(blocks):
    out = transformer(256, blocks)
    out["y_embedder.embedding_table.weight"] = torch.randn(1001, WIDTH)
    for i in range(blocks):
        linear(out, f"blocks.{i}.adaLN_modulation.1", 6 * WIDTH, WIDTH)
    linear(out, "final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)
    return out


def pixart(blocks):
    out = transformer(1024, blocks)
    linear(out, "t_block.1", 6 * WIDTH, WIDTH)
    linear(out, "y_embedder.y_proj.fc1", WIDTH, 4096)
    linear(out, "y_embedder.y_proj.fc2", WIDTH, WIDTH)
    out["y_embedder.y_embedding"] = torch.zeros(120, 4096)
    for i in range(blocks):
        linear(out, f"blocks.{i}.cross_attn.q_linear", WIDTH, WIDTH)
        linear(out, f"blocks.{i}.cross_attn.kv_linear", 2 * WIDTH, WIDTH)
        linear(out, f"blocks.{i}.cross_attn.proj", WIDTH, WIDTH)
        out[f"blocks.{i}.scale_shift_table"] = torch.randn(6, WIDTH) * WIDTH**-0.5
    out["final_layer.scale_shift_table"] = torch.randn(2, WIDTH) * WIDTH**-0.5
    return out


def autoencoder():
    out = {}

    def conv(name, rows, columns, size=3):
        out[name + ".weight"] = torch.randn(rows, columns, size, size) * (columns * size * size)**-0.5
        out[name + ".bias"] = torch.zeros(rows)

    def norm(name, channels):
        out[name + ".weight"], out[name + ".bias"] = torch.ones(channels), torch.zeros(channels)

    def block(name, before, after):
        norm(name + ".norm1", before)
        conv(name + ".conv1", after, before)
        norm(name + ".norm2", after)
        conv(name + ".conv2", after, after)
        if before != after:
            conv(name + ".nin_shortcut", after, before, 1)

    widths = [128, 256, 512, 512]
    for half in ("encoder", "decoder"):
        for i in (1, 2):
            block(f"{half}.mid.block_{i}", 512, 512)
        norm(f"{half}.mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{half}.mid.attn_1.{part}", 512, 512, 1)
    conv("encoder.conv_in", 128, 3)
    before = 128
    for i, width in enumerate(widths):
        for j in range(2):
            block(f"encoder.down.{i}.block.{j}", before, width)
            before = width
        if i < 3:
            conv(f"encoder.down.{i}.downsample.conv", width, width)
    norm("encoder.norm_out", 512)
    conv("encoder.conv_out", 8, 512)
    conv("decoder.conv_in", 512, 4)
    for i, width in reversed(list(enumerate(widths))):
        for j in range(3):
            block(f"decoder.up.{i}.block.{j}", before, width)
            before = width
        if i > 0:
            conv(f"decoder.up.{i}.upsample.conv", width, width)
    norm("decoder.norm_out", 128)
    conv("decoder.conv_out", 3, 128)
    conv("quant_conv", 8, 8, 1)
    conv("post_quant_conv", 4, 4, 1)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=28, help="of the transformers; published ones have 28")
    a = parser.parse_args()
    torch.manual_seed(0)
    a.folder.mkdir(parents=True, exist_ok=True)
    torch.save(facebook_dit(a.blocks), a.folder / "DiT-XL-2-256x256.pt")
    torch.save({"state_dict": pixart(a.blocks)}, a.folder / "PixArt-XL-2-512x512.pth")
    vae = autoencoder()
    vae.update({"loss.logvar": torch.zeros(()), "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(1)})
    torch.save({"state_dict": vae}, a.folder / "vae-ft-mse-840000-ema-pruned.ckpt")


if __name__ == "__main__":
    main()
