"""Phone error rate of units mapped to phones: no training but the mapping, edits pooled over utterances."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from unitdisc.data.phones import SILENCES
from unitdisc.data.units import check_same_codebook
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labels
from unitdisc.evaluate.clusters import silence_to_drop
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.mapping import NOTHING, UnitMapping, fit_mapping, merged
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap


def per_score(edited: Groups, name: str, seed: int = 0, resamples: int = 1000, **about: Any) -> Score:
    """Return the pooled error rate of rows [U, 4]: substitutions, insertions, deletions, reference phones."""
    table = edited.table()
    substitutions, insertions, deletions, phones = (int(n) for n in table.sum(axis=0))
    if not phones:
        raise DataError("the references have no phones to compare with; are they all silence?")
    rows = np.stack([table[:, :3].sum(axis=1), table[:, 3]], axis=1)
    return Score(
        "per",
        (substitutions + insertions + deletions) / phones,
        name,
        interval=bootstrap(rows, seed=seed, resamples=resamples),
        parts={"substitutions": substitutions, "insertions": insertions, "deletions": deletions, "phones": phones},
        **about,
    )


def reference(labels: Labels, drop: int | None) -> np.ndarray:
    """Return an utterance's phones [N], without silences if they are dropped."""
    return labels.phones if drop is None else labels.phones[labels.phones != drop]


def hypothesis(units: np.ndarray, mapping: UnitMapping, drop: int | None) -> np.ndarray:
    """Return the phones that units per frame [T] stand for: mapped, equal neighbours merged, silences dropped."""
    phones = mapping(units)
    phones = merged(phones[phones != NOTHING])
    return phones if drop is None else phones[phones != drop]


def mapping_per(
    test: AlignedUnits,
    train: AlignedUnits | None,
    *,
    kind: str = "many-to-one",
    silence: str = "drop",
    seed: int = 0,
    resamples: int = 1000,
) -> Score:
    """Score units by the phones they are mapped to.

    The mapping is fitted on `train`; None fits it on the scored side itself, and the definition then says "oracle".
    Silence "drop" removes it from both strings after equal neighbours are merged; "keep" counts it as a phone.
    """
    drop = silence_to_drop(silence, test.labeller)
    mapping = fit_on(test if train is None else train, test, kind)
    rows, unseen, frames = Groups(), 0, 0
    for line, labels in test:
        string = reference(labels, drop)
        counts = edits([string], [hypothesis(line.frames, mapping, drop)]).counts[0]
        rows.add(line.utt, [*counts, len(string)])
        unseen += int((~np.isin(line.frames, mapping.units)).sum())
        frames += len(line.frames)
    name = f"per-mapping-{kind}" + ("-oracle" if train is None else "") + ("-nosil" if silence == "drop" else "-sil")
    hashes = test.hashes if train is None else test.hashes | {f"train-{k}": v for k, v in train.hashes.items()}
    return per_score(
        rows,
        name,
        seed,
        resamples,
        options={"silence": silence, "kind": kind, "oracle": train is None, "codes": test.header.cardinality},
        counts=Counts(test.counts.used | {"frames of units unseen in fitting": unseen}, test.counts.dropped),
        period=test.header.period,
        hashes=hashes,
    )


def fit_on(train: AlignedUnits, test: AlignedUnits, kind: str = "many-to-one") -> UnitMapping:
    """Fit a mapping on one side for use on the other, in the phone numbers of the latter."""
    check_same_codebook(train.header, test.header, (str(train.path), str(test.path)))
    if train.labeller is test.labeller:
        return fit_mapping(train, len(train.labeller.names), kind)
    ours, theirs = train.labeller.phones, test.labeller.phones
    mapping = fit_mapping(train, len(train.labeller.names), kind)
    if set(ours).isdisjoint(theirs):
        raise DataError(
            f"{train.labeller.where} and {test.labeller.where} have no phone in common: "
            f"{', '.join(ours[:5])} against {', '.join(theirs[:5])}; align both with one phone set"
        )
    table = np.array([*test.labeller.numbers_of(train.labeller), NOTHING])
    return dataclasses.replace(mapping, phones=table[mapping.phones], unseen=int(table[mapping.unseen]))


def head_per(
    heard: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    silence: str = "drop",
    *,
    silences: Collection[str] = SILENCES,
    dropped: int = 0,
    seed: int = 0,
    resamples: int = 1000,
    **about: Any,
) -> Score:
    """Return the error rate of what a model's own head heard: (phones of the alignment, phones heard) by utterance.

    `silence` "drop" removes silences from both; `dropped` says how many utterances had no phones.
    """
    numbers: dict[str, int] = {}
    rows = Groups()
    for utt, sides in heard.items():
        kept = [[phone for phone in side if silence == "keep" or phone not in silences] for side in sides]
        wanted, got = (np.array([numbers.setdefault(p, len(numbers)) for p in side], np.int64) for side in kept)
        rows.add(utt, [*edits([wanted], [got]).counts[0], len(wanted)])
    return per_score(
        rows,
        "per-ctc-head-" + ("nosil" if silence == "drop" else "sil"),
        seed,
        resamples,
        options={"silence": silence, "decoding": "best path"},
        counts=Counts({"utterances": len(heard)}, {"utterances without phones": dropped}),
        **about,
    )
