"""Scores of conversion: whose voice it is, what is still understood, how near resynthesis comes.

A folder of conversions has manifest.jsonl (what was made from what) and, from `unitdisc features`, feats.scp.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.data.alignment import Interval, read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.batches import FrameReader
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.errors import DataError, counted
from unitdisc.evaluate.aligned import Labeller
from unitdisc.evaluate.cepstra import CEPSTRA, HOP, MELS, RATE, mel_cepstra
from unitdisc.evaluate.converted import MANIFEST, SAME, read_manifest
from unitdisc.evaluate.logistic import LogisticRegression, fit_logistic, folds
from unitdisc.evaluate.probe import DEFAULT, CTCProbe, ProbeConfig
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap, file_hash, ratio
from unitdisc.evaluate.sides import Side
from unitdisc.reading import parse_json, reading

FOLDS = 5
PLURAL = {"copy": "copies", "resynthesis": "resyntheses", "conversion": "conversions"}
RANGE_DB = 40.0  # below an utterance's loudest frame: what is fainter counts as silence for the distance


# Whose voice


def voice_scores(
    converted: Sequence[str | Path],
    real: Sequence[str | Path],
    *,
    frames: Mapping[Path, FrameReader] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> list[Score]:
    """Return how often a speaker classifier hears the target, and how often still the source.

    It is a logistic regression on the mean and deviation over time of each feature, trained on the real utterances of
    all speakers of `real` (data directories), who all weigh the same. Conversions alone are counted. The frames of each
    folder are those of its feats.scp, if they are not given.
    """
    readers = frames or {Path(folder): _features(folder, real[0]) for folder in [*converted, *real]}
    vectors, names = _real_voices({Path(folder): readers[Path(folder)] for folder in real})
    speakers = sorted(set(names))
    if len(speakers) < 2:
        raise DataError(f"{real[0]}: has {counted(len(speakers), 'speaker')}; at least two are needed to tell apart")
    labels = np.array([speakers.index(name) for name in names])
    classifier = fit_logistic(vectors, labels, len(speakers))
    rows: dict[str, Groups] = {"target": Groups(), "source": Groups()}
    by_target: dict[str, list[bool]] = {}
    dropped: Counter[str] = Counter()
    used = 0
    for folder in converted:
        features = readers[Path(folder)]
        for row in read_manifest(folder):
            if row.side != "conversion":
                dropped[PLURAL[row.side]] += 1
            elif row.target not in speakers:
                dropped["conversions to voices without real utterances"] += 1
            elif row.utt not in features:
                dropped["conversions without features"] += 1
            else:
                heard = _told(classifier, features[row.utt], speakers)
                used += 1
                rows["target"].add(row.source, [heard == row.target, 1])
                rows["source"].add(row.source, [heard == row.speaker, 1])
                by_target.setdefault(row.target, []).append(heard == row.target)
    if not used:
        raise DataError(f"{converted[0]}: no conversion to a speaker of {real[0]} is left to score: {dict(dropped)}")
    about: dict[str, Any] = {
        "options": {"classifier": "logistic regression on means and deviations", "speakers": len(speakers)},
        "counts": Counts({"conversions": used, "real utterances": len(names)}, dict(dropped)),
        "hashes": {"manifest": file_hash(Path(converted[0]) / MANIFEST)},
    }
    parts = {
        "accuracy on real utterances": _held_out(vectors, labels, seed),
        "chance": 1 / len(speakers),
        "by target": {target: float(np.mean(hits)) for target, hits in sorted(by_target.items())},
    }
    return [
        _share(rows[kind].table(), f"conversion-{kind}", name, seed, resamples, {**about, "parts": parts})
        for kind, name in (("target", "conversion-heard-as-target"), ("source", "conversion-heard-as-source"))
    ]


def _share(table: np.ndarray, name: str, definition: str, seed: int, resamples: int, about: Mapping[str, Any]) -> Score:
    interval = bootstrap(table, seed=seed, resamples=resamples, over="source utterances")
    return Score(name, float(ratio(table.sum(axis=0, keepdims=True))[0]), definition, interval=interval, **about)


def _told(classifier: LogisticRegression, frames: np.ndarray, speakers: Sequence[str]) -> str:
    return speakers[int(classifier.predict(voice_vector(frames)[None])[0])]


def voice_vector(frames: np.ndarray) -> np.ndarray:
    """Return the mean and the deviation over time [2 D] of frames [T, D]."""
    frames = np.asarray(frames, dtype=np.float64)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def _real_voices(real: Mapping[Path, FrameReader]) -> tuple[np.ndarray, list[str]]:
    vectors, names = [], []
    for folder, features in real.items():
        data = DataDir.read(folder)
        for utt in data.utts:
            if utt in features and features.frames(utt):
                vectors.append(voice_vector(features[utt]))
                names.append(data.utt2spk[utt])
    if not vectors:
        raise DataError(f"{next(iter(real))}: has no utterance with features")
    return np.stack(vectors), names


def _features(folder: str | Path, like: str | Path) -> FeatureReader:
    """Open a folder's features, which must be of the same kind as another's."""
    folder, like = Path(folder), Path(like)
    kinds = [_kind(path) for path in (folder, like)]
    if kinds[0] != kinds[1]:
        raise DataError(f"{folder} and {like} have features of different configs; make both with the same config")
    return FeatureReader(folder / "feats.scp")


def _kind(folder: Path) -> str:
    notes = folder / "feats.json"
    none = f"make features with `unitdisc features CONFIG {folder}`"
    with reading(notes, "a description of features with a digest", none=none):
        return str(parse_json(notes.read_text("utf-8"))["digest"])


def _held_out(vectors: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Return the balanced accuracy of such a classifier on real utterances that it has not seen."""
    fold = folds(labels, FOLDS, np.random.default_rng(seed))
    right = np.zeros(len(labels))
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        if test.any() and len(set(labels[train])) > 1:
            found = fit_logistic(vectors[train], labels[train], int(labels.max()) + 1)
            right[test] = found.predict(vectors[test]) == labels[test]
    return float((np.bincount(labels, right) / np.bincount(labels)).mean())


# What is said


def content_scores(
    converted: Sequence[str | Path],
    sources: Sequence[str | Path],
    train: str | Path,
    *,
    alignment: str | Path | None = None,
    train_alignment: str | Path | None = None,
    config: ProbeConfig = DEFAULT,
    resamples: int = 1000,
) -> list[Score]:
    """Return the PER of one CTC probe on sources, on copy-syntheses, on resyntheses, and on conversions.

    The probe is trained on real speech: `train`, a data directory with feats.scp and phones.ctm, without the utterances
    that were converted. Conversions are as long as their sources (data directories), which lend them their phones.
    """
    train = Path(train)
    for folder in [*converted, *sources]:
        _features(folder, train)
    rows = [(Path(folder), row) for folder in converted for row in read_manifest(folder)]
    used = {row.source for _, row in rows}
    phones: dict[str, list[Interval]] = {}
    wanted: list[tuple[str, Path, dict[str, list[Interval]]]] = []
    for source in map(Path, sources):
        labels = read_alignment(alignment or source / "phones.ctm")
        known = {utt: labels[utt] for utt in DataDir.read(source).utts if utt in used and utt in labels}
        phones |= known
        wanted.append(("source-", source, known))
    if phones:  # else it is said below
        wanted = [(name, source, known) for name, source, known in wanted if known]  # others were not converted
    for side in PLURAL:
        for folder in dict.fromkeys(folder for folder, _ in rows):
            chosen = [row for home, row in rows if home == folder and row.side == side]
            if chosen:
                lent = {row.utt: phones[row.source] for row in chosen if row.source in phones}
                wanted.append((f"{side}-", folder, lent))
    labeller = Labeller(train_alignment or train / "phones.ctm")
    probe = CTCProbe(Side(train / "feats.scp", labeller, set(labeller.alignment) - used), config)
    scores = [(folder, probe.score(_side(folder, labels), resamples, name)) for name, folder, labels in wanted]
    return [replace(score, options={**score.options, "scored": str(folder)}) for folder, score in scores]


def _side(folder: Path, labels: Mapping[str, Sequence[Interval]]) -> Side:
    if not labels:
        raise DataError(f"{folder}: none of its utterances has phones in the alignment of the sources")
    return Side(folder / "feats.scp", Labeller(labels, clip=True), set(labels))


# How near


def cepstral_distance(
    converted: Sequence[str | Path], sources: Sequence[str | Path], *, resamples: int = 1000
) -> Score:
    """Return the mel-cepstral distance in dB of resyntheses from their sources, frame by frame, without time warping.

    (10 / ln 10) * sqrt(2 * sum of squared differences of c1..c13), the mean over all frames of speech.
    """
    homes = {utt: data for data in map(DataDir.read, sources) for utt in data.utts}
    table, dropped, used = Groups(), Counter[str](), 0
    for folder in converted:
        for row in read_manifest(folder):
            if row.side != "resynthesis":
                dropped[PLURAL[row.side]] += 1
            elif row.source not in homes:
                dropped["resyntheses of other data"] += 1
            else:
                ours, theirs = AudioSource(row.path).load(RATE), homes[row.source].source(row.source).load(RATE)
                table.add(row.source, frame_distances(ours, theirs))
                used += 1
    if not used:
        raise DataError(
            f"{converted[0]}: has no resynthesis to measure; `unitdisc convert --to {SAME}` makes one ({dict(dropped)})"
        )
    rows = table.table()
    value = float(ratio(rows.sum(axis=0, keepdims=True))[0])
    return Score(
        "mcd",
        value,
        f"mcd-{CEPSTRA}-resynthesis",
        options={"mels": MELS, "cepstra": CEPSTRA, "range dB": RANGE_DB, "warping": "none"},
        counts=Counts({"utterances": used, "frames": int(rows[:, 1].sum())}, dict(dropped)),
        interval=bootstrap(rows, resamples=resamples),
        period=HOP / RATE,
    )


def frame_distances(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, int]:
    """Return the sum of distances in dB and their number, over frames in which the second waveform speaks."""
    samples = min(len(ours), len(theirs))
    (one, _), (other, level) = (mel_cepstra(wave[:samples]) for wave in (ours, theirs))
    spoken = level > level.max(initial=-math.inf) - RANGE_DB
    distance = 10 / math.log(10) * np.sqrt(2 * np.square(one - other).sum(axis=1))
    return float(distance[spoken].sum()), int(spoken.sum())
