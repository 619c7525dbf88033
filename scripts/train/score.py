#!/usr/bin/env python3
"""Scores a model by adherence: prompts over its vocabulary, rendered, and read by their nearest sticker.

usage: score.py --model DIR --config FILE [--t2i BINARY] [--count 200] [--steps N] [--cfg-scale G] [--measure adherence.py]
Renders with diffusers, or with the given binary (`BINARY --model DIR --prompt … --seed … -o FILE`). Prints one JSON object
with the measure over all pictures and for each language; pictures and requests stay in the work folder's score/.
"""
import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import captions
import config as configuration
import data


def prompts(config, count, seed=7):
    """`count` test prompts, half English and half Chinese, over styles and backgrounds.

    Each is {"prompt", "seed", "language", "char", "style" or null, "background" or null}.
    """
    rng, rows = random.Random(seed), data.rows(config)
    rows = [row for row in rows if "char" in row and "zh" in row]
    out = []
    for k in range(count):
        row = rng.choice(rows)
        language = "en" if k % 2 == 0 else "zh"
        style = row["style"] if rng.random() < 0.6 else None
        colour = rng.choice(data.COLOUR_NAMES[1:]) if rng.random() < 0.4 else None
        write = captions.english if language == "en" else captions.chinese
        out.append({"prompt": write(row[language].lower(), style, colour), "seed": k, "language": language,
                    "char": row["char"], "style": style, "background": colour})
    return out


def render_binary(binary, model, requests, folder, extra):
    """Renders each request with the command-line tool."""
    for k, request in enumerate(requests):
        subprocess.run([binary, "--model", str(model), "--prompt", request["prompt"], "--seed", str(request["seed"]),
                        "-o", str(folder / f"{k:04}.png"), *extra], check=True, stdout=subprocess.DEVNULL)


def render_diffusers(model, requests, folder, steps, guidance, batch=20):
    """Renders the requests with diffusers in float32, `batch` at a time."""
    import torch
    from diffusers import PixArtAlphaPipeline
    pipe = PixArtAlphaPipeline.from_pretrained(model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if torch.cuda.is_available():
        pipe.to("cuda")
    tokens = json.loads((model / "t2i.json").read_text(encoding="utf-8"))["max_prompt_tokens"]
    for start in range(0, len(requests), batch):
        part = requests[start:start + batch]
        images = pipe([r["prompt"] for r in part], num_inference_steps=steps, guidance_scale=guidance, height=256, width=256,
                      use_resolution_binning=False, max_sequence_length=tokens, clean_caption=False,
                      generator=[torch.Generator().manual_seed(r["seed"]) for r in part]).images
        for k, image in enumerate(images, start):
            image.save(folder / f"{k:04}.png")


def measure(script, data_folder, subsets, folder):
    """Runs the adherence script on named lists of requests, side by side; returns its numbers by name."""
    running = {}
    for name, requests in subsets.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in requests), encoding="utf-8")
        running[name] = subprocess.Popen([sys.executable, script, "--data", str(data_folder), str(path)],
                                         stdout=subprocess.PIPE)
    results = {}
    for name, process in running.items():
        output = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"{script} failed on {name}.jsonl")
        results[name] = json.loads(output)
    return results


def main():
    """Parses the command line, renders, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--config", required=True)
    parser.add_argument("--t2i")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--measure", default=os.environ.get(
        "T2I_ADHERENCE", str(configuration.REPO.parent / "shared" / "tools" / "adherence.py")))
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    configuration.prepare(config)
    folder = config["work"] / "score"
    folder.mkdir(exist_ok=True)
    settings = json.loads((arguments.model / "t2i.json").read_text(encoding="utf-8"))
    steps = arguments.steps or settings["steps"]
    guidance = arguments.cfg_scale or settings["cfg_scale"]
    requests = prompts(config, arguments.count)
    if arguments.t2i:
        extra = ["--steps", str(steps), "--cfg-scale", str(guidance)]
        render_binary(arguments.t2i, arguments.model, requests, folder, extra)
    else:
        render_diffusers(arguments.model, requests, folder, steps, guidance)
    for k, request in enumerate(requests):
        request["image"] = str(folder / f"{k:04}.png")
    subsets = {"all": requests} | {x: [r for r in requests if r["language"] == x] for x in ("en", "zh")}
    scores = {"steps": steps, "cfg_scale": guidance}
    scores |= measure(arguments.measure, config["data"], subsets, folder)
    (config["work"] / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
