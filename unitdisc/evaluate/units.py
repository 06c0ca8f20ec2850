"""A unit file that is scored: its header, its hashes and its utterances, read once where they are kept."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Union

import numpy as np

from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, unit_file
from unitdisc.evaluate.scores import file_hash

MOST_KEPT = 25_000_000  # runs in memory, 8 bytes each: some 170 hours; of larger files nothing is kept


class Units:
    """The utterances of a unit file, in its order; with `keep` the file is parsed once, however often they are read."""

    def __init__(self, path: "str | Path | Units", keep: bool = False, most: int = MOST_KEPT) -> None:
        self.path: Path = path.path if isinstance(path, Units) else unit_file(path)
        self._keep, self._most = keep, most
        self._lines: list[UnitLine] | None = None

    @classmethod
    def of(cls, units: "AnyUnits") -> "Units":
        """Return units that are open already as they are, and open others."""
        return units if isinstance(units, Units) else cls(units)

    @cached_property
    def header(self) -> UnitHeader:
        """Return what all utterances share."""
        return read_header(self.path)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Return the hashes of the file and of its codebook."""
        return {"units": file_hash(self.path)} | ({"codebook": self.header.codebook} if self.header.codebook else {})

    def __str__(self) -> str:
        """Return the path, for messages."""
        return str(self.path)

    def __iter__(self) -> Iterator[UnitLine]:
        """Yield the utterances."""
        if self._lines is not None:
            for utt, units, durations in self._lines:
                yield UnitLine(utt, units.astype(np.int64), durations.astype(np.int64))
            return
        kept: list[UnitLine] | None = [] if self._keep and self.header.cardinality < 2**31 else None
        runs = 0
        for line in read_units(self.path):
            if kept is not None:
                runs += len(line.units)
                kept.append(UnitLine(line.utt, line.units.astype(np.int32), line.durations.astype(np.int32)))
                kept = kept if runs <= self._most else None
            yield line
        self._lines = kept


AnyUnits = Union[str, Path, Units]  # noqa: UP007
