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

    def _open(self, path):
        """(thumbnail float [32, 32, 3], median colour of the corners [3]) of a picture."""
        picture = Image.open(path).convert("RGB")
        pixels = np.asarray(picture, np.float32)
        corners = np.concatenate([pixels[y, x].reshape(-1, 3) for y in (slice(6), slice(-6, None)) for x in (slice(6), slice(-6, None))])
        return np.asarray(picture.resize((self.measure.THUMB,) * 2, Image.BOX), np.float32), np.median(corners, 0)

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
        "background_ok", "sticker" (the file of the nearest)}."""
        groups, out = defaultdict(list), [None] * len(requests)
        for index, request in enumerate(requests):
            groups[request["background"]].append(index)
        pre, alpha, _ = self.references
        for background, indices in groups.items():
            colour = self.measure.rgb(background)
            on = (pre + (1 - alpha) * colour).reshape(len(pre), -1)
            for start in range(0, len(indices), TOGETHER):
                part = indices[start:start + TOGETHER]
                opened = [self._open(paths[i]) for i in part]
                orders = self._nearest(np.stack([thumb for thumb, _ in opened]), on)
                if start == 0 and self.measure.nearest(opened[0][0], self.references, colour)[0][0] != orders[0, 0]:
                    raise ValueError(f"{paths[part[0]]}: read differently than by the measure itself")
                for i, order, (_, corners) in zip(part, orders, opened):
                    out[i] = self._judge(requests[i], order, np.abs(corners - colour).max() < 24)
        return out

    def _judge(self, request, order, background_ok):
        """What the measure counts for one picture whose nearest references are `order`."""
        found = list(dict.fromkeys(self.rows[i]["concept"] for i in order))
        want, best = self.concept.get(request["char"], request["char"]), self.rows[order[0]]
        return {"concept_top1": found[0] == want, "concept_top5": want in found[:5],
                "style_top1": (best["style"] == request["style"] and found[0] == want) if request["style"] else None,
                "background_ok": bool(background_ok), "sticker": best["file"]}
