"""Longer units: the segmentation that trades distance to the codewords against the number of units.

A segmentation of an utterance costs, summed over its segments, the squared distances of the frames to the segment's
codeword plus a penalty. (A reward for every frame by which a segment is longer than one is the same thing, up to a
constant.) Dynamic programming finds the least cost: over frames and codes, since a segment either goes on or the
cheapest one so far ends. Without labels, the penalty follows from a wanted rate or from the knee of the cost curve.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, write_units
from unitdisc.errors import DataError

BLOCK = 1024  # frames whose distances to all codes are in memory at once
SAMPLE = 1_000_000  # frames on which a penalty is chosen; more are thinned evenly by utterance


class Segments(NamedTuple):
    """The best segmentation of one utterance."""

    codes: np.ndarray  # [N] int64
    durations: np.ndarray  # [N] int64, frames
    distance: float  # summed over frames, the penalties left out


class Point(NamedTuple):
    """What a penalty makes of a corpus."""

    penalty: float
    units: int
    distance: float  # summed over all frames
    seconds: float

    @property
    def rate(self) -> float:
        """Return the units per second."""
        return self.units / self.seconds


class UnitCorpus:
    """A unit file and what its segments cost, utterance by utterance.

    With frames [T, D] and a codebook [K, D]: distances of the frames to the codewords. With a codebook alone: those of
    each frame's own codeword to the others. With neither: 0 for a frame's own unit and 1 for any other.
    """

    def __init__(
        self, units: str | Path, codebook: np.ndarray | None = None, frames: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.path, self.frames = Path(units), frames
        self.header = read_header(units)
        if frames is not None and codebook is None:
            raise DataError("frames are segmented by their distances to codewords: give the codebook too")
        self.codebook = None if codebook is None else _checked_codebook(codebook, self.header, self.path)

    def __iter__(self) -> Iterator["UtteranceCosts"]:
        """Yield the utterances in the file's order."""
        agree = total = 0
        for line in read_units(self.path):
            utterance = self._utterance(line)
            if self.frames is not None and total < 20_000:
                agree, total = agree + utterance.agreement(), total + utterance.length
                if total >= 1000:
                    self._check_agreement(agree, total)
            yield utterance
        if total:
            self._check_agreement(agree, total)

    def _utterance(self, line: UnitLine) -> "UtteranceCosts":
        if self.codebook is None:
            return UtteranceCosts(line)
        if self.frames is None:
            return UtteranceCosts(line, self.codebook, self.codebook[line.frames])
        if line.utt not in self.frames:
            raise DataError(f"{self.path}: {line.utt} has no frames; were both written by one `unitdisc encode`?")
        vectors = self.frames[line.utt]
        if len(vectors) != line.durations.sum():
            raise DataError(
                f"{self.path}: {line.utt} has {line.durations.sum()} units but {len(vectors)} frames; "
                "were both written by one `unitdisc encode`?"
            )
        if vectors.shape[1] != self.codebook.shape[1]:
            raise DataError(
                f"{line.utt}: frames have {vectors.shape[1]} dimensions, codewords {self.codebook.shape[1]}; "
                "use the vectors that are compared with the codebook (projection.scp)"
            )
        return UtteranceCosts(line, self.codebook, vectors)

    def _check_agreement(self, agree: int, total: int) -> None:
        if agree < 0.5 * total:
            raise DataError(
                f"{self.path}: only {agree / total:.0%} of the units are the nearest codeword of their frame; "
                "the codebook or the frames belong to another model"
            )


class UtteranceCosts:
    """The costs of one utterance's frames."""

    def __init__(self, line: UnitLine, codebook: np.ndarray | None = None, vectors: np.ndarray | None = None) -> None:
        self.line, self.codebook, self.vectors = line, codebook, vectors
        self.length = int(line.durations.sum())
        # Without distances, no unit that an utterance lacks is ever the cheapest.
        self.codes = np.unique(line.units) if codebook is None else np.arange(len(codebook))
        self._norms = None if codebook is None else np.square(codebook).sum(axis=1)

    def costs(self) -> Iterator[np.ndarray]:
        """Yield blocks of costs [<= BLOCK, K] float32."""
        whole = self.line.frames
        for first in range(0, self.length, BLOCK):
            if self.codebook is None or self.vectors is None:
                yield (whole[first : first + BLOCK, None] != self.codes).astype(np.float32)
            else:
                x = self.vectors[first : first + BLOCK].astype(np.float32, copy=False)
                squares = np.square(x).sum(axis=1, keepdims=True)
                yield np.maximum(squares - 2 * (x @ self.codebook.T) + self._norms, 0)

    def agreement(self) -> int:
        """Return how many frames have their unit as nearest codeword."""
        nearest = [block.argmin(axis=1) for block in self.costs()]
        return int((self.codes[np.concatenate(nearest)] == self.line.frames).sum()) if nearest else 0

    def segments(self, penalty: float) -> Segments:
        """Return the cheapest segmentation; with an infinite penalty, one segment."""
        if not self.length:
            return Segments(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0)
        value = np.zeros(len(self.codes))
        start = np.zeros(len(self.codes), dtype=np.int64)
        best, begin = np.zeros(self.length, dtype=np.int64), np.zeros(self.length, dtype=np.int64)
        done, least = 0, 0.0
        for block in self.costs():
            least = _advance(block, penalty, least, done, value, start, best, begin)
            done += len(block)
        places, durations = _backtrace(best, begin)
        penalties = penalty * (len(places) - 1) if len(places) > 1 else 0.0
        return Segments(self.codes[places], durations, float(least) - penalties)


@numba.njit(cache=True)
def _advance(
    costs: np.ndarray,
    penalty: float,
    least: float,
    done: int,
    value: np.ndarray,
    start: np.ndarray,
    best: np.ndarray,
    begin: np.ndarray,
) -> float:
    """Take a block of frames into value [K] and start [K] of the open segments; note each frame's best one.

    Values leave out the penalty of the first segment.
    """
    for t in range(len(costs)):
        restart = least + penalty
        low, where = np.inf, 0
        for k in range(len(value)):
            if done + t > 0 and restart < value[k]:
                value[k] = restart
                start[k] = done + t
            value[k] += costs[t, k]
            if value[k] < low:
                low, where = value[k], k
        least = low
        best[done + t] = where
        begin[done + t] = start[where]
    return least


@numba.njit(cache=True)
def _backtrace(best: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, end = 0, len(best)
    while end > 0:
        count, end = count + 1, begin[end - 1]
    codes, durations = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    end = len(best)
    for n in range(count - 1, -1, -1):
        codes[n], durations[n] = best[end - 1], end - begin[end - 1]
        end = begin[end - 1]
    return codes, durations


def segment(
    corpus: UnitCorpus, out: str | Path, penalty: float | None = None, rate: float | None = None, force: bool = False
) -> Point:
    """Write the segmented units of a corpus as a unit file of the same codebook.

    Without a penalty, the one of a wanted rate in units per second is used; without either, that of the knee.
    """
    out = Path(out)
    if out.exists() and not force:
        raise DataError(f"{out}: exists; --force overwrites it")
    penalty = choose_penalty(corpus, rate) if penalty is None else penalty
    if not penalty >= 0:
        raise DataError(f"the penalty must be 0 or more, got {penalty}")
    total = _Total(penalty, corpus.header.period)

    def lines() -> Iterator[UnitLine]:
        for utterance in corpus:
            segments = utterance.segments(penalty)
            total.add(segments)
            yield UnitLine(utterance.line.utt, segments.codes, segments.durations)

    origin = corpus.header.origin | {"segmented": f"penalty {penalty:.6g}"}
    write_units(out, dataclasses.replace(corpus.header, origin=origin), lines())
    return total.point()


class _Total:
    def __init__(self, penalty: float, period: float) -> None:
        self.penalty, self.period = penalty, period
        self.units = self.frames = 0
        self.distance = 0.0

    def add(self, segments: Segments) -> None:
        self.distance += segments.distance
        self.units += len(segments.codes)
        self.frames += int(segments.durations.sum())

    def point(self) -> Point:
        return Point(self.penalty, self.units, self.distance, self.frames * self.period)


def sample(corpus: UnitCorpus, most: int = SAMPLE) -> list[UtteranceCosts]:
    """Hold a corpus, or every n-th of its utterances, in memory to choose a penalty on."""
    chosen: list[UtteranceCosts] = []
    every, frames = 1, 0
    for number, utterance in enumerate(corpus):
        if number % every == 0 and utterance.length:
            chosen.append(utterance)
            frames += utterance.length
        while frames > most and len(chosen) > 1:
            chosen, every = chosen[::2], 2 * every
            frames = sum(u.length for u in chosen)
    if not chosen:
        raise DataError(f"{corpus.path}: has no units to segment; is it empty?")
    return chosen


def point_at(utterances: Sequence[UtteranceCosts], penalty: float, period: float) -> Point:
    """Return what a penalty makes of some utterances."""
    total = _Total(penalty, period)
    for utterance in utterances:
        total.add(utterance.segments(penalty))
    return total.point()


def choose_penalty(corpus: UnitCorpus, rate: float | None = None) -> float:
    """Return a penalty found without labels: that of a wanted rate in units per second, or of the knee."""
    utterances, period = sample(corpus), corpus.header.period
    return penalty_of_knee(utterances, period) if rate is None else penalty_of_rate(utterances, period, rate)


def penalty_of_knee(utterances: Sequence[UtteranceCosts], period: float) -> float:
    """Return the penalty at the knee of the curve of distance over number of units.

    The curve runs from every frame with its nearest codeword to one unit per utterance. The knee is its point farthest
    below the line through these ends; since a penalty is the slope of the curve at the point that it leads to, the
    slope of that line is the penalty of the knee.
    """
    many, few = point_at(utterances, 0.0, period), point_at(utterances, np.inf, period)
    return (few.distance - many.distance) / (many.units - few.units) if many.units > few.units else 0.0


def penalty_of_rate(
    utterances: Sequence[UtteranceCosts], period: float, rate: float, tolerance: float = 0.005
) -> float:
    """Return a penalty that leads to so many units per second, within a relative tolerance where that can be met."""
    many, few = point_at(utterances, 0.0, period), point_at(utterances, np.inf, period)
    if not few.rate <= rate <= many.rate:
        raise DataError(
            f"{rate:g} units per second cannot be had: without a penalty there are {many.rate:.2f}, and one unit per "
            f"utterance is {few.rate:.2f}"
        )
    low, high = 0.0, max(penalty_of_knee(utterances, period), 1e-9)
    while (point := point_at(utterances, high, period)).rate > rate:
        low, high = high, 4 * high
    best = min((many, point), key=lambda p: abs(p.rate - rate))
    for _ in range(60):
        if abs(best.rate - rate) <= tolerance * rate or high - low <= 1e-9 * high:
            break
        middle = (low + high) / 2
        point = point_at(utterances, middle, period)
        best = min((best, point), key=lambda p: abs(p.rate - rate))
        low, high = (middle, high) if point.rate > rate else (low, middle)
    return best.penalty


def _checked_codebook(codebook: np.ndarray, header: UnitHeader, units: Path) -> np.ndarray:
    if codebook.ndim != 2 or codebook.dtype.kind != "f" or not np.isfinite(codebook).all():
        raise DataError(
            f"a codebook is a finite array of real numbers [K, D], got {codebook.dtype} {list(codebook.shape)}"
        )
    if len(codebook) != header.cardinality:
        raise DataError(
            f"{units} has units of {' x '.join(map(str, header.codes))} codes, the codebook {len(codebook)} codewords; "
            "they belong to different models (units of several codebooks are segmented without one)"
        )
    return np.ascontiguousarray(codebook, dtype=np.float32)
