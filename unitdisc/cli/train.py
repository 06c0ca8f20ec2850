"""Verbs `train`, `config`, `kmeans` and `average`."""

import argparse
import json

from unitdisc.cli.arguments import add_json, add_set, count, positive


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    train = verbs.add_parser(
        "train",
        help="train a model; the same command goes on after an interruption",
        description="Train a model on a data directory; features that it lacks (`unitdisc features`) are made in EXP. "
        "A second start with the same folder goes on from its newest whole checkpoint. "
        "Several processes: torchrun --nproc-per-node N -m unitdisc train ...",
        allow_abbrev=False,
    )
    train.add_argument("config", metavar="CONFIG", help="YAML file of a configuration")
    train.add_argument("exp", metavar="EXP", help="folder of the run: checkpoints, metrics.jsonl, log.txt, ...")
    train.add_argument("--train", required=True, metavar="DATA", help="data directory to train on")
    train.add_argument("--dev", required=True, metavar="DATA", help="data directory to validate with")
    add_set(train)
    train.set_defaults(run=run_train)
    config = verbs.add_parser(
        "config",
        help="print a whole configuration: all keys and their values",
        description="Print the whole configuration that `unitdisc train` takes, as YAML: what CONFIG (nothing, without "
        "it) and --set say, defaults for the rest. The keys of another kind: --set model.quantizer.kind=ema.",
        allow_abbrev=False,
    )
    config.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file of a configuration")
    add_set(config)
    config.set_defaults(run=run_config)
    kmeans = verbs.add_parser(
        "kmeans",
        help="cluster features: units without a network",
        description="Cluster the features of a data directory, and write a model that `unitdisc encode` takes.",
        allow_abbrev=False,
    )
    kmeans.add_argument("config", metavar="CONFIG", help="YAML file; its section `model.features` is used")
    kmeans.add_argument("exp", metavar="EXP", help="folder to write to")
    kmeans.add_argument("--train", required=True, metavar="DATA", help="data directory whose features are clustered")
    kmeans.add_argument("--codes", type=positive, required=True, metavar="K", help="how many units")
    kmeans.add_argument("--passes", type=count, default=10, metavar="N", help="over all frames (default: %(default)s)")
    kmeans.add_argument("--seed", type=int, default=0, help="of the first centres (default: %(default)s)")
    add_set(kmeans)
    kmeans.add_argument("--force", action="store_true", help="replace a model that is there")
    add_json(kmeans)
    kmeans.set_defaults(run=run_kmeans)
    average = verbs.add_parser(
        "average",
        help="average the weights of the last checkpoints",
        description="Write EXP/average-N.pt.",
        allow_abbrev=False,
    )
    average.add_argument("exp", metavar="EXP", help="folder of a training run")
    average.add_argument("--last", type=positive, required=True, metavar="N", help="how many checkpoints")
    average.add_argument("--force", action="store_true", help="replace an average that is there")
    average.set_defaults(run=run_average)


def run_train(options: argparse.Namespace) -> None:
    """Train."""
    from unitdisc import config
    from unitdisc.train import Config, train

    train(config.load(options.config, Config, options.set), options.exp, options.train, options.dev)


def run_config(options: argparse.Namespace) -> None:
    """Print a whole configuration."""
    from unitdisc import config
    from unitdisc.train import Config

    if options.config is not None:
        print(config.describe(config.load(options.config, Config, options.set)), end="")
    else:
        print(config.describe(config.of_overrides(Config, options.set)), end="")


def run_kmeans(options: argparse.Namespace) -> None:
    """Cluster and print what was found."""
    from unitdisc import config
    from unitdisc.cluster import fit_kmeans
    from unitdisc.train import Config

    found = fit_kmeans(
        config.load(options.config, Config, options.set), options.exp, options.train, options.codes,
        seed=options.seed, passes=options.passes, force=options.force,
    )  # fmt: skip
    frames = int(found.counts.sum())
    if options.json:
        about = {"exp": options.exp, "codes": options.codes, "frames": frames, "inertia": found.inertia}
        print(json.dumps(about, ensure_ascii=False))
        return
    print(f"{options.exp}: {options.codes} units of {frames} frames, mean squared distance {found.inertia:.4g}")


def run_average(options: argparse.Namespace) -> None:
    """Average checkpoints and print the new file's path."""
    from pathlib import Path

    from unitdisc.checkpoint import average_last, step_files
    from unitdisc.errors import CheckpointError

    path = Path(options.exp) / f"average-{options.last}.pt"
    if not path.exists() and not step_files(path.parent):
        raise CheckpointError(f"{path.parent}: expected the folder of a training run, got none of its checkpoints")
    if path.exists() and not options.force:
        raise CheckpointError(f"{path}: there already; --force replaces it")
    print(average_last(Path(options.exp), options.last))
