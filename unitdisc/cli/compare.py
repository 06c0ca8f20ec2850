"""The verb `compare`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import add_device, add_max_failed, add_renew, count, positive
from unitdisc.cli.foreign import add_units_options
from unitdisc.compare.options import ITEMS, NAMES, PHONES, CompareOptions, ScoreOptions, table_folder

if TYPE_CHECKING:
    from unitdisc.made import Making


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `compare`."""
    verb = verbs.add_parser(
        "compare",
        help="compare a model's units with MFCC, LDA, k-means and other systems, by all scores",
        description="Encode the data if that is not done yet (EXP/units/train and test) and score the units. Score "
        "baselines with as many codes and at the same rate: MFCC, the encoder's input, unsupervised LDA with k-means, "
        "and k-means. Scores are written to EXP/scores, the table to EXP/compare; baselines are kept for other models.",
        allow_abbrev=False,
    )
    verb.add_argument("exps", metavar="EXP", nargs="*", type=Path, help="folders of training runs, or checkpoints")
    verb.add_argument("--train", required=True, type=Path, metavar="DATA", help="data directory to fit on")
    verb.add_argument("--test", required=True, type=Path, metavar="DATA", help="data directory to score on")
    verb.add_argument("--dev", type=Path, metavar="DATA", help="score a supervised model's own head on it, too")
    verb.add_argument("--alignment", type=Path, help="phones of the test speech (default: its phones.ctm, if there)")
    verb.add_argument("--train-alignment", type=Path, metavar="ALIGNMENT", help="phones of the training speech")
    verb.add_argument("--items", type=Path, metavar="FILE", help="items of ABX (default: triphones of the phones)")
    verb.add_argument(
        "--beside", type=Path, nargs="+", action="extend", default=[], metavar="UNITS",
        help="units of other systems: a unit file of the test speech, or a folder with test and train",
    )  # fmt: skip
    verb.add_argument(
        "--downstream", nargs="?", const="all", default="", metavar="A,B",
        help="train a small ASR on each, too, or on those named (units: the model's; not on baselines that are left "
        "out); minutes, not seconds",
    )  # fmt: skip
    verb.add_argument(
        "--changes", default="", metavar="A,B",
        help="encode changed audio, too, and count the edits of the units: noise-10, ... as for `unitdisc encode`",
    )  # fmt: skip
    verb.add_argument(
        "--baselines", metavar="A,B", help="only some of mfcc, mfcc-floor, input, lda and kmeans (default: all)"
    )
    verb.add_argument("--no-baselines", action="store_true", help="score the model and --beside alone")
    verb.add_argument("--silences", metavar="A,B", help="labels that mean silence, instead of the usual ones")
    verb.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for table.md and table.json (default: EXP/compare)"
    )
    verb.add_argument(
        "--cache", type=Path, metavar="FOLDER",
        help="folder for what does not depend on the model (default: a folder `compared` beside the test data)",
    )  # fmt: skip
    verb.add_argument(
        "--jobs", type=positive, default=CompareOptions.jobs, metavar="N",
        help="number of processes (default: %(default)s)",
    )  # fmt: skip
    add_device(verb, " of encoding")
    add_max_failed(verb)
    verb.add_argument(
        "--seed", type=count, default=ScoreOptions.seed, help="seed of everything random (default: %(default)s)"
    )
    verb.add_argument(
        "--resamples", type=count, default=ScoreOptions.resamples, metavar="N",
        help="resamples of the bootstrap (default: %(default)s)",
    )  # fmt: skip
    add_renew(verb)
    verb.add_argument("--json", action="store_true", help="print the whole table as JSON")
    add_units_options(verb, "beside")
    verb.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> None:
    """Compare and print the table."""
    from unitdisc.cli.making import making
    from unitdisc.compare.table import read_comparison, terminal
    from unitdisc.data.alignment import silences_of
    from unitdisc.processes import expect_processes

    alignments = options.alignment or options.test / PHONES, options.train_alignment or options.train / PHONES
    wanted = CompareOptions(
        train=options.train,
        test=options.test,
        dev=options.dev,
        alignment=options.alignment,
        train_alignment=options.train_alignment,
        items=options.items,
        beside=tuple(options.beside),
        silences=silences_of(options.silences, *(path for path in alignments if path.exists())),
        baselines=_baselines(options),
        cache=options.cache,
        out=options.out,
        jobs=options.jobs,
        device=options.device,
        max_failed=options.max_failed,
        renew=options.renew,
    )
    out = table_folder(options.exps, wanted)
    with making(options, _making(options, wanted, out)) as task:
        if not task.unchanged:
            if task.force or not (out / "table.json").exists():  # else there may be other columns only, or fewer
                expect_processes(options.jobs, "unitdisc.compare.scoring")
            from unitdisc.compare.comparison import compare

            changes, names = (
                tuple(name for name in given.split(",") if name) for given in (options.changes, options.downstream)
            )
            scoring = ScoreOptions(changes, names, options.seed, options.resamples, options.device)
            found = compare(options.exps, wanted, scoring, lambda said: print(said, file=sys.stderr, flush=True))
            task.result = found.to_json()
            if options.json:
                print(json.dumps(task.result, ensure_ascii=False))
    if not options.json:
        print(terminal(read_comparison(out / "table.json")))
        print(f"all scores: {out / 'table.md'}", file=sys.stderr)


def _baselines(options: argparse.Namespace) -> tuple[str, ...]:
    if options.no_baselines:
        return ()
    return NAMES if options.baselines is None else tuple(name for name in options.baselines.split(",") if name)


def _making(options: argparse.Namespace, wanted: "CompareOptions", out: Path) -> "Making":
    """Say of what the table is made; other options are no reason to encode again."""
    from unitdisc.made import Making

    places = {"train": options.train, "test": options.test, **({"dev": options.dev} if options.dev else {})}
    names = [f"{place}/{name}" for place in places for name in ("wav.scp", "segments", "utt2spk", "phones.ctm")]
    exps = {f"exp{n}": path for n, path in enumerate(options.exps)}
    others = [options.alignment, options.train_alignment, options.items, *options.beside]
    for units in options.beside:  # of a folder all files count
        others += [] if units.is_dir() else [units.with_name(name) for name in ("codebook.npy", "vectors.scp")]
    given = {f"given{n}": path for n, path in enumerate(others) if path is not None}
    columns = [options.changes, options.downstream, _baselines(options), options.silences]
    settings = {"columns": [*columns, options.seed, options.resamples]}
    weights = [f"{name}/**/*.{ending}" for name in exps for ending in ("pt", "safetensors")]
    reads = [*names, f"test/{ITEMS}", *weights, *given]
    return Making(
        out, settings, {**places, **exps, **given}, lambda: reads, ("table.md", "table.json"), loose=("columns",)
    )
