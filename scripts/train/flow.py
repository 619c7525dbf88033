"""The denoiser's training: rectified flow with a constant learning rate, then a decay branch that can be redone.

The stable run (work/denoiser.pt) never decays, so that a later sitting goes on from it; the decay branch
(work/decay.pt) starts from its last state and brings the learning rate linearly to zero.
"""
import math
import random
import time

import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler

import captions
import checkpoint
import data
import denoiser
import head_start
import text
from latents import Latents
from pairs import Pairs
from tokenizer import Tokenizer

COMPILED_LENGTHS = 8  # a compiled objective is compiled anew for every caption length: they are multiples of this


class Objective(torch.nn.Module):
    """Rectified flow: x_t = (1 - t) x_0 + t noise, and the network predicts noise - x_0."""

    def __init__(self, text_model, model):
        super().__init__()
        self.encoder, self.denoiser = text.Encoder(text_model), denoiser.Denoiser(model)

    def forward(self, latents, noise, t, kept, ids, mask):
        """latents, noise: [B, 4, 32, 32]; t: [B] in 0…1; kept: int64 [B, N]; ids, mask: [B, L]. Returns a scalar."""
        x, e = (self.denoiser.patchify(v) for v in (latents, noise))
        at = kept[..., None].expand(-1, -1, x.shape[-1])
        x, e = x.gather(1, at), e.gather(1, at)
        blend = t[:, None, None]
        velocity = self.denoiser((1 - blend) * x + blend * e, t * 1000, self.encoder(ids, mask), mask, kept)
        return F.mse_loss(velocity.float(), e - x)


class Batches:
    """Draws training batches: latents with their captions, times, noise and the positions kept."""

    def __init__(self, config, tokenizer, device, seed):
        self.options, self.tokenizer, self.device = config["denoiser"], tokenizer, device
        self.captioner = captions.Captioner(data.rows(config), config["captions"])
        self.latents = Latents(config)
        self.pairs = Pairs(config, self.captioner, device) if self.options["pairs"] else None
        self.rng, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.positions = (32 // self.options["patch"]) ** 2
        self.groups, self.longest = config["text"]["length_groups"], config["text"]["max_tokens"]
        self.multiple = COMPILED_LENGTHS if config["compile"] else 1
        self.waiting, self.tokens = [], 0

    def next(self, size, tokens):
        """The next batch of `size` examples of like caption length, as draw() describes it.

        Several batches are drawn at once and sorted by length, so that little is spent on padding; a compiled
        objective gets captions of few lengths.
        """
        if self.waiting and len(self.waiting[-1][0]) != size or self.tokens != tokens:
            self.waiting = []
        if not self.waiting:
            *rest, ids, mask = self.draw(size * self.groups, tokens)
            for part in text.by_length(mask, self.groups):
                length = min(-(-int(mask[part].sum(1).max()) // self.multiple) * self.multiple, self.longest)
                self.waiting.append((*(v[part] for v in rest), ids[part, :length], mask[part, :length]))
            self.tokens = tokens
        return self.waiting.pop()

    def draw(self, size, tokens):
        """One batch of `size` examples with `tokens` positions kept, as the arguments of Objective, on the device."""
        o, g = self.options, self.generator
        paired = round(size * o["pairs"])
        indices, colours, latents = self.latents.draw(size - paired, o["coloured"], g)
        texts = [self.captioner.draw(i, c, self.rng) for i, c in zip(indices, colours)]
        latents = latents.to(self.device)
        if paired:
            more, more_texts = self.pairs.draw(paired, o["coloured"], self.rng)
            latents, texts = torch.cat([latents, more]), texts + more_texts
        texts = ["" if self.rng.random() < o["drop_caption"] else t for t in texts]
        ids, mask = self.tokenizer(texts)
        t = torch.sigmoid(o["time_mean"] + o["time_deviation"] * torch.randn(size, generator=g))
        if tokens < self.positions:
            kept = torch.rand(size, self.positions, generator=g).argsort(1)[:, :tokens]
        else:
            kept = torch.arange(self.positions).expand(size, -1)
        noise = torch.randn(size, 4, 32, 32, generator=g)
        return (latents, *(v.to(self.device) for v in (noise, t, kept, ids, mask)))


class Run:
    """The model with its optimizer, average and counters; saved and restored as one."""

    def __init__(self, config, device):
        self.config, self.options, self.device = config, config["denoiser"], device
        self.tokenizer = Tokenizer(config)
        text_model = text.load(config, len(self.tokenizer))
        self.objective = Objective(text_model, denoiser.initialise(denoiser.build(self.options, config["text"]["width"])))
        self.objective.to(device)
        groups = text.parameter_groups(self.objective, text_model, self.options["learning_rate"],
                                       self.options["factors"])
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=self.options["weight_decay"], fused=True)
        self.average = checkpoint.Average(self.objective, self.options["average"])
        torch._dynamo.config.cache_size_limit = 64  # one entry per caption length and phase
        self.compiled = torch.compile(self.objective, dynamic=False) if config["compile"] else self.objective
        self.step = self.samples = self.begun = 0  # begun: the step at which the optimizer started
        self.stable_step = -1
        self.clock = checkpoint.Clock(every=config["checkpoint_seconds"])

    @torch.no_grad()
    def start(self):
        """Begins a fresh run: from grown weights, else with the text warm-up's linear picture written in, where there is one."""
        grown = checkpoint.load(self.config["work"] / "grown.pt")
        if grown:
            self.objective.denoiser.model.load_state_dict(grown["transformer"])
            self.average = checkpoint.Average(self.objective, self.options["average"])
            return
        head, options = text.load_head(self.config), self.options["head_start"]
        if head is None or options is None:
            return
        batches = Batches(self.config, self.tokenizer, "cpu", self.config["seed"])
        drawn = [batches.draw(256, 1)[-2:] for _ in range(16)]
        objective = self.objective.cpu()
        moment = head_start.pooled_moment(objective.encoder, drawn)
        share = head_start.implant(objective.denoiser.model, head, moment, options)
        print(f"denoiser starts with {share:.1%} of the warm-up's picture", flush=True)
        self.objective.to(self.device)
        self.average = checkpoint.Average(self.objective, self.options["average"])

    def save(self, path):
        """Writes everything needed to go on."""
        checkpoint.save(path, {
            "model": self.objective.state_dict(), "average": self.average.state(), "optimizer": self.optimizer.state_dict(),
            "step": self.step, "samples": self.samples, "begun": self.begun, "elapsed": self.clock.elapsed, "stable_step": self.stable_step})

    def restore(self, saved):
        """Takes up a saved state."""
        self.objective.load_state_dict(saved["model"])
        self.average.restore(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.samples, self.stable_step, self.begun = (saved[k] for k in ("step", "samples", "stable_step", "begun"))
        self.clock = checkpoint.Clock(saved["elapsed"], self.config["checkpoint_seconds"])

    def phase(self):
        """The present entry of `phases` (examples per batch, tokens kept), by examples seen."""
        return next(p for p in self.options["phases"] if p["until"] is None or self.samples < p["until"])

    def warmth(self, step):
        """How much of the learning rate a young optimizer gets: rises to 1 over `warm_up_steps`."""
        return min(1, (step + 1 - self.begun) / self.options["warm_up_steps"])

    def advance(self, path, until, rate):
        """Trains until `until` examples, the learning rate being rate(step, examples); saves to path as it goes."""
        batches = Batches(self.config, self.tokenizer, self.device, self.config["seed"] + self.step)
        losses, mark, seen = [], time.monotonic(), 0
        while self.samples < until:
            phase = self.phase()
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.step, self.samples) * group["factor"]
            batch = batches.next(phase["batch"], phase["tokens"])
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config["autocast"]):
                loss = self.compiled(*batch)
            checkpoint.descend(loss, self.objective, self.optimizer, self.average)
            self.step, self.samples, seen = self.step + 1, self.samples + phase["batch"], seen + phase["batch"]
            losses.append(loss.detach())
            if self.step % 50 == 0:
                now = time.monotonic()
                checkpoint.note(self.config["work"] / "curve.csv", self.samples, float(torch.stack(losses).mean()))
                print(f"denoiser step {self.step} samples {self.samples} {self.clock.elapsed / 60:.1f} min loss "
                      f"{torch.stack(losses).mean():.4f} {seen / (now - mark):.1f} samples/s", flush=True)
                losses, mark, seen = [], now, 0
            if self.clock.due():
                self.save(path)
        self.save(path)


def train(config, device):
    """Brings the stable run to `examples`, then runs the decay branch of `decay_examples`, resuming either."""
    options, work = config["denoiser"], config["work"]
    peak = options["learning_rate"]
    run = Run(config, device)
    stable = checkpoint.load(work / "denoiser.pt")
    if stable:
        run.restore(stable)
    else:
        run.start()
    run.advance(work / "denoiser.pt", options["examples"], lambda step, _: peak * run.warmth(step))
    end = run.samples
    decay = checkpoint.load(work / "decay.pt")
    run.stable_step = run.step
    if decay and decay["stable_step"] == run.step:
        run.restore(decay)
    length = options["decay_examples"]
    run.advance(work / "decay.pt", end + length, lambda step, samples: peak * run.warmth(step) * max(0.0, 1 - (samples - end) / length))


def trained(config):
    """The averaged weights of the decay branch, or of the stable run where there is none: (text model, transformer, counters)."""
    saved = checkpoint.load(config["work"] / "decay.pt") or checkpoint.load(config["work"] / "denoiser.pt")
    text_model = text.build(config["text"], len(Tokenizer(config)))
    model = denoiser.build(config["denoiser"], config["text"]["width"])
    objective = Objective(text_model, model)
    average = checkpoint.Average(objective, 0.0)
    average.restore(saved["average"])
    average.copy_to(objective)
    counters = {"steps": saved["step"], "samples": saved["samples"], "minutes": round(saved["elapsed"] / 60, 1)}
    return text_model.eval(), model.eval(), counters


def scheduler(config):
    """DPM-Solver++ (2M) over the rectified flow's sigmas."""
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=config["export"]["flow_shift"],
        solver_order=2, algorithm_type="dpmsolver++", final_sigmas_type="zero")
