"""Reads pictures by the adherence measure: which sticker each one shows.

The measure compares one picture at a time with every sticker of the data. Here pictures on one background are compared together,
by one matrix product a shift; the first of each background is also read by the measure's own function, and both must agree.
"""
import importlib.util
from collections import defaultdict

import numpy as np
from PIL import Image

SHIFTS = (1, 2, 3)  # of the measure, in thumbnail pixels
TOGETHER = 64       # pictures of one product


class Reader:
    """The measure (the path of adherence.py) over the stickers of a data folder.

    Attributes: concept, from a `char` to the concept that it counts as; rows, the references' caption rows.
    """

    def __init__(self, script, data_folder):
        spec = importlib.util.spec_from_file_location("adherence", script)
        self.measure = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.measure)
        self.references = self.measure.load_references(str(data_folder), None)
        self.rows = self.references[2]
        self.concept = {row["char"]: row["concept"] for row in self.rows}

    def _open(self, path, request):
        """(thumbnails, one or of a pair one of each half, float [P, 32, 32, 3]; median colour of the corners [3]) of a picture."""
        picture = Image.open(path).convert("RGB")
        pixels = np.asarray(picture, np.float32)
        corners = np.concatenate([pixels[y, x].reshape(-1, 3) for y in (slice(6), slice(-6, None)) for x in (slice(6), slice(-6, None))])
        parts = [picture]
        if "chars" in request:
            places = [(128 * k, 64) if request["relation"] == "left" else (64, 128 * k) for k in range(2)]
            parts = [picture.crop((x, y, x + 128, y + 128)) for x, y in places]
        thumbs = [np.asarray(part.resize((self.measure.THUMB,) * 2, Image.BOX), np.float32) for part in parts]
        return np.stack(thumbs), np.median(corners, 0)

    def _nearest(self, thumbs, on):
        """The 60 nearest references of each thumbnail [P, 32, 32, 3], nearest first; on: references on the background [N, 2352]."""
        best = None
        norm = np.einsum("nd,nd->n", on, on)
        for dy in SHIFTS:
            for dx in SHIFTS:
                part = thumbs[:, dy:dy + 28, dx:dx + 28].reshape(len(thumbs), -1)
                distance = norm - 2 * part @ on.T + np.einsum("pd,pd->p", part, part)[:, None]
                best = distance if best is None else np.minimum(best, distance)
        return np.argsort(best, 1)[:, :60]

    def read(self, requests, paths):
        """One dictionary a request, as the measure counts: {"concept_top1", "concept_top5", "style_top1" (None without a style),
        "background_ok", "sticker" (the file of the nearest)}; of a pair {"pair_top1", "background_ok"}."""
        groups, out = defaultdict(list), [None] * len(requests)
        for index, request in enumerate(requests):
            groups[request["background"]].append(index)
        pre, alpha, _ = self.references
        for background, indices in groups.items():
            colour = self.measure.rgb(background)
            on = (pre + (1 - alpha) * colour).reshape(len(pre), -1)
            for start in range(0, len(indices), TOGETHER):
                part = indices[start:start + TOGETHER]
                opened = [self._open(paths[i], requests[i]) for i in part]
                thumbs = np.concatenate([found for found, _ in opened])
                orders = iter(self._nearest(thumbs, on))
                for i, (found, corners) in zip(part, opened):
                    own = [next(orders) for _ in found]
                    if i == indices[0] and self.measure.nearest(found[0], self.references, colour)[0][0] != own[0][0]:
                        raise ValueError(f"{paths[i]}: read differently than by the measure itself")
                    out[i] = self._judge(requests[i], own) | {"background_ok": bool(np.abs(corners - colour).max() < 24)}
        return out

    def _judge(self, request, orders):
        """What the measure counts for one picture of whose thumbnails the nearest references are `orders`."""
        if "chars" in request:
            return {"pair_top1": all(self.rows[order[0]]["concept"] == self.concept.get(char, char)
                                     for order, char in zip(orders, request["chars"]))}
        order, = orders
        found = list(dict.fromkeys(self.rows[i]["concept"] for i in order))
        want, best = self.concept.get(request["char"], request["char"]), self.rows[order[0]]
        return {"concept_top1": found[0] == want, "concept_top5": want in found[:5],
                "style_top1": (best["style"] == request["style"] and found[0] == want) if request["style"] else None,
                "sticker": best["file"]}
