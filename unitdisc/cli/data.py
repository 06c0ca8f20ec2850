"""Verbs that make, check and cut data directories: check, import, subset, split, combine."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import above_zero, add_json, add_renew, count, positive, share
from unitdisc.errors import counted

if TYPE_CHECKING:
    from unitdisc.data.check import Report
    from unitdisc.data.kaldi import DataDir

SHOWN = 20  # messages of one kind


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    _add_check(verbs)
    _add_import(verbs)
    _add_subset(verbs)
    _add_split(verbs)
    combine = verbs.add_parser(
        "combine",
        help="put data directories together",
        description="Write a data directory of all utterances of others, with their features and alignments.",
        allow_abbrev=False,
    )
    combine.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    combine.add_argument(
        "data", type=Path, nargs="+", metavar="DATA", help="Kaldi data directories without an utterance in common"
    )
    _add_force(combine)
    add_renew(combine)
    combine.set_defaults(run=run_combine)


def _add_check(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = verbs.add_parser(
        "check",
        help="validate (and mend) Kaldi data directories",
        description="Say all that is wrong, by file and line; exit with 1 if something is. --fix mends what it can.",
        allow_abbrev=False,
    )
    check.add_argument("data", type=Path, nargs="+", metavar="DATA", help="Kaldi data directories")
    check.add_argument("--fix", action="store_true", help="sort, drop what cannot be used, keep a backup, say so")
    check.add_argument("--decode", action="store_true", help="decode all audio, not only its headers")
    check.add_argument("--rate", type=positive, metavar="HZ", help="refuse audio at another sampling rate")
    check.add_argument("--alignment", type=Path, metavar="CTM|DIR", help="check this alignment against the audio")
    check.add_argument(
        "--all", action="store_true", help=f"show all messages, not the first {SHOWN} errors and warnings"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=run_check)


def _add_import(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = verbs.add_parser(
        "import",
        help="make a data directory of a folder of recordings",
        description="Make a data directory of a folder of recordings, which stay where they are. Beside x.wav may lie "
        "x.txt, its transcript, and x.TextGrid, x.phn or x.wrd, its alignment. Recordings in tar archives (lhotse's "
        "Shar, webdataset) are read where they lie.",
        allow_abbrev=False,
    )
    add.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder of wav, flac, ogg, mp3, sph, ... at any depth, or tar archives",
    )
    add.add_argument("data", type=Path, metavar="DATA", help="data directory to write")
    who = add.add_mutually_exclusive_group()
    who.add_argument(
        "--unknown-speakers",
        action="store_true",
        help="nobody knows who speaks: each recording has a speaker of its own",
    )
    who.add_argument(
        "--speaker",
        metavar="REGEX",
        help="what it (or its first group) matches in a path relative to FOLDER is the speaker; "
        "without it the folder that a recording lies in",
    )
    add.add_argument(
        "--channel",
        type=count,
        default=0,
        metavar="N",
        help="channel of stereo recordings, counted from 0 (default: %(default)s)",
    )
    add.add_argument(
        "--cut",
        type=above_zero,
        metavar="SECONDS",
        help="cut longer recordings at pauses, into utterances of at most so many seconds (default: leave them whole)",
    )
    add.add_argument(
        "--max-bad", type=share, default=0.1, metavar="SHARE",
        help="stop if more than this share of the recordings cannot be used (default: %(default)s)",
    )  # fmt: skip
    _add_force(add)
    add_renew(add)
    add_json(add)
    add.set_defaults(run=run_import)


def _add_subset(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    subset = verbs.add_parser(
        "subset",
        help="make a data directory of some utterances of another",
        description="Write a data directory of some utterances of another; audio and features stay where they are.",
        allow_abbrev=False,
    )
    subset.add_argument("data", type=Path, metavar="DATA", help="data directory to choose from")
    subset.add_argument("out", type=Path, metavar="OUT", help="data directory to write")
    choice = subset.add_mutually_exclusive_group(required=True)
    choice.add_argument("--speakers", nargs="+", metavar="SPK", help="all utterances of these speakers")
    choice.add_argument("--not-speakers", nargs="+", metavar="SPK", help="all utterances of the other speakers")
    choice.add_argument("--utts", type=Path, metavar="FILE", help="utterances listed in a file, one a line")
    choice.add_argument("--not-in", type=Path, metavar="DATA", help="utterances that another data directory lacks")
    choice.add_argument("--random", type=positive, metavar="N", help="N utterances drawn at random, see --seed")
    choice.add_argument("--per-speaker", type=positive, metavar="N", help="the first N utterances of each speaker")
    subset.add_argument("--seed", type=count, default=0, help="seed of --random (default: %(default)s)")
    _add_force(subset)
    subset.set_defaults(run=run_subset)


def _add_split(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    split = verbs.add_parser(
        "split",
        help="cut a data directory into parts OUT/1, OUT/2, ...",
        description="Cut a data directory into parts of about as many utterances, each speaker in one of them.",
        allow_abbrev=False,
    )
    split.add_argument("data", type=Path, metavar="DATA", help="data directory to cut")
    split.add_argument("out", type=Path, metavar="OUT", help="folder of the parts")
    split.add_argument("--parts", type=positive, required=True, metavar="N", help="how many")
    split.add_argument("--by-utt", action="store_true", help="a speaker may be in several parts")
    _add_force(split)
    split.set_defaults(run=run_split)


def _add_force(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--force", action="store_true", help="replace a data directory that is there")


def _refuse_existing(out: Path, force: bool) -> None:
    from unitdisc.data.kaldi import is_data_dir
    from unitdisc.errors import DataError

    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder to write to, got a file")
    if is_data_dir(out) and not force:
        raise DataError(f"{out}: there already; --force writes over it")


def run_check(options: argparse.Namespace) -> int:
    """Check data directories; exit with 1 if one of them has errors."""
    from unitdisc.data.check import check_data_dir
    from unitdisc.data.fix import fix_data_dir

    reports = []
    for path in options.data:
        if options.fix:
            fixed = fix_data_dir(path)
            _show("fixed", fixed.changes, everything=True)
            if fixed.backup is not None:
                print(f"{path}: the tables as they were are in {fixed.backup}", file=sys.stderr)
        report = check_data_dir(path, None, options.decode, options.rate, options.alignment)
        reports.append(report)
        if not options.json:
            _show("error", report.errors, options.all)
            _show("warning", report.warnings, options.all)
            print(f"{path}: {_summary(report)}")
    if options.json:
        print(json.dumps([_as_json(report) for report in reports]))
    return int(any(report.errors for report in reports))


def _show(kind: str, messages: Sequence[str], everything: bool) -> None:
    shown = messages if everything else messages[:SHOWN]
    for message in shown:
        print(f"{kind}: {message}", file=sys.stderr)
    if len(messages) > len(shown):
        print(f"{kind}: {len(messages) - len(shown)} more; --all shows them", file=sys.stderr)


def _summary(report: "Report") -> str:
    hours = f", {report.seconds / 3600:.2f} h" if report.seconds else ""
    rates = "".join(f", {rate} Hz" for rate in sorted(report.rates))
    verdict = f"{len(report.errors)} errors" if report.errors else "fine"
    warnings = f", {len(report.warnings)} warnings" if report.warnings else ""
    return (
        f"{counted(report.utts, 'utterance')}, {counted(report.speakers, 'speaker')}{hours}{rates}: {verdict}{warnings}"
    )


def _as_json(report: "Report") -> dict[str, object]:
    return {
        "data": str(report.path),
        "utts": report.utts,
        "speakers": report.speakers,
        "seconds": round(report.seconds, 3),
        "rates": report.rates,
        "errors": report.errors,
        "warnings": report.warnings,
    }


def run_import(options: argparse.Namespace) -> None:
    """Make a data directory of a folder of recordings."""
    from unitdisc.cli.making import making
    from unitdisc.made import Making

    settings = {name: getattr(options, name) for name in ("speaker", "unknown_speakers", "channel", "cut", "max_bad")}
    wanted = Making(options.data, settings, {"folder": options.folder}, holds=("wav.scp", "utt2spk"), noun="import")
    with making(options, wanted) as task:
        if not task.unchanged:
            _refuse_existing(options.data, task.force)
            import_and_print(options)


def import_and_print(options: argparse.Namespace) -> None:
    """Make a data directory of a folder of recordings, and print what it holds."""
    from unitdisc.data.folder import import_folder

    imported = import_folder(
        options.folder, options.data, options.speaker, options.channel, options.max_bad,
        cut=options.cut, unknown_speakers=options.unknown_speakers,
    )  # fmt: skip
    for message in imported.left_out:
        print(f"left out: {message}", file=sys.stderr)
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
    if options.json:
        report = {
            "data": str(options.data),
            "utts": len(imported.data.utts),
            "speakers": len(imported.data.spk2utt),
            "seconds": round(sum(imported.data.utt2dur.values()), 3),
            "transcripts": len(imported.data.text),
            "aligned": imported.aligned,
            "left_out": imported.left_out,
        }
        print(json.dumps(report, ensure_ascii=False))
        return
    aligned = "".join(f", {tier} of {count}" for tier, count in imported.aligned.items())
    hours = sum(imported.data.utt2dur.values()) / 3600
    text = f", {len(imported.data.text)} transcripts" if imported.data.text else ""
    print(f"{_counts(imported.data)}, {hours:.2f} h{text}{aligned}; {len(imported.left_out)} left out")


def run_subset(options: argparse.Namespace) -> None:
    """Make a data directory of some utterances of another."""
    import numpy as np

    from unitdisc.data.kaldi import DataDir
    from unitdisc.data.subsets import subset, utts_of
    from unitdisc.data.tables import read_lines
    from unitdisc.errors import DataError

    data = DataDir.read(options.data)
    _refuse_existing(options.out, options.force)
    if options.speakers:
        utts = utts_of(data, options.speakers)
    elif options.not_speakers:
        unwanted = set(utts_of(data, options.not_speakers))
        utts = [utt for utt in data.utts if utt not in unwanted]
    elif options.not_in:
        others = DataDir.read(options.not_in).utt2spk
        utts = [utt for utt in data.utts if utt not in others]
    elif options.utts:
        utts = [words[0] for _, line in read_lines(options.utts) if (words := line.split())]
    elif options.per_speaker is not None:
        utts = [utt for names in data.spk2utt.values() for utt in names[: options.per_speaker]]
    else:
        if options.random > len(data.utts):
            raise DataError(f"--random {options.random}: {data.path} has {len(data.utts)} utterances in all")
        drawn = np.random.default_rng(options.seed).choice(len(data.utts), options.random, replace=False)
        utts = [data.utts[i] for i in drawn]
    if not utts:
        raise DataError(f"{options.data}: no utterance is left of its {len(data.utts)}")
    print(_counts(subset(data, options.out, utts)))


def run_split(options: argparse.Namespace) -> None:
    """Cut a data directory into parts."""
    from unitdisc.data.kaldi import DataDir, is_data_dir
    from unitdisc.data.subsets import split
    from unitdisc.errors import DataError

    data = DataDir.read(options.data)
    outs = [options.out / str(n) for n in range(1, options.parts + 1)]
    for out in (options.out, *outs):
        _refuse_existing(out, options.force)
    older = sorted(path for path in options.out.glob("*") if path.name.isdecimal() and path not in outs)
    if any(map(is_data_dir, older)):
        raise DataError(f"{older[0]}: a part of an older split into more parts; remove it first")
    for part in split(data, outs, not options.by_utt):
        print(_counts(part))


def run_combine(options: argparse.Namespace) -> None:
    """Put data directories together."""
    from unitdisc.cli.making import making
    from unitdisc.data.subsets import FEATURES, STATISTICS
    from unitdisc.made import Making

    places = {f"data-{n}": Path(path) for n, path in enumerate(options.data)}
    files = ("wav.scp", "segments", "utt2spk", "text", "spk2gender", "utt2dur", "phones.ctm", "words.ctm")
    indexes = [f"{stem}.scp" for stem in (*FEATURES, *STATISTICS)]
    reads = [f"{name}/{file}" for name in places for file in (*files, *indexes)]
    with making(options, Making(options.out, {}, places, lambda: reads, holds=("utt2spk",), noun="combine")) as task:
        if task.unchanged:
            return
        from unitdisc.data.kaldi import DataDir
        from unitdisc.data.subsets import combine

        _refuse_existing(options.out, task.force)
        print(_counts(combine([DataDir.read(path) for path in options.data], options.out)))


def _counts(data: "DataDir") -> str:
    return f"{data.path}: {counted(len(data.utts), 'utterance')}, {counted(len(data.spk2utt), 'speaker')}"
