"""Token ids of tokenizer folders of every form, by the transformers that runs this: version 4 (4.57) or 5.

    python scripts/golden/token_folders.py write              its part of tests/golden/token_folders.json
    python scripts/golden/token_folders.py compare build/token_ids [--prompts 4000] [--seed 1] [--vocabulary FOLDER] [--only NAME]

`compare` makes random prompts and prints, per form of folder, how many of them t2i gives other ids, and exits 1 where there are any.
Both versions are needed for the whole: 4 has the slow class, and 5 writes files of its own. Needs transformers, tokenizers,
sentencepiece, protobuf; no PyTorch. Vocabularies are SentencePiece models: the bundled model's, with the normalisation nmt_nfkc,
and the small one of the tests, without; `--vocabulary` takes another (data/weights/t5).
"""
import argparse
import base64
import json
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import transformers  # noqa: E402
from transformers import T5Tokenizer, T5TokenizerFast  # noqa: E402

transformers.utils.logging.set_verbosity(50)
REPO = Path(__file__).resolve().parents[2]
VOCABULARIES = {"bundled": REPO / "assets/sticker-256/tokenizer/spiece.model", "small": REPO / "tests/golden/vocabulary.model"}
GOLDEN = REPO / "tests/golden/token_folders.json"
VERSION = int(transformers.__version__.split(".")[0])

SPECIALS = [("<pad>", 0), ("</s>", 1), ("<unk>", 2)]


def token(content, **flags):
    base = {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {**base, **flags}


def added(first, *, specials=True):
    """An added_tokens_decoder with a token of every property; `first` is the id of the first."""
    tokens = [token("<left>", lstrip=True), token("<right>", rstrip=True), token("<both>", lstrip=True, rstrip=True),
              token("red", single_word=True, special=False), token("Ｃat", normalized=True, special=False),
              token("a cat", special=False), token("<wide>", single_word=True, lstrip=True, rstrip=True),
              token("<wide>r", special=False), token("红", special=False, normalized=True), token("①", normalized=True, special=False)]
    decoder = {str(i): token(t) for t, i in SPECIALS} if specials else {}
    return {**decoder, **{str(first + i): t for i, t in enumerate(tokens)}}


class Folder:
    """A tokenizer folder: its files by name ("spiece.model": True copies the vocabulary) and the class that opens it."""

    def __init__(self, cls, files, vocabulary="bundled"):
        self.cls, self.files, self.vocabulary = cls, files, vocabulary

    def write(self, folder, vocabulary):
        for name, content in self.files.items():
            if content is True:
                shutil.copy(vocabulary, folder / name)
            else:
                (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def files_of(folder, keep):
    return {n: json.loads((folder / n).read_text()) for n in keep if (folder / n).exists()}


def skeleton(tokenizer_json, blob):
    """A tokenizer.json without what a test takes from spiece.model: the pieces, and the charsmap."""
    def strip(step):
        if not isinstance(step, dict):
            return step
        if step.get("type") == "Precompiled":
            return {**step, "precompiled_charsmap": "$charsmap"}
        return {k: ([strip(s) for s in v] if k == "normalizers" else v) for k, v in step.items()}
    model = dict(tokenizer_json["model"])
    model["vocab"] = model["vocab"][blob["size"]:]
    return {**tokenizer_json, "normalizer": strip(tokenizer_json["normalizer"]), "model": model}


def filled(tokenizer_json, blob):
    text = json.dumps(tokenizer_json, ensure_ascii=False).replace("$charsmap", blob["charsmap"])
    out = json.loads(text)
    out["model"]["vocab"] = blob["vocab"] + out["model"]["vocab"]
    return out


def read_vocabulary(path):
    if VERSION == 4:
        from transformers.convert_slow_tokenizer import import_protobuf
    else:
        from transformers.convert_slow_tokenizer import import_protobuf
    model = import_protobuf().ModelProto()
    model.ParseFromString(Path(path).read_bytes())
    return {"size": len(model.pieces), "charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode(),
            "vocab": [[p.piece, p.score] for p in model.pieces]}


def saved(make, vocabulary, change=None):
    """What save_pretrained writes of make(folder with spiece.model)."""
    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as target:
        shutil.copy(vocabulary, source + "/spiece.model")
        tokenizer = make(source)
        if change:
            change(tokenizer)
        tokenizer.save_pretrained(target)
        return files_of(Path(target), ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"))


def add_all(tokenizer):
    from transformers import AddedToken
    for t in added(0, specials=False).values():
        tokenizer.add_tokens([AddedToken(**t)], special_tokens=t["special"])


def folders_4(vocabulary, size):
    """Forms of folders that transformers 4 reads."""
    slow, fast = "T5Tokenizer", "T5TokenizerFast"
    config = lambda **k: {"tokenizer_class": slow, **k}
    sentinels = [f"<extra_id_{i}>" for i in range(5)]
    special_map = {"eos_token": "</s>", "pad_token": token("<pad>"), "unk_token": "<unk>", "additional_special_tokens": sentinels}
    f = {
        "slow, no config": Folder(slow, {"spiece.model": True}),
        "slow, legacy false": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(legacy=False)}),
        "slow, legacy false, no prefix": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(legacy=False, add_prefix_space=False)}),
        "slow, legacy false, null prefix": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(legacy=False, add_prefix_space=None, extra_ids=0)}),
        "slow, legacy null, 7 sentinels": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(legacy=None, extra_ids=7)}),
        "slow, tokens of every kind": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(extra_ids=0, added_tokens_decoder=added(size))}),
        "slow, tokens of every kind, legacy false": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(legacy=False, extra_ids=3, added_tokens_decoder=added(size + 20))}),
        "slow, another end": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(eos_token="<end>", extra_ids=2)}),
        "slow, an end of the vocabulary": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(eos_token="<pad>", extra_ids=2, legacy=False)}),
        "slow, other tokens with a role": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(bos_token="<s>", mask_token="[MASK]", additional_special_tokens=["<x>", "▁red", "cat"], extra_ids=4)}),
        "slow, older files": Folder(slow, {"spiece.model": True, "special_tokens_map.json": special_map, "tokenizer_config.json": config(extra_ids=5), "added_tokens.json": {"<new>": size + 5, "red": size + 6, "</s>": 1}}),
        "slow, roles alone": Folder(slow, {"spiece.model": True, "special_tokens_map.json": {"eos_token": token("</s>", lstrip=True), "mask_token": "apple"}}),
        "slow, split specials": Folder(slow, {"spiece.model": True, "tokenizer_config.json": config(split_special_tokens=True, legacy=False)}),
        "fast of spiece.model": Folder(fast, {"spiece.model": True}),
        "fast of spiece.model, legacy false": Folder(fast, {"spiece.model": True, "tokenizer_config.json": config(legacy=False, extra_ids=3)}),
        "fast of spiece.model, no prefix": Folder(fast, {"spiece.model": True, "tokenizer_config.json": config(add_prefix_space=False)}),
        "fast of spiece.model, tokens of every kind": Folder(fast, {"spiece.model": True, "tokenizer_config.json": config(extra_ids=0, added_tokens_decoder=added(size))}),
    }
    with tempfile.TemporaryDirectory() as d:
        shutil.copy(vocabulary, d + "/spiece.model")
        make = lambda **k: (lambda source: T5TokenizerFast.from_pretrained(source, **k))
        plain = saved(make(extra_ids=2), vocabulary)
        f["fast"] = Folder(fast, plain)
        f["fast, both files"] = Folder(fast, {**plain, "spiece.model": True})
        f["fast, both files, slow class"] = Folder(slow, {**plain, "spiece.model": True})
        f["fast, automatic class"] = Folder("AutoTokenizer", plain)
        f["fast, a hundred sentinels"] = Folder(fast, saved(make(), vocabulary))
        f["fast, tokenizer.json alone"] = Folder(fast, {"tokenizer.json": plain["tokenizer.json"]})
        f["slow, tokens of tokenizer.json"] = Folder(slow, {"spiece.model": True, "tokenizer.json": plain["tokenizer.json"]})
        f["fast, made without prefix"] = Folder(fast, saved(lambda s: T5TokenizerFast(vocab_file=s + "/spiece.model", extra_ids=0), vocabulary))
        f["fast, legacy false"] = Folder(fast, saved(make(legacy=False, extra_ids=0), vocabulary))
        every = saved(make(extra_ids=4), vocabulary, add_all)
        f["fast, tokens of every kind"] = Folder(fast, every)
        f["fast, tokens of every kind, file alone"] = Folder("PreTrainedTokenizerFast", {"tokenizer.json": every["tokenizer.json"]})
        f["fast, tokens of every kind, first"] = Folder(fast, saved(make(extra_ids=4, legacy=False), vocabulary, add_all))
        f["fast, tokens of the config"] = Folder(fast, {"tokenizer.json": plain["tokenizer.json"], "tokenizer_config.json": config(added_tokens_decoder=added(size + 100))})
        f["fast, prefix asked for"] = Folder(fast, {**plain, "spiece.model": True, "tokenizer_config.json": {**plain["tokenizer_config.json"], "add_prefix_space": True}})
        f["fast, split specials"] = Folder(fast, {**every, "tokenizer_config.json": {**every["tokenizer_config.json"], "split_special_tokens": True}})
        old = json.loads(json.dumps(plain["tokenizer.json"]))
        old["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
        f["fast, file of 2020"] = Folder(fast, {"tokenizer.json": old})
        old = json.loads(json.dumps(plain["tokenizer.json"]))
        old["model"]["unk_id"], old["pre_tokenizer"]["split"] = 2, False
        old["normalizer"]["normalizers"].append({"type": "Replace", "pattern": {"String": "apple"}, "content": "red 红"})
        f["fast, words not split"] = Folder(fast, {"tokenizer.json": old})
    return f


def folders_5(vocabulary, size):
    """Forms of folders that transformers 5 writes."""
    cls = "T5Tokenizer"
    make = lambda **k: (lambda source: T5Tokenizer.from_pretrained(source, **k))
    every = saved(make(extra_ids=4), vocabulary, add_all)
    return {
        "5": Folder(cls, saved(make(extra_ids=3), vocabulary)),
        "5, a hundred sentinels": Folder(cls, saved(make(), vocabulary)),
        "5, no sentinels": Folder(cls, saved(make(extra_ids=0), vocabulary)),
        "5, tokens of every kind": Folder(cls, every),
        "5, tokenizer.json alone": Folder("TokenizersBackend", {"tokenizer.json": every["tokenizer.json"]}),
    }


def all_folders(vocabularies):
    """{name: Folder}, with what every folder's vocabulary is."""
    made = {}
    for key, path in vocabularies.items():
        size = read_vocabulary(path)["size"]
        for name, folder in (folders_4 if VERSION == 4 else folders_5)(path, size).items():
            folder.vocabulary = key
            made[name if key == next(iter(vocabularies)) else f"{name} ({key})"] = folder
    return made


def open_by_transformers(folder, cls):
    return getattr(transformers, cls).from_pretrained(str(folder))


# Prompts

WORDS = """a red apple on the table cat dog fox pear plum house 3d emoji of blue fish running smiling face with hearts sun 一只红色的猫 苹果 狗 帽子
of-the in, photo; (best) quality! it's don't 3/4 50% x2 RED Apple ＣＡＴ Ｃat cafe\u0301 ﬁne ½ ① ②③ ㎏ ℃ ™ ｶﾞ ﾊﾟ カ゛ 한국어 한국 नमस्ते क्षि தமிழ் ไทย العربية שלום
İstanbul Straße ΣΊΣΥΦΟΣ 👩‍👩‍👧 🇩🇪🇫🇷 👍🏽 ❤️ 🙂 e\u0301 ①\u0301 ª\u0301 ²\u0308 ʰ\u0300 ĳ\u0301 ｶ\uff9e ﾜ\u3099 \u1100\u1161\u11a8 ក្រុម 𝒻𝒶 𝕏 ﷺ \u0958\u0301 ـ""".split()
MARKED = ["<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_1>", "<extra_id_99>", "<extra_id_3>", "<left>", "<right>", "<both>", "<wide>",
          "<wide>r", "a cat", "<new>", "<x>", "[MASK]", "<s>", "<end>", "▁", "▁▁", "▁red", "<", ">", "<extra_id_", "红", "①", "Ｃat", "red", "cat"]
SPACES = [" ", " ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2003", "\u200b", "\u0085", "\u2028", "\u1680", "\u202f", "\ufeff",
          "\x1c", "\u200d", "\u00ad", "\x00", "\x07", "\x7f", "\u200e", "\ufffd"]
BLOCKS = [(0x20, 0x7F), (0x80, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1100),
          (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2200), (0x2460, 0x2500), (0x3000, 0x3100), (0x3130, 0x3400),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0xFB50), (0xFB50, 0xFE10), (0xFE00, 0xFFF0), (0x1D400, 0x1D800), (0x1F000, 0x1FB00)]


def random_character(rng):
    first, last = rng.choice(BLOCKS) if rng.random() < 0.95 else (1, 0x110000)
    while True:
        c = chr(rng.randrange(first, last))
        if unicodedata.category(c) not in ("Cs", "Cn"):
            return c


def random_prompt(rng):
    kind, parts = rng.random(), []
    for _ in range(rng.randrange(1, 14)):
        r = rng.random()
        if r < 0.45:
            parts.append(rng.choice(WORDS))
        elif r < 0.6:
            parts.append(rng.choice(MARKED))
        elif r < 0.75 and kind < 0.7:
            parts.append("".join(random_character(rng) for _ in range(rng.randrange(1, 6))))
        else:
            parts.append(rng.choice(["a", "s", ".", ",", "-", "x", "猫"]))
        if rng.random() < (0.9 if kind < 0.5 else 0.5):
            parts.append(rng.choice(SPACES) if rng.random() < 0.3 else " ")
    if rng.random() < 0.1:
        parts.insert(0, rng.choice(SPACES))
    return "".join(parts)


def random_requests(count, seed):
    rng = random.Random(seed)
    fixed = ["", " ", "  ", "a", "a red apple", "</s>", "a </s>", "a</s>", "▁", "▁a", " ▁ a", "<pad>", "<pad> a", " <pad>", "redred", "a red, red", "\x01a", "a\x01", "\x01", "\x1c⒗猫", "\x7f½ <both>a"]
    texts = fixed + [random_prompt(rng) for _ in range(count - len(fixed))]
    return [{"text": t, "max": rng.choice([100000] * 5 + [2, 3, 5, 8, 20])} for t in texts]


def ids_of(tokenizer, requests):
    out = []
    for r in requests:
        out.append(tokenizer(r["text"], max_length=r["max"], truncation=True).input_ids)
    return out


# Commands

def compare(options):
    vocabularies = {"given": Path(options.vocabulary) / "spiece.model"} if options.vocabulary else VOCABULARIES
    requests = random_requests(options.prompts, options.seed)
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    wrong_folders = 0
    for name, folder in all_folders(vocabularies).items():
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as d:
            d = Path(d)
            folder.write(d, vocabularies[folder.vocabulary])
            try:
                theirs = ids_of(open_by_transformers(d, folder.cls), requests)
            except Exception as error:  # noqa: BLE001
                print(f"{name}: transformers {transformers.__version__} refuses it: {type(error).__name__}: {str(error)[:200]}")
                continue
            ours = subprocess.run([options.program, str(d), folder.cls], input=lines, capture_output=True, text=True)
            ours = [json.loads(line) for line in ours.stdout.splitlines()] if ours.returncode == 0 else [ours.stderr.strip()] * len(requests)
        wrong = [(r, t, o) for r, t, o in zip(requests, theirs, ours, strict=True) if t != o]
        wrong_folders += bool(wrong)
        print(f"{name}: {len(wrong)} of {len(requests)} prompts differ", flush=True)
        for r, t, o in wrong[:options.show]:
            print(f"   {ascii(r['text'])} max {r['max']}\n      transformers {t}\n      t2i          {o}")
    return 1 if wrong_folders else 0


def golden_part(count):
    requests = random_requests(count, seed=VERSION)
    blobs = {k: read_vocabulary(p) for k, p in VOCABULARIES.items()}
    folders, results = [], []
    for name, folder in all_folders(VOCABULARIES).items():
        if folder.vocabulary == "small" and not any(word in name for word in ("every kind", "legacy false")):
            continue
        with tempfile.TemporaryDirectory() as d:
            folder.write(Path(d), VOCABULARIES[folder.vocabulary])
            results.append(ids_of(open_by_transformers(d, folder.cls), requests))
        files = {n: skeleton(c, blobs[folder.vocabulary]) if n == "tokenizer.json" else c for n, c in folder.files.items()}
        if "tokenizer.json" in folder.files:
            assert filled(files["tokenizer.json"], blobs[folder.vocabulary]) == folder.files["tokenizer.json"], name
        folders.append({"name": name, "class": folder.cls, "vocabulary": folder.vocabulary, "files": files})
    # Most folders agree on most prompts: each list of ids once, with the numbers of the folders that give it.
    prompts = []
    for i, r in enumerate(requests):
        groups = {}
        for number, ids in enumerate(results):
            groups.setdefault(tuple(ids[i]), []).append(number)
        prompts.append({**r, "ids": [[list(ids), numbers] for ids, numbers in groups.items()]})
    return {"transformers": transformers.__version__, "folders": folders, "prompts": prompts}


def write(options):
    whole = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    whole[str(VERSION)] = golden_part(options.prompts)
    # A folder a line, a prompt a line.
    def lines(items):
        return "[\n" + ",\n".join(json.dumps(i, ensure_ascii=True, separators=(",", ":")) for i in items) + "\n]"
    parts = [f'"{key}": {{"transformers": "{part["transformers"]}",\n"folders": {lines(part["folders"])},\n"prompts": {lines(part["prompts"])}}}'
             for key, part in sorted(whole.items())]
    text = "{" + ",\n".join(parts) + "}"
    GOLDEN.write_text(text + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("write")
    one.add_argument("--prompts", type=int, default=120)
    two = commands.add_parser("compare")
    two.add_argument("program", help="token_ids, which the tests build")
    two.add_argument("--prompts", type=int, default=4000)
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--vocabulary", help="a folder with spiece.model")
    two.add_argument("--only", help="folders whose name holds this")
    two.add_argument("--show", type=int, default=3)
    options = parser.parse_args()
    return write(options) if options.command == "write" else compare(options)


if __name__ == "__main__":
    sys.exit(main())
