"""The sub-verb `score conversion`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import add_allow_pipes, add_scoring, positive

if TYPE_CHECKING:
    from unitdisc.data.batches import FrameReader
    from unitdisc.evaluate.scores import Score

EPOCHS, STEPS = 5, 2400  # of the probe: few utterances are gone through more often


def add_conversion(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `score conversion`."""
    what = "whose voice conversions have, what is understood of them, how near resynthesis comes"
    verb = subverbs.add_parser(
        "conversion",
        help=what,
        description=f"Score {what}. What the given files do not allow is left out. --train needs features of all "
        "folders (unitdisc features CONFIG FOLDER); for --real, MFCC are computed where no folder has any.",
        allow_abbrev=False,
    )
    add_allow_pipes(verb)
    verb.add_argument("converted", metavar="FOLDER", nargs="+", type=Path, help="folders that `unitdisc convert` wrote")
    verb.add_argument(
        "--real", nargs="+", type=Path, default=(), metavar="DATA",
        help="real speech of the targets and the sources: trains the classifier of voices, and the judge of voices "
        "learns from it whom it may hear",
    )  # fmt: skip
    verb.add_argument(
        "--source", nargs="+", type=Path, default=(), metavar="DATA",
        help="what was converted: PER and mel-cepstral distance",
    )  # fmt: skip
    verb.add_argument(
        "--train",
        type=Path,
        metavar="DATA",
        help="real speech with phones; trains a CTC probe on all utterances that are not sources",
    )
    verb.add_argument("--alignment", type=Path, help="phones of the sources (default: phones.ctm of each --source)")
    verb.add_argument(
        "--train-alignment", type=Path, help="phones of the training speech (default: phones.ctm of --train)"
    )
    verb.add_argument(
        "--judges", nargs="?", const="all", metavar="NAMES",
        help="also ask models from outside (extra [judges]): all that are installed, or of words,phones,voice,quality,"
        "pitch those named; each figure beside the same of recordings, and of `unitdisc copy` where it is among FOLDER",
    )  # fmt: skip
    verb.add_argument("--most", type=positive, metavar="N", help="judge so many sounds of each kind (default: all)")
    verb.add_argument("--rows", type=Path, metavar="FILE", help="write what was heard of each sound, as JSON lines")
    verb.add_argument(
        "--epochs",
        type=positive,
        help="epochs that the probe is trained for (default: 5, or more where there are few utterances to train on)",
    )
    add_scoring(verb)
    verb.set_defaults(run=run_conversion)


def run_conversion(options: argparse.Namespace) -> None:
    """Score conversions by what the given files allow."""
    from unitdisc.cli.scored import show
    from unitdisc.data.kaldi import DataDir
    from unitdisc.errors import ConfigError, DataError
    from unitdisc.evaluate.conversion import cepstral_distance, content_scores, voice_scores
    from unitdisc.evaluate.converted import read_manifest
    from unitdisc.evaluate.probe import ProbeConfig
    from unitdisc.evaluate.scores import Score

    if options.train is not None and not options.source:
        raise DataError("--train: PER needs the phones of the sources too; give --source DATA")
    if not options.real and not options.source:
        raise DataError("nothing to compare with: give --real for voices, --source for the distance, --train for PER")
    if not options.judges and (options.rows is not None or options.most is not None):
        raise ConfigError("--rows and --most are about what judges hear; give --judges, too")
    rows = [row for folder in options.converted for row in read_manifest(folder)]
    scores: list[Score] = []
    if options.real and any(row.side == "conversion" for row in rows):
        scores += voice_scores(
            options.converted, options.real, frames=_computed([*options.converted, *options.real]),
            seed=options.seed, resamples=options.resamples,
        )  # fmt: skip
    if options.train is not None:
        few = STEPS // len(DataDir.read(options.train).utts)
        epochs = options.epochs or max(EPOCHS, few)
        scores += content_scores(
            options.converted, options.source, options.train,
            alignment=options.alignment, train_alignment=options.train_alignment,
            config=ProbeConfig(epochs=epochs, seed=options.seed), resamples=options.resamples,
        )  # fmt: skip
    if options.source and any(row.side == "resynthesis" for row in rows):
        scores.append(cepstral_distance(options.converted, options.source, resamples=options.resamples))
    judged = _judged(options) if options.judges else []
    scores += judged
    if options.real and not scores:
        raise DataError(f"{options.converted[0]}: has no conversion for --real to tell the voice of")
    show(options, scores)
    if judged and not options.json:
        print()
        print_beside(judged)


def _computed(folders: "list[Path]") -> "dict[Path, FrameReader] | None":
    """Return what computes MFCC of folders without features; none if one has some, for then all must."""
    from unitdisc.data.kaldi import DataDir
    from unitdisc.features.configs import MfccConfig
    from unitdisc.live import LiveFrames

    if any((folder / "feats.json").is_file() for folder in folders):
        return None
    # Without the floor, holes that a lossy codec leaves tell recordings from what was synthesised, not voices.
    heard = MfccConfig(cmvn="none", floor_db=25)
    return {folder: LiveFrames(heard, DataDir.read(folder)) for folder in folders}


def _judged(options: argparse.Namespace) -> "list[Score]":
    """Ask the judges that are there, and name those that are not."""
    from tqdm import tqdm

    from unitdisc.errors import DataError
    from unitdisc.evaluate.judged import judge
    from unitdisc.evaluate.judges import JUDGES, find_judges

    if not options.source:
        raise DataError("--judges: needs the recordings that were converted; give --source DATA")
    judges, missing = find_judges(tuple(JUDGES) if options.judges == "all" else tuple(options.judges.split(",")))
    for name, why in missing:
        print(f"judge {name}: not asked: {why}", file=sys.stderr)
    if options.judges != "all" and missing:
        raise DataError(f"--judges {options.judges}: {missing[0].judge} {missing[0].why}")
    with tqdm(unit="sound", disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return judge(
            options.converted, options.source, options.real, alignment=options.alignment, judges=judges,
            most=options.most, rows=options.rows, resamples=options.resamples, progress=progress,
        )  # fmt: skip


def print_beside(scores: "list[Score]") -> None:
    """Print judged scores as a table with a column for each kind of sound."""
    from unitdisc.evaluate.judged import beside

    rows = list(beside(scores))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
