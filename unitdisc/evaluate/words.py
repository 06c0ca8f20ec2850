"""Words of units: stretches of units that come back in other utterances, and the units with examples, as tables."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data.units import read_header, read_units
from unitdisc.errors import DataError
from unitdisc.files import whole_file


@dataclass(frozen=True)
class WordOptions:
    """What counts as a word."""

    shortest: int = 5  # units
    longest: int = 40
    least: int = 2  # utterances that it occurs in
    top: int = 500  # words that are written, those first that a dictionary would save most by
    examples: int = 5  # occurrences of a word, and of a unit by each speaker


class Word(NamedTuple):
    """A stretch of units and where it occurs."""

    units: tuple[int, ...]
    places: np.ndarray  # [N] of the string of all units


class Text:
    """The units of all utterances as one string, equal neighbours being one."""

    def __init__(self, path: str | Path) -> None:
        """Read a unit file."""
        self.header = read_header(path)
        lines = [line for line in read_units(path) if len(line.units)]
        if not lines:
            raise DataError(f"{path}: has no units to look for words in")
        self.utts = [line.utt for line in lines]
        runs = [_merged(line.units, line.durations) for line in lines]
        self.symbols = np.concatenate([units for units, _ in runs])
        self.lengths = np.concatenate([lengths for _, lengths in runs])
        sizes = [len(units) for units, _ in runs]
        self.owner = np.repeat(np.arange(len(runs)), sizes)  # [N] utterance of each unit
        ends = np.cumsum(self.lengths)
        firsts = np.cumsum([0, *sizes[:-1]])
        self.starts = ends - self.lengths - np.repeat((ends - self.lengths)[firsts], sizes)  # [N] frames

    def span(self, place: int, count: int = 1) -> tuple[str, float, float]:
        """Return the utterance of units from a place on, their start and their end in seconds."""
        last = place + count - 1
        first, end = self.starts[place], self.starts[last] + self.lengths[last]
        offset, period = self.header.offset, self.header.period
        return self.utts[self.owner[place]], offset + float(first) * period, offset + float(end) * period


def _merged(units: np.ndarray, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1]])
    return units[starts], np.add.reduceat(durations, starts)


def find_words(text: Text, options: WordOptions | None = None) -> list[Word]:
    """Find the words: no stretch is one that never occurs without its longer one.

    A stretch of n units can only be repeated where both of its stretches of n - 1 are, so each length looks at fewer
    places than the one before; all is sorting, and no two stretches are taken for one.
    """
    options = options or WordOptions()
    _, symbols = np.unique(text.symbols, return_inverse=True)
    places = np.arange(len(symbols))
    ids = np.full(len(symbols) + 1, -1)  # of the stretch that begins at each place; -1: it is not repeated
    ids[:-1] = symbols
    kinds = int(symbols.max()) + 1
    words: list[Word] = []
    before: list[Word] = []
    for length in range(2, options.longest + 2):
        places = places[places + length <= len(symbols)]
        places = places[text.owner[places] == text.owner[places + length - 1]]
        places = places[(ids[places] >= 0) & (ids[places + 1] >= 0)]
        if not len(places) or length > options.longest:
            words += before
            break
        keys = ids[places].astype(np.int64) * kinds + symbols[places + length - 1]
        _, inverse = np.unique(keys, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        places, inverse = places[order], inverse[order]
        cuts = np.flatnonzero(np.r_[True, inverse[1:] != inverse[:-1]])
        counts = np.diff(np.r_[cuts, len(places)])
        # Of a stretch's places, in order, so are the utterances.
        first = np.r_[True, (inverse[1:] != inverse[:-1]) | (text.owner[places[1:]] != text.owner[places[:-1]])]
        spread = np.add.reduceat(first.astype(np.int64), cuts)
        kept = spread >= options.least
        long = np.zeros(len(symbols) + 1, dtype=np.int64)  # how often the stretch of this length at a place occurs
        long[places] = np.repeat(counts, counts)
        words += [w for w in before if long[w.places[0]] < len(w.places) and long[w.places[0] - 1] < len(w.places)]
        before = []
        if length >= options.shortest:
            for start, count in zip(cuts[kept].tolist(), counts[kept].tolist(), strict=True):
                at = places[start : start + count]
                before.append(Word(tuple(text.symbols[at[0] : at[0] + length].tolist()), at))
        repeated = np.repeat(kept, counts)
        ids = np.full(len(symbols) + 1, -1)
        places = places[repeated]
        ids[places] = np.unique(inverse[repeated], return_inverse=True)[1]
        places = np.sort(places)
    return sorted(words, key=lambda w: (-(len(w.places) - 1) * (len(w.units) - 1), w.units))[: options.top]


def write_words(
    path: str | Path, folder: str | Path, speakers: Mapping[str, str] | None = None, options: WordOptions | None = None
) -> tuple[int, int]:
    """Write words.csv, occurrences.csv and units.csv to a folder; return how many words and units there are."""
    options, folder, speakers = options or WordOptions(), Path(folder), speakers or {}
    text = Text(path)
    words = find_words(text, options)
    _write(folder / "words.csv", ("word", "units", "occurrences", "utterances", "speakers", "seconds"), (
        (number, " ".join(map(str, word.units)), len(word.places), len(set(text.owner[word.places].tolist())),
         len({_speaker(text, place, speakers) for place in word.places}) if speakers else "",
         f"{np.mean([_seconds(text, place, len(word.units)) for place in word.places]):.3f}")
        for number, word in enumerate(words, start=1)
    ))  # fmt: skip
    _write(folder / "occurrences.csv", ("word", "utt", "speaker", "start", "end"), (
        (number, utt, speakers.get(utt, ""), f"{start:.3f}", f"{end:.3f}")
        for number, word in enumerate(words, start=1)
        for utt, start, end in (text.span(place, len(word.units)) for place in word.places[: options.examples])
    ))  # fmt: skip
    units = list(_units(text, speakers, options.examples))
    _write(folder / "units.csv", ("unit", "occurrences", "frames", "seconds", "speaker", "examples"), units)
    return len(words), len({row[0] for row in units})


def _units(text: Text, speakers: Mapping[str, str], examples: int) -> Iterator[Sequence[Any]]:
    """Yield a row for each unit and speaker, with the longest examples: those are heard best."""
    order = np.lexsort((-text.lengths, text.symbols))
    cuts = np.flatnonzero(np.r_[True, np.diff(text.symbols[order]) != 0])
    for start, end in zip(cuts, [*cuts[1:], len(order)], strict=True):
        at = order[start:end]
        unit, frames = int(text.symbols[at[0]]), int(text.lengths[at].sum())
        shown: dict[str, list[str]] = {}
        for place in at.tolist():
            said = shown.setdefault(_speaker(text, place, speakers), [])
            if len(said) < examples:
                utt, first, last = text.span(place)
                said.append(f"{utt}:{first:.3f}-{last:.3f}")
        mean = f"{frames * text.header.period / len(at):.3f}"
        for speaker in sorted(shown):
            yield unit, len(at), frames, mean, speaker, " ".join(shown[speaker])


def _speaker(text: Text, place: int, speakers: Mapping[str, str]) -> str:
    return speakers.get(text.utts[text.owner[place]], "")


def _seconds(text: Text, place: int, count: int) -> float:
    _, start, end = text.span(place, count)
    return end - start


def _write(path: Path, heads: Sequence[str], rows: Any) -> None:
    with whole_file(path) as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(rows)
