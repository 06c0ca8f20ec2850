"""The command line that small scripts of recipes have in common: paths in, lines out, an error in one line."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from unitdisc import config as configs
from unitdisc.errors import UnitdiscError


def run(work: Callable[..., Any], *paths: str, **options: dict[str, Any]) -> None:
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
    given = vars(parser.parse_args())
    try:
        for line in lines_of(work(**given)):
            print(line)
    except UnitdiscError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def lines_of(result: Mapping[str, float] | Iterable[str] | None) -> list[str]:
    """Return the lines to print for what a script's work returned."""
    if isinstance(result, Mapping):
        return [f"{name}: {value:.4g}" for name, value in result.items()]
    return list(result or ())


def run_training(train: Callable[[Any, Path, Path], None], cls: type) -> None:
    """Run `train(config, exp, data)`, its configuration being a file of a `cls` and changes of it; or --check that."""

    def load_and_train(config: Path, exp: Path, data: Path, set: list[str], check: bool) -> None:
        loaded = configs.load(config, cls, set)
        if not check:
            train(loaded, exp, data)

    run(
        load_and_train,
        "config",
        "exp",
        "data",
        set={"nargs": "+", "action": "extend", "default": [], "metavar": "A.B=VALUE"},
        check={"action": "store_true", "help": "read the configuration only"},
    )
