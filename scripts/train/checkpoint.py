"""Checkpoints that survive being killed, an exponential moving average, and a stage's wall clock."""
import os
import time

import torch


def save(path, state):
    """Writes a checkpoint beside its place and renames it, so that a reader never sees half of one."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load(path):
    """Reads a checkpoint on the CPU; None when there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def training_state(model, average, optimizer, generator, step, clock):
    """What a stage that trains a model with a moving average saves."""
    return {"model": model.state_dict(), "average": average.state(), "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(), "step": step, "elapsed": clock.elapsed}


def resume(saved, model, average, optimizer, generator, every):
    """Takes up a training_state(), or begins where `saved` is None. Returns (step, clock)."""
    if not saved:
        return 0, Clock(every=every)
    model.load_state_dict(saved["model"])
    average.restore(saved["average"])
    optimizer.load_state_dict(saved["optimizer"])
    generator.set_state(saved["generator"])
    return saved["step"], Clock(saved["elapsed"], every)


def note(path, samples, loss):
    """Adds a line to a learning curve."""
    with open(path, "a", encoding="utf-8") as curve:
        curve.write(f"{samples},{loss:.4f}\n")


def curve(path):
    """A learning curve as (samples, loss) with rising samples: what a run wrote before it resumed from an earlier checkpoint is left out."""
    kept = []
    for line in path.read_text(encoding="utf-8").split() if path.exists() else []:
        samples, loss = line.split(",")
        kept = [point for point in kept if point[0] < int(samples)] + [(int(samples), float(loss))]
    return kept


class Average:
    """Exponential moving average of a module's parameters, with a short memory at the start."""

    def __init__(self, module, decay):
        self.decay = decay
        self.count = 0
        self.values = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module):
        """Takes one step toward the module's present parameters."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.values, [p.detach() for p in module.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, module):
        """Overwrites the module's parameters with the average."""
        for parameter, value in zip(module.parameters(), self.values):
            parameter.copy_(value)

    def state(self):
        """A dictionary for a checkpoint."""
        return {"count": self.count, "values": self.values}

    def restore(self, state):
        """Takes up a saved state."""
        self.count = state["count"]
        for mine, saved in zip(self.values, state["values"]):
            mine.copy_(saved)


def descend(loss, module, optimizer, average):
    """One step down the loss, gradients clipped to 1; `average` follows."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    average.update(module)


class Clock:
    """Seconds spent in a stage over all its sittings, and when to write the next checkpoint."""

    def __init__(self, elapsed=0.0, every=180.0):
        self.before, self.every = elapsed, every
        self.start = self.mark = time.monotonic()

    @property
    def elapsed(self):
        """Seconds over all sittings so far."""
        return self.before + time.monotonic() - self.start

    def due(self):
        """True once per `every` seconds."""
        now = time.monotonic()
        if now - self.mark < self.every:
            return False
        self.mark = now
        return True


class Report:
    """Prints every 25 steps what a stage has come to: the mean of a measure, and how many of `unit` a second."""

    def __init__(self, stage, measure, unit, batch, clock):
        self.stage, self.measure, self.unit, self.batch, self.clock = stage, measure, unit, batch, clock
        self.values, self.mark = [], time.monotonic()

    def add(self, step, value, more=""):
        """The measure at a step; `more` ends the line."""
        self.values.append(value)
        if step % 25:
            return
        speed = len(self.values) * self.batch / (time.monotonic() - self.mark)
        print(f"{self.stage} step {step} {self.clock.elapsed / 60:.1f} min {self.measure} {sum(self.values) / len(self.values):.4f} "
              f"{speed:.1f} {self.unit}/s{more}", flush=True)
        self.values, self.mark = [], time.monotonic()
