"""The caption language: what a picture is called, in English and Chinese, with styles and backgrounds.

Captions are lower-cased, as the pipeline lower-cases prompts. See the data folder's README for the language.
"""
import zlib
from collections import defaultdict

from data import COLOUR_NAMES

STYLE_ZH = {
    "noto": "诺托", "noto blob": "圆团", "fluent flat": "扁平", "fluent gradient": "渐变", "fluent 3d": "立体",
    "twemoji": "推特", "firefox": "火狐", "clip art": "剪贴画",
}
COLOUR_ZH = dict(zip(COLOUR_NAMES, ["白色", "黑色", "灰色", "红色", "橙色", "黄色", "绿色", "青色", "蓝色", "藏青色",
                                    "紫色", "粉色"]))


def with_article(name):
    """"a NAME" or "an NAME"."""
    return ("an " if name[0] in "aeiou" else "a ") + name


def english(name, style=None, colour=None):
    """The plain English caption: NAME[, STYLE style][, on a COLOUR background]."""
    text = name if style is None else f"{name}, {style} style"
    if colour is not None:
        text += (" " if style is None else ", ") + f"on {with_article(colour)} background"
    return text


def chinese(name, style=None, colour=None):
    """The plain Chinese caption: [COLOUR背景上的]名称[,STYLE风格]."""
    text = name if colour is None else f"{COLOUR_ZH[colour]}背景上的{name}"
    return text if style is None else f"{text},{STYLE_ZH[style]}风格"


def english_reordered(name, style=None, colour=None):
    """English in an order that training never writes; at least one of style and colour is given."""
    ground = None if colour is None else f"{colour} background"
    return f"{ground}, {name}" if style is None else ", ".join([f"{style} style", name] + ([ground] if ground else []))


def chinese_reordered(name, style=None, colour=None):
    """Chinese in an order that training never writes; at least one of style and colour is given."""
    ground = None if colour is None else f"{COLOUR_ZH[colour]}背景"
    return f"{ground},{name}" if style is None else ",".join([f"{STYLE_ZH[style]}风格", name] + ([ground] if ground else []))


def kept_back(caption):
    """Whether a caption with a style or a background is one of the eighth that training never uses, so that it can be scored."""
    return zlib.crc32(caption.encode()) % 8 == 0


def pair_kept_back(first, second):
    """Whether two rows of captions.jsonl are one of the sixteenth of all pairs, in this order, that training never shows."""
    return zlib.crc32(f"{first.get('char', first['file'])} {second.get('char', second['file'])}".encode()) % 16 == 0


def as_spoken(name, language):
    """How people say a CLDR name with a colon ("flag: france", "旗: 法国", "man: bald"): a list, empty for other names."""
    kind, colon, rest = name.partition(": ")
    if not colon:
        return []
    if language == "en":
        return [f"flag of {rest}", f"{rest} flag"] if kind == "flag" else [f"{kind} {rest}", f"{kind}, {rest}"]
    return [f"{rest}国旗", f"{rest}旗"] if kind == "旗" else [f"{kind}{rest}"]


def english_pair(first, second, relation, style=None, colour=None):
    """NAME to the left of NAME, or NAME above NAME, with style and background."""
    return english(f"{first} {'to the left of' if relation == 'left' else 'above'} {second}", style, colour)


def chinese_pair(first, second, relation, style=None, colour=None):
    """名称在名称的左边, or 名称在名称的上面, with style and background."""
    return chinese(f"{first}在{second}的{'左边' if relation == 'left' else '上面'}", style, colour)


class Captioner:
    """Draws captions for rows of captions.jsonl with the shares given in the configuration.

    A keyword may stand in for a name only when no other concept of the vocabulary has it.
    """

    def __init__(self, rows, options):
        self.options = options
        owners = {"en": defaultdict(set), "zh": defaultdict(set)}
        for row in rows:
            for language, table in owners.items():
                for word in [row.get(language, ""), *row.get(f"{language}_keywords", [])]:
                    table[word.lower()].add(row.get("char", row["file"]))
        self.own = {"en": [], "zh": []}
        for row in rows:
            for language, table in owners.items():
                words = [w.lower() for w in row.get(f"{language}_keywords", []) if w.lower() != row[language].lower()]
                self.own[language].append([w for w in words if len(table[w]) == 1])
        self.rows = rows

    def name(self, index, language, rng):
        """A name for row `index`: the name itself or how people say it, one of its own keywords, or both."""
        name, others = self.rows[index][language].lower(), self.own[language][index]
        spoken = as_spoken(name, language)
        if spoken and rng.random() < self.options.get("as_spoken", 0):
            return rng.choice(spoken)
        draw = rng.random()
        if not others or draw >= self.options["keyword_instead"] + self.options["keyword_beside"]:
            return name
        word = rng.choice(others)
        return word if draw < self.options["keyword_instead"] else f"{name}, {word}" if language == "en" else f"{word}{name}"

    def _settings(self, row, colour, rng):
        """Which style and background a caption states: (style or None, colour name or None)."""
        style = row["style"] if rng.random() < self.options["state_style"] else None
        stated = colour != "white" or rng.random() < self.options["state_white"]
        return style, colour if stated else None

    def draw(self, index, colour, rng):
        """A caption of row `index` alone on the named colour; one with a style or a background is never one kept back."""
        while True:
            style, stated = self._settings(self.rows[index], colour, rng)
            caption = self._write(index, style, stated, rng)
            if (style is None and stated is None) or not kept_back(caption):
                return caption

    def _write(self, index, style, colour, rng):
        """A caption of row `index` that states the given style and background."""
        row = self.rows[index]
        if "zh" in row and rng.random() < self.options["chinese"]:
            return self._vary_chinese(self.name(index, "zh", rng), style, colour, rng)
        name = self.name(index, "en", rng)
        if rng.random() < self.options["article"]:
            name = with_article(name) if rng.random() < 0.7 else f"the {name}"
        return self._vary_english(name, style, colour, rng)

    def draw_pair(self, first, second, relation, colour, rng):
        """A caption of two rows; the style is stated only when both share it."""
        a, b = self.rows[first], self.rows[second]
        style, colour = self._settings(a, colour, rng)
        style = style if a["style"] == b["style"] else None
        if "zh" in a and "zh" in b and rng.random() < self.options["chinese"]:
            return chinese_pair(a["zh"].lower(), b["zh"].lower(), relation, style, colour)
        names = [r["en"].lower() for r in (a, b)]
        if rng.random() < self.options["article"]:
            names = [with_article(n) for n in names]
        return english_pair(*names, relation, style, colour)

    def _vary_english(self, name, style, colour, rng):
        """English with the word order varied now and then."""
        if rng.random() >= self.options["reorder"] or (style is None and colour is None):
            return english(name, style, colour)
        if style is not None:
            name = rng.choice([f"{style} style {name}", f"{name} in {style} style", f"{name}, {style}"])
        if colour is None:
            return name
        ground = f"{with_article(colour)} background"
        return rng.choice([f"{name} on {colour} background", f"on {ground}, {name}", f"{name}, {colour} background",
                           f"{name} on {ground}"])

    def _vary_chinese(self, name, style, colour, rng):
        """Chinese with the word order varied now and then."""
        if rng.random() >= self.options["reorder"] or (style is None and colour is None):
            return chinese(name, style, colour)
        text = name if style is None else f"{STYLE_ZH[style]}风格的{name}"
        return text if colour is None else f"{text},{COLOUR_ZH[colour]}背景"
