"""What the units of one experiment are like: use, phones, durations, and where to hear each; one pass over the file."""

import heapq
import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from unitdisc.data.alignment import frame_labels
from unitdisc.data.units import UnitLine, read_units
from unitdisc.evaluate.aligned import SILENCE, SILENCES
from unitdisc.report.collect import Experiment

MOST_UNITS = 512  # columns of the heat map: the most frequent
MOST_PHONES = 100  # its rows
LONGEST = 60  # frames, of the histogram of durations
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
    spoken: dict[str, np.ndarray] = field(default_factory=dict)  # speaker, "" unknown: runs [K] of each unit
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
    few = exp.header.cardinality * speakers <= MOST_COUNTS
    for line in read_units(exp.units):
        frames = line.frames
        facts.utts.append(line.utt)
        facts.frames += len(frames)
        facts.runs += len(line.units)
        facts.usage.update(frames.tolist())
        facts.durations += np.bincount(np.minimum(line.durations, LONGEST), minlength=LONGEST + 1)
        speaker = exp.data.utt2spk.get(line.utt, "") if exp.data is not None and few else ""
        said = np.bincount(line.units, minlength=exp.header.cardinality if few else 0)
        _add(facts.spoken, speaker, said)
        if exp.alignment is not None and line.utt in exp.alignment:
            labels = phones_of(exp, line.utt, len(frames))
            facts.together.update(zip(labels, frames.tolist(), strict=True))
        if known is None or line.utt in known:
            _offer(heaps, line, examples)
    facts.places = {unit: _chosen(heap, examples) for unit, heap in sorted(heaps.items())}
    return facts


def _add(spoken: dict[str, np.ndarray], speaker: str, counts: np.ndarray) -> None:
    """Add counts [K] to those of a speaker, which may reach to another K."""
    there = spoken.get(speaker)
    if there is None:
        spoken[speaker] = counts
    elif len(there) >= len(counts):
        there[: len(counts)] += counts
    else:
        counts[: len(there)] += there
        spoken[speaker] = counts


def phones_of(exp: Experiment, utt: str, frames: int) -> list[str]:
    """Return the phone at each frame's centre; all that means silence is SIL."""
    assert exp.alignment is not None
    assert exp.header is not None
    labels = frame_labels(exp.alignment[utt], frames, exp.header.period, exp.header.offset, SILENCE)
    return [SILENCE if label in SILENCES else label for label in labels]


def _offer(heaps: dict[int, list[tuple[int, str, int, int]]], line: UnitLine, examples: int) -> None:
    """Keep the occurrences of each unit in the utterances of the lowest rank: few files, the same for many units."""
    rank = zlib.crc32(line.utt.encode())
    full = 3 * examples
    if all((heap := heaps.get(unit)) and len(heap) >= full and -rank <= heap[0][0] for unit in {*line.units.tolist()}):
        return  # most utterances of a large file, soon seen
    starts = np.cumsum(line.durations) - line.durations
    seen: Counter[int] = Counter()
    for unit, first, count in zip(line.units.tolist(), starts.tolist(), line.durations.tolist(), strict=True):
        heap = heaps.setdefault(unit, [])
        if seen[unit] >= 3 or (len(heap) >= full and -rank <= heap[0][0]):
            continue
        seen[unit] += 1
        place = (-rank, line.utt, first, count)
        if len(heap) < full:
            heapq.heappush(heap, place)
        else:
            heapq.heapreplace(heap, place)


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
