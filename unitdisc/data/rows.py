"""Alignments of many utterances in one text file, a row for each interval; which columns it has is seen by its content.

<utt> <channel> <start> <duration> <label> [<confidence>]    CTM
#file onset offset #phone                                    DiscoPhon, by this first line
<file> <onset> <offset> <phone>                              ZeroSpeech 2017
"""

from collections.abc import Callable
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import NamedTuple

from unitdisc.data.labels import Label
from unitdisc.data.tables import read_lines
from unitdisc.errors import DataError, shown

HEAD = ("#file", "onset", "offset", "#phone")
LOOKED_AT = 100  # utterances whose times tell an offset from a duration


class Columns(NamedTuple):
    """Where the values of a row stand."""

    start: int
    end: int
    label: int
    words: tuple[int, ...]  # how many a row has
    form: str
    duration: bool  # that is what stands at `end`
    header: bool = False

    def read(self, line: str, where: str) -> Label:
        """Read a row."""
        words = line.split()
        try:
            if len(words) not in self.words:
                raise ValueError
            start, end = float(words[self.start]), float(words[self.end])
        except ValueError:
            raise DataError(f"{where}: expected '{self.form}', got {line[:80]!r}") from None
        return Label(where, start, start + end if self.duration else end, words[self.label])


CTM = Columns(2, 3, 4, (5, 6), "<utt> <channel> <start> <duration> <label> [<confidence>]", duration=True)
OFFSETS = Columns(1, 2, 3, (4,), "<file> <onset> <offset> <phone>", duration=False)


def is_table(path: Path) -> bool:
    """Tell whether a file whose suffix is that of a label file has rows of several utterances."""
    try:
        with path.open("rb") as file:
            words = file.readline(1000).split()
    except OSError:
        return False
    return len(words) == 4 and _number(words[1]) and _number(words[2])


def read_rows(path: Path, rounding: float) -> dict[str, Callable[[], list[Label]]]:
    """Find the rows of each utterance; they are read when asked for. `rounding`: by how much neighbours may overlap."""
    columns = _columns_of(path, rounding)
    blocks: dict[str, Callable[[], list[Label]]] = {}
    utt, begin, offset, first, channel = "", 0, 0, 0, ""
    for number, line in read_lines(path):
        if not (line.startswith(";;") or (columns.header and number == 1)):
            words = line.split(None, 2)
            if len(words) != 3:
                columns.read(line, f"{path}:{number}")
            if words[0] != utt:
                if utt:
                    blocks[utt] = _Block(path, first, begin, offset - begin, columns)
                if words[0] in blocks:
                    raise DataError(
                        f"{path}:{number}: expected the lines of {words[0]!r} one after the other, got more of them "
                        f"here; sort the file with `LC_ALL=C sort -s -k1,1 -k{columns.start + 1},{columns.start + 1}n`"
                    )
                utt, begin, first, channel = words[0], offset, number, words[1]
            elif columns is CTM and words[1] != channel:
                raise DataError(
                    f"{path}:{number}: expected one channel for {utt!r}, got {shown(channel)} and {shown(words[1])}; "
                    "make the channels utterances of their own"
                )
        offset += len(line.encode("utf-8")) + 1
    if not utt:
        raise DataError(f"{path}: expected lines '{columns.form}', got none")
    blocks[utt] = _Block(path, first, begin, offset - begin, columns)
    return blocks


class _Block:
    """The rows of one utterance in a file."""

    __slots__ = ("columns", "line", "offset", "path", "size")

    def __init__(self, path: Path, line: int, offset: int, size: int, columns: Columns) -> None:
        self.path, self.line, self.offset, self.size, self.columns = path, line, offset, size, columns

    def __call__(self) -> list[Label]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            text = file.read(self.size).decode("utf-8")
        lines = enumerate(text.removesuffix("\n").split("\n"), start=self.line)
        return [self.columns.read(line, f"{self.path}:{n}") for n, line in lines if not line.startswith(";;")]


def _columns_of(path: Path, rounding: float) -> Columns:
    first = next((line for _, line in read_lines(path) if not line.startswith(";;")), "")
    words = first.split()
    if words[:1] == ["#file"]:
        return _columns_named(path, words)
    if len(words) != 4 or not (_number(words[1]) and _number(words[2])):
        return CTM
    offsets, durations = _fitting(path, rounding)
    if offsets and durations:
        raise DataError(
            f"{path}: times may be onset and offset, or start and duration; put the line '{' '.join(HEAD)}' on top "
            f"if they are the first, or make it a CTM file: '{CTM.form}'"
        )
    if durations:
        raise DataError(
            f"{path}: times are start and duration, without a channel; make it a CTM file: "
            "awk '{ print $1, 1, $2, $3, $4 }'"
        )
    return OFFSETS if offsets else CTM  # whose reader says what is wrong


def _columns_named(path: Path, names: list[str]) -> Columns:
    if "speaker" in names or "prev-phone" in names:
        raise DataError(
            f"{path}: is an item file, whose rows are stretches to compare (`unitdisc score abx` takes it) and no "
            "alignment; take the alignment that it was made of"
        )
    if sorted(set(names)) != sorted(names) or not set(HEAD) <= set(names) or names[0] != HEAD[0]:
        raise DataError(f"{path}:1: expected the columns '{' '.join(HEAD)}', got {shown(' '.join(names))}")
    start, end, label = (names.index(name) for name in HEAD[1:])
    return Columns(start, end, label, (len(names),), " ".join(names), duration=False, header=True)


def _fitting(path: Path, rounding: float) -> tuple[bool, bool]:
    """Tell whether rows of four fit together as onset and offset, and whether as start and duration."""
    fits = [True, True]
    rows = (line.split() for _, line in read_lines(path) if not line.startswith(";;"))
    for _, group in islice(groupby(rows, key=lambda words: words[0] if words else ""), LOOKED_AT):
        times = sorted((float(w[1]), float(w[2])) for w in group if len(w) == 4 and _number(w[1]) and _number(w[2]))
        for which, ends in enumerate(([b for _, b in times], [a + b for a, b in times])):
            late = any(end - start > rounding for end, (_, (start, _)) in zip(ends, pairwise(times), strict=False))
            early = any(end <= start for end, (start, _) in zip(ends, times, strict=True))
            fits[which] &= not (late or early)
    return fits[0], fits[1]


def _number(word: str | bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
