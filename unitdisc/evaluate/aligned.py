"""Frames with their phones: a unit file (or features) beside an alignment, utterance by utterance."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.data.alignment import Interval, cut_at, frame_places, read_alignment
from unitdisc.data.phones import SILENCE, SILENCES
from unitdisc.data.units import UnitLine
from unitdisc.errors import DataError
from unitdisc.evaluate.scores import Counts, file_hash
from unitdisc.evaluate.units import AnyUnits, Units

TOLERANCE = 0.1  # seconds by which an alignment may be longer than its units
MAX_LONGER = 0.01  # share of the utterances that may be longer than that


class Labels(NamedTuple):
    """The phones of one utterance."""

    frames: np.ndarray  # [T] int64, a phone per frame
    phones: np.ndarray  # [N] int64, the alignment's phones in order; silences merged and gaps filled with silence
    edges: np.ndarray  # [N + 1] float64 seconds: phone n lies between edges n and n + 1


class Aligned(NamedTuple):
    """One utterance of a unit file with its phones."""

    line: UnitLine
    labels: Labels


class Labeller:
    """Phones of an alignment as numbers, on the frames of anyone's utterances."""

    def __init__(
        self,
        alignment: str | Path | Mapping[str, Sequence[Interval]],
        silences: Collection[str] = SILENCES,
        clip: bool = False,
    ) -> None:
        """Take an alignment; with `clip`, what lies past the end of an utterance's frames is ignored."""
        self.where = "the alignment" if isinstance(alignment, Mapping) else str(alignment)
        self.alignment = alignment if isinstance(alignment, Mapping) else read_alignment(alignment)
        self.hash = "" if isinstance(alignment, Mapping) else file_hash(alignment)
        self.silences = frozenset(silences)
        self.clip = clip
        found = {i.label for utt in self.alignment for i in self.alignment[utt]}
        if not found:
            raise DataError(
                f"{self.where}: the alignment is empty; expected '<utt> 1 <start> <duration> <phone>' lines"
            )
        self.phones = sorted(found - self.silences)
        self.silence = len(self.phones)  # the number of silence
        self.names = [*self.phones, SILENCE]
        self._numbers = {name: number for number, name in enumerate(self.phones)}

    def labels(self, intervals: Sequence[Interval], frames: int, period: float, offset: float = 0.0) -> Labels:
        """Return the phones of an utterance of so many frames."""
        length = offset + frames * period
        intervals = cut_at(intervals, length)
        numbers = np.array([*(self._numbers.get(i.label, self.silence) for i in intervals), self.silence], np.int64)
        return Labels(
            numbers[frame_places(intervals, frames, period, offset)], *self._string(intervals, length, period)
        )

    def numbers_of(self, other: "Labeller") -> np.ndarray:
        """Return the number here of each phone of another alignment and its silence; the unknown come after all."""
        phones = [self._numbers.get(name, len(self.names) + n) for n, name in enumerate(other.phones)]
        return np.array([*phones, self.silence], dtype=np.int64)

    def _string(self, intervals: Sequence[Interval], length: float, period: float) -> tuple[np.ndarray, np.ndarray]:
        phones: list[int] = []
        edges = [0.0]

        def put(phone: int, end: float) -> None:
            if phone == self.silence and phones and phones[-1] == phone:
                edges[-1] = end
            else:
                phones.append(phone)
                edges.append(end)

        for start, end, label in intervals:
            if start - edges[-1] > period:
                put(self.silence, start)
            put(self._numbers.get(label, self.silence), end)
        if length - edges[-1] > period or not phones:
            put(self.silence, length)
        return np.array(phones, dtype=np.int64), np.array(edges)


class AlignedUnits:
    """A unit file beside an alignment: iterate for every utterance that both have; nothing else is in memory.

    Iterating to the end checks that the two belong together, and leaves the counts of what was used and dropped.
    """

    def __init__(self, units: AnyUnits, labeller: Labeller, utts: Collection[str] | None = None) -> None:
        """Take a unit file and, if given, only those utterances of it."""
        self.units = Units.of(units)
        self.path, self.labeller, self.utts = self.units.path, labeller, utts
        self.header = self.units.header
        self.hashes = self.units.hashes | ({"alignment": labeller.hash} if labeller.hash else {})
        self._used: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Aligned]:
        """Yield the utterances that have units and an alignment, in the file's order."""
        fit = AlignmentFit(self.labeller, str(self.path))
        for line in self.units:
            if self.utts is not None and line.utt not in self.utts:
                continue
            labels = fit.labels(line.utt, int(line.durations.sum()), self.header.period, self.header.offset)
            if labels is not None:
                yield Aligned(line, labels)
        fit.check()
        self._used, self._dropped = fit.used, fit.dropped

    @property
    def counts(self) -> Counts:
        """Return what the last full iteration used and dropped."""
        return Counts(dict(self._used), dict(self._dropped))


class AlignmentFit:
    """Decides which utterances an alignment can be used for, and complains when it fits too few of them."""

    def __init__(self, labeller: Labeller, where: str) -> None:
        self.labeller, self.where = labeller, where
        self.used: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._seconds = self._aligned = 0.0
        self._example = ""

    def labels(self, utt: str, frames: int, period: float, offset: float) -> Labels | None:
        """Return an utterance's phones, or None if it cannot be used; count which."""
        intervals = self.labeller.alignment.get(utt, [])
        if not intervals:
            self._example = self._example or utt
            self.dropped["utterances without alignment"] += 1
            return None
        if not frames:
            self.dropped["utterances without frames"] += 1
            return None
        end, length = intervals[-1].end, offset + frames * period
        self._seconds, self._aligned = self._seconds + length, self._aligned + end
        if end > length + TOLERANCE and not self.labeller.clip:
            self.dropped["utterances shorter than their alignment"] += 1
            return None
        self.used["utterances"] += 1
        self.used["frames"] += frames
        return self.labeller.labels(intervals, frames, period, offset)

    def check(self) -> None:
        """Raise if the alignment seems to be another corpus's or on another time scale."""
        shorter = self.dropped["utterances shorter than their alignment"]
        common = self.used["utterances"] + shorter
        if not common and not self._example:
            what = "have no frames" if self.dropped["utterances without frames"] else "are none"
            raise DataError(f"{self.where}: nothing to score: the utterances {what}")
        if not common:
            sample = next(iter(self.labeller.alignment), "")
            raise DataError(
                f"{self.where}: none of its utterances is in {self.labeller.where}: expected names like {sample!r}, "
                f"got {self._example!r}; is it the alignment of another corpus?"
            )
        if shorter > MAX_LONGER * common:
            raise DataError(
                f"{self.where}: {shorter} of {common} utterances end more than {TOLERANCE} s before their alignment in "
                f"{self.labeller.where}; is the frame period right, and is it the alignment of this audio? "
                "(--clip ignores what lies past the end)"
            )
        if self._aligned < 0.55 * self._seconds:
            raise DataError(
                f"{self.labeller.where} covers only {self._aligned:.1f} of the {self._seconds:.1f} s of {self.where}; "
                "is the frame period right, and is it the alignment of this audio?"
            )
