"""What the units of one experiment are like: use, phones, durations, and where to hear each; one pass over the file."""

import heapq
import zlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from unitdisc.data.alignment import frame_places
from unitdisc.data.units import UnitLine, read_units
from unitdisc.evaluate.aligned import SILENCE, SILENCES
from unitdisc.evaluate.numbering import Numbering
from unitdisc.report.collect import Experiment

MOST_UNITS = 512  # columns of the heat map: the most frequent
MOST_PHONES = 100  # its rows
LONGEST = 60  # frames, of the histogram of durations
TOGETHER = 1 << 18  # frames that are counted at once
MOST_COUNTS = 1 << 22  # counts by unit and speaker that are kept; beyond, it is not counted who says a unit


@dataclass(frozen=True, order=True)
class Place:
    """One occurrence of a unit: frames [first, first + count) of an utterance."""

    rank: int  # from a hash of the utterance: the lowest ranks are a random draw that all units share
    utt: str
    first: int
    count: int


@dataclass
class UnitFacts:
    """Counts over a whole unit file."""

    utts: list[str] = field(default_factory=list)
    frames: int = 0
    runs: int = 0
    usage: Counter[int] = field(default_factory=Counter)  # frames of each unit
    durations: np.ndarray = field(default_factory=lambda: np.zeros(LONGEST + 1, np.int64))  # runs by frames
    together: Counter[tuple[str, int]] = field(default_factory=Counter)  # frames of (phone, unit)
    numbering: Numbering = field(default_factory=Numbering)  # of the units, in what follows
    spoken: dict[str, np.ndarray] = field(default_factory=dict)  # speaker, "" unknown: runs of each unit, by its number
    places: dict[int, list[Place]] = field(default_factory=dict)  # of each unit, for listening

    @property
    def utterances(self) -> int:
        """Return the number of utterances."""
        return len(self.utts)

    @property
    def perplexity(self) -> float:
        """Return exp of the entropy of the units on frames."""
        shares = np.array(list(self.usage.values()), dtype=np.float64) / max(self.frames, 1)
        return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def gather(exp: Experiment, examples: int) -> UnitFacts:
    """Read an experiment's unit file once; of the corpus nothing stays in memory but the utterances' names."""
    facts, heaps = UnitFacts(), {}  # type: tuple[UnitFacts, dict[int, list[tuple[int, str, int, int]]]]
    assert exp.units is not None
    assert exp.header is not None
    known = set(exp.data.utts) if exp.data is not None else None
    speakers = len(exp.data.spk2utt) if exp.data is not None else 1
    few, counts = exp.header.cardinality * speakers <= MOST_COUNTS, _FrameCounts(facts)
    worst: dict[int, int] = {}
    for line in read_units(exp.units):
        frames = line.frames
        facts.utts.append(line.utt)
        facts.frames += len(frames)
        facts.runs += len(line.units)
        facts.durations += np.bincount(np.minimum(line.durations, LONGEST), minlength=LONGEST + 1)
        speaker = exp.data.utt2spk.get(line.utt, "") if exp.data is not None and few else ""
        _add(facts.spoken, speaker, np.bincount(facts.numbering(line.units)))
        aligned = exp.alignment is not None and line.utt in exp.alignment
        counts.add_(frames, _phone_numbers(exp, line.utt, len(frames), counts.phones) if aligned else None)
        if known is None or line.utt in known:
            _offer(heaps, worst, line, examples)
    counts.flush_()
    facts.places = {unit: _chosen(heap, examples) for unit, heap in sorted(heaps.items())}
    return facts


class _FrameCounts:
    """Adds what the frames of many utterances have to the counts, many utterances at once."""

    def __init__(self, facts: UnitFacts) -> None:
        self.phones: dict[str, int] = {SILENCE: 0}  # numbers of labels
        self._facts, self._frames, self._numbers, self._waiting = facts, [], [], 0  # type: ignore[var-annotated]

    def add_(self, frames: np.ndarray, numbers: np.ndarray | None) -> None:
        """Count the units [T] of an utterance, and the numbers [T] of its phones, if it has any."""
        self._frames.append(frames)
        self._numbers.append(np.full(len(frames), -1) if numbers is None else numbers)
        self._waiting += len(frames)
        if self._waiting > TOGETHER:
            self.flush_()

    def flush_(self) -> None:
        """Count what is waiting."""
        if not self._waiting:
            return
        units, places = np.unique(np.concatenate(self._frames), return_inverse=True)
        for unit, count in zip(units.tolist(), np.bincount(places).tolist(), strict=True):
            self._facts.usage[unit] += count
        numbers, phones = np.concatenate(self._numbers), list(self.phones)
        labelled = numbers >= 0
        pairs = np.bincount(numbers[labelled] * len(units) + places[labelled])
        for pair in np.flatnonzero(pairs).tolist():
            phone, unit = divmod(pair, len(units))
            self._facts.together[phones[phone], int(units[unit])] += int(pairs[pair])
        self._frames, self._numbers, self._waiting = [], [], 0


def _add(spoken: dict[str, np.ndarray], speaker: str, counts: np.ndarray) -> None:
    """Add counts [N] to those of a speaker, which may reach to another N."""
    there = spoken.get(speaker)
    if there is None:
        spoken[speaker] = counts
    elif len(there) >= len(counts):
        there[: len(counts)] += counts
    else:
        counts[: len(there)] += there
        spoken[speaker] = counts


def _phone_numbers(exp: Experiment, utt: str, frames: int, phones: dict[str, int]) -> np.ndarray:
    """Return the number of the phone at each frame's centre; all that means silence is SIL, which is 0."""
    assert exp.alignment is not None
    assert exp.header is not None
    intervals = exp.alignment[utt]
    numbers = [0 if i.label in SILENCES else phones.setdefault(i.label, len(phones)) for i in intervals]
    return np.array([*numbers, 0])[frame_places(intervals, frames, exp.header.period, exp.header.offset)]


def _offer(
    heaps: dict[int, list[tuple[int, str, int, int]]], worst: dict[int, int], line: UnitLine, examples: int
) -> None:
    """Keep the occurrences of each unit in the utterances of the lowest rank: few files, the same for many units.

    `worst` is the highest rank that is kept of a unit, of those that have enough.
    """
    rank, units = zlib.crc32(line.utt.encode()), line.units.tolist()
    if max(map(worst.get, units, repeat(rank + 1)), default=0) <= rank:  # type: ignore[arg-type,type-var]
        return  # most utterances of a large file, soon seen
    full = 3 * examples
    starts = np.cumsum(line.durations) - line.durations
    seen: Counter[int] = Counter()
    for unit, first, count in zip(units, starts.tolist(), line.durations.tolist(), strict=True):
        heap = heaps.setdefault(unit, [])
        if seen[unit] >= 3 or rank >= worst.get(unit, rank + 1):
            continue
        seen[unit] += 1
        place = (-rank, line.utt, first, count)
        if len(heap) < full:
            heapq.heappush(heap, place)
        else:
            heapq.heapreplace(heap, place)
        if len(heap) == full:
            worst[unit] = -heap[0][0]


def _chosen(heap: list[tuple[int, str, int, int]], examples: int) -> list[Place]:
    """Choose examples from as many utterances as there are."""
    places = sorted(Place(-rank, utt, first, count) for rank, utt, first, count in heap)
    turn: Counter[str] = Counter()
    rounds = []
    for place in places:
        rounds.append((turn[place.utt], place))
        turn[place.utt] += 1
    return [place for _, place in sorted(rounds)[:examples]]


@dataclass
class HeatMap:
    """Shares of phones in each unit's frames, phones and units ordered so that alike ones are neighbours."""

    phones: list[str]
    units: list[int]
    shares: np.ndarray  # [P, U], columns add up to at most 1
    left_out: int  # units that are too rare to be shown


def heat_map(facts: UnitFacts) -> HeatMap | None:
    """Return P(phone | unit); None without phone labels."""
    if not facts.together:
        return None
    of_phone, of_unit = Counter[str](), Counter[int]()
    for (phone, unit), count in facts.together.items():
        of_phone[phone] += count
        of_unit[unit] += count
    phones = [phone for phone, _ in sorted(of_phone.items(), key=lambda item: (-item[1], item[0]))[:MOST_PHONES]]
    units = [unit for unit, _ in sorted(of_unit.items(), key=lambda item: (-item[1], item[0]))[:MOST_UNITS]]
    rows, columns = {p: n for n, p in enumerate(phones)}, {u: n for n, u in enumerate(units)}
    counts = np.zeros((len(phones), len(units)))
    for (phone, unit), count in facts.together.items():
        if phone in rows and unit in columns:
            counts[rows[phone], columns[unit]] = count
    shares = counts / np.array([of_unit[unit] for unit in units])
    order = _phone_order(counts)
    shares = shares[order]
    best = shares.argmax(axis=0)
    columns_by = np.lexsort((np.array(units), -shares[best, np.arange(len(units))], best))
    return HeatMap(
        [phones[i] for i in order], [units[i] for i in columns_by], shares[:, columns_by], len(of_unit) - len(units)
    )


def _phone_order(counts: np.ndarray) -> np.ndarray:
    """Order phones so that those which share units stand together."""
    if len(counts) < 3:
        return np.arange(len(counts))
    profile = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    alike = np.clip(profile @ profile.T, 0, 1)  # Bhattacharyya's coefficient
    distance = 1 - (alike + alike.T) / 2
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return hierarchy.leaves_list(tree)
