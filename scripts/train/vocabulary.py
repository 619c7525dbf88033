"""What a trained model can draw, as t2i.json lists it for `t2i inspect` and for what is said of words that it has not learnt."""
import re
from collections import defaultdict

import captions
import data

SHARED = 6   # a keyword of more concepts than this points at none of them ("food")
SHOWN = 3    # concepts that a keyword is explained by
EMPTY = {"", "and", "with", *data.COLOUR_NAMES}

# Words around the concepts that say nothing about what to draw: the caption language's own, and what people write between them.
PHRASES = {
    "en": ["a", "an", "the", "some", "style", "in", "on", "of", "at", "to", "and", "with", "background", "left", "above", "to the left of",
           "big", "small", "large", "little", "cute", "pretty", "fast", "one", "two", "three"],
    "zh": ["一个", "一只", "一朵", "一棵", "一张", "两只", "两个", "我", "想要", "要", "画", "的", "和", "在", "风格", "风格的", "背景", "背景上的",
           "左边", "上面", "的左边", "的上面", "大", "小", "可爱", "漂亮"],
}


def owners(rows, language):
    """Which concepts have a keyword, by keyword, in lower case: lists of rows, one a concept, in the order of the file."""
    found = defaultdict(dict)
    for row in rows:
        for word in row.get(f"{language}_keywords", []):
            found[word.lower()].setdefault(row.get("char", row["file"]), row)
    return {word: list(by_char.values()) for word, by_char in found.items()}


def words(rows, language):
    """The words that training wrote and that point at something: those of names and the keywords of one concept; sorted, lower case.

    Chinese names have no spaces: of several concepts' keywords those inside their names are words too.
    """
    names = {row.get(language, "").lower() for row in rows}
    taught = set(names)
    if language == "en":
        taught = {word for name in names for word in re.findall(r"[^\W\d_]{3,}", name)} | {name for name in names if len(name) < 3}
    for word, having in owners(rows, language).items():
        inside = language == "zh" and len(word) > 1 and len(having) <= SHARED and any(word in row[language].lower() for row in having)
        if (len(having) == 1 or inside) and (language == "zh" or len(word) > 2):
            taught.add(word)
    return sorted(taught - EMPTY)


def keywords(rows, language):
    """The keywords that training did not write, each as "KEYWORD: NAME; NAME" with concepts that have it; sorted.

    A Chinese character alone is one only where it stands in such a name: 兔 for 兔子, but not 吃.
    """
    taught = set(words(rows, language)) | EMPTY
    found = []
    for word, having in sorted(owners(rows, language).items()):
        named = [row[language].lower() for row in having]
        if language == "zh" and len(word) == 1:
            named = [name for name in named if word in name]
        if named and word not in taught and ":" not in word and len(having) <= SHARED and (language == "zh" or len(word) > 2):
            found.append(f"{word}: " + "; ".join(named[:SHOWN]))
    return found


def phrases(rows, language):
    """The words of styles, backgrounds and sentences, longest first."""
    styles = {row["style"] for row in rows}
    named = data.COLOUR_NAMES if language == "en" else list(captions.COLOUR_ZH.values())
    shown = styles if language == "en" else {captions.STYLE_ZH[style] for style in styles}
    return sorted({*PHRASES[language], *named, *shown}, key=lambda phrase: (-len(phrase), phrase))


def describe(config):
    """The "vocabulary" object of t2i.json."""
    rows = data.rows(config)
    first = {row.get("char", row["file"]): row for row in reversed(rows)}
    concepts = [first[char] for char in dict.fromkeys(row.get("char", row["file"]) for row in rows)]
    groups = sorted({row["group"] for row in rows if "group" in row})
    both = lambda row: " ".join(row[language].lower() for language in ("en", "zh") if language in row)
    return {
        "note": config["export"]["note"], "concepts": len(concepts), "groups": groups,
        "styles": list(dict.fromkeys(row["style"] for row in rows)), "backgrounds": data.COLOUR_NAMES,
        "names": {language: [row[language].lower() for row in concepts if language in row] for language in ("en", "zh")},
        "by group": {group: [both(row) for row in concepts if row.get("group") == group] for group in groups},
        "words": {language: words(rows, language) for language in ("en", "zh")},
        "keywords": {language: keywords(rows, language) for language in ("en", "zh")},
        "phrases": {language: phrases(rows, language) for language in ("en", "zh")}}
