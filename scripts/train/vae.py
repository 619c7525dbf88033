"""The autoencoder: a small diffusers AutoencoderKL (8x smaller, 4 channels) trained on composited stickers."""
import math
import time

import torch
from diffusers import AutoencoderKL

import checkpoint
import data
import vae_init


def build(channels, norm_groups):
    """A fresh AutoencoderKL with four resolution levels of the given widths, started as vae_init describes.

    Few norm groups: a group of two channels would keep no more than the sign of a flat background's colour.
    """
    levels = len(channels)
    return vae_init.initialise(AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, sample_size=data.CANVAS,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(channels), layers_per_block=1, norm_num_groups=norm_groups, act_fn="silu",
        scaling_factor=1.0, force_upcast=False))


def sample_batch(pictures, chosen, spec, colours, generator):
    """A training batch of crops: half on white, half on a named colour, randomly mirrored.

    pictures: uint8 array [N, 224, 224, 4]; chosen: list of usable indices; spec: {"crop", "size"}.
    Returns float [size, 3, crop, crop] in -1…1.
    """
    size, crop = spec["size"], spec["crop"]
    pick = torch.randint(len(chosen), (size,), generator=generator).tolist()
    rgba = torch.stack([torch.tensor(pictures[chosen[i]]) for i in pick])
    colour = torch.randint(len(colours), (size,), generator=generator)
    colour[torch.rand(size, generator=generator) < 0.5] = 0
    canvas = data.composite(rgba, colours[colour])
    mirrored = torch.rand(size, generator=generator) < 0.5
    canvas[mirrored] = canvas[mirrored].flip(-1)
    if crop == data.CANVAS:
        return canvas
    corners = torch.randint(data.CANVAS - crop + 1, (size, 2), generator=generator).tolist()
    return torch.stack([c[:, y:y + crop, x:x + crop] for c, (y, x) in zip(canvas, corners)])


def split(pictures, count):
    """Indices to train on and about `count` indices held out."""
    held_out = list(range(0, len(pictures), max(len(pictures) // count, 1)))
    return sorted(set(range(len(pictures))) - set(held_out)), held_out


def difference(y, x, weights):
    """L1 between pictures [B, 3, H, W] plus the weighted L1 of neighbour differences (`edge_weight`) and the weighted
    mean square (`square_weight`, what PSNR counts: large errors at outlines); returns (loss, L1)."""
    error = y - x
    l1 = error.abs().mean()
    edge = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return l1 + weights["edge_weight"] * edge + weights["square_weight"] * error.square().mean(), l1


class Reconstruction(torch.nn.Module):
    """The training objective: difference() with the weights of the configuration, and a small KL term."""

    def __init__(self, vae, weights):
        super().__init__()
        self.vae, self.weights = vae, weights

    def forward(self, x, noise):
        """x: [B, 3, H, W] in -1…1; noise: [B, 4, H/8, W/8]. Returns (loss, L1), both scalars."""
        mean, log_variance = self.vae.quant_conv(self.vae.encoder(x)).chunk(2, 1)
        log_variance = log_variance.clamp(-20, 10)
        z = mean + noise * torch.exp(0.5 * log_variance)
        loss, l1 = difference(self.vae.decoder(self.vae.post_quant_conv(z)), x, self.weights)
        kl = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).mean()
        return loss + self.weights["kl_weight"] * kl, l1


def train(config, device):
    """Trains for the configured minutes (over all sittings), then folds the latent statistics and saves."""
    options = config.vae
    path = config["work"] / "vae.pt"
    pictures = data.pictures(config)
    chosen, held_out = split(pictures, options["held_out"])
    colours = data.palette()
    vae = build(options["channels"], options["norm_groups"]).to(device, memory_format=torch.channels_last)
    average = checkpoint.Average(vae, options["average"])
    optimizer = torch.optim.AdamW(vae.parameters(), lr=options["learning_rate"], betas=(0.9, 0.99), weight_decay=1e-4,
                                  fused=True)
    generator = torch.Generator().manual_seed(config["seed"])
    saved = checkpoint.load(path)
    if saved and saved["elapsed"] >= options["minutes"] * 60 and (config["work"] / "vae").exists():
        return
    step, clock = checkpoint.resume(saved, vae, average, optimizer, generator, config["checkpoint_seconds"])
    objective = Reconstruction(vae, options)
    run = torch.compile(objective, dynamic=False) if options["compile"] else objective

    def state():
        return checkpoint.training_state(vae, average, optimizer, generator, step, clock)

    budget, reported, seen, losses = options["minutes"] * 60, time.monotonic(), 0, []
    while clock.elapsed < budget:
        progress = clock.elapsed / budget
        rate = options["learning_rate"] * min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        spec = next(b for b in options["batches"] if progress <= b["until"])
        x = sample_batch(pictures, chosen, spec, colours, generator).to(device, memory_format=torch.channels_last)
        noise = torch.randn(x.shape[0], 4, x.shape[2] // 8, x.shape[3] // 8, generator=generator).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config["autocast"]):
            loss, l1 = run(x, noise)
        checkpoint.descend(loss, vae, optimizer, average)
        step, seen = step + 1, seen + len(x)
        losses.append(l1.item())
        if step % 25 == 0:
            now = time.monotonic()
            print(f"vae step {step} {clock.elapsed / 60:.1f} min crop {spec['crop']} l1 {sum(losses) / len(losses):.4f} "
                  f"lr {rate:.5f} {seen / (now - reported):.1f} crops/s", flush=True)
            reported, seen, losses = now, 0, []
        if clock.due():
            checkpoint.save(path, state())
    checkpoint.save(path, state())
    average.copy_to(vae)
    vae.eval()
    before = config["work"] / "vae"
    earlier = AutoencoderKL.from_pretrained(before).to(device).eval() if before.exists() else None
    print("vae latents' correlation with those of before", fold(vae, pictures, chosen, colours, device, earlier), flush=True)
    finish(config, vae, pictures, held_out, colours, device, {"steps": step, "minutes": round(clock.elapsed / 60, 1)})


def finish(config, vae, pictures, held_out, colours, device, facts):
    """Evaluates, prints and saves an autoencoder into work/vae, its scores and facts into work/vae-scores.pt."""
    path = config["work"] / "vae-scores.pt"
    scores = (checkpoint.load(path) or {}) | facts | evaluate(vae, pictures, held_out, colours, device)
    print("vae", scores, flush=True)
    vae.save_pretrained(config["work"] / "vae")
    checkpoint.save(path, scores)


@torch.no_grad()
def fold(vae, pictures, chosen, colours, device, earlier=None, count=384):
    """Makes the latents zero-mean and white (4x4) over the training canvases, inside quant_conv/post_quant_conv.

    With z the latent and W, m chosen so that W(z - m) has unit covariance, quant_conv's mean rows become
    W(. - m), its log-variance rows keep the spread of the transformed channels approximately, and
    post_quant_conv first undoes the map. The decoder's output is unchanged.

    White latents stay white when rotated: with an `earlier` autoencoder the rotation is the one nearest to its latents
    (orthogonal Procrustes, Schönemann 1966), so that a denoiser trained on those can go on. Returns the mean correlation
    with them over the channels, None without.
    """
    generator = torch.Generator().manual_seed(0)
    latents, known = [], []
    for start in range(0, count, 8):
        x = sample_batch(pictures, chosen, {"crop": data.CANVAS, "size": 8}, colours, generator)
        x = x.to(device, memory_format=torch.channels_last)
        latents.append(vae.encode(x).latent_dist.mean.cpu())
        if earlier:
            known.append(earlier.encode(x).latent_dist.mean.cpu())
    rows = lambda maps: torch.cat(maps).permute(1, 0, 2, 3).reshape(4, -1).double()
    z = rows(latents)
    mean = z.mean(1)
    values, vectors = torch.linalg.eigh(torch.cov(z))
    forward = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    correlation = None
    if earlier:
        white = forward @ (z - mean[:, None])
        before = rows(known)
        left, _, right = torch.linalg.svd(before @ white.T)
        forward = left @ right @ forward
        turned = left @ right @ white
        correlation = round(torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(before, turned)]).mean().item(), 3)
    backward = torch.linalg.inv(forward)
    quant, post = vae.quant_conv, vae.post_quant_conv
    weight, bias = quant.weight.double().cpu()[:, :, 0, 0], quant.bias.double().cpu()
    weight[:4], bias[:4] = forward @ weight[:4], forward @ (bias[:4] - mean)
    bias[4:] += 2 * torch.log(torch.diag(forward))
    undo, undo_bias = post.weight.double().cpu()[:, :, 0, 0], post.bias.double().cpu()
    undo_bias = undo_bias + undo @ mean
    undo = undo @ backward
    for layer, w, b in ((quant, weight, bias), (post, undo, undo_bias)):
        layer.weight.copy_(w[:, :, None, None].float())
        layer.bias.copy_(b.float())
    return correlation


@torch.no_grad()
def evaluate(vae, pictures, held_out, colours, device):
    """PSNR (dB) on whole held-out canvases and how far the flat background strays (levels of 255)."""
    psnr, stray = [], []
    for k, i in enumerate(held_out):
        colour = colours[[0 if k % 2 == 0 else 1 + k // 2 % (len(colours) - 1)]]
        x = data.composite(torch.tensor(pictures[i])[None], colour).to(device)
        y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        psnr.append(-10 * torch.log10(((x - y) / 2).square().mean()).item())
        stray.append(((x - y)[..., :12, :] * 127.5).abs().mean().item())
    return {"psnr": round(sum(psnr) / len(psnr), 2), "worst_psnr": round(min(psnr), 2),
            "background_error": round(sum(stray) / len(stray), 2), "worst_background_error": round(max(stray), 2)}
