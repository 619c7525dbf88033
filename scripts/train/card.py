"""The model card of an exported model."""
import json

from safetensors.torch import load_file

import questions

CARD = """# {name}

A small text-to-image model that draws emoji-like stickers, 256x256, from short English and Chinese prompts.
It is a diffusers `PixArtAlphaPipeline` with weights in bfloat16, and it was trained from scratch on the stickers
named below alone.

```python
from diffusers import PixArtAlphaPipeline
pipe = PixArtAlphaPipeline.from_pretrained("{name}")
pipe("cat face on a blue background", num_inference_steps={steps}, guidance_scale={guidance},
     height=256, width=256, use_resolution_binning=False, max_sequence_length={tokens}).images[0].save("out.png")
```

![64 pictures](contact.png)

*64 prompts drawn by the seeds 0 to 63, which also drew the pictures: none chosen by its result (`scripts/train/sheet.py contact`).
Row by row: {sheet}.*

## What it can draw
{concepts} concepts of the groups {groups}, listed at the end of this page and by `t2i inspect`. {note}

- English: `NAME` · `NAME, STYLE style` · `NAME on a COLOUR background` · `NAME, STYLE style, on a COLOUR background`;
  Chinese: `名称` · `名称,STYLE风格` · `COLOUR背景上的名称`; other orders of the same words, articles and many synonyms too.
{pairs}- Styles: {styles}. Without one the seed chooses.
- Backgrounds: {colours}.

## What it cannot draw
Anything else: other things, words that are not in its list, {beyond}numbers of things, letters, scenes, photographs.
A prompt without a word that it knows gives a vague shape; `t2i` warns and names the nearest words that it knows. It learnt {patch} pixels of its latents at a time, so fine
detail (the shading of fluent 3d above all) is softer than in the stickers that it learnt from, and a coloured background costs it
some accuracy. More guidance than the default makes pictures starker, and seeds more alike.

## Parts
| part | parameters |
| --- | --- |
{parts}

In all {size:.1f} MiB without this page and its picture.

## Training
Rectified flow on latents of its own autoencoder; {samples:,} examples in {steps_done:,} steps, {minutes} minutes, after
warming the text encoder up on {text_examples:,} captions and {vae_minutes} minutes of training the autoencoder.
Machine: {machine}. Command, for every stage or one, each going on where it stopped:

```sh
python scripts/train/train.py --config scripts/train/{config}
```
{history}
{curve}

## Scores
Autoencoder, on pictures held out: PSNR {psnr} dB (worst {worst_psnr} dB); flat backgrounds are off by {background_error}
levels of 255 on average (worst {worst_background_error}).
{scores}

## Data, licences and credits
| pictures | licence |
| --- | --- |
{credits}

Twemoji: graphics by Twitter, Inc. and other contributors, licensed under CC-BY 4.0
(https://creativecommons.org/licenses/by/4.0/); pictures made by this model may resemble them.
Captions: Unicode CLDR short names and keywords, Unicode License v3.

## The concepts
{names}
"""

CREDITS = {
    "noto": "Noto Emoji, Google | Apache-2.0", "noto-v1": "Noto Emoji (older shapes), Google | Apache-2.0",
    "fluent-emoji-flat": "Fluent Emoji (flat), Microsoft | MIT", "fluent-emoji": "Fluent Emoji (gradient), Microsoft | MIT",
    "fluent-3d": "Fluent Emoji (3D), Microsoft | MIT", "twemoji": "Twemoji, Twitter and contributors | CC-BY-4.0",
    "fxemoji": "FxEmojis, Mozilla | Apache-2.0", "openclipart": "Open Clip Art Library | CC0 / public domain",
}


PAIRS = """- Two of them: `NAME to the left of NAME` · `NAME above NAME` · `名称在名称的左边` · `名称在名称的上面`, each with style and background
  too.
"""

MEASURES = {"n": "pictures", "concept_top1": "concept", "concept_top5": "concept among five", "style_top1": "concept and style",
            "background_ok": "background"}


def table(head, rows):
    """A table of measures, one line for each entry of `rows`."""
    lines = [f"| {head} | " + " | ".join(MEASURES.values()) + " |", "| --- |" + " --: |" * len(MEASURES)]
    return lines + [f"| {name} | " + " | ".join(str(row.get(m, "")) for m in MEASURES) + " |" for name, row in rows.items()]


def adherence(scores):
    """The tables of scores of generated pictures: `scores` is what score.py prints."""
    if not scores:
        return "Generated pictures: not scored yet."
    lines = [f"\nGenerated pictures ({scores['steps']} steps, guidance {scores['cfg_scale']}, {scores['dtype']}), read by their nearest sticker"
             " of the whole data folder (1,917 concepts, seven styles); made by `scripts/train/score.py`. English and Chinese ask for the same concepts, styles"
             " and backgrounds with the same seeds.",
             "\nPrompts in an order of words that training never wrote (\"noto style, giraffe, navy background\"):\n"]
    lines += table("prompts", scores["reordered"])
    lines.append("\nThe same with a style in each and no background:\n")
    lines += table("prompts", scores["styled on white"])
    lines.append("\nPrompts in the plain order that training keeps back (since when, see Training), nearly all with a background:\n")
    lines += table("prompts", scores["kept back"])
    if by_steps := scores.get("by steps"):
        lines.append("\nThe first kind at other numbers of steps:\n")
        lines += table("steps", dict(sorted(by_steps.items(), key=lambda item: int(item[0]))))
    if pairs := scores.get("pairs"):
        lines.append("\nTwo things together, a pair that training never showed in this order; right where both halves are read so:\n")
        lines += ["| prompts | pictures | both | background |", "| --- | --: | --: | --: |"]
        lines += [f"| {name} | {row['n']} | {row['pair_top1']} | {row['background_ok']} |" for name, row in pairs.items()]
    if absent := scores.get("absent"):
        lines.append(f"\nThe data lack some concepts in some styles. {absent['n'] // 2} such pairs asked for all the same, in both languages, the concept"
                     f" is right in {absent['concept_top1']} of the pictures; whether the style is cannot be read here, as no such sticker is"
                     " at hand to compare with.")
    if variety := scores.get("different_stickers"):
        counts = ", ".join(str(n) for n in variety["counts"])
        lines.append(f"\nOver {variety['seeds']} seeds a prompt without a style is read as {variety['mean']} different stickers (mean of"
                     f" {variety['prompts']} prompts: {counts}); the concept is right in {variety['concept_top1']} of these pictures.")
    return "\n".join(lines)


def fidelity(scores):
    """The table of score.py --fidelity."""
    if not scores:
        return ""
    lines = ["\nAgainst the sticker asked for, at full resolution (`score.py --fidelity`: prompts with style over the whole vocabulary; psnr and"
             " sharpness of those read, within 12 dB; roughness of areas that should be flat, in levels of 255, a sticker's own being 0.3):\n",
             "| steps | pictures | read | psnr dB | roughness | sharpness |", "| --: | --: | --: | --: | --: | --: |"]
    return "\n".join(lines + [f"| {steps} | {row['n']} | {row['read']} | {row['psnr_db']} | {row['roughness']} | {row['sharpness']} |"
                              for steps, row in sorted(scores["steps"].items(), key=lambda item: int(item[0]))])


def learning(curve):
    """The learning curve as a table of ten lines: `curve` is (samples, loss) in the order of training."""
    if not curve:
        return ""
    lines, last = ["\n| samples | loss |", "| --: | --: |"], curve[-1][0]
    for tenth in range(10):
        part = [loss for samples, loss in curve if last * tenth / 10 < samples <= last * (tenth + 1) / 10]
        if part:
            lines.append(f"| to {last * (tenth + 1) // 10:,} | {sum(part) / len(part):.4f} |")
    return "\n".join(lines)


def size(folder):
    """MiB of a model folder without the card."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name not in ("README.md", "contact.png")) / 2**20


def run(config, _device=None):
    """Writes README.md of work/export/<name>, with the scores of work/scores.json and work/fidelity.json where there are any."""
    work = config["work"]
    folder, has_pairs = work / "export" / config["export"]["name"], config["denoiser"]["pairs"] > 0
    scores, clean = (json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
                     for path in (work / "scores.json", work / "fidelity.json"))
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    words = json.loads((folder / "t2i.json").read_text(encoding="utf-8"))["vocabulary"]
    vae = record["vae"]
    parts = {path.parent.name: sum(t.numel() for t in load_file(path).values()) for path in folder.rglob("*.safetensors")}
    names = [" ".join(pair) for pair in zip(words["names"]["en"], words["names"]["zh"])]
    (folder / "README.md").write_text(CARD.format(
        name=config["export"]["name"], steps=config["export"]["steps"], guidance=config["export"]["cfg_scale"],
        tokens=config["text"]["max_tokens"], concepts=words["concepts"], note=words["note"], patch=f"{config['denoiser']['patch']}x"
        f"{config['denoiser']['patch']}", groups=", ".join(words["groups"]), styles=", ".join(words["styles"]),
        colours=", ".join(words["backgrounds"]), names=" · ".join(names), size=size(folder),
        sheet=" · ".join(request["prompt"] for request in questions.sheet(config)), config=config["file"],
        parts="\n".join(f"| {name} | {count:,} |" for name, count in sorted(parts.items())),
        samples=record["samples"], steps_done=record["steps"], minutes=record["minutes"], history=config["export"].get("history", ""),
        curve=learning(record["curve"]),
        text_examples=config["text"]["examples"], vae_minutes=vae["minutes"], machine=config["export"]["machine"],
        psnr=vae["psnr"], worst_psnr=vae["worst_psnr"], background_error=vae["background_error"],
        worst_background_error=vae["worst_background_error"], scores=adherence(scores) + fidelity(clean),
        pairs=PAIRS if has_pairs else "", beyond="" if has_pairs else "two things together, ",
        credits="\n".join(f"| {CREDITS[s]} |" for s in config["vocabulary"]["sets"])), encoding="utf-8")
