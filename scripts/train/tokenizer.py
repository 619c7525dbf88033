"""The tokenizer: a SentencePiece unigram model over the captions of both languages, in T5's special-token order."""
import random

import sentencepiece
import torch

import captions
import data

PAD, END, UNKNOWN = 0, 1, 2


def path(config):
    """Where the trained model lies."""
    return config["work"] / "spiece.model"


def corpus(rows, options, count, rng):
    """Lines to train on: drawn English captions, and Chinese words one by one.

    Chinese is written without spaces, so whole captions would teach whole captions as pieces; its names, keywords
    and caption words are joined by commas instead, which no piece crosses.
    """
    english = captions.Captioner(rows, {**options, "chinese": 0})
    fixed = [*captions.COLOUR_ZH.values(), *captions.STYLE_ZH.values(), "背景", "背景上的", "风格", "风格的", "在", "的左边",
             "的上面"]
    lines = [english.draw(i, rng.choice(data.COLOUR_NAMES), rng) for _ in range(count) for i in range(len(rows))]
    for row in rows:
        lines.append(",".join(word.lower() for word in row.get("en_keywords", [])))
        words = [row["zh"], row["zh"], *row.get("zh_keywords", [])] if "zh" in row else []
        lines += [",".join([*rng.sample(fixed, 4), *words]), *words[:1]]
    return lines


def train(config, _device=None):
    """Trains spiece.model (pad 0, </s> 1, <unk> 2, no bos), unless it exists."""
    if path(config).exists():
        return
    options = config.tokenizer
    lines = corpus(data.rows(config), config["captions"], options["captions_per_picture"], random.Random(config["seed"]))
    text = config["work"] / "captions.txt"
    text.write_text("\n".join(lines), encoding="utf-8")
    temporary = config["work"] / "spiece-new"
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(temporary), model_type="unigram", vocab_size=options["pieces"],
        character_coverage=1.0, normalization_rule_name="nmt_nfkc", pad_id=PAD, eos_id=END, unk_id=UNKNOWN, bos_id=-1,
        hard_vocab_limit=False, num_threads=2, minloglevel=1)
    temporary.with_suffix(".model").rename(path(config))


class Tokenizer:
    """Turns captions into padded token ids, by the work folder's model or by the SentencePiece model `file`."""

    def __init__(self, config, file=None):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(file or path(config)))
        self.length = config["text"]["max_tokens"]

    def __len__(self):
        return self.model.get_piece_size()

    def __call__(self, texts):
        """texts: list of B strings. Returns (ids int64 [B, L], mask bool [B, L]), L = max_tokens."""
        ids = torch.full((len(texts), self.length), PAD)
        for row, text in zip(ids, texts):
            tokens = self.model.encode(text.lower().strip())[:self.length - 1] + [END]
            row[:len(tokens)] = torch.tensor(tokens)
        mask = torch.arange(self.length)[None] < ((ids == END).int().argmax(1) + 1)[:, None]
        return ids, mask
