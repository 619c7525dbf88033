"""gpu_check.json: what was checked, with which binaries, on which card. Parts that ran apart are merged into one report."""
import json
import os
import tempfile

SCHEMA = 1
PARTS = ("build", "conformance", "sanitizer", "pictures", "bench", "torch")
STATUSES = ("passed", "failed", "skipped")
# Figures of different binaries or cards must not stand in one report.
IDENTITY = ("commit", "modified", "files")
CARD = ("gpu", "driver")


class Mismatch(Exception):
    """A report is of other binaries or another card."""


def part(status, seconds, why="", **results):
    """One part of a report. why: a failed or skipped part's reason, one line."""
    if status not in STATUSES:
        raise ValueError(f"status {status!r}")
    if status != "passed" and not why:
        raise ValueError(f"a {status} part needs its reason")
    entry = {"status": status, "seconds": round(seconds, 1)}
    if why:
        entry["why"] = why
    entry.update(results)
    return entry


def merge(old, new):
    """`new`'s parts over `old`'s (None: no report yet). Raises Mismatch naming what differs."""
    if old is None:
        return new
    if old.get("schema") != SCHEMA:
        raise Mismatch(f"schema {old.get('schema')}, not {SCHEMA}")
    for key in IDENTITY:
        if old.get(key) != new[key]:
            raise Mismatch(f"another {key}: {old.get(key)}, now {new[key]}")
    for key in CARD:
        was, now = old.get("machine", {}).get(key), new["machine"].get(key)
        if was != now:
            raise Mismatch(f"another {key}: {was}, now {now}")
    merged = dict(new)
    parts = {**old.get("parts", {}), **new["parts"]}
    merged["parts"] = {name: parts[name] for name in PARTS if name in parts}
    return merged


def read(path):
    """The report at `path`, or None where there is none. Raises Mismatch when the file is no report."""
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Mismatch(f"not JSON: {error}") from error
    if not isinstance(report, dict):
        raise Mismatch("not a report")
    return report


def write(path, report):
    """Whole or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".gpu_check")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1, ensure_ascii=False)
            file.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def missing(report):
    """Names of parts that have no entry yet."""
    return [name for name in PARTS if name not in report["parts"]]
