"""Speaker scores: how much of who speaks is left in the units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from unitdisc.data.tables import read_pairs
from unitdisc.errors import DataError, counted
from unitdisc.evaluate.logistic import fit_logistic, folds
from unitdisc.evaluate.scores import ConfidenceInterval, Counts, Score, bootstrap
from unitdisc.evaluate.units import AnyUnits, Units

FOLDS = 5
MOST_PAIRS = 3000  # utterances whose pairs are scored for the EER; more are thinned evenly by speaker
BINS = 2000  # of cosines, for the EER's interval


def read_speakers(path: str | Path) -> dict[str, str]:
    """Read utt2spk, or that of a data directory."""
    path = Path(path)
    return read_pairs(path / "utt2spk" if path.is_dir() else path, "<utt> <speaker>")


class Utterances(NamedTuple):
    """What is known of each utterance."""

    names: list[str]
    vectors: np.ndarray  # [U, D] float64
    speakers: np.ndarray  # [U] int64
    speaker_names: list[str]
    dropped: dict[str, int]


def speaker_scores(
    path: AnyUnits,
    utt2spk: Mapping[str, str],
    codebook: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> list[Score]:
    """Score how well the speaker can be told from an utterance's unit histogram and, with a codebook [K, D], mean code.

    Accuracy is by logistic regression over FOLDS folds in which each speaker's utterances are split; every speaker
    weighs the same, so that chance is one over their number. EER is of cosines of all pairs of utterances.
    """
    source = Units.of(path)
    found, header = histograms(source, utt2spk), source.header
    kinds = {"histogram": found}
    if codebook is not None:
        if len(codebook) != header.cardinality:
            raise DataError(
                f"{path} has units of {header.cardinality} codes, the codebook {len(codebook)} codewords; "
                "they belong to different models"
            )
        kinds["mean-code"] = found._replace(vectors=found.vectors @ np.asarray(codebook, dtype=np.float64))
    scores = []
    for kind, utterances in kinds.items():
        about: dict[str, Any] = {
            "counts": Counts(
                {"utterances": len(utterances.names), "speakers": len(utterances.speaker_names)}, utterances.dropped
            ),
            "period": header.period,
            "hashes": source.hashes,
        }
        scores.append(accuracy(utterances, kind, seed, resamples, about))
        scores.append(equal_error_rate(utterances, kind, seed, resamples, about))
    return scores


def histograms(path: AnyUnits, utt2spk: Mapping[str, str]) -> Utterances:
    """Return the share of each code in each utterance of a known speaker with at least FOLDS utterances."""
    source = Units.of(path)
    codes = source.header.cardinality
    by_speaker: dict[str, list[tuple[str, np.ndarray]]] = {}
    dropped = {"utterances without a speaker": 0, "utterances without units": 0, "utterances of speakers with few": 0}
    for line in source:
        if line.utt not in utt2spk:
            dropped["utterances without a speaker"] += 1
        elif not len(line.units):
            dropped["utterances without units"] += 1
        else:
            counts = np.bincount(line.units, weights=line.durations, minlength=codes)
            by_speaker.setdefault(utt2spk[line.utt], []).append((line.utt, counts / counts.sum()))
    if not by_speaker:
        raise DataError(f"{path}: none of its utterances has a speaker; is utt2spk of another corpus?")
    enough = {s: rows for s, rows in sorted(by_speaker.items()) if len(rows) >= FOLDS}
    dropped["utterances of speakers with few"] = sum(len(r) for s, r in by_speaker.items() if s not in enough)
    if len(enough) < 2:
        raise DataError(
            f"{path}: has {counted(len(enough), 'speaker')} with {FOLDS} utterances or more; "
            "at least two are needed to tell apart"
        )
    rows = [(utt, vector, n) for n, rows in enumerate(enough.values()) for utt, vector in rows]
    names, vectors, speakers = zip(*rows, strict=True)
    return Utterances(list(names), np.stack(vectors), np.array(speakers), list(enough), dropped)


def accuracy(found: Utterances, kind: str, seed: int, resamples: int, about: dict[str, Any]) -> Score:
    """Return the balanced accuracy of telling the speaker."""
    count = len(found.speaker_names)
    fold = folds(found.speakers, FOLDS, np.random.default_rng(seed))
    right = np.zeros(len(fold))
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        classifier = fit_logistic(found.vectors[train], found.speakers[train], count)
        right[test] = classifier.predict(found.vectors[test]) == found.speakers[test]
    weights = 1 / np.bincount(found.speakers)[found.speakers]
    rows = np.stack([right * weights, weights], axis=1)
    by_speaker = np.bincount(found.speakers, right) / np.bincount(found.speakers)
    return Score(
        "speaker-accuracy",
        float(by_speaker.mean()),
        f"speaker-accuracy-{kind}",
        options={"folds": FOLDS, "seed": seed, "balanced": True},
        interval=bootstrap(rows, seed=seed, resamples=resamples),
        parts={"chance": 1 / count, "by speaker": dict(zip(found.speaker_names, by_speaker.tolist(), strict=True))},
        **about,
    )


def equal_error_rate(found: Utterances, kind: str, seed: int, resamples: int, about: dict[str, Any]) -> Score:
    """Return the EER of telling pairs of one speaker from pairs of two, by cosine after centring."""
    vectors, speakers = found.vectors, found.speakers
    every = -(-len(speakers) // MOST_PAIRS)
    vectors, speakers = vectors[::every], speakers[::every]
    vectors = vectors - vectors.mean(axis=0)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = vectors @ vectors.T
    one, other = np.triu_indices(len(speakers), 1)
    same = speakers[one] == speakers[other]
    values = cosines[one, other]
    return Score(
        "speaker-eer",
        eer(values[same], values[~same]),
        f"speaker-eer-{kind}-cosine",
        options={"centred": True},
        interval=_eer_interval(values, speakers[one], speakers[other], len(found.speaker_names), seed, resamples),
        parts={"chance": 0.5, "pairs of one speaker": int(same.sum()), "pairs of two": int((~same).sum())},
        **about,
    )


def eer(targets: np.ndarray, others: np.ndarray) -> float:
    """Return the rate at which misses and false alarms are equal, interpolated between thresholds."""
    values = np.concatenate([targets, others])
    order = np.argsort(-values, kind="stable")
    hit = np.r_[np.ones(len(targets)), np.zeros(len(others))][order]
    last = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])  # equal scores are accepted together
    miss = 1 - np.r_[0, np.cumsum(hit)[last]] / len(targets)
    alarm = np.r_[0, np.cumsum(1 - hit)[last]] / len(others)
    return float(_crossing(miss[None], alarm[None])[0])


def _crossing(miss: np.ndarray, alarm: np.ndarray) -> np.ndarray:
    """Return where falling miss [R, N] and rising alarm [R, N] meet, [R]."""
    after = np.maximum((alarm >= miss).argmax(axis=1), 1)
    rows = np.arange(len(miss))
    gap = (miss - alarm)[rows, after - 1]
    step = gap - (miss - alarm)[rows, after]
    share = np.where(step > 0, gap / np.where(step > 0, step, 1.0), 0.0)
    return miss[rows, after - 1] + share * (miss[rows, after] - miss[rows, after - 1])


def _eer_interval(
    values: np.ndarray, one: np.ndarray, other: np.ndarray, speakers: int, seed: int, resamples: int
) -> ConfidenceInterval | None:
    """Draw speakers; pairs of two drawn speakers count as often as both were drawn. Cosines are binned."""
    if speakers < 3 or speakers > 200 or resamples < 2:
        return None
    bins = np.clip(((1 - values) / 2 * BINS).astype(np.int64), 0, BINS - 1)  # highest cosine first
    same = one == other
    own = np.zeros((speakers, BINS))
    np.add.at(own, (one[same], bins[same]), 1.0)
    place = (one * speakers + other)[~same]
    # Sparse, since of 200 speakers nearly all cells of pair and bin are empty; dense they would take 640 MB.
    pair = sparse.csr_array((np.ones(len(place)), (place, bins[~same])), shape=(speakers * speakers, BINS)).T.tocsr()
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(min(resamples, 200)):
        drawn = rng.multinomial(speakers, np.full(speakers, 1 / speakers)).astype(np.float64)
        targets, others = drawn @ own, pair @ np.outer(drawn, drawn).ravel()
        if targets.sum() and others.sum():
            miss, alarm = 1 - np.cumsum(targets) / targets.sum(), np.cumsum(others) / others.sum()
            found.append(_crossing(np.r_[1.0, miss][None], np.r_[0.0, alarm][None])[0])
    low, high = np.quantile(found, [0.025, 0.975])
    return ConfidenceInterval(float(low), float(high), 0.95, "speakers", speakers, len(found), seed)
