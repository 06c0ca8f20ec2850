"""What the sub-verbs of `score` share: scores are printed and, with --out, kept with what they were made of."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unitdisc.cli.arguments import add_renew
from unitdisc.cli.making import making, of_options
from unitdisc.errors import ConfigError, DataError

if TYPE_CHECKING:
    from unitdisc.evaluate.scores import Score
    from unitdisc.made import Making


Out = Callable[[argparse.Namespace], Path | None]  # where to write, without --out


def keep(verb: argparse.ArgumentParser, usual: Out = lambda options: None) -> None:
    """Add --out and --renew to a sub-verb, and let it score only what is not scored yet."""
    if not any("--out" in action.option_strings for action in verb._actions):
        verb.add_argument("--out", type=Path, metavar="FILE", help="also write whole scores there, as JSON")
    add_renew(verb)
    verb.set_defaults(run=kept(verb.get_default("run"), usual))


def kept(run: Callable[[argparse.Namespace], Any], usual: Out) -> Callable[[argparse.Namespace], Any]:
    """Return what scores unless --out has the scores already; without --renew they are made again."""

    def run_if_changed(options: argparse.Namespace) -> None:
        options.out = options.out or usual(options)
        if options.out is None:
            if options.unchanged:
                raise ConfigError("--unchanged asks whether a file of scores is up to date; give --out FILE")
            run(options)
            return
        if options.out.is_dir():
            raise DataError(f"--out {options.out}: expected a file to write, got a folder")
        options.force = not options.renew and not options.unchanged
        with making(options, _making(options)) as task:
            if not task.unchanged:
                run(options)

    return run_if_changed


def _making(options: argparse.Namespace) -> "Making":
    """Say of what scores are made; of a folder of units, the unit file and the codebook beside it."""
    made = of_options(options, options.out, "out", "rows")
    places = {name: _scored(path) for name, path in made.places.items()}
    of_codes = options.score in ("all", "speaker") or getattr(options, "distance", "") in ("codebook", "balanced")
    if of_codes and "codebook" not in places:
        units = places["features" if options.score == "abx" else "units"]
        places["codebook"] = units.with_name("codebook.npy")
    return replace(made, places=places)


def _scored(path: Path) -> Path:
    return path / "units.jsonl" if (path / "units.jsonl").is_file() else path


def show(options: argparse.Namespace, scores: "Sequence[Score]") -> None:
    """Print scores, and write them to --out."""
    from unitdisc.evaluate.scores import FORMAT, table, write_scores

    for score in scores:
        for warning in score.parts.get("warnings", []):
            print(f"warning: {score.definition}: {warning}", file=sys.stderr)
    if options.out is not None:
        write_scores(options.out, scores)
    if options.json:
        print(json.dumps({"format": FORMAT, "scores": [score.to_json() for score in scores]}, ensure_ascii=False))
    else:
        print(table(scores))
