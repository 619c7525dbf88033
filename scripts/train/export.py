"""The exported folder: a diffusers PixArtAlphaPipeline in bf16, plus t2i.json and the model card."""
import json
import re
import shutil

import torch
from diffusers import AutoencoderKL, PixArtAlphaPipeline
from transformers import T5Tokenizer

import card
import checkpoint
import data
import denoiser
import flow
import onestep
import text
import tokenizer as pieces
import vocabulary


def t5_tokenizer(config, folder):
    """A transformers T5Tokenizer around spiece.model, without T5's extra ids."""
    shutil.copy(pieces.path(config), folder / "spiece.model")
    return T5Tokenizer(str(folder / "spiece.model"), extra_ids=0, legacy=False,
                       model_max_length=config["text"]["max_tokens"])


@torch.no_grad()
def check(config, text_model, model, tokenizer):
    """Fails unless the fast training modules and the exported classes agree."""
    fast_tokens = pieces.Tokenizer(config)
    prompts = ["a red apple", "红苹果", "", "cat face, fluent 3d style, on a blue background", "蓝色背景上的猫脸,立体风格"]
    ids, mask = fast_tokens(prompts)
    theirs = tokenizer(prompts, padding="max_length", max_length=ids.shape[1], truncation=True, return_tensors="pt")
    if not torch.equal(ids, theirs.input_ids) or not torch.equal(mask.long(), theirs.attention_mask):
        raise ValueError("the tokenizers disagree")
    states = text.Encoder(text_model)(ids, mask)
    reference = text_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    if ((states - reference) * mask[..., None]).abs().max() > 1e-3:
        raise ValueError("the text encoders disagree")
    fast = denoiser.Denoiser(model)
    latents, time = torch.randn(len(prompts), 4, 32, 32), torch.linspace(10, 990, len(prompts))
    kept = torch.arange((32 // fast.patch) ** 2).expand(len(prompts), -1)
    velocity = fast(fast.patchify(latents), time, states, mask, kept)
    expected = model(latents, encoder_hidden_states=states, encoder_attention_mask=mask.long(), timestep=time,
                     added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample
    if (velocity - fast.patchify(expected)).abs().max() > 1e-3:
        raise ValueError("the transformers disagree")


def record(config, counters):
    """What training.json keeps for the card and for a run that goes on from the folder: counters, the autoencoder's scores, the curve."""
    # The stable run may have gone on since.
    curve = [point for point in checkpoint.curve(config["work"] / "curve.csv") if point[0] <= counters["samples"]]
    return counters | {"config": config["file"], "vae": checkpoint.load(config["work"] / "vae-scores.pt"), "curve": thinned(curve)}


def thinned(curve, most=100):
    """A learning curve of (samples, loss) by at most about `most` points, each the mean of its neighbours."""
    width = -(-len(curve) // most)
    parts = [curve[k:k + width] for k in range(0, len(curve), width)] if curve else []
    return [[part[-1][0], round(sum(loss for _, loss in part) / len(part), 4)] for part in parts]


def describe(config, folder, **defaults):
    """Writes t2i.json: defaults, those of the configuration unless given, and what the model can draw."""
    settings = {k: config["export"][k] for k in ("steps", "cfg_scale")} | {"max_prompt_tokens": config["text"]["max_tokens"]} | defaults
    described = json.dumps(settings | {"vocabulary": vocabulary.describe(config)}, ensure_ascii=False, indent=2)
    described = re.sub(r"\[[^\]]*\]", lambda found: re.sub(r"\n\s*", " ", found[0]), described)  # a list on one line
    (folder / "t2i.json").write_text(described + "\n", encoding="utf-8")


def write(config, name, text_model, model, counters, scheduler, **defaults):
    """Writes work/export/<name> without its model card; returns it."""
    folder = config["work"] / "export" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = t5_tokenizer(config, config["work"] / "export")
    check(config, text_model.float(), model, tokenizer)
    vae = AutoencoderKL.from_pretrained(config["work"] / "vae")
    pipeline = PixArtAlphaPipeline(tokenizer=tokenizer, text_encoder=text_model.bfloat16(), vae=vae.bfloat16(),
                                   transformer=model.bfloat16(), scheduler=scheduler)
    pipeline.save_pretrained(folder)
    (config["work"] / "export" / "spiece.model").unlink()
    for path in folder.rglob("config.json"):  # diffusers notes where a part was loaded from
        part = json.loads(path.read_text())
        if part.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(part, indent=2) + "\n")
    describe(config, folder, **defaults)
    (folder / "training.json").write_text(json.dumps(record(config, counters)) + "\n", encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    print(f"export {folder} {card.size(folder):.1f} MiB {counters}", flush=True)
    return folder


def run(config, _device=None):
    """Writes work/export/<name> with its model card, and <name>-one-step beside it where the stage onestep has been."""
    text_model, model, counters = flow.trained(config)
    write(config, config["export"]["name"], text_model, model, counters, flow.scheduler(config))
    card.run(config)
    if student := onestep.trained(config):
        write(config, config["export"]["name"] + "-one-step", text_model, *student, onestep.one_step_scheduler(), steps=1, cfg_scale=1.0)
