"""Takes up an exported folder as the state to train on from: its tokenizer, its autoencoder and its averaged weights."""
import json
import shutil

import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from transformers import T5EncoderModel

import checkpoint
import data
import flow
import tokenizer
import vae


def run(config, device):
    """Fills the work folder from the model folder `from`, so that the stage `denoiser` goes on from it.

    Writes spiece.model, vae/ with its scores, curve.csv and denoiser.pt. The optimizer starts afresh; the weights are the folder's,
    in its precision. Raises ValueError where a run has been started, FileNotFoundError where the folder is no exported one.
    """
    folder, work = config["from"], config["work"]
    if (work / "denoiser.pt").exists():
        raise ValueError(f"{work / 'denoiser.pt'} exists: a run is under way there")
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    shutil.copy(folder / "tokenizer" / "spiece.model", tokenizer.path(config))
    coder = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).to(device, memory_format=torch.channels_last)
    pictures = data.pictures(config)
    vae.finish(config, coder, pictures, vae.split(pictures, config["vae"]["held_out"])[1], data.palette(), device, record["vae"])
    parts = (T5EncoderModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32),
             PixArtTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32))
    state = flow.Run(config, device)
    for mine, theirs in zip((state.objective.encoder.model, state.objective.denoiser.model), parts):
        mine.load_state_dict(theirs.state_dict())
    state.average = checkpoint.Average(state.objective, config["denoiser"]["average"])
    state.step = state.begun = record["steps"]
    state.samples = record["samples"]
    state.clock = checkpoint.Clock(record["minutes"] * 60)
    (work / "curve.csv").unlink(missing_ok=True)
    for samples, loss in record["curve"]:
        checkpoint.note(work / "curve.csv", samples, loss)
    state.save(work / "denoiser.pt")
    print(f"goes on from {folder}: {state.samples} samples, {record['minutes']} minutes", flush=True)
