"""The command line that small scripts of recipes have in common: paths in, lines out, an error in one line."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc import config as configs
from unitdisc.cli.arguments import add_renew
from unitdisc.cli.making import making, of_options
from unitdisc.errors import UnitdiscError
from unitdisc.made import Making

WAVS = ("train/wav.scp", "dev/wav.scp", "test/wav.scp")  # what a recipe of speech makes of its corpus


class Output(NamedTuple):
    """What a script makes: it is left if it was made of the same, and made anew, with --renew, if of something else."""

    option: str  # the argument that names it
    holds: tuple[str, ...]  # what is in it when it is a whole folder; for a file nothing
    reads: tuple[str, ...]  # what it is made of, beside the options: "corpus/**/*.wav", "local/phones.txt"
    aside: bool = False  # what was made of something else is kept under another name
    file: str = ""  # in the folder that the argument names: only this is made


def run(work: Callable[..., Any], *paths: str, makes: Output | None = None, **options: dict[str, Any]) -> None:
    """Do `work` with what the command line gives, and print the lines, or the named numbers, that it returns.

    `paths` are names of arguments; one that ends in "..." takes several paths. `options` have for each --name (its _ is
    a - there), or for an argument that is no path, what argparse's add_argument takes. The script's docstring is its
    help.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    about = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(description=about, formatter_class=formatter, allow_abbrev=False)
    for path in paths:
        name, several = path.removesuffix("..."), path.endswith("...")
        parser.add_argument(name, **{"type": Path, "nargs": "+" if several else None} | options.pop(name, {}))
    for name, how in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **how)
    if makes is not None:
        add_renew(parser)
    given = parser.parse_args()
    try:
        if makes is None or getattr(given, "check", False):
            print_lines(work(**options_of(given)))
            return
        with making(given, making_of(makes, given)) as task:
            if not task.unchanged:
                print_lines(work(**options_of(given)))
    except UnitdiscError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def options_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the options that are the script's own."""
    return {name: value for name, value in vars(given).items() if name not in ("renew", "unchanged")}


def making_of(makes: Output, given: argparse.Namespace) -> Making:
    """Say of what a script's output is made: of its own text, too."""
    script = Path(sys.argv[0])
    making = of_options(given, getattr(given, makes.option) / makes.file, *([] if makes.file else [makes.option]))
    places = {**making.places, "local": script.parent}
    settings = dict(making.settings)
    if "config" in places:  # with its includes and changes
        settings |= configs.with_overrides(None, configs.read_tree(given.config), settings.pop("set"))
    reads = [name for name in (*makes.reads, f"local/{script.name}") if name.split("/")[0] in places]
    return replace(making, places=places, settings=settings, reads=lambda: reads, holds=makes.holds, aside=makes.aside)


def print_lines(result: Mapping[str, float] | Iterable[str] | None) -> None:
    """Print what a script's work returned."""
    for line in lines_of(result):
        print(line)


def lines_of(result: Mapping[str, float] | Iterable[str] | None) -> list[str]:
    """Return the lines to print for what a script's work returned."""
    if isinstance(result, Mapping):
        return [f"{name}: {value:.4g}" for name, value in result.items()]
    return list(result or ())


def run_training(train: Callable[[Any, Path, Path], None], cls: type, *reads: str) -> None:
    """Run `train(config, exp, data)`, its configuration being a file of a `cls` and changes of it; or --check that.

    `reads` is what it depends on beside that: "data/train.npy".
    """
    reads = (*reads, "local/networks.py", "local/../../common/training.py", "local/../../common/pixels.py")

    def load_and_train(config: Path, exp: Path, data: Path, set: list[str], check: bool) -> None:
        loaded = configs.load(config, cls, set)
        if not check:
            train(loaded, exp, data)

    run(
        load_and_train,
        "config",
        "exp",
        "data",
        makes=Output("exp", ("config.yaml", "checkpoints/*.pt"), reads, aside=True),
        set={"nargs": "+", "action": "extend", "default": [], "metavar": "A.B=VALUE"},
        check={"action": "store_true", "help": "read the configuration only"},
    )
