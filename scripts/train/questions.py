"""What a model is asked when it is scored: prompts that training never used, prompts without a style, and the sheet's."""
import random

import captions
import data

SEED_PROMPTS, SEEDS = 16, 16  # of the measure of variety
MOST_ABSENT = 150             # combinations of concept and style that the data lack
REORDERED, PLAIN = (captions.english_reordered, captions.chinese_reordered), (captions.english, captions.chinese)
WRITERS = {"reordered": REORDERED, "styled on white": REORDERED, "kept back": PLAIN}


def pictured(config):
    """The rows that have a name in both languages, by `char`."""
    by_char = {}
    for row in data.rows(config):
        if "zh" in row:
            by_char.setdefault(row["char"], []).append(row)
    return by_char


def request(row, language, prompt, seed, style=None, colour=None):
    """What is drawn and how it is judged."""
    return {"prompt": prompt, "seed": seed, "language": language, "char": row["char"], "style": style, "background": colour}


def prompts(config, count, form, seed=7):
    """`count` test prompts that training never used, each in English and then in Chinese with the same concept and seed.

    Each states a style, a background or both, and none comes twice. `form`: "reordered" (the words of the caption
    language in an order that training never writes), "styled on white" (the same, each with a style and none with a background) or
    "kept back" (in its plain order, only those that training leaves out; few of these are without a background, since both
    languages must be left out).
    """
    rng, rows = random.Random(seed), [row for row in data.rows(config) if "zh" in row]
    out, known = [], set()
    while len(out) < count:
        row = rng.choice(rows)
        style, colour = rng.choice([(row["style"], None), (row["style"], None), (row["style"], rng.choice(data.COLOUR_NAMES[1:])),
                                    (None, rng.choice(data.COLOUR_NAMES[1:]))] if form != "styled on white" else [(row["style"], None)])
        pair = [write(row[language].lower(), style, colour) for language, write in zip(("en", "zh"), WRITERS[form])]
        if pair[0] not in known and (form != "kept back" or all(captions.kept_back(p) for p in pair)):
            known.add(pair[0])
            out += [request(row, language, p, len(out) // 2, style, colour) for language, p in zip(("en", "zh"), pair)]
    return out


def absent(config, seed=13):
    """Prompts for the (concept, style) of the vocabulary that no picture shows, in both languages: all, or MOST_ABSENT drawn by the seed.

    The data lack them on purpose (and flags in fluent styles by nature), so training needs to leave none out.
    """
    by_char = pictured(config)
    styles = {row["style"] for rows in by_char.values() for row in rows}
    missing = [(rows[0], style) for rows in by_char.values() for style in sorted(styles - {row["style"] for row in rows})]
    if len(missing) > MOST_ABSENT:
        missing = random.Random(seed).sample(missing, MOST_ABSENT)
    return [request(row, language, write(row[language].lower(), style), seed, style)
            for seed, (row, style) in enumerate(missing) for language, write in (("en", captions.english), ("zh", captions.chinese))]


def varied(config, seed=11):
    """SEED_PROMPTS prompts of concepts that have a sticker in four styles, naming none, each with SEEDS seeds."""
    by_char = pictured(config)
    chars = sorted(char for char, rows in by_char.items() if len({row["style"] for row in rows}) >= 4)
    out = []
    for k, char in enumerate(random.Random(seed).sample(chars, SEED_PROMPTS)):
        language, write = (("en", captions.english), ("zh", captions.chinese))[k % 2]
        row = by_char[char][0]
        out += [request(row, language, write(row[language].lower()), s) for s in range(SEEDS)]
    return out


def pairs(config, count=120, seed=17):
    """`count` prompts for two things of one style that training never showed together in this order, in English and Chinese by turns.

    Half state the style, a third a background; every other one is "above".
    """
    rng, rows = random.Random(seed), [row for row in data.rows(config) if "zh" in row]
    out = []
    while len(out) < count:
        first = rng.choice(rows)
        second = rng.choice([row for row in rows if row["style"] == first["style"]])
        if first["char"] == second["char"] or not captions.pair_kept_back(first, second):
            continue
        k = len(out)
        relation, style = ("left", "above")[k // 2 % 2], first["style"] if rng.random() < 0.5 else None
        colour = rng.choice(data.COLOUR_NAMES[1:]) if rng.random() < 1 / 3 else None
        language, write = (("en", captions.english_pair), ("zh", captions.chinese_pair))[k % 2]
        prompt = write(first[language].lower(), second[language].lower(), relation, style, colour)
        out.append({"prompt": prompt, "seed": k, "language": language, "chars": [first["char"], second["char"]], "relation": relation,
                    "style": style, "background": colour})
    return out


def fidelity(config, count=200, seed=19):
    """`count` prompts in the plain order, each for a sticker that is there, with its style and on white, in English and Chinese by turns."""
    rng, rows = random.Random(seed), [row for row in data.rows(config) if "zh" in row]
    return [request(row, language, write(row[language].lower(), row["style"]), k, row["style"])
            for k, row in enumerate(rng.sample(rows, min(count, len(rows))))
            for language, write in [(("en", captions.english), ("zh", captions.chinese))[k % 2]]]


def sheet(config, count=64):
    """`count` prompts for a contact sheet, number k drawn by seed k and drawn with it: any concept, language, style and background."""
    rows, out = [row for row in data.rows(config) if "zh" in row], []
    for k in range(count):
        rng = random.Random(k)
        row, (language, write) = rng.choice(rows), rng.choice([("en", captions.english), ("zh", captions.chinese)])
        style = row["style"] if rng.random() < 0.5 else None
        colour = rng.choice(data.COLOUR_NAMES[1:]) if rng.random() < 0.4 else None
        out.append(request(row, language, write(row[language].lower(), style, colour), k, style, colour))
    return out
