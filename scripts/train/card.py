"""The model card of an exported model."""

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

## What it knows
{concepts} concepts of the groups {groups}, in the styles {styles}. {note}
English: `NAME` · `NAME, STYLE style` · `NAME on a COLOUR background` · `NAME, STYLE style, on a COLOUR background`.
Chinese: `名称` · `名称,STYLE风格` · `COLOUR背景上的名称`.
Colours: white, black, gray, red, orange, yellow, green, teal, blue, navy, purple, pink.
Anything else gives something between these, or nothing to be made out.

## Parts
| part | parameters |
| --- | --- |
{parts}

## Training
Rectified flow on latents of its own autoencoder; {samples:,} examples in {steps_done:,} steps, {minutes} minutes, after
{text_minutes} minutes of warming the text encoder up and {vae_minutes} minutes of training the autoencoder.
Machine: {machine}. How: `scripts/train/` of the t2i repository.

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
"""

CREDITS = {
    "noto": "Noto Emoji, Google | Apache-2.0", "noto-v1": "Noto Emoji (older shapes), Google | Apache-2.0",
    "fluent-emoji-flat": "Fluent Emoji (flat), Microsoft | MIT", "fluent-emoji": "Fluent Emoji (gradient), Microsoft | MIT",
    "fluent-3d": "Fluent Emoji (3D), Microsoft | MIT", "twemoji": "Twemoji, Twitter and contributors | CC-BY-4.0",
    "fxemoji": "FxEmojis, Mozilla | Apache-2.0", "openclipart": "Open Clip Art Library | CC0 / public domain",
}


def adherence(scores):
    """The table of scores of generated pictures: `scores` is what score.py prints."""
    if not scores:
        return "Generated pictures: not scored yet."
    kinds = [key for key, value in scores.items() if isinstance(value, dict) and "n" in value]
    measures = list(dict.fromkeys(key for kind in kinds for key in scores[kind]))
    lines = [f"\nGenerated pictures ({scores['steps']} steps, guidance {scores['cfg_scale']}), read by their nearest sticker of the whole data"
             " folder; made by `scripts/train/score.py`:\n",
             "| prompts | " + " | ".join(measures) + " |", "| --- |" + " --: |" * len(measures)]
    lines += [f"| {kind} | " + " | ".join(str(scores[kind].get(m, "")) for m in measures) + " |" for kind in kinds]
    if variety := scores.get("different_stickers"):
        lines.append(f"\nOver {variety['seeds']} seeds a prompt without a style is read as {variety['mean']} different stickers (mean of"
                     f" {variety['prompts']} prompts; the least {variety['least']}).")
    return "\n".join(lines)


def write(config, counters, parts, vae, scores, vocabulary):
    """The card as text.

    counters: steps, samples and minutes of the denoiser; parts: parameters by folder; vae, scores: dictionaries.
    """
    return CARD.format(
        name=config["export"]["name"], steps=config["export"]["steps"], guidance=config["export"]["cfg_scale"],
        tokens=config["text"]["max_tokens"], concepts=vocabulary["concepts"], note=vocabulary["note"],
        groups=", ".join(vocabulary["groups"]), styles=", ".join(vocabulary["styles"]),
        parts="\n".join(f"| {name} | {count:,} |" for name, count in sorted(parts.items())),
        samples=counters["samples"], steps_done=counters["steps"], minutes=counters["minutes"],
        text_minutes=config["text"]["minutes"], vae_minutes=vae["minutes"], machine=config["export"]["machine"],
        psnr=vae["psnr"], worst_psnr=vae["worst_psnr"], background_error=vae["background_error"],
        worst_background_error=vae["worst_background_error"], scores=adherence(scores),
        credits="\n".join(f"| {CREDITS[s]} |" for s in config["vocabulary"]["sets"]))
