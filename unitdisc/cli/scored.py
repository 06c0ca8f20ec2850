"""What the sub-verbs of `score` share: scores are printed and, with --out, kept with what they were made of."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unitdisc.cli.arguments import add_renew
from unitdisc.cli.making import making, of_options

if TYPE_CHECKING:
    from unitdisc.evaluate.scores import Score


def keep(verb: argparse.ArgumentParser) -> None:
    """Add --out and --renew to a sub-verb, and let it score only what is not scored yet."""
    if not any("--out" in action.option_strings for action in verb._actions):
        verb.add_argument("--out", type=Path, metavar="FILE", help="also write whole scores there, as JSON")
    add_renew(verb)
    verb.set_defaults(run=kept(verb.get_default("run")))


def kept(run: Callable[[argparse.Namespace], Any]) -> Callable[[argparse.Namespace], Any]:
    """Return what scores unless --out has the scores already; without --renew they are made again."""

    def run_if_changed(options: argparse.Namespace) -> None:
        if options.out is None:
            run(options)
            return
        options.force = not options.renew and not options.unchanged
        with making(options, of_options(options, options.out, "out")) as task:
            if not task.unchanged:
                run(options)

    return run_if_changed


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
