"""What a trained model can draw, as t2i.json lists it for `t2i inspect` and for the warning about prompts it has no word of."""
import re
from collections import defaultdict

import data

SHARED = 3  # a keyword of more concepts than this says nothing about what to draw ("food")
EMPTY = {"", "and", "with", *data.COLOUR_NAMES}


def words(rows, language):
    """The words that point at something: the words of names, and the keywords that few concepts share; sorted, lower case."""
    owners = defaultdict(set)
    found = set()
    for row in rows:
        name = row.get(language, "").lower()
        found.update(re.findall(r"[a-z]{3,}", name) if language == "en" else [name])
        for word in row.get(f"{language}_keywords", []):
            owners[word.lower()].add(row.get("char", row["file"]))
    found.update(word for word, chars in owners.items() if len(chars) <= SHARED and (language == "zh" or len(word) > 2))
    return sorted(found - EMPTY)


def describe(config):
    """The "vocabulary" object of t2i.json."""
    rows = data.rows(config)
    first = {row.get("char", row["file"]): row for row in reversed(rows)}
    concepts = [first[char] for char in dict.fromkeys(row.get("char", row["file"]) for row in rows)]
    return {
        "note": config["export"]["note"], "concepts": len(concepts), "groups": sorted({row["group"] for row in rows if "group" in row}),
        "styles": list(dict.fromkeys(row["style"] for row in rows)), "backgrounds": data.COLOUR_NAMES,
        "names": {language: [row[language].lower() for row in concepts if language in row] for language in ("en", "zh")},
        "words": {language: words(rows, language) for language in ("en", "zh")}}
