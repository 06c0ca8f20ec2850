"""Words of units: stretches of units that come back in other utterances, and the units with examples, as tables."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data.units import read_header, read_units
from unitdisc.errors import DataError
from unitdisc.evaluate.word_options import WordOptions
from unitdisc.files import whole_file


class Word(NamedTuple):
    """A stretch of units and where it occurs."""

    units: tuple[int, ...]
    places: np.ndarray  # [N] of the string of all units


class Text:
    """The units of all utterances as one string, equal neighbours being one; 16 bytes a unit."""

    def __init__(self, path: str | Path) -> None:
        """Read a unit file."""
        self.header = read_header(path)
        kind = np.int32 if self.header.cardinality < 2**31 else np.int64
        self.utts: list[str] = []
        sizes, symbols, lengths, starts = [], bytearray(), bytearray(), bytearray()
        for line in read_units(path):
            if len(line.units):
                units, durations = _merged(line.units, line.durations)
                self.utts.append(line.utt)
                sizes.append(len(units))
                symbols += units.astype(kind).tobytes()
                lengths += durations.astype(np.int32).tobytes()
                starts += (np.cumsum(durations) - durations).astype(np.int32).tobytes()
        if not self.utts:
            raise DataError(f"{path}: has no units to look for words in")
        self.symbols = np.frombuffer(symbols, kind)  # [N]
        self.lengths, self.starts = np.frombuffer(lengths, np.int32), np.frombuffer(starts, np.int32)  # [N] frames
        self.owner = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)  # [N] utterance of each unit

    def span(self, place: int, count: int = 1) -> tuple[str, float, float]:
        """Return the utterance of units from a place on, their start and their end in seconds."""
        last = place + count - 1
        first, end = self.starts[place], self.starts[last] + self.lengths[last]
        offset, period = self.header.offset, self.header.period
        return self.utts[self.owner[place]], offset + float(first) * period, offset + float(end) * period

    def seconds(self, word: "Word") -> float:
        """Return how long a word is on average."""
        last = word.places + len(word.units) - 1
        return float(np.mean(self.starts[last] + self.lengths[last] - self.starts[word.places])) * self.header.period


def _merged(units: np.ndarray, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = _cuts(units[1:] != units[:-1])
    return units[starts], np.add.reduceat(durations, starts)


def find_words(text: Text, options: WordOptions | None = None) -> list[Word]:
    """Find the words: no stretch is one that never occurs without its longer one.

    A stretch of n units can only be repeated where both of its stretches of n - 1 are, so each length looks at fewer
    places than the one before; all is sorting, and no two stretches are taken for one.
    """
    options = options or WordOptions()
    values = np.unique(text.symbols)
    symbols = np.searchsorted(values, text.symbols).astype(np.int32)
    count, kinds = len(symbols), len(values)
    if count**2 * max(kinds, 2) > 2**62:
        raise DataError(f"{count} units are too many to look for words in; take a part of the utterances")
    # Of tens of millions of units, each array here is large: none is wider than it must be, and few are there at once.
    places = np.arange(count, dtype=np.int32)
    ids = np.full(count + 1, -1, np.int32)  # of the stretch that begins at each place; -1: it is not repeated
    ids[:-1] = symbols
    words: list[Word] = []
    before: _Stretches | None = None
    for length in range(2, options.longest + 2):  # one more, to end with those of the length before
        places = places[places + length <= count]
        places = places[text.owner[places] == text.owner[places + length - 1]]
        places = places[(ids[places] >= 0) & (ids[places + 1] >= 0)]
        long = np.zeros(count + 1, dtype=np.int32)  # how often the stretch of this length at a place occurs
        if len(places) and length <= options.longest:
            keys = ids[places].astype(np.int64)  # of the stretch, then its last unit, then the place
            keys *= kinds
            keys += symbols[places + length - 1]
            keys *= count
            keys += places
            keys.sort()
            places = np.empty(len(keys), np.int32)  # those of a stretch in order
            np.remainder(keys, count, out=places, casting="unsafe")
            keys //= count
            changes = keys[1:] != keys[:-1]
            del keys
            cuts = _cuts(changes)
            counts = np.diff(np.r_[cuts, len(places)]).astype(np.int32)
            long[places] = np.repeat(counts, counts)
        if before is not None:
            kept = (long[before.first] < before.counts) & (long[before.first - 1] < before.counts)
            words += _best(text, before, kept, options.top)
        if not len(places) or length > options.longest:
            break
        # Of a stretch's places, in order, so are the utterances.
        owners = np.r_[True, changes | (text.owner[places[1:]] != text.owner[places[:-1]])]
        kept = np.add.reduceat(owners, cuts, dtype=np.int32) >= options.least
        ids.fill(-1)
        places = places[np.repeat(kept, counts)]
        ids[places] = np.repeat(np.arange(np.count_nonzero(kept), dtype=np.int32), counts[kept])
        before = _Stretches(length, places, counts[kept]) if length >= options.shortest else None
        places = np.sort(places)
    return sorted(words, key=_saved)[: options.top]


class _Stretches(NamedTuple):
    """All repeated stretches of a length."""

    length: int
    places: np.ndarray  # [N] those of the first stretch, then those of the next
    counts: np.ndarray  # [K] places of each

    @property
    def ends(self) -> np.ndarray:
        """Return [K], where the places of each end."""
        return np.cumsum(self.counts)

    @property
    def first(self) -> np.ndarray:
        """Return [K], the first place of each."""
        return self.places[self.ends - self.counts]


def _saved(word: Word) -> tuple[int, tuple[int, ...]]:
    """Return what words are sorted by: those first that a dictionary would save most by."""
    return -(len(word.places) - 1) * (len(word.units) - 1), word.units


def _best(text: Text, stretches: _Stretches, kept: np.ndarray, top: int) -> list[Word]:
    """Return the first so many of the stretches that are kept, as words."""
    rows = np.flatnonzero(kept)
    if len(rows) > top:  # the fewer there are to sort by their units, the better
        counts = stretches.counts[rows]
        rows = rows[counts >= np.partition(counts, -top)[-top]]
    units = text.symbols[stretches.first[rows, None] + np.arange(stretches.length)]
    order = np.lexsort((*units.T[::-1], -stretches.counts[rows]))[:top]
    ends, counts = stretches.ends, stretches.counts
    return [
        Word(tuple(units[i].tolist()), stretches.places[ends[row] - counts[row] : ends[row]].copy())
        for i, row in zip(order.tolist(), rows[order].tolist(), strict=True)
    ]


def write_words(
    path: str | Path, folder: str | Path, speakers: Mapping[str, str] | None = None, options: WordOptions | None = None
) -> tuple[int, int]:
    """Write words.csv, occurrences.csv and units.csv to a folder; return how many words and units there are."""
    options, folder, speakers = options or WordOptions(), Path(folder), speakers or {}
    text = Text(path)
    names, numbers = np.unique([speakers.get(utt, "") for utt in text.utts], return_inverse=True)
    speaker_of = numbers.astype(np.int32)[text.owner]  # [N] of each unit
    words = find_words(text, options)
    _write(folder / "words.csv", ("word", "units", "occurrences", "utterances", "speakers", "seconds"), (
        (number, " ".join(map(str, word.units)), len(word.places), len(np.unique(text.owner[word.places])),
         len(np.unique(speaker_of[word.places])) if speakers else "", f"{text.seconds(word):.3f}")
        for number, word in enumerate(words, start=1)
    ))  # fmt: skip
    _write(folder / "occurrences.csv", ("word", "utt", "speaker", "start", "end"), (
        (number, utt, speakers.get(utt, ""), f"{start:.3f}", f"{end:.3f}")
        for number, word in enumerate(words, start=1)
        for utt, start, end in (text.span(place, len(word.units)) for place in word.places[: options.examples])
    ))  # fmt: skip
    units = list(_units(text, names.tolist(), speaker_of, options.examples))
    _write(folder / "units.csv", ("unit", "occurrences", "frames", "seconds", "speaker", "examples"), units)
    return len(words), len({row[0] for row in units})


def _units(text: Text, names: Sequence[str], speaker_of: np.ndarray, examples: int) -> Iterator[Sequence[Any]]:
    """Yield a row for each unit and speaker, with the longest examples: those are heard best."""
    order = np.lexsort((-text.lengths, speaker_of, text.symbols))
    symbols, speakers = text.symbols[order], speaker_of[order]
    unit_cuts = _cuts(symbols[1:] != symbols[:-1])
    frames = np.add.reduceat(text.lengths[order], unit_cuts, dtype=np.int64)
    occurrences = np.diff(np.r_[unit_cuts, len(order)])
    of_unit = {int(symbols[cut]): number for number, cut in enumerate(unit_cuts)}
    cuts = _cuts((symbols[1:] != symbols[:-1]) | (speakers[1:] != speakers[:-1]))
    for start, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(order)], strict=True):
        unit = int(symbols[start])
        number = of_unit[unit]
        spans = (text.span(place) for place in order[start : min(end, start + examples)].tolist())
        shown = " ".join(f"{utt}:{first:.3f}-{last:.3f}" for utt, first, last in spans)
        mean = f"{frames[number] * text.header.period / occurrences[number]:.3f}"
        yield unit, int(occurrences[number]), int(frames[number]), mean, names[speakers[start]], shown


def _cuts(changes: np.ndarray) -> np.ndarray:
    """Return the places of the first of each run, given between which [N - 1] there is a change."""
    return np.flatnonzero(np.r_[True, changes])


def _write(path: Path, heads: Sequence[str], rows: Any) -> None:
    with whole_file(path) as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(rows)
