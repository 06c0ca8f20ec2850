"""Phoneme discovery as DiscoPhon defines it: a 10 ms grid, silence as a phone, equal neighbours always merged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from unitdisc.data.alignment import frame_labels, read_alignment
from unitdisc.data.phones import SILENCE
from unitdisc.errors import DataError
from unitdisc.evaluate.boundaries import measures as boundary_measures
from unitdisc.evaluate.clusters import measures as cluster_measures
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.mapping import merged
from unitdisc.evaluate.numbering import FEW, Numbering
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap, bootstrap_many, file_hash
from unitdisc.evaluate.units import AnyUnits, Units

STEP = 0.01  # s from phone to phone
MARGIN = 20  # ms around a boundary

Mapping = Literal["many-to-one", "one-to-one"]


class _Utterance(NamedTuple):
    utt: str
    units: np.ndarray  # [T], on the unit file's frames
    phones: np.ndarray  # [P] numbers, every 10 ms


def discophon_scores(
    units: AnyUnits,
    alignment: str | Path,
    seed: int = 0,
    resamples: int = 1000,
    *,
    mapping: Mapping = "many-to-one",
) -> list[Score]:
    """Return PNMI, PER by a mapping of all frames from units to phones, and F1 and R-value of its boundaries.

    Labels are taken as they stand; where the alignment has a gap, there is silence.
    """
    source = Units.of(units)
    header = source.header
    repeat = round(header.period / STEP)
    if repeat < 1 or abs(repeat * STEP - header.period) > 1e-9:
        raise DataError(
            f"{units}: DiscoPhon's scores need a period that is a multiple of 10 ms, got {header.period:g} s"
        )
    names, numbering = dict[str, int](), Numbering.of_codes(header.cardinality)
    dropped = {"utterances without alignment": 0}
    found = _utterances(source, alignment, repeat, names, dropped)
    utterances = [one._replace(units=numbering(one.units)) for one in found]
    if not utterances:
        raise DataError(f"{units}: none of its utterances is in {alignment}")
    counts = np.zeros((len(names), len(numbering)), dtype=np.int64)
    for _, each, phones in utterances:
        both = np.repeat(each, repeat)[: len(phones)]
        np.add.at(counts, (phones[: len(both)], both), 1)
    if mapping == "one-to-one" and header.cardinality < len(names):
        raise DataError(
            f"{units}: a one-to-one mapping needs a unit for each of the {len(names)} phones, silence among them, "
            f"got {header.cardinality} units"
        )
    phone_of = _phone_of_units(counts, mapping)
    errors, boundaries = Groups(), Groups()
    for utt, each, phones in utterances:
        said, wanted = merged(phone_of[each]), merged(phones)
        errors.add(utt, [int(edits([wanted], [said]).total[0]), len(wanted)])
        boundaries.add(utt, _boundaries(phone_of[each], phones, 10 * repeat))
    about: dict[str, Any] = {
        "options": {"silence": "keep", "codes": header.cardinality, "step": STEP, "margin": MARGIN / 1000},
        "counts": Counts({"utterances": len(utterances), "frames": int(counts.sum())}, dropped),
        "period": header.period,
        "hashes": source.hashes | {"alignment": file_hash(alignment)},
    }
    draws: dict[str, Any] = {"seed": seed, "resamples": resamples}
    table, edges = errors.table(), boundaries.table()
    pnmi = float(cluster_measures(counts[None].astype(np.float64), 0.0)[0, 0])
    values = boundary_measures(edges.sum(axis=0)[None])[0]
    within = bootstrap_many(edges, boundary_measures, values=len(values), **draws)
    how = "" if mapping == "many-to-one" else f"-{mapping}"
    return [
        Score("pnmi", pnmi, "pnmi-discophon", parts={"codes": header.cardinality}, **about),
        Score("per", float(table[:, 0].sum() / table[:, 1].sum()), f"per-discophon-{mapping}",
              interval=bootstrap(table, **draws), **about),
        Score("f1", float(values[2]), f"boundary-f1-discophon{how}", interval=within[2], **about),
        Score("r-value", float(values[4]), f"boundary-r-value-discophon{how}", interval=within[4], **about),
    ]  # fmt: skip


def _phone_of_units(counts: np.ndarray, mapping: Mapping) -> np.ndarray:
    """Return the phone of each unit, [A], from how often they meet, [P, A].

    One to one, units that are left over have phones of their own that nobody says, numbered from P.
    """
    phones, codes = counts.shape
    # Of phones that a unit meets equally often, the more frequent one; units never met stay with the first.
    order = np.argsort(counts.sum(axis=1), kind="stable")[::-1]
    if mapping == "many-to-one":
        return order[counts[order].argmax(axis=0)]
    # As many rows as units, as DiscoPhon has them, decide between mappings that are equally good.
    wanted = np.zeros((max(codes, phones) if codes <= FEW else phones, codes), dtype=np.int64)
    wanted[:phones] = counts[order]
    rows, columns = linear_sum_assignment(wanted, maximize=True)
    phone_of = np.arange(phones, phones + codes)
    phone_of[columns] = np.concatenate([order, np.arange(phones, len(wanted))])[rows]
    return phone_of


def _utterances(
    units: Units, alignment: str | Path, repeat: int, names: dict[str, int], dropped: dict[str, int]
) -> Iterator[_Utterance]:
    labels = read_alignment(alignment)
    for line in units:
        if line.utt not in labels:
            dropped["utterances without alignment"] += 1
            continue
        intervals = labels[line.utt]
        frames = line.frames
        count = round(intervals[-1].end / STEP) if intervals else 0
        phones = frame_labels(intervals, count, STEP, silence=SILENCE)
        if abs(count - repeat * len(frames)) > repeat or not len(frames):
            raise DataError(
                f"{units.path}: {line.utt}: {len(frames)} frames and {count} phones of 10 ms differ by more; "
                "is the alignment of this audio, and does it label all of it?"
            )
        yield _Utterance(line.utt, frames, np.array([names.setdefault(p, len(names)) for p in phones], np.int64))


def _boundaries(said: np.ndarray, wanted: np.ndarray, step: int) -> list[int]:
    """Return matched found, matched true, found, true boundaries, by search regions in whole milliseconds."""
    found = step * (np.flatnonzero(said[1:] != said[:-1]) + 1)
    true = 10 * (np.flatnonzero(wanted[1:] != wanted[:-1]) + 1)
    lower, upper = np.maximum(true - MARGIN, 0), true + MARGIN
    middle = (true[:-1] + true[1:]) // 2
    upper[:-1], lower[1:] = np.minimum(upper[:-1], middle), np.maximum(lower[1:], middle + 1)
    hits = int((np.searchsorted(found, upper, "right") > np.searchsorted(found, lower, "left")).sum())
    return [hits, hits, len(found), len(true)]
