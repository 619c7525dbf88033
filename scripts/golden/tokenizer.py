"""Golden ids of T5's published vocabulary: transformers' slow T5Tokenizer.

The vocabulary is read from $T2I_SHARED_DIR or ../shared beside the repository (data/weights/t5).
"""
import os
import shutil
import tempfile
import unicodedata
from pathlib import Path

from transformers import T5Tokenizer

import common

TEXTS = [
    "", " ", "   \t\n ", "a", "A long paragraph for summarization.", "Summary of the text. </s>",
    "<pad> Today is <unk> nice day </s>", "a red apple on a wooden table", "  leading and   inner  spaces \t",
    "tabs\tand\nnewlines\r\nhere", "no-break\u00a0space and ideographic\u3000space", "zero\u200bwidth\ufeffspace",
    "一只戴着帽子的猫", "猫 and dog", "日本語のテキスト", "한국어 텍스트", "Привет, мир!", "Ελληνικά ΣΊΣΥΦΟΣ", "العربية من اليمين",
    "हिन्दी पाठ", "ﬁne ﬂour ﬃ ligatures", "Ｆｕｌｌｗｉｄｔｈ ＡＢＣ １２３", "① ② ½ ㎏ ™ ℃", "café vs cafe\u0301", "İstanbul ıI ẞß",
    "🙂 emoji 👩‍👩‍👧 family 🇩🇪", "x² + y² = z²", "{braces} <angle> ~tilde~ \\backslash\\ `tick`", "e^-10000 & a|b", "3.14159 1,000,000 50%",
    "supercalifragilisticexpialidocious antidisestablishmentarianism", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<extra_id_0> and <extra_id_99>", "Hello <extra_id_0>.", "<extra_id_1><extra_id_2> x <extra_id_100>", "</s></s>", "mid </s> sentence",
    "</s>leading", "<unk>", "<pad><pad>", "<PAD> </S>", "▁underline▁piece", "▁", "a ▁ b", "tail space </s> ", "“curly” ‘quotes’ — dash – dash…",
    "URL https://example.com/a?b=c#d", "line\u2028separator\u2029paragraph", "combining a\u0300\u0301\u0302 marks", "\u202eright to left\u202c",
    "nul\u0000byte", "ϔ ẛ̣ ﷺ", "𝒻𝒶𝓃𝒸𝓎 𝔱𝔢𝔵𝔱", "the quick brown fox jumps over the lazy dog " * 8,
]
LIMITS = [("the quick brown fox jumps over the lazy dog", 6), ("one two three </s>", 4), ("one two three </s>", 5), ("one two three", 4),
          ("一只戴着帽子的猫 sits", 3), ("short", 120)]


def load(folder, legacy):
    with tempfile.TemporaryDirectory() as copy:
        for name in ("spiece.model", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(Path(folder) / name, copy)
        return T5Tokenizer.from_pretrained(copy, legacy=legacy)


def small():
    """The vocabulary of scripts/golden/pipeline.py, which has no normalisation and few pieces: ids without and with legacy."""
    texts = ["", " ", "a red apple", "  the   blue fish. ", "一只红色的猫", "红色 的 狗, a cat!", "zebra", "a zebra 🙂 on it", "red<unk>apple", "</s>", "▁a", "Red",
             "<unk> a", "a</s>dog</s>", "blurry\tfish\n", "a ▁ b", "<pad>table"]
    vocabulary = str(common.GOLDEN / "vocabulary.model")
    modern, legacy = (T5Tokenizer(vocabulary, extra_ids=0, legacy=old) for old in (False, True))
    return [{"text": t, "ids": modern(t).input_ids, "legacy": legacy(t).input_ids} for t in texts]


def lower_cases():
    """Every character whose str.lower is not itself, as [character, lower]: the rule that prompts go through."""
    pairs = [(chr(c), chr(c).lower()) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).lower() != chr(c)]
    return ["".join(a for a, _ in pairs), "\n".join(b for _, b in pairs)]


def main():
    shared = os.environ.get("T2I_SHARED_DIR") or common.REPO.parent / "shared"
    folder = f"{shared}/data/weights/t5"
    modern, legacy = load(folder, False), load(folder, True)
    defaults = T5Tokenizer(f"{folder}/spiece.model")  # no configuration: sentinels swallow white space
    texts = [{"text": t, "ids": modern(t).input_ids, "legacy": legacy(t).input_ids, "defaults": defaults(t).input_ids} for t in TEXTS]
    limits = [{"text": t, "max": n, "ids": modern(t, max_length=n, truncation=True).input_ids,
               "legacy": legacy(t, max_length=n, truncation=True).input_ids} for t, n in LIMITS]
    prompts = ["  A Red APPLE\t", "\u2003İSTANBUL\u3000", "ΟΔΥΣΣΕΥΣ ΣΑΣ. Σ", "ÄÖÜ ẞ Ǆ ǅ", "\x1c\x85x\xa0", "ABC\u0301Σ\u0301", "ΑΣ'Α ΑΣ' Σ'", ""]
    characters, lowered = lower_cases()
    common.write("tokenizer", {"unicode": unicodedata.unidata_version, "texts": texts, "limits": limits, "small": small(),
                               "prompts": [[p, p.lower().strip()] for p in prompts],
                               "lower": {"characters": characters, "lowered": lowered}})


if __name__ == "__main__":
    main()
