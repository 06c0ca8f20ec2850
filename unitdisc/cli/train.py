"""Verbs `train`, `config` and `average`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import add_renew, add_set, positive

if TYPE_CHECKING:
    from unitdisc.made import Making
    from unitdisc.train_config import Config

TRAINED = ("config.yaml", "checkpoints/*.pt")


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    train = verbs.add_parser(
        "train",
        help="train a model; the same command goes on after an interruption",
        description="Train a model on a data directory; features that it lacks (`unitdisc features`) are made in EXP, "
        "or, with --set train.straight=true, as they are read. A folder of recordings or tar archives serves, too. "
        "A second start with the same folder goes on from its newest whole checkpoint. "
        "Several processes: torchrun --nproc-per-node N -m unitdisc train ...",
        allow_abbrev=False,
    )
    train.add_argument("config", metavar="CONFIG", help="YAML file of a configuration")
    train.add_argument("exp", metavar="EXP", help="folder of the run: checkpoints, metrics.jsonl, log.txt, ...")
    train.add_argument("--train", required=True, metavar="DATA", help="data directory to train on")
    train.add_argument("--dev", required=True, metavar="DATA", help="data directory to validate with")
    add_set(train)
    add_renew(train)
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
    average = verbs.add_parser(
        "average",
        help="average the weights of the last checkpoints",
        description="Write EXP/average-N.pt.",
        allow_abbrev=False,
    )
    average.add_argument("exp", metavar="EXP", help="folder of a training run")
    average.add_argument("--last", type=positive, required=True, metavar="N", help="how many checkpoints")
    average.add_argument("--force", action="store_true", help="replace an average that is there")
    add_renew(average)
    average.set_defaults(run=run_average)


def run_train(options: argparse.Namespace) -> None:
    """Train."""
    from unitdisc.cli.making import making

    with making(options, making_of_training(options)) as task:
        if not task.unchanged:
            from unitdisc import config
            from unitdisc.train import train
            from unitdisc.train_config import Config

            train(config.load(options.config, Config, options.set), options.exp, options.train, options.dev)


def making_of_training(options: argparse.Namespace) -> "Making":
    """Say of what a model is trained, without loading what trains it."""
    from unitdisc.config import read_tree, with_overrides
    from unitdisc.made import Making

    def reads() -> Iterator[str]:
        from unitdisc import config
        from unitdisc.train_config import Config

        wanted = config.load(options.config, Config, options.set)
        for place in ("train", "dev"):
            yield from read_while_training(wanted, place, Path(getattr(options, place)))

    tree = with_overrides(None, read_tree(Path(options.config)), options.set)
    return Making(
        Path(options.exp), tree, {"train": Path(options.train), "dev": Path(options.dev)}, reads, holds=TRAINED,
        # A training may go on with another learning rate, or for longer, if nobody asks for a new one.
        loose=() if options.renew or options.unchanged else ("train",), aside=True,
    )  # fmt: skip


def read_while_training(config: "Config", place: str, data: Path) -> Iterator[str]:
    """Give the files of a data directory that a training depends on; a folder of recordings counts as a whole."""
    from unitdisc.data.kaldi import is_data_dir

    if data.is_dir() and not is_data_dir(data):
        yield place
        return
    weights, decoder = config.model.weights, config.model.decoder
    names = ["feats", *decoder.archives(config.model.targets)]
    present = [name for name in names if not config.train.straight and (data / f"{name}.scp").is_file()]
    yield from (f"{place}/{name}.scp" for name in present)
    if len(present) < len(names):  # made of the audio
        yield from (f"{place}/wav.scp", f"{place}/segments")
    yield f"{place}/utt2spk"
    if max(weights.ctc, weights.framewise) > 0:
        yield f"{place}/phones.ctm"


def run_config(options: argparse.Namespace) -> None:
    """Print a whole configuration."""
    from unitdisc import config
    from unitdisc.config_text import describe
    from unitdisc.train_config import Config

    if options.config is not None:
        print(describe(config.load(options.config, Config, options.set)), end="")
    else:
        print(describe(config.of_overrides(Config, options.set)), end="")


def run_average(options: argparse.Namespace) -> None:
    """Average checkpoints and print the new file's path."""
    from unitdisc.cli.making import making
    from unitdisc.made import Making

    exp = Path(options.exp)
    path = exp / f"average-{options.last}.pt"
    with making(options, Making(path, {"last": options.last}, {"exp": exp}, lambda: ("exp/checkpoints/*.pt",))) as task:
        if task.unchanged:
            return
        from unitdisc.checkpoint import average_last, step_files
        from unitdisc.errors import CheckpointError

        if not path.exists() and not step_files(exp):
            raise CheckpointError(f"{exp}: expected the folder of a training run, got none of its checkpoints")
        if path.exists() and not task.force:
            raise CheckpointError(f"{path}: there already; --force replaces it")
        print(average_last(exp, options.last))
