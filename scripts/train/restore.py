"""What a denoiser leaves of a sticker: latents noised half way and brought back, for a decoder that learns to clean them."""
import json
import random

import torch
from diffusers import PixArtTransformer2DModel
from transformers import T5EncoderModel

import captions
import config as configuration
import data
import denoiser
import flow
import text
import tokenizer as pieces


def unpatchify(tokens, patch):
    """Tokens [B, N, patch * patch * 4] in the order of Denoiser.patchify back to latents [B, 4, H, W], H = W."""
    size = int(tokens.shape[1] ** 0.5)
    x = tokens.view(-1, size, size, patch, patch, 4)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, 4, size * patch, size * patch)


def integrate(model, x, times, states, mask, guidance):
    """Brings patchified latents x [B, N, D] from times[0] to times[-1] (of 0…1, falling) in Euler steps with guidance.

    states, mask: [2B, L, C] and [2B, L], of the captions and then of as many empty ones.
    """
    kept = torch.arange(x.shape[1], device=x.device).expand(2 * len(x), -1)
    for start, end in zip(times, times[1:]):
        t = torch.full((2 * len(x),), 1000 * start, device=x.device)
        told, plain = model(torch.cat([x, x]), t, states, mask, kept).float().chunk(2)
        x = x - (start - end) * (plain + guidance * (told - plain))
    return x


class Restorer:
    """Brings noised latents back with the model folder `decoder.model`, or with the run's own denoiser where that is null.

    Attributes: usable, the indices of the rows that this denoiser knows.
    """

    def __init__(self, config, device):
        self.options, self.device, self.autocast = config["decoder"], device, config["autocast"]
        rows, name = data.rows(config), config["decoder"]["model"]
        if name is None:
            text_model, model, _ = flow.trained(config)
            self.tokenizer, groups = pieces.Tokenizer(config), None
        else:
            folder = configuration.REPO / name
            text_model = T5EncoderModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
            model = PixArtTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32)
            self.tokenizer = pieces.Tokenizer(config, folder / "tokenizer" / "spiece.model")
            groups = json.loads((folder / "t2i.json").read_text(encoding="utf-8"))["vocabulary"]["groups"]
        self.usable = [i for i, row in enumerate(rows) if groups is None or row.get("group") in groups]
        self.encoder = text.Encoder(text_model).to(device).eval()
        self.denoiser = denoiser.Denoiser(model).to(device).eval()
        self.captioner = captions.Captioner(rows, config["captions"])

    @torch.no_grad()
    def restore(self, latents, indices, colours, generator):
        """What is left of true latents [B, 4, 32, 32] of the rows `indices` on the named `colours`, on the device.

        They are noised to a time between `times`, one for the batch, and integrated to 0 in one of `steps` Euler steps with guidance
        and a training caption.
        """
        count, o = len(indices), self.options
        rng = random.Random(int(torch.randint(2**31, (), generator=generator)))
        ids, mask = self.tokenizer([self.captioner.draw(i, c, rng) for i, c in zip(indices, colours)] + [""] * count)
        longest = int(mask.sum(1).max())
        ids, mask = ids[:, :longest].to(self.device), mask[:, :longest].to(self.device)
        start, steps = rng.uniform(*o["times"]), rng.choice(o["steps"])
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        x = self.denoiser.patchify((1 - start) * latents.to(self.device) + start * noise)
        times = [start * (1 - k / steps) for k in range(steps + 1)]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            x = integrate(self.denoiser, x, times, self.encoder(ids, mask), mask, o["guidance"])
        return unpatchify(x, self.denoiser.patch)
