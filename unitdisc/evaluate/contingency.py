"""Counts of (phone, unit) pairs, streamed utterance by utterance, and kept per utterance for the bootstrap."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import sparse

from unitdisc.evaluate.aligned import Aligned
from unitdisc.evaluate.numbering import Numbering
from unitdisc.evaluate.scores import Rows

PENDING = 250_000  # cells held before they are summed
MOST_CELLS = 500_000  # summed, of all rows together; beyond, rows are folded
LEAST_ROWS = 64  # are left, however many cells they have


class Contingency(NamedTuple):
    """How often each phone met each unit, whole and per utterance."""

    counts: np.ndarray  # [P, A] int64, of the A units that occur
    units: np.ndarray  # [A] int64, their numbers
    rows: sparse.csr_matrix  # [U, P * A], the same counts utterance by utterance


class CellCounter:
    """Sums counts of integer cells over groups named by utterance, in bounded memory.

    They have at most `most` rows. Where the rows have too many cells together, their number is halved, and again.
    """

    def __init__(self, most: int = 1024) -> None:
        self.rows, self._rows = most, Rows(most)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._pending = 0

    def add(self, name: str, cells: np.ndarray) -> None:
        """Count cells [N] int64 of one utterance."""
        row = self._rows.of(name)
        if not len(cells):
            return
        found, counts = np.unique(cells, return_counts=True)
        self._parts.append((np.full(len(found), row % self.rows, np.int32), found, counts.astype(np.float64)))
        self._pending += len(found)
        if self._pending > PENDING:
            self._merge()

    def _merge(self) -> None:
        rows, cells, counts = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        self._parts = [_summed(rows, cells, counts)]
        while len(self._parts[0][0]) > MOST_CELLS and self.rows >= 2 * LEAST_ROWS:
            self.rows //= 2
            rows, cells, counts = self._parts.pop()
            self._parts = [_summed(rows % self.rows, cells, counts)]
        self._pending = 0

    def result(self) -> tuple[np.ndarray, sparse.csr_matrix]:
        """Return the cells that occur [A], sorted, and their counts per row [U, A]; the counter is empty then."""
        if not self._parts:
            return np.zeros(0, np.int64), sparse.csr_matrix((0, 0))
        self._merge()
        rows, cells, counts = self._parts.pop()
        found, columns = np.unique(cells, return_inverse=True)
        shape = (int(rows.max()) + 1, len(found))
        return found, sparse.csr_matrix((counts, (rows, columns)), shape=shape)


def _summed(rows: np.ndarray, cells: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row, cell, count), [N] each, sorted, with a single entry for each row and cell."""
    order = np.lexsort((cells, rows))
    rows, cells = rows[order], cells[order]
    first = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]) | (cells[1:] != cells[:-1])])
    return rows[first], cells[first], np.add.reduceat(counts[order], first)


def count_pairs(pairs: Iterable[Aligned], phones: int, drop: int | None = None, most: int = 1024) -> Contingency:
    """Count (phone, unit) on frames, in at most `most` rows; frames of the phone `drop` (silence) are left out."""
    counter, numbering = CellCounter(most), Numbering()
    for line, labels in pairs:
        units, frames = line.frames, labels.frames
        if drop is not None:
            units, frames = units[frames != drop], frames[frames != drop]
        counter.add(line.utt, numbering(units) * phones + frames)
    cells, rows = counter.result()
    if not len(cells):
        return Contingency(np.zeros((phones, 0), np.int64), cells, rows)
    numbers, columns = np.unique(cells // phones, return_inverse=True)
    units, places = np.unique(numbering.units[numbers], return_inverse=True)
    columns = places[columns]
    places = (cells % phones) * len(units) + columns
    coo = rows.tocoo()
    spread = sparse.csr_matrix((coo.data, (coo.row, places[coo.col])), shape=(rows.shape[0], phones * len(units)))
    whole = np.asarray(spread.sum(axis=0)).reshape(phones, len(units)).astype(np.int64)
    return Contingency(whole, units, spread)
