#!/usr/bin/env python3
"""Scores a model by adherence: prompts over its vocabulary, rendered, and read by their nearest sticker.

usage: score.py --model DIR --config FILE [--t2i BINARY] [--count 400] [--steps 4,8,20,50] [--cfg-scale G] [--measure adherence.py]
Renders with the given binary (`BINARY batch`) or with diffusers. Every picture is read by the measure's own functions. Prints one
JSON object and leaves it in scores.json of the work folder: the measure over all pictures, for each language (the same concepts,
styles, backgrounds and seeds in both) and for each style; with several numbers of steps the first is the one that they are of,
and the others are scored over all pictures; and how many different stickers a prompt without a style gives over its seeds.
Pictures and requests stay in the work folder's score/.
"""
import argparse
import importlib.util
import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

import captions
import config as configuration
import data

SEED_PROMPTS, SEEDS = 8, 16  # of the measure of variety


def prompts(config, count, seed=7):
    """`count` test prompts over concepts, styles and backgrounds, each in English and then in Chinese with the same seed.

    Each is {"prompt", "seed", "language", "char", "style" or null, "background" or null}.
    """
    rng, rows = random.Random(seed), data.rows(config)
    rows = [row for row in rows if "char" in row and "zh" in row]
    out = []
    for k in range(count // 2):
        row = rng.choice(rows)
        style = row["style"] if rng.random() < 0.6 else None
        colour = rng.choice(data.COLOUR_NAMES[1:]) if rng.random() < 0.4 else None
        for language, write in (("en", captions.english), ("zh", captions.chinese)):
            out.append({"prompt": write(row[language].lower(), style, colour), "seed": k, "language": language,
                        "char": row["char"], "style": style, "background": colour})
    return out


def varied(config, seed=11):
    """SEED_PROMPTS prompts of concepts that have several stickers, without a style, each with SEEDS seeds."""
    by_char = {}
    for row in data.rows(config):
        by_char.setdefault(row["char"], []).append(row)
    chars = sorted(char for char, rows in by_char.items() if len({row["style"] for row in rows}) >= 4 and "zh" in rows[0])
    out = []
    for k, char in enumerate(random.Random(seed).sample(chars, SEED_PROMPTS)):
        language, write = (("en", captions.english), ("zh", captions.chinese))[k % 2]
        prompt = write(by_char[char][0][language].lower(), None, None)
        out += [{"prompt": prompt, "seed": s, "language": language, "char": char, "style": None, "background": None} for s in range(SEEDS)]
    return out


def render_binary(binary, model, requests, folder, steps, guidance):
    """Renders the requests with the command-line tool, from one prompt file."""
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"], "seed": r["seed"]}, ensure_ascii=False) + "\n"
                            for r in requests), encoding="utf-8")
    subprocess.run([binary, "batch", str(path), "--model", str(model), "-o", str(folder), "--steps", str(steps),
                    "--cfg-scale", str(guidance), "-q"], check=True, stdout=subprocess.DEVNULL)


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
        for request, image in zip(part, images):
            image.save(folder / f"{request['id']}.png")


class Reader:
    """Reads pictures by the measure's functions: which sticker each shows, and whether its background is the asked-for one."""

    def __init__(self, script, data_folder):
        spec = importlib.util.spec_from_file_location("adherence", script)
        self.measure = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.measure)
        self.references = self.measure.load_references(str(data_folder), None)
        self.rows = self.references[2]
        self.concept = {row["char"]: row["concept"] for row in self.rows}

    def read(self, request, path):
        """{"concept_top1", "concept_top5", "style_top1" (None without a style), "background_ok", "sticker"}: as the measure
        counts them; the sticker is its file."""
        picture = Image.open(path).convert("RGB")
        pixels, back = np.asarray(picture, np.float32), self.measure.rgb(request["background"])
        corners = np.concatenate([pixels[y, x].reshape(-1, 3) for y in (slice(6), slice(-6, None)) for x in (slice(6), slice(-6, None))])
        thumb = np.asarray(picture.resize((self.measure.THUMB,) * 2, Image.BOX), np.float32)
        order, _ = self.measure.nearest(thumb, self.references, back)
        found = list(dict.fromkeys(self.rows[i]["concept"] for i in order))
        want, best = self.concept.get(request["char"], request["char"]), self.rows[order[0]]
        return {"concept_top1": found[0] == want, "concept_top5": want in found[:5],
                "style_top1": (best["style"] == request["style"] and found[0] == want) if request["style"] else None,
                "background_ok": bool(np.abs(np.median(corners, 0) - back).max() < 24), "sticker": best["file"]}


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
    parser.add_argument("--measure", default=os.environ.get(
        "T2I_ADHERENCE", str(configuration.REPO.parent / "shared" / "tools" / "adherence.py")))
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    configuration.prepare(config)
    settings = json.loads((arguments.model / "t2i.json").read_text(encoding="utf-8"))
    guidance = arguments.cfg_scale or settings["cfg_scale"]
    all_steps = [int(n) for n in (arguments.steps or str(settings["steps"])).split(",")]
    reader = Reader(arguments.measure, config["data"])

    def scored(requests, name, steps):
        folder = config["work"] / "score" / f"{name}-{steps}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        requests = [request | {"id": f"{k:04}"} for k, request in enumerate(requests)]
        if arguments.t2i:
            render_binary(arguments.t2i, arguments.model, requests, folder, steps, guidance)
        else:
            render_diffusers(arguments.model, requests, folder, steps, guidance)
        return [request | {"read": reader.read(request, folder / f"{request['id']}.png")} for request in requests]

    scores = {"steps": all_steps[0], "cfg_scale": guidance}
    for steps in all_steps:
        read = scored(prompts(config, arguments.count), "prompts", steps)
        if steps != all_steps[0]:
            scores[f"{steps} steps"] = summary(read)
            continue
        scores["all"] = summary(read)
        for key in ("language", "style"):
            for value in sorted({r[key] for r in read if r[key]}):
                scores[value] = summary([r for r in read if r[key] == value])
    read = scored(varied(config), "seeds", all_steps[0])
    different = [len({r["read"]["sticker"] for r in read[k:k + SEEDS]}) for k in range(0, len(read), SEEDS)]
    scores["different_stickers"] = {"prompts": len(different), "seeds": SEEDS, "least": min(different),
                                    "mean": round(sum(different) / len(different), 2)}
    (config["work"] / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
