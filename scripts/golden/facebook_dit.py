"""Goldens of facebook's DiT by its own formulas: the model, guidance of three channels, the respaced chain with a learned variance.

Written from facebookresearch/DiT (models.py, diffusion/respace.py, diffusion/gaussian_diffusion.py) as formulas; nothing of it is
imported. Tensors have that repository's names.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

import common
from pipeline import difference, random_vae

CLASSES = 1000
PICTURES = {
    "guided": dict(label=207, other=0, seed=42, cfg=4.0, heads=2, layers=2, steps=5, scale=0.6),
    "unguided": dict(label=999, other=1, seed=2**32 + 9, cfg=1.0, heads=1, layers=1, steps=3, scale=0.6),
    "many_steps": dict(label=3, other=417, seed=7, cfg=2.0, heads=1, layers=1, steps=40, scale=0.6),
}
HEAD, PATCH, SIDE, CHANNELS = 72, 2, 8, 4


def shapes(layers, width):
    out = {"pos_embed": (1, (SIDE // PATCH) ** 2, width), "x_embedder.proj.weight": (width, CHANNELS, PATCH, PATCH),
           "x_embedder.proj.bias": (width,), "t_embedder.mlp.0.weight": (width, 256), "t_embedder.mlp.0.bias": (width,),
           "t_embedder.mlp.2.weight": (width, width), "t_embedder.mlp.2.bias": (width,),
           "y_embedder.embedding_table.weight": (CLASSES + 1, width)}
    for i in range(layers):
        block = f"blocks.{i}."
        for name, (rows, columns) in {"attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (4 * width, width),
                                      "mlp.fc2": (width, 4 * width), "adaLN_modulation.1": (6 * width, width)}.items():
            out[block + name + ".weight"], out[block + name + ".bias"] = (rows, columns), (rows,)
    rows = PATCH * PATCH * 2 * CHANNELS
    out.update({"final_layer.linear.weight": (rows, width), "final_layer.linear.bias": (rows,),
                "final_layer.adaLN_modulation.1.weight": (2 * width, width), "final_layer.adaLN_modulation.1.bias": (2 * width,)})
    return out


def describe(layers, width, base, head_scale):
    tensors = []
    for name, shape in shapes(layers, width).items():
        scale = math.sqrt(3.0 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        if "embedding_table" in name:
            scale = 1.0
        elif "adaLN" in name and name.startswith("blocks") and name.endswith("weight"):
            scale *= 1.5  # so that class and timestep matter
        elif name == "final_layer.linear.weight":
            scale *= head_scale
        tensors.append(common.describe(name, shape, common.seed_of(name, base), scale))
    return tensors


def positions(width):
    """Columns in the first half, rows in the second, float64 as numpy has it."""
    side = SIDE // PATCH
    omega = 1.0 / 10000 ** (np.arange(width // 4, dtype=np.float64) / (width / 4.0))

    def encode(p):
        angles = np.outer(p, omega)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    rows, columns = np.divmod(np.arange(side * side), side)
    return torch.from_numpy(np.concatenate([encode(columns), encode(rows)], axis=1)).float()


def modulate(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def forward(w, layers, heads, x, t, labels):
    """x [N, 4, h, w], t [N] int, labels [N] → [N, 8, h, w]."""
    def linear(name, v):
        return F.linear(v, w[name + ".weight"], w[name + ".bias"])

    width = w["x_embedder.proj.bias"].shape[0]
    tokens = F.conv2d(x, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=PATCH).flatten(2).transpose(1, 2)
    tokens = tokens + positions(width)
    frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
    angles = t[:, None].float() * frequencies[None]
    waves = torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
    c = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", waves))) + w["y_embedder.embedding_table.weight"][labels]
    n, count = tokens.shape[:2]
    for i in range(layers):
        b = f"blocks.{i}."
        shift1, scale1, gate1, shift2, scale2, gate2 = linear(b + "adaLN_modulation.1", F.silu(c)).chunk(6, dim=1)
        q, k, v = linear(b + "attn.qkv", modulate(tokens, shift1, scale1)).reshape(n, count, 3, heads, HEAD).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(HEAD), dim=-1) @ v
        tokens = tokens + gate1[:, None] * linear(b + "attn.proj", mixed.transpose(1, 2).reshape(n, count, width))
        hidden = F.gelu(linear(b + "mlp.fc1", modulate(tokens, shift2, scale2)), approximate="tanh")
        tokens = tokens + gate2[:, None] * linear(b + "mlp.fc2", hidden)
    shift, scale = linear("final_layer.adaLN_modulation.1", F.silu(c)).chunk(2, dim=1)
    out = linear("final_layer.linear", modulate(tokens, shift, scale))
    side = SIDE // PATCH
    out = out.reshape(n, side, side, PATCH, PATCH, 2 * CHANNELS)
    return torch.einsum("nhwpqc->nchpwq", out).reshape(n, 2 * CHANNELS, SIDE, SIDE)


def forward_with_cfg(model, x, t, labels, scale):
    half = x[:len(x) // 2]
    out = model(torch.cat([half, half]), t, labels)
    eps, rest = out[:, :3], out[:, 3:]
    cond, uncond = eps.chunk(2)
    guided = uncond + scale * (cond - uncond)
    return torch.cat([torch.cat([guided, guided]), rest], dim=1)


class Chain:
    """The respaced schedule's tables in float64 (space_timesteps, SpacedDiffusion, GaussianDiffusion)."""

    def __init__(self, steps):
        betas = np.linspace(1e-4, 0.02, 1000, dtype=np.float64)
        stride = (1000 - 1) / (steps - 1) if steps > 1 else 1
        at, kept = 0.0, []
        for _ in range(steps):
            kept.append(round(at))
            at += stride
        self.kept = kept
        last, new = 1.0, []
        for i, bar in enumerate(np.cumprod(1.0 - betas)):
            if i in kept:
                new.append(1 - bar / last)
                last = bar
        self.betas = np.array(new)
        alphas = 1.0 - self.betas
        self.bar = np.cumprod(alphas)
        self.before = np.append(1.0, self.bar[:-1])
        posterior = self.betas * (1.0 - self.before) / (1.0 - self.bar)
        self.log_least = np.log(np.append(posterior[1], posterior[1:])) if steps > 1 else np.zeros(1)
        self.coef_x0 = self.betas * np.sqrt(self.before) / (1.0 - self.bar)
        self.coef_x = (1.0 - self.before) * np.sqrt(alphas) / (1.0 - self.bar)

    def sample(self, model, x):
        for i in reversed(range(len(self.kept))):
            f = lambda table: torch.tensor(float(np.float32(table[i])))  # float64 tables, read as float32
            out = model(x, torch.full((len(x),), self.kept[i]))
            eps, v = out.chunk(2, dim=1)
            share = (v + 1) / 2
            log_variance = share * f(np.log(self.betas)) + (1 - share) * f(self.log_least)
            x0 = f(np.sqrt(1.0 / self.bar)) * x - f(np.sqrt(1.0 / self.bar - 1)) * eps
            noise = torch.randn_like(x)
            x = f(self.coef_x0) * x0 + f(self.coef_x) * x + (i != 0) * torch.exp(0.5 * log_variance) * noise
        return x


def draw(w, c, vae, label):
    torch.manual_seed(c["seed"])
    z = torch.randn(1, CHANNELS, SIDE, SIDE)
    run = lambda x, t, labels: forward(w, c["layers"], c["heads"], x, t, labels)
    if c["cfg"] > 1:
        labels = torch.tensor([label, CLASSES])
        z = Chain(c["steps"]).sample(lambda x, t: forward_with_cfg(run, x, t, labels, c["cfg"]), torch.cat([z, z])).chunk(2)[0]
    else:
        z = Chain(c["steps"]).sample(lambda x, t: run(x, t, torch.tensor([label])), z)
    pixels = (vae.decode(z / 0.18215).sample * 0.5 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return z[0], (pixels * 255).round().astype("uint8")


def main():
    common.prepare()
    cases, outputs = [], {}
    for number, (name, c) in enumerate(PICTURES.items()):
        tensors = describe(c["layers"], HEAD * c["heads"], 900 + number, c["scale"])
        w = {d["name"]: common.tensor(d["shape"], d["seed"], d["scale"], d["shift"]) for d in tensors}
        vae, vae_component = random_vae(940 + number)
        latents, picture = draw(w, c, vae, c["label"])
        changes = {"spread": float(picture.std()), "other class": difference(picture, draw(w, c, vae, c["other"])[1])}
        print(name, {k: round(v, 1) for k, v in changes.items()}, "latents", round(float(latents.std()), 2))
        assert changes["spread"] > 20 and changes["other class"] > 5, name
        outputs[f"{name}.latents"], outputs[f"{name}.rgb"] = latents, picture
        request = {"prompt": str(c["label"]), "negative_prompt": "", "seed": c["seed"], "steps": c["steps"], "cfg_scale": c["cfg"],
                   "width": SIDE * 8, "height": SIDE * 8}
        cases.append({"name": name, "request": request, "tensors": tensors, "vae": vae_component})
    common.write("facebook_dit", {"pictures": cases}, outputs)


if __name__ == "__main__":
    main()
