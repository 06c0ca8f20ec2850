"""ZeroSpeech 2019: a folder with a .txt for each utterance, in it a vector for each symbol."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unitdisc.data.foreign.base import Format, ReadOptions, Source, Utterance
from unitdisc.errors import DataError
from unitdisc.reading import reading


def read_zerospeech2019(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read vectors: of one-hot ones the place of the 1 is the unit; others are numbered as they first appear."""
    tables = {path: _table(path) for path in source.files(".txt")}
    if not tables:
        raise DataError(f"{source.path}: expected a .txt for each utterance, got none")
    one_hot = all(((t == 0) | (t == 1)).all() and (t.sum(axis=1) == 1).all() for t in tables.values())
    numbers: dict[bytes, int] = {}
    for path, table in tables.items():
        if one_hot:
            units = table.argmax(axis=1) if len(table) else np.zeros(0, np.int64)
        else:
            units = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in table], dtype=np.int64)
        name = str(path.relative_to(source.path)).removesuffix(path.suffix)
        yield Utterance(str(path), name.replace("%2F", "/"), units)


def _table(path: Path) -> np.ndarray:
    with reading(path, "a vector of numbers in each line"):
        rows = [line.split() for line in path.read_text("utf-8").split("\n") if line.strip()]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("lines of different lengths")
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 1)


def _fits(source: Source) -> bool:
    files = source.files(".txt") if source.is_folder else []
    return bool(files) and Source(files[0]).all(r"\s*-?[\d.eE+-]+(\s+-?[\d.eE+-]+)+\s*")


ZEROSPEECH2019 = Format(
    "zerospeech2019", "ZeroSpeech 2019, a folder of `.txt` with a vector for each symbol",
    _fits, read_zerospeech2019, like_features=True,
)  # fmt: skip
