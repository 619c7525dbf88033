#!/usr/bin/env python3
"""Trains the sticker model stage by stage; every stage resumes where it stopped.

usage: train.py --config cpu.json [--stage all|data|narrow|adopt|tokenizer|grow|vae|latents|text|denoiser|decoder|onestep|export|card]
                [--minutes M] [--examples N] [--from DIR]
  --minutes, --examples  with a single stage that has such a budget: its total over all sittings, instead of the configuration's
  --from                 with the stages that "all" leaves out: the exported model folder to train on from (adopt, grow), the work
                         folder of a larger vocabulary (narrow)
"""
import argparse
import importlib
from pathlib import Path

import config as configuration

STAGES = {
    "data": ("data", "build_cache"),
    "narrow": ("narrow", "run"),
    "adopt": ("adopt", "run"),
    "tokenizer": ("tokenizer", "train"),
    "grow": ("grow", "run"),
    "vae": ("vae", "train"),
    "latents": ("latents", "build_cache"),
    "text": ("text", "train"),
    "denoiser": ("flow", "train"),
    "decoder": ("refine", "train"),
    "onestep": ("onestep", "train"),
    "export": ("export", "run"),
    "card": ("card", "run"),
}

FROM_FOLDER = ("narrow", "adopt", "grow")


def main():
    """Parses the command line and runs the asked-for stages in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--stage", default="all", choices=["all", *STAGES])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--from", dest="folder", type=Path)
    arguments = parser.parse_args()
    config = configuration.load(arguments.config)
    for budget in ("minutes", "examples"):
        total = getattr(arguments, budget)
        if total is not None:
            if budget not in config.get(arguments.stage, {}):
                parser.error(f"--{budget} needs a single stage whose budget is in {budget}")
            config[arguments.stage][budget] = total
    if (arguments.stage in FROM_FOLDER) != (arguments.folder is not None):
        parser.error(f"--from DIR belongs to the stages {', '.join(FROM_FOLDER)}, which need it")
    config["from"] = arguments.folder
    device = configuration.prepare(config)
    for stage in [s for s in STAGES if s not in FROM_FOLDER] if arguments.stage == "all" else [arguments.stage]:
        print(f"== {stage}", flush=True)
        module, function = STAGES[stage]
        getattr(importlib.import_module(module), function)(config, device)


if __name__ == "__main__":
    main()
