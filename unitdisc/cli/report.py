"""Verb `report`."""

import argparse
import sys
from pathlib import Path

from unitdisc.cli.arguments import above_zero, add_renew, count
from unitdisc.report.options import ReportOptions


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `report`."""
    verb = verbs.add_parser(
        "report",
        help="write a page that shows and plays what came of experiments",
        description="Write one HTML file, which needs no network: scores, learning curves, codebook, units and phones, "
        "utterances and conversions to listen to, examples of every unit, data and model cards. "
        "What is missing is said on the page.",
        allow_abbrev=False,
    )
    verb.add_argument("exp", metavar="EXP", nargs="*", help="folders of training runs, shown side by side")
    verb.add_argument("--out", required=True, type=Path, help="HTML file to write")
    verb.add_argument(
        "--units",
        action="append",
        default=[],
        metavar="UNITS",
        help="a unit file of any origin, shown without a training run; repeatable",
    )
    verb.add_argument("--data", type=Path, help="data directory of the units (the one that they were encoded from)")
    verb.add_argument(
        "--alignment", type=Path, help="phones: a CTM file, or a folder of TextGrids (default: phones.ctm of --data)"
    )
    verb.add_argument(
        "--samples", type=count, default=ReportOptions.samples, metavar="N",
        help="how many utterances to show (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--examples",
        type=count,
        default=ReportOptions.examples,
        metavar="N",
        help="how many examples of each unit to hear (default: %(default)s)",
    )
    verb.add_argument(
        "--max-mb",
        type=above_zero,
        default=ReportOptions.max_mb,
        metavar="MB",
        help="largest size of the page in megabytes (default: %(default)s)",
    )
    verb.add_argument(
        "--seed", type=count, default=ReportOptions.seed, help="seed of the choice of utterances (default: %(default)s)"
    )
    verb.add_argument("--force", action="store_true", help="replace a page that is there")
    add_renew(verb)
    verb.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> None:
    """Write the page and print where it is."""
    from unitdisc.cli.making import making
    from unitdisc.made import Making
    from unitdisc.report.inputs import places_of, read_of

    shown = ReportOptions(
        options.data, options.alignment, options.samples, options.examples, options.max_mb, options.seed
    )
    settings = {name: getattr(options, name) for name in ("samples", "examples", "max_mb", "seed")}
    places = places_of(options.exp, options.units, shown)
    wanted = Making(options.out, settings, places, lambda: read_of(places))
    with making(options, wanted) as task:
        if task.unchanged:
            return
        from unitdisc.report.html import write_report

        size = write_report(
            options.exp, options.out, shown,
            units=options.units, force=task.force, progress=lambda what: print(what, file=sys.stderr),
        )  # fmt: skip
        print(f"{options.out}: {size / 1e6:.2f} MB")
