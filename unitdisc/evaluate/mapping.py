"""Units to phones: the phone that each unit stands for, fitted on frames."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import Aligned
from unitdisc.evaluate.contingency import count_pairs

NOTHING = -1  # what a unit without a phone says
KINDS = ("many-to-one", "one-to-one")


@dataclass(frozen=True)
class UnitMapping:
    """A phone for each unit that was seen; others say `unseen`."""

    kind: str
    units: np.ndarray  # [A] int64, sorted
    phones: np.ndarray  # [A] int64; NOTHING for the units that one-to-one leaves over
    unseen: int  # the phone of units never seen in fitting

    def __call__(self, units: np.ndarray) -> np.ndarray:
        """Return the phones [T] of units [T]."""
        places = np.minimum(np.searchsorted(self.units, units), len(self.units) - 1)
        return np.where(self.units[places] == units, self.phones[places], self.unseen)


def fit_mapping(pairs: Iterable[Aligned], phones: int, kind: str = "many-to-one") -> UnitMapping:
    """Give each unit the phone it meets on most frames (the first in order on a tie), or match one to one.

    One-to-one maximises the matched frames over all assignments (Hungarian); units left over say nothing.
    """
    if kind not in KINDS:
        raise DataError(f"a mapping is {' or '.join(KINDS)}, got {kind!r}")
    counts, units, _ = count_pairs(pairs, phones, most=1)
    if not counts.sum():
        raise DataError("no frames to fit the mapping of units to phones on")
    if kind == "many-to-one":
        return UnitMapping(kind, units, counts.argmax(axis=0), int(counts.sum(axis=1).argmax()))
    chosen = np.full(len(units), NOTHING, dtype=np.int64)
    from scipy.optimize import linear_sum_assignment  # takes a second to import

    rows, columns = linear_sum_assignment(counts, maximize=True)
    matched = counts[rows, columns] > 0
    chosen[columns[matched]] = rows[matched]
    return UnitMapping(kind, units, chosen, NOTHING)


def merged(symbols: np.ndarray) -> np.ndarray:
    """Return a string with equal neighbours made one."""
    return symbols[np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])] if len(symbols) else symbols
