"""Verb `pack`: a trained model to give away."""

import argparse
import json


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    pack = verbs.add_parser(
        "pack",
        help="make a folder of a trained model to give away",
        description="Write OUT: averaged weights (safetensors, without what only training needs), configuration, "
        "codebook, and a model card with the data, the scores of EXP and how to use it. Every verb that takes EXP "
        "takes OUT, and gives the same units.",
        allow_abbrev=False,
    )
    pack.add_argument("exp", metavar="EXP", help="folder of a training run, or a checkpoint file")
    pack.add_argument("out", metavar="OUT", help="folder to write to")
    pack.add_argument("--no-decoder", action="store_true", help="units only: leave out decoder, voices and their names")
    pack.add_argument("--name", default="", help="title of the model card, when not that of OUT")
    pack.add_argument("--licence", default="", metavar="NAME", help="licence of the weights for the card, as cc-by-4.0")
    pack.add_argument(
        "--data", dest="trained_on", default="", metavar="TEXT", help="what the model was trained on, in words"
    )
    pack.add_argument("--force", action="store_true", help="replace a packed model that is there")
    pack.add_argument("--json", action="store_true", help="print the result as JSON")
    pack.set_defaults(run=run_pack)


def run_pack(options: argparse.Namespace) -> None:
    """Pack and print what was packed."""
    from unitdisc.pack import PackOptions, pack

    wanted = PackOptions(not options.no_decoder, options.name, options.licence, options.trained_on)
    done = pack(options.exp, options.out, wanted, force=options.force)
    if options.json:
        print(json.dumps({"out": options.out, **done._asdict()}, ensure_ascii=False))
        return
    print(
        f"{options.out}: {done.parameters:,} parameters, {done.total / 1e6:.1f} MB, codebook {done.codebook}, "
        f"model {done.model}"
    )
