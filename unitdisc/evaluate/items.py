"""Item files: which stretches of which files ABX compares, in the format of the ZeroSpeech challenges.

#file onset offset #phone prev-phone next-phone speaker
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unitdisc.data.phones import SILENCES
from unitdisc.errors import DataError, clipped, shown
from unitdisc.files import whole_file
from unitdisc.reading import reading

COLUMNS = ("#file", "onset", "offset", "#phone", "prev-phone", "next-phone", "speaker")
Unit = Literal["triphone", "phone"]


@dataclass(frozen=True)
class Items:
    """The rows of an item file, a column each, [N]."""

    files: np.ndarray  # str
    onsets: np.ndarray  # float64, seconds
    offsets: np.ndarray  # float64, seconds: where the item ends
    phones: np.ndarray  # str
    before: np.ndarray  # str, the phone before
    after: np.ndarray  # str, the phone after
    speakers: np.ndarray  # str

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: Any) -> "Items":
        """Return the chosen rows; `chosen` is an index array, a mask or a slice."""
        return Items(*(column[chosen] for column in self.columns))

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Return the columns in the order of the file."""
        return self.files, self.onsets, self.offsets, self.phones, self.before, self.after, self.speakers

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[str, float, float, str, str, str, str]]) -> "Items":
        """Build items from (file, onset, offset, phone, before, after, speaker)."""
        columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
        kinds = (str, np.float64, np.float64, str, str, str, str)
        return cls(*(np.asarray(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def read_items(path: str | Path) -> Items:
    """Read an item file; further columns are ignored."""
    path = Path(path)
    with reading(path, "an item file", none="`unitdisc items` makes one from an alignment"):
        lines = path.read_text("utf-8").split("\n")
    head = lines[0].split() if lines else []
    missing = [name for name in COLUMNS if name not in head]
    if missing:
        raise DataError(f"{path}:1: expected the columns '{' '.join(COLUMNS)}', got {shown(lines[0])}: no {missing[0]}")
    places = [head.index(name) for name in COLUMNS]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(head):
            raise DataError(f"{path}:{number}: expected {len(head)} columns, got {len(fields)}: {shown(line)}")
        file, onset, offset, *labels = (fields[place] for place in places)
        rows.append((file, *_times(onset, offset, f"{path}:{number}"), *labels))
    if not rows:
        raise DataError(f"{path}: has a header and no item; was the alignment empty?")
    return Items.of_rows(rows)  # type: ignore[arg-type]


def _times(onset: str, offset: str, where: str) -> tuple[float, float]:
    try:
        first, last = float(onset), float(offset)
    except ValueError:
        raise DataError(f"{where}: expected onset and offset in seconds, got {shown(onset)} {shown(offset)}") from None
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first < last):
        raise DataError(f"{where}: expected 0 <= onset < offset, got {clipped(onset, 40)} {clipped(offset, 40)}")
    return first, last


def write_items(path: str | Path, items: Items) -> None:
    """Write an item file under a temporary name and rename it when whole."""
    with whole_file(Path(path)) as out:
        out.write(" ".join(COLUMNS) + "\n")
        for file, onset, offset, *labels in zip(*(column.tolist() for column in items.columns), strict=True):
            out.write(f"{file} {_decimal(onset)} {_decimal(offset)} {' '.join(labels)}\n")


def _decimal(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") or "0"


def make_items(
    alignment: Mapping[str, Iterable[Any]],
    speakers: Mapping[str, str],
    unit: Unit = "triphone",
    silences: frozenset[str] = SILENCES,
    where: str = "the alignment",
) -> Items:
    """Make an item of every phone whose two neighbours are phones too.

    alignment: utt -> intervals with .start, .end (seconds) and .label, in order; speakers: utt -> speaker, and only
    its utterances are used. An item of unit "triphone" spans the three phones, one of unit "phone" the middle one.
    Neighbours must touch (10 ms); at silences, gaps and ends there is no item, as in the ZeroSpeech files.
    """
    rows = []
    used = 0
    for utt in sorted(speakers):
        intervals = [i for i in alignment.get(utt, ()) if i.end > i.start]
        used += bool(intervals)
        for one, two, three in zip(intervals, intervals[1:], intervals[2:], strict=False):
            labels = one.label, two.label, three.label
            apart = max(two.start - one.end, three.start - two.end)
            if apart > 0.01 or any(label in silences for label in labels):
                continue
            onset, offset = (one.start, three.end) if unit == "triphone" else (two.start, two.end)
            rows.append((utt, onset, offset, two.label, one.label, three.label, speakers[utt]))
    if not rows:
        cause = (
            "no utterance of the data is in it; are the names the same?"
            if not used
            else "no phone stands between two others; is it an alignment of phones, not words?"
        )
        raise DataError(f"{where}: makes no item of {len(speakers)} utterances: {cause}")
    return Items.of_rows(rows)
