"""Edit distances, pooled over utterances: compiled, with substitutions, insertions and deletions told apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np


class Edits(NamedTuple):
    """What turns reference strings into hypotheses, one row per utterance."""

    counts: np.ndarray  # [U, 3] int64: substitutions, insertions, deletions
    lengths: np.ndarray  # [U] int64: symbols of the references

    @property
    def total(self) -> np.ndarray:
        """Return the edit distance of each utterance, [U]."""
        return self.counts.sum(axis=1)


def edits(references: Sequence[np.ndarray], hypotheses: Sequence[np.ndarray]) -> Edits:
    """Compare strings of integers pairwise; of the cheapest alignments, one with the most substitutions counts."""
    lengths = np.array([len(r) for r in references], dtype=np.int64)
    others = np.array([len(h) for h in hypotheses], dtype=np.int64)
    counts = _edits(_flat(references), _ends(lengths), _flat(hypotheses), _ends(others))
    return Edits(counts, lengths)


def edit_distance(reference: np.ndarray, hypothesis: np.ndarray) -> int:
    """Return the Levenshtein distance of two strings of integers."""
    return int(edits([reference], [hypothesis]).total[0])


def _flat(strings: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(np.asarray(s, dtype=np.int64) for s in strings)])


def _ends(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


@numba.njit(cache=True)
def _edits(references: np.ndarray, rows: np.ndarray, hypotheses: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Count the edits of each pair; rows and columns [U + 1] say where each string starts."""
    counts = np.zeros((len(rows) - 1, 3), dtype=np.int64)
    for utt in range(len(rows) - 1):
        reference = references[rows[utt] : rows[utt + 1]]
        hypothesis = hypotheses[columns[utt] : columns[utt + 1]]
        n, m = len(reference), len(hypothesis)
        # Cost and, on equal cost, fewer insertions and deletions: one number, so that one comparison decides both.
        scale = 2 * (n + m) + 1
        step, change = scale + 1, scale
        above = np.arange(m + 1, dtype=np.int64) * step
        for i in range(n):
            corner = above[0]
            above[0] = (i + 1) * step
            for j in range(m):
                best = corner if reference[i] == hypothesis[j] else corner + change
                best = min(best, above[j + 1] + step, above[j] + step)
                corner, above[j + 1] = above[j + 1], best
        total, gaps = above[m] // scale, above[m] % scale
        # gaps = insertions + deletions, and m - n = insertions - deletions
        insertions = (gaps + m - n) // 2
        counts[utt, 0], counts[utt, 1], counts[utt, 2] = total - gaps, insertions, gaps - insertions
    return counts
