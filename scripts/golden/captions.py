"""Golden captions as diffusers' PixArt pipelines clean them, with Beautiful Soup and ftfy.

Without options it writes tests/golden/captions.json. `--compare build/clean_captions` compares the cleaner of this repository with
theirs instead, on as many captions as `--count` says, made from `--seed`, and prints where they part.
"""
import argparse
import json
import random
import subprocess
import warnings

import bs4
import ftfy
from diffusers import PixArtAlphaPipeline

import common

WORDS = ("a red apple on the table cat dog house tree green old photo of two people walking near lake 4k hdr sunset портрет кошки "
         "été garçon straße İstanbul ΟΔΟΣ naïve 红苹果 猫 の カメラ 고양이 देखना عربي x y z 3d").split()
TAGS = ["<b>{}</b>", "<i>{}</i>", "<p>{}</p>", "<br>{}", "<br/>{}", '<a href="http://x.com/a?b=1&c=2">{}</a>', "<img src='a.png' alt=\"{}\">", "<person> {}",
        "<script>{}</script>", "<style>{}</style>", "<!-- {} -->", "<![CDATA[{}]]>", "<!DOCTYPE {}>", "<?php {} ?>", "<div\n class=x>{}</div>", "<ul><li>{}<li>b</ul>",
        "<rt>{}</rt>", "<template>{}</template>", "<pre> {} </pre>", "<b>{}", "{}</b>", "< {}", "<{}", "<3 {}", "{} >", "</>{}", "</ {}>", "<a b='{}>", "<a/{}>x",
        "<title>{}</title>", "<ScRiPt>{}</sCrIpT >", "<b> </b>{}", "<b>\n</b>{}", "<svg/onload={}>", "<hr>{}</hr>", "<x=1 {}>", "<![if x]>{}<![endif]>", "<!x{}>"]
ENTITIES = ["&amp;", "&lt;", "&gt;", "&quot;", "&eacute;", "&EACUTE;", "&nbsp;", "&#39;", "&#x27;", "&#8217;", "&#169;", "&copy", "&notit;", "&foo;", "&amp;amp;", "&#0;", "&#150;",
            "&#xD800;", "&#1114112;", "&hellip;", "&mdash;", "&amp;lt;b&amp;gt;", "&#12a;", "&#", "&", "&;", "&AMP;", "&frac12;", "&NotEqualTilde;", "&szlig;", "&#xe9",
            "%20", "%C3%A9", "%e7%8c%ab", "%ff", "%zz", "%", "a+b", "&#x1F600;", "＆lt；", "＆lt;", "＆eacute;", "＆＃233;", "＆EACUTE;", "＆copy"]
QUOTES = ['"{}"', "'{}'", "“{}”", "‘{}’", "«{}»", "„{}“", "`{}´", '""{}""', "'''{}'''", "*** {} ***", "({})", "[{}]", "{{{}}}", "|{}|", "\"{}", "{}'", "‹{}›", "ʼ{}ʼ", "〝{}〞"]
WIDTHS = ["ＦＵＬＬ", "ｗｉｄｅ　ｔｅｘｔ", "ｶﾀｶﾅ", "ﬁne ﬂour", "ﬃ", "①②", "㎏", "½", "x²", "e\u0301", "ü", "ǆ", "\u200b", "\ufeff", "\u00ad", "１９２０ｘ１０８０", "！？", "＄１００", "ﾟ", "Å",
          "\u0085", "\u2028", "\r\n", "\t", "\x1b[31mred\x1b[0m", "\x00", "\x07", "\u206a", "🙂", "👩‍👩‍👧", "ĳ", "ŉ"]
LINKS = ["http://example.com/a_b-c", "https://t.co/AbC123", "www.example.org", "www:x", "example.net/page", "me@example.com", "@anna", "@анна_1", "http:foo", "shop.ru", "a.co.uk/x/",
         "ftp://a.it", "site.education", "127.0.0.1", "photo.jpg", "my.cat.PNG", "a/b/c.webp", "file.mp4.", "#12", "#1234", "#12345", "#cat", "12:34", "12:34 ", "http://", "x.com@", "1.2.3"]
SIZES = ["1920x1080", "800 x 600", "12.5x7", "10×15", "4х6", "2x", "x2", "jc6640", "jc6640vc", "6640vc231", "j2d1a2a", "123456", "12345", "page 12", "free shipping", "worldwide free shipping",
         "download free", "free download", "click for more", "click on it", "png images", "jpg image", "3d4", "a1b2c3", "iso-9001", "1,5", "1.000,50", "5'6\"", "10%", "no.5", "5:4", "24/7"]
JOINTS = [" ", " ", " ", " ", "", ", ", ". ", " - ", " — ", "-", "_", "/", " . ", "...", "; ", " : ", ":", "\n", "\\n", " \u00a0", " & ", "|", "~", "=", "+", " #"]
KINDS = [TAGS, ENTITIES, QUOTES, WIDTHS, LINKS, SIZES]


def caption(rng, depth=0):
    parts = []
    for _ in range(rng.randint(1, 7 if depth == 0 else 3)):
        if rng.random() < 0.5:
            parts.append(rng.choice(WORDS))
            continue
        part = rng.choice(rng.choice(KINDS))
        if "{}" in part:
            part = part.replace("{}", caption(rng, depth + 1) if depth < 3 and rng.random() < 0.6 else rng.choice(WORDS))
        if rng.random() < 0.1:
            part = part.upper()
        parts.append(part)
        if rng.random() < 0.02:  # cut anywhere
            parts[-1] = part[:rng.randint(0, len(part))]
    return "".join(part + rng.choice(JOINTS) for part in parts)


def noise(rng):
    """Signs alone: what the parsers of HTML make of no HTML."""
    signs = "<>&;#/!?-[]='\"% \n.xX0149abBé猫\u00a0+@:_" + "".join(rng.choice(ENTITIES) for _ in range(2))
    return "".join(rng.choice(signs) for _ in range(rng.randint(1, 40)))


def captions(seed, count):
    rng = random.Random(seed)
    return [noise(rng) if rng.random() < 0.1 else caption(rng) for _ in range(count)]


def cleaned(text):
    """None where diffusers' raises."""
    pipe = object.__new__(PixArtAlphaPipeline)
    try:
        return PixArtAlphaPipeline._text_preprocessing(pipe, text, clean_caption=True)[0]
    except bs4.exceptions.ParserRejectedMarkup:
        return None


def without_encodings(text):
    """As cleaned(), by an ftfy that leaves encodings alone."""
    whole = ftfy.fix_text
    ftfy.fix_text = lambda t: whole(t, fix_encoding=False)
    try:
        return cleaned(text)
    finally:
        ftfy.fix_text = whole


def compare(program, seed, count):
    texts = captions(seed, count)
    lines = subprocess.run([program], input="\n".join(map(json.dumps, texts)) + "\n", capture_output=True, text=True, check=True).stdout
    ours = [json.loads(line) for line in lines.splitlines()]
    equal = encodings = 0
    for text, our in zip(texts, ours, strict=True):
        their = cleaned(text)
        if our == their:
            equal += 1
        elif our == without_encodings(text):
            encodings += 1
        else:
            print(f"caption {text!r}\n  theirs {their!r}\n  ours   {our!r}")
    refused = sum(our is None for our in ours)
    print(f"{count} captions of seed {seed}: {equal} equal ({refused} of them refused by both), {encodings} differ by ftfy's repair of encodings alone, "
          f"{count - equal - encodings} differ otherwise")
    return equal + encodings == count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", metavar="PROGRAM", help="the cleaner to compare with: build/clean_captions")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # Beautiful Soup's, about text that is no HTML
    if args.compare:
        raise SystemExit(0 if compare(args.compare, args.seed, args.count) else 1)
    pairs = [[text, cleaned(text)] for text in captions(2, 500) if cleaned(text) == without_encodings(text)]
    common.write("captions", {"beautifulsoup4": bs4.__version__, "ftfy": ftfy.__version__, "captions": pairs})


if __name__ == "__main__":
    main()
