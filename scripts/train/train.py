#!/usr/bin/env python3
"""Trains the sticker model stage by stage; every stage resumes where it stopped.

usage: train.py --config cpu.json [--stage all|data|adopt|tokenizer|vae|latents|text|denoiser|decoder|export|card] [--minutes M]
                [--from DIR]
  --minutes  with a single stage: its total over all sittings, instead of the configuration's
  --from     with the stage adopt, which "all" leaves out: the exported model folder to train on from
"""
import argparse
import importlib
from pathlib import Path

import config as configuration

STAGES = {
    "data": ("data", "build_cache"),
    "adopt": ("adopt", "run"),
    "tokenizer": ("tokenizer", "train"),
    "vae": ("vae", "train"),
    "latents": ("latents", "build_cache"),
    "text": ("text", "train"),
    "denoiser": ("flow", "train"),
    "decoder": ("refine", "train"),
    "export": ("export", "run"),
    "card": ("card", "run"),
}


def main():
    """Parses the command line and runs the asked-for stages in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--stage", default="all", choices=["all", *STAGES])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--from", dest="folder", type=Path)
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    if arguments.minutes is not None:
        if "minutes" not in config.get(arguments.stage, {}):
            parser.error("--minutes needs a single stage that has a time budget")
        config[arguments.stage]["minutes"] = arguments.minutes
    if (arguments.stage == "adopt") != (arguments.folder is not None):
        parser.error("--from DIR belongs to the stage adopt, which needs it")
    config["from"] = arguments.folder
    device = configuration.prepare(config)
    for stage in [s for s in STAGES if s != "adopt"] if arguments.stage == "all" else [arguments.stage]:
        print(f"== {stage}", flush=True)
        module, function = STAGES[stage]
        getattr(importlib.import_module(module), function)(config, device)


if __name__ == "__main__":
    main()
