"""Renders prompts with a model folder: by the command-line tool or by diffusers."""
import json
import subprocess


def defaults(model):
    """(steps, guidance) of a model folder's t2i.json."""
    settings = json.loads((model / "t2i.json").read_text(encoding="utf-8"))
    return settings["steps"], settings["cfg_scale"]


def by_program(binary, model, requests, folder, steps, guidance, dtype="auto"):
    """Renders requests ({"id", "prompt", "seed"}) as folder/ID.png with the command-line tool, from one prompt file."""
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"], "seed": r["seed"]}, ensure_ascii=False) + "\n"
                            for r in requests), encoding="utf-8")
    subprocess.run([binary, "batch", str(path), "--model", str(model), "-o", str(folder), "--steps", str(steps),
                    "--cfg-scale", str(guidance), "--dtype", dtype, "-q"], check=True, stdout=subprocess.DEVNULL)


def by_diffusers(model, requests, folder, steps, guidance, batch=20, dtype="float32"):
    """Renders the requests with diffusers, `batch` at a time; `dtype` is PyTorch's name."""
    import torch
    from diffusers import PixArtAlphaPipeline
    pipe = PixArtAlphaPipeline.from_pretrained(model, torch_dtype=getattr(torch, dtype))
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
