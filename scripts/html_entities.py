#!/usr/bin/env python3
"""Writes src/text/html_entities.inc: the named character references of HTML5, as Python's html.entities has them.

A reference is NAME:HEX, or NAME!HEX where HTML also knows it without its semicolon; HEX+HEX are two characters. By name in ASCII's
order."""
from html.entities import html5
from pathlib import Path

WIDTH = 128


def main():
    items = []
    for name in sorted(n[:-1] for n in html5 if n.endswith(";")):
        characters = "+".join(f"{ord(c):X}" for c in html5[name + ";"])
        assert html5.get(name, html5[name + ";"]) == html5[name + ";"], name
        items.append(f"{name}{'!' if name in html5 else ':'}{characters} ")
    assert {n.rstrip(";") + ";" for n in html5} == {n for n in html5 if n.endswith(";")}
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) + 2 > WIDTH:
            lines.append("")
        lines[-1] += item
    target = Path(__file__).resolve().parents[1] / "src" / "text" / "html_entities.inc"
    target.write_text("// Made by scripts/html_entities.py.\n" + "".join(f'"{line}"\n' for line in lines), encoding="ascii")
    print(target, len(items), "references")


if __name__ == "__main__":
    main()
