"""Verbs `train`, `kmeans` and `average`."""

import argparse


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    train = verbs.add_parser(
        "train",
        help="train a model; the same command goes on after an interruption",
        description="Train a model on a data directory whose features are there (`unitdisc features`). "
        "A second start with the same folder goes on from its newest whole checkpoint. "
        "Several processes: torchrun --nproc-per-node N -m unitdisc train ...",
        allow_abbrev=False,
    )
    train.add_argument("config", help="YAML file of a configuration")
    train.add_argument("exp", help="folder of the run: checkpoints, metrics.jsonl, log.txt, config.yaml, env.json")
    train.add_argument("--train", required=True, metavar="DATA", help="data directory to train on")
    train.add_argument("--dev", required=True, metavar="DATA", help="data directory to validate with")
    train.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change a value of the configuration"
    )
    train.set_defaults(run=run_train)
    kmeans = verbs.add_parser(
        "kmeans",
        help="cluster features: units without a network",
        description="Cluster the features of a data directory, and write a model that `unitdisc encode` takes.",
        allow_abbrev=False,
    )
    kmeans.add_argument("config", help="YAML file; its section `features` is used")
    kmeans.add_argument("exp", help="folder to write to")
    kmeans.add_argument("--train", required=True, metavar="DATA", help="data directory whose features are clustered")
    kmeans.add_argument("--codes", type=int, required=True, metavar="K", help="how many units")
    kmeans.add_argument("--passes", type=int, default=10, metavar="N", help="over all frames (default: 10)")
    kmeans.add_argument("--seed", type=int, default=0)
    kmeans.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change a value of the configuration"
    )
    kmeans.add_argument("--force", action="store_true", help="replace a model that is there")
    kmeans.set_defaults(run=run_kmeans)
    average = verbs.add_parser(
        "average",
        help="average the weights of the last checkpoints",
        description="Write EXP/average-N.pt.",
        allow_abbrev=False,
    )
    average.add_argument("exp", help="folder of a training run")
    average.add_argument("--last", type=int, required=True, metavar="N", help="how many checkpoints")
    average.set_defaults(run=run_average)


def run_train(options: argparse.Namespace) -> None:
    """Train."""
    from unitdisc import config
    from unitdisc.train import Config, train

    train(config.load(options.config, Config, options.set), options.exp, options.train, options.dev)


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
    print(f"{options.exp}: {options.codes} units of {frames} frames, mean squared distance {found.inertia:.4g}")


def run_average(options: argparse.Namespace) -> None:
    """Average checkpoints and print the new file's path."""
    from pathlib import Path

    from unitdisc.checkpoint import average_last

    print(average_last(Path(options.exp), options.last))
