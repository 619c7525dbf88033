#!/usr/bin/env python3
"""Scores a model by adherence: prompts over its vocabulary, rendered, and read by their nearest sticker.

usage: score.py --model DIR --config FILE [--t2i BINARY] [--count 400] [--steps 20,1,2,4,50] [--cfg-scale G] [--dtype f32|bf16]
                [--measure adherence.py]
       score.py --fidelity --model DIR --config FILE [--t2i BINARY] [--steps 20,4] [--cfg-scale G] [--dtype f32|bf16]
                [--measure fidelity.py]
Renders with the given binary (`BINARY batch`) or with diffusers. Prints one JSON object and leaves it in scores.json of the work
folder. Over prompts that training never used, in an order that training never writes and in the plain order of the caption
language (questions.py): the measure over all, by language (the same concepts, styles, backgrounds and seeds in both), by style and
by background. Over the first kind also for every number of steps; the rest is of the first of them. Then (concept, style) that
the data lack, two things that training never showed together, and how many different stickers a prompt without a style gives over its
seeds. Pictures stay in the work folder's score/.
--fidelity compares pictures with the stickers asked for instead, at full resolution: 200 prompts with style over the whole vocabulary, at
20 steps and at the model's default, or at `--steps`. Its figures are those that fidelity.py prints, and go to fidelity.json.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import config as configuration
import questions
import render
from reading import Reader


def summary(requests):
    """Shares over requests that have been read."""
    out = {"n": len(requests)}
    for key in ("concept_top1", "concept_top5", "style_top1", "pair_top1", "background_ok"):
        values = [r["read"][key] for r in requests if r["read"].get(key) is not None]
        if values:
            out[key] = round(sum(values) / len(values), 4)
    return out


class Renderer:
    """Renders requests into folders below the work folder's score/, by the binary or by diffusers."""

    def __init__(self, config, arguments, guidance):
        self.root, self.arguments, self.guidance = config["work"] / "score", arguments, guidance

    def render(self, requests, name, steps):
        """The requests with ids, and their pictures' paths; what an earlier call of this name left is removed."""
        folder = self.root / f"{name}-{steps}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        requests = [request | {"id": f"{k:04}"} for k, request in enumerate(requests)]
        a = self.arguments
        if a.t2i:
            render.by_program(a.t2i, a.model, requests, folder, steps, self.guidance, a.dtype)
        else:
            render.by_diffusers(a.model, requests, folder, steps, self.guidance)
        return requests, [folder / f"{request['id']}.png" for request in requests]


def fidelity(config, renderer, all_steps, measure):
    """What fidelity.py, the program `measure`, says at each number of steps."""
    out = {}
    for steps in all_steps:
        requests, paths = renderer.render(questions.fidelity(config), "fidelity", steps)
        listed = renderer.root / f"fidelity-{steps}.jsonl"
        listed.write_text("".join(json.dumps({"image": str(path), **{k: request[k] for k in ("char", "style", "background")}},
                                             ensure_ascii=False) + "\n" for request, path in zip(requests, paths)), encoding="utf-8")
        printed = subprocess.run([sys.executable, measure, "--data", str(config["data"]), str(listed)], check=True, stdout=subprocess.PIPE)
        out[steps] = json.loads(printed.stdout)
    return out


def adherence(config, renderer, all_steps, count, reader):
    """All that scores.json holds besides how it was made."""
    def scored(requests, name, steps):
        requests, paths = renderer.render(requests, name, steps)
        return [request | {"read": one} for request, one in zip(requests, reader.read(requests, paths))]

    scores = {}
    for form in questions.WRITERS:
        read = scored(questions.prompts(config, count, form), form.replace(" ", "-"), all_steps[0])
        scores[form] = {"all": summary(read)}
        for key in ("language", "style"):
            for value in sorted({r[key] for r in read if r[key]}):
                scores[form][value] = summary([r for r in read if r[key] == value])
        for name, coloured in (("white background", False), ("coloured background", True)):
            if some := [r for r in read if (r["background"] is not None) == coloured]:
                scores[form][name] = summary(some)
    if len(all_steps) > 1:
        form = next(iter(questions.WRITERS))
        scores["by steps"] = {all_steps[0]: scores[form]["all"]}
        for steps in all_steps[1:]:
            scores["by steps"][steps] = summary(scored(questions.prompts(config, count, form), form.replace(" ", "-"), steps))
    if requests := questions.absent(config):
        scores["absent"] = summary(scored(requests, "absent", all_steps[0]))
    if config["denoiser"]["pairs"]:
        read = scored(questions.pairs(config), "pairs", all_steps[0])
        scores["pairs"] = {"all": summary(read)}
        for key in ("language", "relation"):
            for value in sorted({r[key] for r in read}):
                scores["pairs"][value] = summary([r for r in read if r[key] == value])
    read = scored(questions.varied(config), "seeds", all_steps[0])
    runs = [[r["read"]["sticker"] for r in read[k:k + questions.SEEDS]] for k in range(0, len(read), questions.SEEDS)]
    different = sorted(len(set(run)) for run in runs)
    scores["different_stickers"] = {"prompts": len(runs), "seeds": questions.SEEDS, "counts": different,
                                    "mean": round(sum(different) / len(different), 2), "concept_top1": summary(read)["concept_top1"]}
    return scores


def main():
    """Parses the command line, renders, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--config", required=True)
    parser.add_argument("--fidelity", action="store_true")
    parser.add_argument("--t2i")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--steps")
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of the binary; diffusers renders in f32")
    parser.add_argument("--measure")
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    configuration.prepare(config)
    steps, guidance = render.defaults(arguments.model)
    guidance = arguments.cfg_scale or guidance
    name = "fidelity" if arguments.fidelity else "adherence"
    measure = arguments.measure or os.environ.get(f"T2I_{name.upper()}", str(configuration.REPO.parent / "shared" / "tools" / f"{name}.py"))
    renderer = Renderer(config, arguments, guidance)
    made = {"cfg_scale": guidance, "dtype": arguments.dtype}
    if arguments.fidelity:
        all_steps = [int(n) for n in arguments.steps.split(",")] if arguments.steps else sorted({20, steps})
        scores, file = made | {"default": steps, "steps": fidelity(config, renderer, all_steps, measure)}, "fidelity.json"
    else:
        all_steps = [int(n) for n in (arguments.steps or str(steps)).split(",")]
        scores = {"steps": all_steps[0]} | made | adherence(config, renderer, all_steps, arguments.count, Reader(measure, config["data"]))
        file = "scores.json"
    (config["work"] / file).write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
