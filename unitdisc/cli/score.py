"""The verb `score` and its sub-verbs: every score of the field by one command."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unitdisc.cli.arguments import above_zero, add_allow_pipes, add_device, add_scoring, positive, zero_or_more
from unitdisc.cli.foreign import add_units_options
from unitdisc.cli.scored import keep, show
from unitdisc.errors import ConfigError

if TYPE_CHECKING:
    from unitdisc.evaluate.suite import Sides


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `score`."""
    from unitdisc.cli.abx import add_abx
    from unitdisc.cli.score_conversion import add_conversion

    verb = verbs.add_parser(
        "score",
        help="score units or features",
        description="Score anyone's units or features. Each score names its definition; the same name and options give "
        "the same number. UNITS is a unit file, or a folder that `unitdisc encode` wrote.",
        allow_abbrev=False,
    )
    subverbs = verb.add_subparsers(dest="score", metavar="SCORE", required=True)
    add_abx(subverbs)
    _add_per(subverbs)
    _add_clusters(subverbs)
    _add_boundaries(subverbs)
    _add_usage(subverbs)
    _add_discophon(subverbs)
    _add_bitrate(subverbs)
    _add_speaker(subverbs)
    _add_robustness(subverbs)
    _add_head(subverbs)
    add_conversion(subverbs)
    _add_all(subverbs)
    for name, verb in subverbs.choices.items():
        keep(verb, _beside_units) if name == "all" else keep(verb)


def _parser(
    subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str
) -> argparse.ArgumentParser:
    verb = subverbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    add_scoring(verb)
    add_allow_pipes(verb)
    return verb


def _add_alignment(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--alignment", type=Path, required=True, help="phones: a CTM file, or a folder of TextGrid, .phn, ..."
    )
    verb.add_argument("--silences", metavar="A,B", help="labels that mean silence, instead of the usual ones")
    verb.add_argument("--clip", action="store_true", help="ignore what an alignment has past the end of the units")


def _add_sides(verb: argparse.ArgumentParser) -> None:
    _add_alignment(verb)
    verb.add_argument("--train", type=Path, metavar="UNITS", help="fit on these units instead")
    verb.add_argument("--train-alignment", type=Path, metavar="ALIGNMENT", help="their phones, if in another file")
    verb.add_argument("--data", type=Path, help="data dir or utt2spk: fit on some speakers, score on the others")
    verb.add_argument(
        "--test-speakers", default="", metavar="A,B", help="who is scored on (default: a quarter, drawn by --seed)"
    )


def _add_per(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "per", "phone error rate: units mapped to phones, or read by a probe")
    verb.add_argument("units", metavar="UNITS", type=Path, help="for probes also a feats.scp or a folder of arrays")
    _add_sides(verb)
    verb.add_argument(
        "--method",
        choices=("mapping", "one-to-one", "probe-ctc", "frame-probe"),
        default="mapping",
        help="many-to-one mapping by frame majority, one-to-one mapping, or a trained probe (default: %(default)s)",
    )
    verb.add_argument("--oracle", action="store_true", help="fit the mapping on the scored side")
    verb.add_argument(
        "--silence", choices=("keep", "drop"), help="keep or drop silence (default: drop; keep for frame-probe)"
    )
    verb.add_argument(
        "--probe",
        choices=("linear", "lstm"),
        default="lstm",
        help="kind of probe, for probe-ctc (default: %(default)s)",
    )
    verb.add_argument(
        "--epochs", type=positive, default=30, help="epochs that probes are trained for (default: %(default)s)"
    )
    verb.add_argument("--frame-shift", type=above_zero, help="seconds from frame to frame, where features do not say")
    add_units_options(verb, "units", "train", period="--frame-shift")
    verb.set_defaults(run=run_per)


def _add_clusters(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "clusters", "PNMI, purities, V-measure, AMI on frames; use of the codebook")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    _add_alignment(verb)
    verb.add_argument(
        "--silence",
        choices=("keep", "drop"),
        default="keep",
        help="keep or drop frames of silence (default: %(default)s)",
    )
    add_units_options(verb, "units")
    verb.set_defaults(run=run_clusters)


def _add_boundaries(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "boundaries", "precision, recall, F1, over-segmentation, R-value of unit boundaries")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    _add_sides(verb)
    verb.add_argument(
        "--tolerance",
        type=zero_or_more,
        default=0.02,
        metavar="SECONDS",
        help="how far apart boundaries may lie and still match (default: %(default)s)",
    )
    verb.add_argument(
        "--match",
        choices=("maximum", "rasanen", "greedy"),
        default="maximum",
        help="how boundaries match (default: %(default)s)",
    )
    add_units_options(verb, "units", "train")
    verb.set_defaults(run=run_boundaries)


def _add_discophon(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "discophon", "PNMI, PER and boundaries as the benchmark DiscoPhon defines them")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    verb.add_argument("--alignment", type=Path, required=True, help="phones of all of the speech, silence among them")
    verb.add_argument(
        "--mapping",
        choices=("many-to-one", "one-to-one"),
        default="many-to-one",
        help="how units are mapped to phones: the benchmark's tracks (default: %(default)s)",
    )
    add_units_options(verb, "units")
    verb.set_defaults(run=run_discophon)


def _add_bitrate(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "bitrate", "bits and units per second")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    add_units_options(verb, "units")
    verb.set_defaults(run=run_bitrate)


def _add_usage(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "usage", "codes in use, their perplexity")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    add_units_options(verb, "units")
    verb.set_defaults(run=run_usage)


def _add_speaker(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "speaker", "how well the units tell the speaker")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    verb.add_argument("--data", type=Path, required=True, help="data dir or utt2spk")
    verb.add_argument("--codebook", type=Path, help="codewords [K, D] (.npy); codebook.npy beside UNITS by default")
    add_units_options(verb, "units")
    verb.set_defaults(run=run_speaker)


def _add_robustness(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "robustness", "unit edit distance between units of clean and of changed audio")
    verb.add_argument("units", metavar="UNITS", type=Path, help="UNITS of the clean audio")
    verb.add_argument(
        "changed", metavar="CHANGED", type=Path, nargs="+", help="UNITS of changed audio (encode --change)"
    )
    add_units_options(verb, "units", "changed")
    verb.set_defaults(run=run_robustness)


def _add_head(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "head", "phone error rate of a supervised model's own CTC head")
    verb.add_argument("exp", metavar="EXP", type=Path, help="folder of a training run, or a checkpoint file")
    verb.add_argument("data", metavar="DATA", type=Path, help="data directory with phones.ctm")
    verb.add_argument("--alignment", type=Path, help="phones of that data, if elsewhere: a CTM file, or a folder")
    add_device(verb)
    verb.set_defaults(run=run_head)


def _add_all(subverbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _parser(subverbs, "all", "all scores that the given files allow, as a table and as scores.json")
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    _add_sides(verb)
    verb.add_argument("--items", type=Path, help="item file; scores ABX of the units, too")
    verb.add_argument(
        "--changed",
        type=Path,
        nargs="+",
        default=(),
        metavar="UNITS",
        help="units of changed audio; scores robustness, too",
    )
    verb.add_argument("--probes", action="store_true", help="trains and scores probes, too: takes minutes, not seconds")
    verb.add_argument(
        "--out", type=Path, help="file to write, replaced if there (default: scores.json beside the units)"
    )
    add_units_options(verb, "units", "train", "changed")
    verb.set_defaults(run=run_all)


def _sides(options: argparse.Namespace) -> "Sides":
    from unitdisc.data.alignment import silences_of
    from unitdisc.evaluate.suite import Sides

    alignments = [path for path in (options.alignment, options.train_alignment) if path is not None]
    if options.train is not None and options.data is not None and options.score != "all":  # which scores speakers, too
        raise ConfigError("--train and --data both say what is fitted on; give one of them")
    return Sides(
        options.units,
        options.alignment,
        options.train,
        options.train_alignment,
        options.data,
        tuple(s for s in options.test_speakers.split(",") if s),
        silences_of(options.silences, *alignments),
        options.clip,
        options.seed,
    )


def run_per(options: argparse.Namespace) -> None:
    """Score PER, or the frame accuracy of probes."""
    from unitdisc.evaluate.suite import per_of

    sides = _sides(options)
    if options.method in ("mapping", "one-to-one"):
        kind = "many-to-one" if options.method == "mapping" else options.method
        show(options, [per_of(sides, kind, options.silence or "drop", options.oracle, options.resamples)])
        return
    from unitdisc.evaluate.probe import ProbeConfig, frame_probes, probe_ctc

    config = ProbeConfig(kind=options.probe, epochs=options.epochs, seed=options.seed)
    train, test = sides.probed(options.frame_shift)
    if options.method == "probe-ctc":
        show(options, [probe_ctc(train, test, config, options.silence or "drop", options.resamples)])
    else:
        show(options, frame_probes(train, test, config, options.silence or "keep", options.resamples))


def run_clusters(options: argparse.Namespace) -> None:
    """Score clusters and the use of the codebook."""
    from unitdisc.data.alignment import silences_of
    from unitdisc.data.units import unit_file
    from unitdisc.evaluate.aligned import AlignedUnits, Labeller
    from unitdisc.evaluate.clusters import cluster_scores, usage_scores

    units = unit_file(options.units)
    silences = silences_of(options.silences, options.alignment)
    pairs = AlignedUnits(units, Labeller(options.alignment, silences, options.clip))
    scores = cluster_scores(pairs, options.silence, options.seed, options.resamples)
    show(options, [*scores, *usage_scores(units, options.seed, options.resamples)])


def run_boundaries(options: argparse.Namespace) -> None:
    """Score boundaries of units and of mapped phones."""
    from unitdisc.evaluate.suite import boundaries_of

    show(options, boundaries_of(_sides(options), options.tolerance, options.match, options.resamples))


def run_discophon(options: argparse.Namespace) -> None:
    """Score as DiscoPhon does."""
    from unitdisc.data.units import unit_file
    from unitdisc.evaluate.discophon import discophon_scores

    units, alignment = unit_file(options.units), options.alignment
    show(options, discophon_scores(units, alignment, options.seed, options.resamples, mapping=options.mapping))


def run_bitrate(options: argparse.Namespace) -> None:
    """Measure bitrates."""
    from unitdisc.data.units import unit_file
    from unitdisc.evaluate.bitrate import bitrate_scores

    show(options, bitrate_scores(unit_file(options.units), options.seed, options.resamples))


def run_usage(options: argparse.Namespace) -> None:
    """Measure the use of the codebook."""
    from unitdisc.data.units import unit_file
    from unitdisc.evaluate.clusters import usage_scores

    show(options, usage_scores(unit_file(options.units), options.seed, options.resamples))


def run_speaker(options: argparse.Namespace) -> None:
    """Score speaker leak."""
    from unitdisc.data.units import unit_file
    from unitdisc.evaluate.frames import read_array
    from unitdisc.evaluate.speaker import read_speakers, speaker_scores
    from unitdisc.evaluate.suite import codebook_beside

    codebook = read_array(options.codebook) if options.codebook else codebook_beside(options.units)
    draws = {"seed": options.seed, "resamples": options.resamples}
    show(options, speaker_scores(unit_file(options.units), read_speakers(options.data), codebook, **draws))


def run_robustness(options: argparse.Namespace) -> None:
    """Score robustness."""
    from unitdisc.evaluate.robustness import unit_edit_distance
    from unitdisc.evaluate.suite import condition_of
    from unitdisc.evaluate.units import Units

    clean = Units(options.units, keep=len(options.changed) > 1)
    draws = {"seed": options.seed, "resamples": options.resamples}
    changed = [(Units(path), path) for path in options.changed]
    show(options, [unit_edit_distance(clean, units, condition_of(units, path), **draws) for units, path in changed])


def run_head(options: argparse.Namespace) -> None:
    """Score a model's own head."""
    from unitdisc.head import head_scores

    draws = {"seed": options.seed, "resamples": options.resamples}
    show(options, head_scores(options.exp, options.data, options.alignment, device=options.device, **draws)[0])


def run_all(options: argparse.Namespace) -> None:
    """Score all and write scores.json."""
    from unitdisc.evaluate.suite import SuiteOptions, score_all

    chosen = SuiteOptions(options.items, tuple(options.changed), options.probes, options.resamples)
    scores = score_all(_sides(options), chosen, lambda said: print(said, file=sys.stderr))
    show(options, scores)
    print(f"{options.out}: {len(scores)} scores", file=sys.stderr)


def _beside_units(options: argparse.Namespace) -> Path:
    """Return where all scores are written without --out."""
    given: Path = options.given_units
    return (given if given.is_dir() else given.parent) / "scores.json"
