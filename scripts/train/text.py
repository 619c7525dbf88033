"""The text encoder: a small T5 encoder, a fast forward pass over its weights, and its warm-up on a cheap target."""
import math
import random
import time

import torch
import torch.nn.functional as F
from transformers import T5Config, T5EncoderModel

import captions
import checkpoint
import data
from latents import Latents
from tokenizer import Tokenizer

MASKED = -10000.0


def build(options, pieces):
    """A fresh gated-GELU T5EncoderModel; the vocabulary is padded to a multiple of 8."""
    return T5EncoderModel(T5Config(
        vocab_size=-(-pieces // 8) * 8, d_model=options["width"], d_kv=options["head_width"], d_ff=options["hidden"],
        num_layers=options["layers"], num_heads=options["heads"], feed_forward_proj="gated-gelu", dropout_rate=0.0,
        tie_word_embeddings=False, use_cache=False))


class Encoder(torch.nn.Module):
    """Computes what a T5EncoderModel computes, with its weights, by plain products and a softmax.

    Projections of one input are fused; this trains faster on a CPU and compiles without graph breaks.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        attention = model.encoder.block[0].layer[0].SelfAttention
        self.heads, self.epsilon = attention.n_heads, model.config.layer_norm_epsilon
        self.bucket = attention._relative_position_bucket
        self.buckets, self.distance = attention.relative_attention_num_buckets, attention.relative_attention_max_distance

    def norm(self, x, weight):
        """T5's root-mean-square norm of x [B, L, D]."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * weight

    def forward(self, ids, mask):
        """ids: int64 [B, L]; mask: bool [B, L]. Returns float [B, L, D]."""
        encoder = self.model.encoder
        batch, length = ids.shape
        place = torch.arange(length, device=ids.device)
        bucket = self.bucket(place[None] - place[:, None], True, self.buckets, self.distance)
        bias = encoder.block[0].layer[0].SelfAttention.relative_attention_bias(bucket).permute(2, 0, 1)[None]
        bias = bias + (~mask)[:, None, None] * MASKED
        x = self.model.shared(ids)
        for block in encoder.block:
            attention, feed = block.layer[0].SelfAttention, block.layer[1].DenseReluDense
            h = self.norm(x, block.layer[0].layer_norm.weight)
            weights = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])
            q, k, v = F.linear(h, weights).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            h = (q @ k.transpose(-1, -2) + bias).softmax(-1) @ v
            x = x + attention.o(h.transpose(1, 2).reshape(batch, length, -1))
            h = self.norm(x, block.layer[1].layer_norm.weight)
            gate, value = F.linear(h, torch.cat([feed.wi_0.weight, feed.wi_1.weight])).chunk(2, -1)
            x = x + feed.wo(F.gelu(gate, approximate="tanh") * value)
        return self.norm(x, encoder.final_layer_norm.weight)


class WarmUp(torch.nn.Module):
    """The warm-up objective: the mean of the tokens predicts the picture's latent, averaged to few pixels."""

    def __init__(self, encoder, width, target):
        super().__init__()
        self.encoder, self.target = encoder, target
        self.head = torch.nn.Linear(width, 4 * target * target)

    @torch.no_grad()
    def start(self, examples):
        """Sets the head to the principal components of example latents [M, 4, 32, 32], so that it need not be found."""
        small = F.avg_pool2d(examples, examples.shape[-1] // self.target).flatten(1)
        mean = small.mean(0)
        _, strength, directions = torch.linalg.svd(small - mean, full_matrices=False)
        count = min(self.head.in_features, len(strength))
        scales = strength[:count] / len(small) ** 0.5
        self.head.weight[:, :count] = (scales[:, None] * directions[:count]).T
        self.head.bias.copy_(mean)

    def forward(self, ids, mask, latents):
        """ids, mask: [B, L]; latents: float [B, 4, 32, 32]. Returns the mean squared error, a scalar."""
        weights = mask.float()[..., None]
        pooled = (self.encoder(ids, mask) * weights).sum(1) / weights.sum(1)
        small = F.avg_pool2d(latents, latents.shape[-1] // self.target)
        return F.mse_loss(self.head(pooled), small.flatten(1))


def parameter_groups(module, model, rate, factors):
    """AdamW groups for a module that holds the T5EncoderModel `model`; `factors` scale the rates of parts of it.

    factors: {"text": of its layers, "embeddings": of its embeddings}. A word's row is seldom touched, and it is the
    natural place to remember what the word looks like, so that it may learn faster.
    """
    embeddings, inside = model.shared.weight, {id(p) for p in model.parameters()}
    others = [p for p in module.parameters() if id(p) not in inside]
    layers = [p for p in model.parameters() if p is not embeddings]
    return [{"params": others, "lr": rate, "factor": 1.0}, {"params": layers, "lr": rate, "factor": factors["text"]},
            {"params": [embeddings], "lr": rate, "factor": factors["embeddings"]}]


def by_length(mask, groups):
    """Splits examples into `groups` index lists of like length, in random order."""
    order = mask.sum(1).argsort()
    return random.sample(list(order.tensor_split(groups)), groups)


def train(config, device):
    """Warms the text encoder up on `examples` captions; writes work/text.pt (resumable) as it goes.

    A grown encoder (grow.py) aims at the linear map that came with it, which stays as it is.
    """
    options, path = config["text"], config["work"] / "text.pt"
    grown = checkpoint.load(config["work"] / "grown.pt")
    tokenizer, latents, rows = Tokenizer(config), Latents(config), data.rows(config)
    captioner = captions.Captioner(rows, config["captions"])
    model = build(options, len(tokenizer))
    objective = WarmUp(Encoder(model), options["width"], options["target"]).to(device)
    generator, step = torch.Generator().manual_seed(config["seed"]), 0
    if grown:
        model.load_state_dict(grown["text"])
        objective.head.load_state_dict(grown["head"])
        objective.head.requires_grad_(False)
    else:
        objective.start(latents.draw(1024, 0.5, generator)[2].to(device))
    optimizer = torch.optim.AdamW(parameter_groups(objective, model, options["learning_rate"], options["factors"]),
                                  betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    clock = checkpoint.Clock(every=config["checkpoint_seconds"])
    saved = checkpoint.load(path)
    if saved:
        objective.load_state_dict(saved["objective"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
        step, clock = saved["step"], checkpoint.Clock(saved["elapsed"], config["checkpoint_seconds"])
    rng = random.Random(config["seed"] + step)

    def state():
        return {"objective": objective.state_dict(), "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(), "step": step, "elapsed": clock.elapsed}

    steps, running, reported = options["examples"] // options["batch"], [], time.monotonic()
    while step < steps:
        rate = options["learning_rate"] * min(1, (step + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        groups = options["length_groups"]
        indices, colours, target = latents.draw(groups * options["batch"], 0.5, generator)
        texts = [captioner.draw(i, c, rng) for i, c in zip(indices, colours)]
        ids, mask = tokenizer(["" if rng.random() < options["drop_caption"] else t for t in texts])
        for part in by_length(mask, groups):
            length = int(mask[part].sum(1).max())
            loss = objective(ids[part, :length].to(device), mask[part, :length].to(device), target[part].to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            running.append(loss.item())
        if len(running) >= 100:
            speed = len(running) * options["batch"] / (time.monotonic() - reported)
            print(f"text step {step} {clock.elapsed / 60:.1f} min error {sum(running) / len(running):.4f} {speed:.0f} captions/s",
                  flush=True)
            running, reported = [], time.monotonic()
        if clock.due():
            checkpoint.save(path, state())
    checkpoint.save(path, state())


def load(config, pieces):
    """The warmed-up T5EncoderModel (or a fresh one where no warm-up was run)."""
    model = build(config["text"], pieces)
    saved = checkpoint.load(config["work"] / "text.pt")
    if saved:
        prefix = "encoder.model."
        weights = {k[len(prefix):]: v for k, v in saved["objective"].items() if k.startswith(prefix)}
        model.load_state_dict(weights)
    return model


def load_head(config):
    """The warm-up's linear head {"weight", "bias"} where it predicts whole latents; None otherwise."""
    saved = checkpoint.load(config["work"] / "text.pt")
    if saved is None or config["text"]["target"] != 32:
        return None
    return {name: saved["objective"][f"head.{name}"] for name in ("weight", "bias")}
