"""Label files of one utterance each: Praat TextGrid, TIMIT .phn and .wrd, ESPS xlabel.

Each reader returns (start, end, label) in seconds with the place of each in the file; checks are the caller's.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import textgrid

from unitdisc.data.tables import BLANKS
from unitdisc.errors import DataError, shown
from unitdisc.reading import reading

TIMIT_RATE = 16000  # Hz; .phn and .wrd count samples


class Label(NamedTuple):
    """A labelled stretch and where it stands."""

    where: str
    start: float  # s
    end: float  # s
    label: str


class Wanted(NamedTuple):
    """What is wanted of a label file, and what it does not say itself."""

    tier: str
    rate: int = TIMIT_RATE  # Hz, of the samples that .phn and .wrd count
    takes: Callable[[str], bool] = lambda name: True  # may the only tier of a TextGrid, of this name, stand for it?


def read_textgrid(path: Path, wanted: Wanted) -> list[Label]:
    """Read the tier of this name (or the only one, if it may be taken); intervals without a label are left out."""
    tier = wanted.tier
    with reading(path, "a Praat TextGrid"):
        grid = textgrid.TextGrid()
        grid.read(str(path), round_digits=9)  # the library's 15 digits are kept to 1 ns
        # The library makes a number of a name that looks like one.
        tiers = {str(t.name): t for t in grid.tiers if isinstance(t, textgrid.IntervalTier)}
    chosen = [t for name, t in tiers.items() if name.lower() == tier or name.lower().endswith(f" {tier}")]
    if not chosen and len(tiers) == 1:
        if not wanted.takes(next(iter(tiers))):
            return []
        chosen = list(tiers.values())
    if len(chosen) != 1:
        raise DataError(f"{path}: expected one interval tier {tier!r}, got {', '.join(map(shown, tiers)) or 'none'}")
    return [
        Label(f"{path}: interval {number}", float(i.minTime), float(i.maxTime), mark)
        for number, i in enumerate(chosen[0].intervals, start=1)
        if (mark := str(i.mark).strip())
    ]


def read_timit(path: Path, rate: int) -> list[Label]:
    """Read .phn or .wrd: `<first sample> <end sample> <label>`."""
    labels = []
    for number, line in enumerate(_latin1_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not (_is_count(words[0]) and _is_count(words[1])):
            raise DataError(f"{path}:{number}: expected '<first sample> <end sample> <label>', got {line[:80]!r}")
        labels.append(Label(f"{path}:{number}", int(words[0]) / rate, int(words[1]) / rate, words[2]))
    return labels


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= 15  # beyond, floats do not count samples any more


def read_timit_words(path: Path, rate: int) -> list[Label]:
    """Read .wrd; words that share a phone overlap there, and the first of them ends where the next begins."""
    labels = sorted(read_timit(path, rate), key=lambda label: label.start)
    ends = [*(label.start for label in labels[1:]), math.inf][: len(labels)]
    return [label._replace(end=min(label.end, end)) for label, end in zip(labels, ends, strict=True)]


def read_xlabel(path: Path, times: str) -> list[Label]:
    """Read ESPS xlabel: a header up to `#`, then `<seconds> <colour> <label>`.

    The time is the end of the segment, as xlabel means it, or (times="start") its start, as in Emo-DB, where the last
    row ends the labels. Diacritics are dropped: what follows a blank, and rows that have nothing else, or begin with
    + or -, which change the voice within the segment before them.
    """
    rows: list[tuple[str, float, str]] = []
    header = True
    for number, line in enumerate(_latin1_lines(path), start=1):
        where = f"{path}:{number}"
        if header:
            header = line.strip() != "#"
        elif line.strip():
            rows.append((where, *_xlabel_row(line, where)))
    if header:
        raise DataError(f"{path}: expected an xlabel header that ends with a line '#', got none")
    labels: list[Label] = []
    if times == "start":
        for (where, start, label), (_, end, _) in pairwise(rows):
            _add(labels, Label(where, start, end, label))
    else:
        before = 0.0
        for where, end, label in rows:
            _add(labels, Label(where, before, end, label))
            before = end
    return labels


def _xlabel_row(line: str, where: str) -> tuple[float, str]:
    words = BLANKS.split(line.strip(" \t").split(";")[0], maxsplit=1)
    try:
        time = float(words[0])
    except ValueError:
        raise DataError(f"{where}: expected '<seconds> <colour> <label>', got {line[:80]!r}") from None
    # Behind the colour stands one blank, then the label; a label that begins with a tab is a diacritic alone.
    label = words[1].partition(" ")[2] if len(words) == 2 else ""
    return time, "" if label[:1] in ("", " ", "\t", "+", "-") else BLANKS.split(label)[0]


def _add(labels: list[Label], new: Label) -> None:
    if new.label:
        labels.append(new)
    elif labels and labels[-1].end == new.start:
        labels[-1] = labels[-1]._replace(end=new.end)


def _latin1_lines(path: Path) -> list[str]:
    with reading(path, "labels"):
        return path.read_text("latin-1").split("\n")


# By suffix: (tier that it holds, reader); a TextGrid holds any.
READERS: dict[str, tuple[str | None, Callable[[Path, Wanted], list[Label]]]] = {
    ".textgrid": (None, read_textgrid),
    ".phn": ("phones", lambda path, wanted: read_timit(path, wanted.rate)),
    ".wrd": ("words", lambda path, wanted: read_timit_words(path, wanted.rate)),
    ".lablaut": ("phones", lambda path, wanted: read_xlabel(path, "start")),
    ".lab": (None, lambda path, wanted: read_xlabel(path, "end")),
    ".xlabel": (None, lambda path, wanted: read_xlabel(path, "end")),
}
