"""The verb `segment`: longer units."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from unitdisc.cli.arguments import above_zero, add_renew, zero_or_more
from unitdisc.cli.foreign import add_units_options
from unitdisc.errors import counted


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `segment`."""
    verb = verbs.add_parser(
        "segment",
        help="merge units into longer ones",
        description="Merge units into longer, phone-like ones: distances to the codewords against a penalty for each "
        "unit. With --frames, of the vectors that were quantised (`unitdisc encode --projection`); without, of the "
        "codewords themselves; without a codebook, of equal and unequal units. The penalty is given, or chosen "
        "without labels: by a wanted rate, or (the default) by the knee of the cost curve.",
        allow_abbrev=False,
    )
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    verb.add_argument("out", metavar="OUT", type=Path, help="unit file to write")
    verb.add_argument("--codebook", type=Path, help="codewords [K, D] (.npy); (default: codebook.npy beside UNITS)")
    verb.add_argument(
        "--frames", type=Path, help="vectors [T, D]: a .scp or a folder; (default: projection.scp beside UNITS)"
    )
    verb.add_argument("--identity", action="store_true", help="use neither codebook nor frames")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--penalty", type=zero_or_more, help="what each unit costs, in squared distance")
    how.add_argument(
        "--rate", type=above_zero, metavar="UNITS/S", help="the penalty that leads to so many units per second"
    )
    how.add_argument("--knee", action="store_true", help="the penalty at the knee of the cost curve (default)")
    verb.add_argument("--force", action="store_true", help="replace an existing file")
    add_renew(verb)
    verb.add_argument("--json", action="store_true", help="print the result as JSON")
    add_units_options(verb, "units")
    verb.set_defaults(run=run_segment)


def run_segment(options: argparse.Namespace) -> None:
    """Segment and print what came of it."""
    from unitdisc.cli.making import making
    from unitdisc.data.units import unit_file
    from unitdisc.errors import ConfigError
    from unitdisc.made import Making

    for name in ("codebook", "frames"):
        if options.identity and getattr(options, name):
            raise ConfigError(f"--identity uses neither codebook nor frames; leave out --{name}")
    units = unit_file(options.units)
    places = {"units": units}
    if not options.identity:
        codebook = options.codebook or units.parent / "codebook.npy"
        frames = options.frames or units.parent / "projection.scp"
        places |= {"codebook": codebook} if options.codebook or codebook.exists() else {}
        places |= {"frames": frames} if options.frames or ("codebook" in places and frames.exists()) else {}
    settings = {"verb": "segment", **{name: getattr(options, name) for name in ("penalty", "rate", "identity")}}
    with making(options, Making(options.out, settings, places)) as task:
        if not task.unchanged:
            task.result.update(_segment(options, places, task.force or options.force))


def _segment(options: argparse.Namespace, places: Mapping[str, Path], force: bool) -> dict[str, object]:
    from unitdisc.evaluate.frames import open_frames, read_array
    from unitdisc.evaluate.suite import codebook_beside
    from unitdisc.segment import UnitCorpus, segment

    units, codebook = places["units"], None
    if "codebook" in places:
        codebook = read_array(places["codebook"]) if options.codebook else codebook_beside(units)
    wanted = "frames" in places and (options.frames is not None or codebook is not None)
    frames = open_frames(places["frames"]) if wanted else None
    by = "frames and codewords" if frames is not None else "codewords" if codebook is not None else "equality"
    point = segment(UnitCorpus(units, codebook, frames), options.out, options.penalty, options.rate, force)
    about = {"penalty": point.penalty, "rate": point.rate, "units": point.units, "by": by}
    if options.json:
        print(json.dumps(about))
    else:
        how = f"penalty {point.penalty:.6g} by {by}"
        print(f"{options.out}: {counted(point.units, 'unit')}, {point.rate:.2f} per second, {how}")
    return about
