"""The one-step lane: the trained denoiser taught to do in one step, without guidance, what it does in many with it.

The student starts as the teacher. From the noise that the teacher started from it aims at where the teacher arrived (rectified flow's
straightening, Liu et al. 2022), which alone gives the average of what is possible, blurred; an adversary that sees true latents and reads
the caption pulls it to one of them (adversarial diffusion distillation, Sauer et al. 2023). Only the denoiser changes.
"""
import copy
import random

import torch
import torch.nn.functional as F
from diffusers import EulerDiscreteScheduler

import captions
import checkpoint
import data
import denoiser
import flow
import text
from adversary import Adversary
from latents import Latents
from restore import integrate, unpatchify
from tokenizer import Tokenizer

CHUNK = 32  # pictures that the teacher makes at once


def one_step_scheduler():
    """A scheduler that diffusers' PixArt pipelines can run at one step: they then want what it predicts of the end, which DPM-Solver++
    does not say. Euler's from noise level 1 is x - output, as rectified flow's; it divides its input by root 2 (see trained())."""
    beta = 1 - 0.5 ** (1 / 1000)  # after 1,000 steps half of the variance is noise: level 1
    return EulerDiscreteScheduler(beta_start=beta, beta_end=beta, beta_schedule="linear", prediction_type="epsilon",
                                  timestep_spacing="trailing")


def only_step():
    """(noise level, timestep) of the one step of that scheduler."""
    scheduler = one_step_scheduler()
    scheduler.set_timesteps(1)
    return float(scheduler.sigmas[0]), float(scheduler.timesteps[0])


class Lessons:
    """What the teacher makes of noise, each picture drawn `reuse` times in random order."""

    def __init__(self, config, text_model, model, device, generator):
        self.options, self.device, self.generator, self.autocast = config["onestep"], device, generator, config["autocast"]
        self.guidance, shift, steps = config["export"]["cfg_scale"], config["export"]["flow_shift"], config["onestep"]["teacher_steps"]
        straight = [1 - k / steps for k in range(steps + 1)]
        self.times = [shift * s / (1 + (shift - 1) * s) for s in straight]
        self.encoder, self.teacher = text.Encoder(text_model), denoiser.Denoiser(model)
        self.tokenizer, self.latents = Tokenizer(config), Latents(config)
        self.captioner, self.stock = captions.Captioner(data.rows(config), config["captions"]), []

    @torch.no_grad()
    def make(self):
        """CHUNK new lessons: a list of (noise, arrival, true latent, each patchified; text states, their mask)."""
        rng = random.Random(int(torch.randint(2**31, (), generator=self.generator)))
        indices, colours, true = self.latents.draw(CHUNK, self.options["coloured"], self.generator)
        told = [self.captioner.draw(i, c, rng) for i, c in zip(indices, colours)]
        told = ["" if rng.random() < self.options["drop_caption"] else t for t in told]
        ids, mask = (v.to(self.device) for v in self.tokenizer(told + [""] * CHUNK))
        noise = self.teacher.patchify(torch.randn(true.shape, generator=self.generator)).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            states = self.encoder(ids, mask)
            arrival = integrate(self.teacher, noise, self.times, states, mask, self.guidance)
        true = self.teacher.patchify(true).to(self.device)
        return list(zip(noise, arrival, true, states[:CHUNK].float(), mask[:CHUNK]))

    def draw(self, count):
        """A batch of `count` lessons, stacked."""
        while len(self.stock) < count + 8 * CHUNK:
            self.stock += self.make() * self.options["reuse"]
        at = [int(torch.randint(len(self.stock) - k, (), generator=self.generator)) for k in range(count)]
        return [torch.stack(parts) for parts in zip(*(self.stock.pop(k) for k in at))]


def pooled(states, mask):
    """The mean of the caption's tokens, [B, C]."""
    weights = mask.float()[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def train(config, device):
    """Trains the student on `examples` over all sittings; work/onestep.pt is resumable. A configuration without "onestep" has none."""
    options = config.get("onestep")
    if not options:
        return
    path, level, timestep = config["work"] / "onestep.pt", *only_step()
    text_model, teacher, _ = flow.trained(config)
    student = copy.deepcopy(teacher).to(device)
    teacher, text_model = teacher.to(device).eval(), text_model.to(device).eval()
    fast, patch = denoiser.Denoiser(student), student.config.patch_size
    average = checkpoint.Average(student, options["average"])
    optimizer = torch.optim.AdamW(student.parameters(), lr=options["learning_rate"], betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    adversary = Adversary(4, options["adversary"], device, config["text"]["width"]) if options.get("adversary") else None
    generator, saved = torch.Generator().manual_seed(config["seed"] + 2), checkpoint.load(path)
    step, clock = checkpoint.resume(saved, student, average, optimizer, generator, config["checkpoint_seconds"])
    if saved and adversary:
        adversary.restore(saved["adversary"])
    lessons = Lessons(config, text_model, teacher, device, generator)

    def save():
        state = checkpoint.training_state(student, average, optimizer, generator, step, clock)
        checkpoint.save(path, state | ({"adversary": adversary.state()} if adversary else {}))

    steps, report = options["examples"] // options["batch"], checkpoint.Report("onestep", "error", "examples", options["batch"], clock)
    while step < steps:
        rate = options["learning_rate"] * min(1, (step + 1) / 100, (steps - step) / (0.3 * steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        noise, arrival, true, states, words = lessons.draw(options["batch"])
        kept = torch.arange(noise.shape[1], device=device).expand(len(noise), -1)
        with torch.autocast(device.type, torch.bfloat16, enabled=config["autocast"]):
            velocity = fast(noise, torch.full((len(noise),), timestep, device=device), states, words, kept)
        made = noise - level * velocity.float()
        error = F.mse_loss(made, arrival)
        loss = options["teacher_weight"] * error
        if adversary:
            condition = pooled(states, words)
            right = adversary.watch(unpatchify(true, patch), unpatchify(made, patch), condition)
            loss = loss + adversary.term(unpatchify(made, patch), step / steps, condition)
        checkpoint.descend(loss, student, optimizer, average)
        step += 1
        report.add(step, error.item(), f" adversary right {right:.2f}" if adversary else "")
        if clock.due():
            save()
    save()


def trained(config):
    """The student with its averaged weights, which takes its input divided by root 2, and its counters; None where it was not trained."""
    saved = checkpoint.load(config["work"] / "onestep.pt")
    if not saved:
        return None
    model = denoiser.build(config["denoiser"], config["text"]["width"])
    average = checkpoint.Average(model, 0.0)
    average.restore(saved["average"])
    average.copy_to(model)
    with torch.no_grad():
        model.pos_embed.proj.weight.mul_(2 ** 0.5)
    return model.eval(), {"steps": saved["step"], "samples": saved["step"] * config["onestep"]["batch"],
                          "minutes": round(saved["elapsed"] / 60, 1)}
