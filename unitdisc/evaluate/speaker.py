"""Speaker scores: how much of who speaks is left in the units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data import kaldi
from unitdisc.data.tables import read_pairs
from unitdisc.errors import DataError, TooFewError, counted
from unitdisc.evaluate.eer import cosine_pairs, eer, eer_interval
from unitdisc.evaluate.logistic import fit_logistic, folds
from unitdisc.evaluate.numbering import Numbering
from unitdisc.evaluate.scores import Counts, Score, bootstrap
from unitdisc.evaluate.units import AnyUnits, Units

FOLDS = 5
MOST_SPEAKERS = 200  # that are told apart; of more, so many are drawn
MOST_UTTERANCES = 20_000  # of all of these; more are thinned evenly by speaker
MOST_SHARES = 1 << 28  # numbers in the histograms of all utterances, 2 GB: of many different units, fewer utterances
MOST_PAIRED = 3000  # utterances whose pairs are scored for the EER; more are thinned evenly by speaker


def read_speakers(path: str | Path) -> dict[str, str]:
    """Read utt2spk, or the speakers of a data directory."""
    path = Path(path)
    return kaldi.read_speakers(path)[0] if path.is_dir() else read_pairs(path, "<utt> <speaker>")


class Utterances(NamedTuple):
    """What is known of each utterance."""

    names: list[str]
    vectors: np.ndarray  # [U, D] float64
    units: np.ndarray  # [D] int64, the unit of each column of histograms
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
    found, header = histograms(source, utt2spk, seed), source.header
    kinds = {"histogram": found}
    if codebook is not None:
        if len(codebook) != header.cardinality:
            raise DataError(
                f"{path} has units of {header.cardinality} codes, the codebook {len(codebook)} codewords; "
                "they belong to different models"
            )
        codewords = np.asarray(codebook, dtype=np.float64)[found.units]
        kinds["mean-code"] = found._replace(vectors=found.vectors @ codewords)
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


def histograms(path: AnyUnits, utt2spk: Mapping[str, str], seed: int = 0) -> Utterances:
    """Return the share of each code in each utterance of a known speaker with at least FOLDS utterances.

    Of more than MOST_SPEAKERS speakers, so many are drawn; of more than MOST_UTTERANCES utterances of theirs, every
    n-th of each speaker is taken. So neither memory nor time grows with the corpus beyond these.
    """
    source = Units.of(path)
    by_speaker: dict[str, list[str]] = {}
    numbering = Numbering.of_codes(source.header.cardinality)
    dropped = {"utterances without a speaker": 0, "utterances without units": 0, "utterances of speakers with few": 0}
    for line in source:
        if line.utt not in utt2spk:
            dropped["utterances without a speaker"] += 1
        elif not len(line.units):
            dropped["utterances without units"] += 1
        else:
            by_speaker.setdefault(utt2spk[line.utt], []).append(line.utt)
            numbering(line.units)
    if not by_speaker:
        raise DataError(f"{path}: none of its utterances has a speaker; is utt2spk of another corpus?")
    enough = {s: utts for s, utts in sorted(by_speaker.items()) if len(utts) >= FOLDS}
    dropped["utterances of speakers with few"] = sum(len(u) for s, u in by_speaker.items() if s not in enough)
    if len(enough) < 2:
        raise TooFewError(
            f"{path}: has {counted(len(enough), 'speaker')} with {FOLDS} utterances or more; "
            "at least two are needed to tell apart"
        )
    most = MOST_SHARES // len(numbering)
    drawn = _drawn(enough, seed, min(MOST_UTTERANCES, most))
    if spared := sum(map(len, enough.values())) - sum(map(len, drawn.values())):
        dropped["utterances beyond those drawn"] = spared
    names = [utt for utts in drawn.values() for utt in utts]
    rows = {utt: row for row, utt in enumerate(names)}
    if len(names) > most:
        raise TooFewError(f"{path}: {len(names)} utterances have {len(numbering)} different units: too many to compare")
    vectors = np.empty((len(names), len(numbering)))
    for line in source:
        if (row := rows.get(line.utt)) is not None:
            counts = np.bincount(numbering(line.units), weights=line.durations, minlength=len(numbering))
            vectors[row] = counts / counts.sum()
    speakers = np.repeat(np.arange(len(drawn)), [len(utts) for utts in drawn.values()])
    return Utterances(names, vectors, numbering.units, speakers, list(drawn), dropped)


def _drawn(utts: Mapping[str, list[str]], seed: int, most: int) -> dict[str, list[str]]:
    """Return the speakers, and the utterances of each, that are told apart: all unless there are more than `most`."""
    names = list(utts)
    if len(names) > MOST_SPEAKERS:
        chosen = np.random.default_rng(seed).choice(len(names), MOST_SPEAKERS, replace=False)
        names = [names[place] for place in np.sort(chosen)]
    every = -(-sum(len(utts[name]) for name in names) // max(most, 1))
    return {name: utts[name][::every] if len(utts[name]) >= FOLDS * every else utts[name][:FOLDS] for name in names}


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
    every = -(-len(found.speakers) // MOST_PAIRED)
    pairs = cosine_pairs(found.vectors[::every], found.speakers[::every])
    same = pairs.same
    return Score(
        "speaker-eer",
        eer(pairs.values[same], pairs.values[~same]),
        f"speaker-eer-{kind}-cosine",
        options={"centred": True},
        interval=eer_interval(pairs, len(found.speaker_names), seed, resamples),
        parts={"chance": 0.5, "pairs of one speaker": int(same.sum()), "pairs of two": int((~same).sum())},
        **about,
    )
