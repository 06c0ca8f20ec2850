"""Verbs: items, and `abx` of the verb score."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from unitdisc.cli.arguments import above_zero, count, positive, positive_or_none, share
from unitdisc.cli.foreign import add_units_options
from unitdisc.errors import counted
from unitdisc.evaluate.abx_options import AbxOptions, Distance, Slicing


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `items`."""
    verb = verbs.add_parser(
        "items",
        help="make an item file for ABX from a phone alignment",
        description="Write the item file of ABX: a line for each phone, in its context, of an alignment.",
        allow_abbrev=False,
    )
    verb.add_argument("data", metavar="DATA", type=Path, help="data directory with the utterances and their speakers")
    verb.add_argument("out", metavar="OUT", type=Path, help="item file to write")
    verb.add_argument("--alignment", type=Path, required=True, help="a CTM file, or a folder of TextGrid, .phn, ...")
    verb.add_argument(
        "--unit", choices=("triphone", "phone"), default="triphone", help="what an item spans (default: %(default)s)"
    )
    verb.add_argument("--silences", metavar="A,B", help="labels that are no phones, instead of the usual ones")
    verb.add_argument("--force", action="store_true", help="replace an existing file")
    verb.set_defaults(run=run_items)


def run_items(options: argparse.Namespace) -> None:
    """Make an item file."""
    from unitdisc.data.alignment import read_alignment, silences_of
    from unitdisc.data.kaldi import DataDir
    from unitdisc.errors import DataError
    from unitdisc.evaluate.items import make_items, write_items

    if options.out.exists() and not options.force:
        raise DataError(f"{options.out}: exists; --force replaces it")
    silences = silences_of(options.silences, options.alignment)
    data = DataDir.read(options.data)
    items = make_items(
        read_alignment(options.alignment), data.utt2spk, options.unit, silences, where=str(options.alignment)
    )
    write_items(options.out, items)
    phones, speakers = (len(set(names.tolist())) for names in (items.phones, items.speakers))
    print(f"{options.out}: {counted(len(items), 'item')} of {counted(phones, 'phone')}, {counted(speakers, 'speaker')}")


def add_abx(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `score abx`."""
    verb = subverbs.add_parser("abx", help="ABX error of features or units", allow_abbrev=False)
    verb.add_argument(
        "features",
        metavar="FEATURES",
        type=Path,
        help="folder of .npy, .pt or .txt; feats.scp, unit file, or their folder",
    )
    verb.add_argument("items", metavar="ITEMS", type=Path, help="item file")
    verb.add_argument(
        "--frame-shift", type=above_zero, help="seconds from frame to frame, where the features do not say"
    )
    verb.add_argument(
        "--speaker",
        choices=("within", "across"),
        default=AbxOptions.speaker,
        help="whether X is by the speaker of A and B (within) or by another one (across) (default: %(default)s)",
    )
    verb.add_argument(
        "--context",
        choices=("within", "any"),
        default=AbxOptions.context,
        help="whether A, B and X must have equal neighbouring phones (within) or not (any) (default: %(default)s)",
    )
    verb.add_argument(
        "--distance",
        choices=get_args(Distance),
        default=AbxOptions.distance,
        help="distance of two frames; the last four are for units (default: %(default)s)",
    )
    verb.add_argument("--codebook", type=Path, help="codewords [K, D] (.npy, .pt) for codebook and balanced")
    verb.add_argument(
        "--max-group",
        type=positive_or_none,
        default=AbxOptions.max_group,
        metavar="N|none",
        help="most items of a phone in a cell (default: %(default)s)",
    )
    verb.add_argument(
        "--max-x-across",
        type=positive_or_none,
        default=AbxOptions.max_x_across,
        metavar="N|none",
        help="most speakers of X for each A and B (default: %(default)s)",
    )
    verb.add_argument(
        "--seed",
        type=count,
        default=AbxOptions.seed,
        help="seed of what the two options above draw (default: %(default)s)",
    )
    verb.add_argument(
        "--resamples", type=count, default=1000, metavar="N",
        help="resamples of the bootstrap, which makes the interval; 0: no interval (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--slicing",
        choices=get_args(Slicing),
        default=AbxOptions.slicing,
        help="which frames belong to an item (default: %(default)s)",
    )
    verb.add_argument(
        "--max-dropped",
        type=share,
        default=AbxOptions.max_dropped,
        metavar="SHARE",
        help="share of the items that may lack frames (default: %(default)s)",
    )
    verb.add_argument("--jobs", type=positive, default=None, help="number of threads; all cores by default")
    verb.add_argument("--json", action="store_true", help="print the whole score as JSON")
    add_units_options(verb, "features", period="--frame-shift")
    verb.set_defaults(run=run_abx)


def run_abx(options: argparse.Namespace) -> None:
    """Score ABX."""
    from unitdisc.evaluate.abx import score_abx
    from unitdisc.evaluate.scores import table, write_scores

    fields: dict[str, Any] = {name: getattr(options, name) for name in AbxOptions.__dataclass_fields__}
    score = score_abx(
        options.features, options.items, options.frame_shift, AbxOptions(**fields), options.jobs, options.codebook,
        options.resamples,
    )  # fmt: skip
    for warning in score.parts["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    if options.out is not None:
        write_scores(options.out, [score])
    print(json.dumps(score.to_json()) if options.json else table([score]))
