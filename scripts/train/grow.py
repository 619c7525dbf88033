"""Grows an exported model into a larger vocabulary and a deeper denoiser, so that training does not start from nothing.

- A piece that both tokenizers have keeps its embedding; a new piece starts as the mean of what the old tokenizer makes of it.
- The denoiser's blocks are spread over the new depth. Every block between them is a copy of the one before whose outputs are
  zero: at first it changes nothing, and its queries, keys and hidden units mean something from the start.
- The text warm-up aims at a fixed linear map from pooled text to latents, fitted to the old encoder over the pictures that it
  knows. New words so come to lie where the old denoiser already draws something like their picture.
"""
import json
import random
import shutil

import sentencepiece
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from transformers import T5EncoderModel

import captions
import checkpoint
import data
import denoiser
import latents as cache
import text
import tokenizer as pieces
import vae

RIDGE = 1e-3         # of the linear map, relative to the pooled text's mean square
FIT_EXAMPLES = 6144  # captions that the linear map is fitted to


def path(config):
    """Where the grown weights lie: {"text", "transformer": state dictionaries, "head": {"weight", "bias"}}."""
    return config["work"] / "grown.pt"


def embeddings(before, known, after, fresh):
    """The grown embedding table: `known` [P, D] belongs to the SentencePiece model `before`, `fresh` [Q, D] to `after`."""
    grown = fresh.clone().normal_(0, float(known.std()))
    for index in range(after.get_piece_size()):
        piece = after.id_to_piece(index)
        same = before.piece_to_id(piece)
        if index <= pieces.UNKNOWN or same != pieces.UNKNOWN:
            grown[index] = known[index if index <= pieces.UNKNOWN else same]
            continue
        parts = [p for p in before.encode(piece.replace("\u2581", " ").strip()) if p != pieces.UNKNOWN]
        if parts:
            grown[index] = known[parts].mean(0)
    return grown


def deepen(before, after):
    """Copies a PixArtTransformer2DModel into one of the same width and more layers that computes the same, in place."""
    shared = {k: v for k, v in before.state_dict().items() if not k.startswith("transformer_blocks.")}
    missing = after.load_state_dict(shared, strict=False).missing_keys
    if any(not k.startswith("transformer_blocks.") for k in missing):
        raise ValueError("the denoisers differ in more than their depth")
    old, new = before.transformer_blocks, after.transformer_blocks
    places = [j * len(new) // len(old) for j in range(len(old))]
    for index, block in enumerate(new):
        source = max(j for j, place in enumerate(places) if place <= index)
        block.load_state_dict(old[source].state_dict())
        if places[source] != index:
            for layer in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2]):
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.zeros_(layer.bias)


@torch.no_grad()
def linear_map(config, encoder, tokenizer, groups):
    """The ridge regression from the pooled text of `encoder` to latents over the pictures of `groups`: {"weight", "bias"} on the CPU."""
    rows, stock = data.rows(config), cache.Latents(config)
    captioner, rng = captions.Captioner(rows, config["captions"]), random.Random(config["seed"])
    usable = [i for i, row in enumerate(rows) if row.get("group") in groups]
    columns = stock.grounds.shape[1]
    inputs, targets = [], []
    for _ in range(FIT_EXAMPLES // 64):
        picked = [(rng.choice(usable), 0 if rng.random() < 0.5 else rng.randrange(1, columns)) for _ in range(64)]
        ids, mask = tokenizer([captioner.draw(i, data.COLOUR_NAMES[stock.grounds[i, k]], rng) for i, k in picked])
        weights = mask.float()[..., None]
        inputs.append((encoder(ids, mask) * weights).sum(1) / weights.sum(1))
        targets.append(torch.stack([stock.values[i, k].float().flatten() for i, k in picked]))
    x, y = torch.cat(inputs).double(), torch.cat(targets).double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    penalty = RIDGE * x.square().sum() / x.shape[1]
    weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]), x.T @ y).T
    print(f"a linear map explains {1 - (y - x @ weight.T).square().sum() / y.square().sum():.1%} of the known pictures", flush=True)
    return {"weight": weight.float(), "bias": (mean_y - weight @ mean_x).float()}


def run(config, device):
    """Fills the work folder from the model folder `from`: vae/ with its scores, its latents (unless they are under way), and grown.pt.

    The stages `text` and `denoiser` start from grown.pt. Needs the stages data and tokenizer. Raises ValueError where a run has been
    started or where the configuration differs in more than vocabulary and depth.
    """
    folder, work = config["from"], config["work"]
    if (work / "text.pt").exists() or (work / "denoiser.pt").exists():
        raise ValueError(f"{work}: a run is under way there")
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    if not (work / "vae").exists():
        shutil.copytree(folder / "vae", work / "vae")
    coder = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).to(device, memory_format=torch.channels_last)
    pictures = data.pictures(config)
    vae.finish(config, coder, pictures, vae.split(pictures, config["vae"]["held_out"])[1], data.palette(), device, record["vae"])
    if not (work / "latents.done").exists():
        cache.build_cache(config, device)
    old_text = T5EncoderModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
    old_pieces = pieces.Tokenizer(config, folder / "tokenizer" / "spiece.model")
    new_pieces = pieces.Tokenizer(config)
    new_text = text.build(config["text"], len(new_pieces))
    weights = old_text.state_dict()
    table = embeddings(old_pieces.model, old_text.shared.weight.detach(), new_pieces.model, new_text.shared.weight.detach())
    new_text.load_state_dict(weights | {k: table for k in weights if k in ("shared.weight", "encoder.embed_tokens.weight")})
    transformer = denoiser.build(config["denoiser"], config["text"]["width"])
    deepen(PixArtTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32), transformer)
    groups = json.loads((folder / "t2i.json").read_text(encoding="utf-8"))["vocabulary"]["groups"]
    head = linear_map(config, text.Encoder(old_text), old_pieces, groups)
    checkpoint.save(path(config), {"text": new_text.state_dict(), "transformer": transformer.state_dict(), "head": head})
