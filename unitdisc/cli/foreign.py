"""The verb `import-units`, and units of other tools where a verb takes units."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from unitdisc.cli.arguments import above_zero, add_json, positive, zero_or_more
from unitdisc.data.foreign.options import ReadOptions

SAME = "{}: a unit file already; copy it"


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `import-units`."""
    verb = verbs.add_parser(
        "import-units",
        help="make a unit file of another tool's units",
        description="Write a unit file of units in another tool's format, told by their content: fairseq, Kaldi and "
        "ESPnet text, CTM, TextGrid, DiscoPhon, SpidR, ZeroSpeech, textless, lhotse, arrays. Verbs that take units "
        "read these formats too; here, more can be said of them.",
        allow_abbrev=False,
    )
    verb.add_argument("source", metavar="SOURCE", type=Path, help="file or folder with units")
    verb.add_argument("out", metavar="OUT", type=Path, help="unit file to write")
    verb.add_argument("--format", default="", metavar="NAME", help="name of the format, where the content fits several")
    verb.add_argument("--period", type=above_zero, metavar="SECONDS", help="from frame to frame")
    verb.add_argument("--offset", type=zero_or_more, metavar="SECONDS", help="where the first frame begins")
    verb.add_argument("--codes", type=positive, metavar="K", help="how many units there can be (as many as occur)")
    verb.add_argument("--data", type=Path, help="data directory of the audio: the units must be as long as it")
    verb.add_argument("--tsv", type=Path, help="fairseq's list of audio files, if it is not beside the .km file")
    verb.add_argument(
        "--rate", type=positive, default=ReadOptions.rate, metavar="HZ",
        help="of the samples in a .tsv (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--tier", default=ReadOptions.tier, help="of a TextGrid, or an alignment of lhotse (default: %(default)s)"
    )
    verb.add_argument("--force", action="store_true", help="replace an existing file")
    add_json(verb)
    verb.set_defaults(run=run_import_units)


def run_import_units(options: argparse.Namespace) -> None:
    """Make a unit file."""
    from unitdisc.data.foreign.importing import ImportOptions, import_units
    from unitdisc.errors import DataError

    if options.out.exists() and not options.force:
        raise DataError(f"{options.out}: exists; --force replaces it")
    if _is_unit_file(options.source):
        raise DataError(SAME.format(options.source))
    read = ReadOptions(options.tsv, options.rate, options.tier)
    seconds = _seconds(options.data) if options.data else {}
    done = import_units(
        options.source, options.out,
        ImportOptions(options.format, options.period, options.offset, options.codes, seconds, read),
    )  # fmt: skip
    for note in done.notes:
        print(f"{options.source}: {note}", file=sys.stderr)
    if options.json:
        about = {"format": done.format, "utterances": done.utterances, "period": done.header.period}
        print(json.dumps(about | {"offset": done.header.offset, "codes": done.header.codes}))
    else:
        print(f"{options.out}: {done}")


def _seconds(data: Path) -> dict[str, float]:
    from unitdisc.data.kaldi import DataDir

    read = DataDir.read(data)
    return {utt: read.source(utt).seconds() for utt in read.utts}


def add_units_options(
    verb: argparse.ArgumentParser,
    *names: str,
    period: str = "--period",
    when: Callable[[argparse.Namespace], bool] = lambda options: True,
) -> None:
    """Let the arguments of these names be units of other tools, where the options are so that they are units."""
    group = verb.add_argument_group("units of other tools")
    group.add_argument(
        "--units-format", default="", metavar="NAME",
        help="name of their format, where the content fits several; `unitdisc import-units` says more of them",
    )  # fmt: skip
    if period == "--period":
        group.add_argument("--period", type=above_zero, metavar="SECONDS", help="from frame to frame, if not said")
    else:
        group.add_argument("--period", type=above_zero, dest="frame_shift", metavar="SECONDS", help=f"as {period}")
    verb.set_defaults(unit_arguments=names, period_option=period, takes_units=when)


@contextmanager
def units_of_others(options: argparse.Namespace) -> Iterator[None]:
    """Turn units of other tools among the arguments into unit files, for the length of a with block."""
    model = options.verb == "export" and not {"onnx", "onnx-stream"}.isdisjoint(options.format)  # no units at all
    with ExitStack() as stack:
        for name in () if model else getattr(options, "unit_arguments", ()):
            given = getattr(options, name)
            many = isinstance(given, (list, tuple))
            taken = [_taken(one, options, stack) for one in (given if many else [given])]
            setattr(options, f"given_{name}", given)
            setattr(options, name, taken if many else taken[0])
        yield


def _taken(given: Any, options: argparse.Namespace, stack: ExitStack) -> Any:
    path = Path(given) if given else None
    if path is None or not path.exists() or path.suffix == ".scp" or (_is_unit_file(path) and not options.units_format):
        return given
    from unitdisc.data.foreign.base import Source
    from unitdisc.data.foreign.formats import format_of
    from unitdisc.data.foreign.importing import ImportOptions, import_units

    format = format_of(Source(path), options.units_format, features=options.period_option == "--period")
    if format is None and path.is_dir():
        return given  # the verb says what it wants
    out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unitdisc-"))) / f"{path.name}.jsonl"
    if (path.parent / "codebook.npy").is_file():
        shutil.copy(path.parent / "codebook.npy", out.parent)
    period = options.period if options.period_option == "--period" else options.frame_shift
    done = import_units(
        path, out, ImportOptions(format.name if format else "", period, option="--units-format",
                                 period_option=options.period_option),
    )  # fmt: skip
    print("; ".join([f"{path}: read as {done}", *done.notes]), file=sys.stderr)
    return type(given)(out)


def _is_unit_file(path: Path) -> bool:
    """Tell whether a path is a unit file or a folder with one, or with what else the verbs take as it is."""
    if path.is_dir():
        return (path / "units.jsonl").exists() or (path / "feats.scp").exists()
    try:
        with path.open("rb") as file:
            return b'"format"' in file.read(200).split(b"\n")[0]
    except OSError:
        return False
