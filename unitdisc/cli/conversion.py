"""The sub-verb `score conversion`."""

import argparse
import json
from pathlib import Path

from unitdisc.cli.arguments import count, positive


def add_conversion(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `score conversion`."""
    what = "whose voice conversions have, what is understood of them, how near resynthesis comes"
    verb = subverbs.add_parser(
        "conversion",
        help=what,
        description=f"Score {what}. First make features of the converted folders, with the config of those of the real "
        "data: unitdisc features CONFIG CONVERTED. What the given files do not allow is left out.",
        allow_abbrev=False,
    )
    verb.add_argument("converted", metavar="FOLDER", nargs="+", type=Path, help="folders that `unitdisc convert` wrote")
    verb.add_argument(
        "--real", nargs="+", type=Path, default=(), metavar="DATA",
        help="real speech of the targets and the sources, with features: whose voice it is",
    )  # fmt: skip
    verb.add_argument(
        "--source", nargs="+", type=Path, default=(), metavar="DATA",
        help="what was converted: PER and mel-cepstral distance",
    )  # fmt: skip
    verb.add_argument(
        "--train", type=Path, metavar="DATA", help="real speech with phones: trains a CTC probe, sources left out"
    )
    verb.add_argument("--alignment", type=Path, help="phones of the sources (default: phones.ctm of each --source)")
    verb.add_argument(
        "--train-alignment", type=Path, help="phones of the training speech (default: phones.ctm of --train)"
    )
    verb.add_argument("--epochs", type=positive, default=20, help="of the probe (default: %(default)s)")
    verb.add_argument("--json", action="store_true", help="print whole scores as JSON instead of a table")
    verb.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    verb.add_argument(
        "--resamples", type=count, default=1000, metavar="N", help="of the bootstrap; 0: none (default: %(default)s)"
    )
    verb.set_defaults(run=run_conversion)


def run_conversion(options: argparse.Namespace) -> None:
    """Score conversions by what the given files allow."""
    from unitdisc.errors import DataError
    from unitdisc.evaluate.conversion import cepstral_distance, content_scores, read_manifest, voice_scores
    from unitdisc.evaluate.probe import ProbeConfig
    from unitdisc.evaluate.scores import FORMAT, Score, table

    if options.train is not None and not options.source:
        raise DataError("--train: PER needs the phones of the sources too; give --source DATA")
    if not options.real and not options.source:
        raise DataError("nothing to compare with: give --real for voices, --source for the distance, --train for PER")
    rows = [row for folder in options.converted for row in read_manifest(folder)]
    scores: list[Score] = []
    if options.real:
        scores += voice_scores(options.converted, options.real, seed=options.seed, resamples=options.resamples)
    if options.train is not None:
        scores += content_scores(
            options.converted, options.source, options.train,
            alignment=options.alignment, train_alignment=options.train_alignment,
            config=ProbeConfig(epochs=options.epochs, seed=options.seed), resamples=options.resamples,
        )  # fmt: skip
    if options.source and any(row.resynthesis for row in rows):
        scores.append(cepstral_distance(options.converted, options.source, resamples=options.resamples))
    if options.json:
        print(json.dumps({"format": FORMAT, "scores": [score.to_json() for score in scores]}, ensure_ascii=False))
    else:
        print(table(scores))
