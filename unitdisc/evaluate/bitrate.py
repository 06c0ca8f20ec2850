"""Bitrates of a unit file, by each of the field's definitions, and the rates of its frames and units."""

import math
from typing import Any

import numpy as np
from scipy import sparse

from unitdisc.data.units import UnitLine
from unitdisc.errors import DataError
from unitdisc.evaluate.clusters import entropy
from unitdisc.evaluate.contingency import CellCounter
from unitdisc.evaluate.numbering import Numbering
from unitdisc.evaluate.scores import Counts, Score, bootstrap
from unitdisc.evaluate.units import AnyUnits, Units

LONGEST = (1 << 20) - 1  # frames; longer units count as of this duration in "with-durations"
# The symbols of each definition; the entropy is over the whole set.
SYMBOLS = {
    "zr2020": lambda line: line.frames,  # one per frame, as ZeroSpeech 2019 and 2020 count
    "zr2020-dedup": lambda line: line.units,  # de-duplicated, their durations lost
    "with-durations": lambda line: line.units * (LONGEST + 1) + np.minimum(line.durations, LONGEST),
}
FRAMES = -1  # the cell that counts an utterance's frames, for D


def bits_per_second(counts: np.ndarray, seconds: np.ndarray | float) -> np.ndarray:
    """Return (N / D) * H of symbol counts [R, S] in D seconds [R], in bits per second, [R]."""
    return counts.sum(axis=1) / seconds * entropy(counts) / math.log(2)


def bitrate_scores(path: AnyUnits, seed: int = 0, resamples: int = 1000) -> list[Score]:
    """Measure a unit file's information per second.

    Definitions: those of SYMBOLS, and rate * log2 K of the frames (nominal) and of the units (nominal-dedup).
    """
    source = Units.of(path)
    header = source.header
    counters, numbering = {name: CellCounter() for name in SYMBOLS}, Numbering()
    utterances = units = frames = 0
    for line in source:
        if not len(line.units):
            continue
        utterances, units, frames = utterances + 1, units + len(line.units), frames + int(line.durations.sum())
        numbered = line._replace(units=numbering(line.units))
        for name, symbols in SYMBOLS.items():
            counters[name].add(line.utt, _with_frames(symbols(numbered), line))
    if not utterances:
        raise DataError(f"{path}: has no units to score; is it empty?")
    bits = math.log2(header.cardinality)
    about: dict[str, Any] = {
        "options": {"codes": header.cardinality},
        "counts": Counts({"utterances": utterances, "units": units, "frames": frames}),
        "period": header.period,
        "hashes": source.hashes,
    }
    draws: dict[str, Any] = {"seed": seed, "resamples": resamples}
    tables = {name: counter.result()[1] for name, counter in counters.items()}

    def rate(sums: np.ndarray) -> np.ndarray:
        return sums[:, 1:].sum(axis=1) / (sums[:, 0] * header.period)

    def information(sums: np.ndarray) -> np.ndarray:
        return bits_per_second(sums[:, 1:], sums[:, 0] * header.period)

    def nominal(sums: np.ndarray) -> np.ndarray:
        return rate(sums) * bits

    def score(name: str, definition: str, measure: Any, table: sparse.csr_matrix, most: float | None = None) -> Score:
        how = draws if most is None else draws | {"centred": True, "within": (0.0, most)}
        value = float(measure(np.asarray(table.sum(axis=0)).reshape(1, -1))[0])
        return Score(name, value, definition, interval=bootstrap(table, measure, **how), **about)

    dedup = tables["zr2020-dedup"]
    most = dict.fromkeys(("zr2020", "zr2020-dedup"), bits / header.period)
    return [
        *(
            score("bitrate", f"bitrate-{name}", information, table, most.get(name, math.inf))
            for name, table in tables.items()
        ),
        Score("bitrate", bits / header.period, "bitrate-nominal", **about),
        score("bitrate", "bitrate-nominal-dedup", nominal, dedup),
        Score("rate", 1 / header.period, "frames-per-second", **about),
        score("rate", "units-per-second", rate, dedup),
    ]


def _with_frames(symbols: np.ndarray, line: UnitLine) -> np.ndarray:
    return np.concatenate([np.full(int(line.durations.sum()), FRAMES), symbols])
