#!/usr/bin/env python3
"""Scores a model by adherence: prompts over its vocabulary, rendered, and read by their nearest sticker.

usage: score.py --model DIR --config FILE [--t2i BINARY] [--count 400] [--steps 4,8,20,50] [--cfg-scale G] [--dtype f32|bf16] [--measure adherence.py]
Renders with the given binary (`BINARY batch`) or with diffusers. Prints one JSON object and leaves it in scores.json of the work
folder. Over prompts that training never used, in an order that training never writes and in the plain order of the caption
language (questions.py): the measure over all, by language (the same concepts, styles, backgrounds and seeds in both), by style and
by background. Over the first kind also for every number of steps; the rest is of the first of them. Then every (concept, style)
that the data lack, and how many different stickers a prompt without a style gives over its seeds. Pictures stay in the work folder's
score/.
"""
import argparse
import json
import os
from pathlib import Path

import config as configuration
import questions
import render
from reading import Reader


def summary(requests):
    """Shares over requests that have been read."""
    out = {"n": len(requests)}
    for key in ("concept_top1", "concept_top5", "style_top1", "background_ok"):
        values = [r["read"][key] for r in requests if r["read"][key] is not None]
        if values:
            out[key] = round(sum(values) / len(values), 4)
    return out


def main():
    """Parses the command line, renders, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--config", required=True)
    parser.add_argument("--t2i")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--steps")
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of the binary; diffusers renders in f32")
    parser.add_argument("--measure", default=os.environ.get(
        "T2I_ADHERENCE", str(configuration.REPO.parent / "shared" / "tools" / "adherence.py")))
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    configuration.prepare(config)
    steps, guidance = render.defaults(arguments.model)
    guidance = arguments.cfg_scale or guidance
    all_steps = [int(n) for n in (arguments.steps or str(steps)).split(",")]
    reader = Reader(arguments.measure, config["data"])

    def scored(requests, name, steps):
        folder = config["work"] / "score" / f"{name}-{steps}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        requests = [request | {"id": f"{k:04}"} for k, request in enumerate(requests)]
        if arguments.t2i:
            render.by_program(arguments.t2i, arguments.model, requests, folder, steps, guidance, arguments.dtype)
        else:
            render.by_diffusers(arguments.model, requests, folder, steps, guidance)
        read = reader.read(requests, [folder / f"{request['id']}.png" for request in requests])
        return [request | {"read": one} for request, one in zip(requests, read)]

    scores = {"steps": all_steps[0], "cfg_scale": guidance, "dtype": arguments.dtype}
    for form in questions.WRITERS:
        read = scored(questions.prompts(config, arguments.count, form), form.replace(" ", "-"), all_steps[0])
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
            scores["by steps"][steps] = summary(scored(questions.prompts(config, arguments.count, form), form.replace(" ", "-"), steps))
    if requests := questions.absent(config):
        scores["absent"] = summary(scored(requests, "absent", all_steps[0]))
    read = scored(questions.varied(config), "seeds", all_steps[0])
    runs = [[r["read"]["sticker"] for r in read[k:k + questions.SEEDS]] for k in range(0, len(read), questions.SEEDS)]
    different = sorted(len(set(run)) for run in runs)
    scores["different_stickers"] = {"prompts": len(runs), "seeds": questions.SEEDS, "counts": different,
                                    "mean": round(sum(different) / len(different), 2), "concept_top1": summary(read)["concept_top1"]}
    (config["work"] / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
