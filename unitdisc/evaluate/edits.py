"""Edit distances, pooled over utterances: compiled, with substitutions, insertions and deletions told apart."""

from collections.abc import Sequence
from typing import NamedTuple

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
    from unitdisc.evaluate.edits_kernel import count_edits  # numba is slow to import, and not all scores count edits

    lengths = np.array([len(r) for r in references], dtype=np.int64)
    others = np.array([len(h) for h in hypotheses], dtype=np.int64)
    counts = count_edits(_flat(references), _ends(lengths), _flat(hypotheses), _ends(others))
    return Edits(counts, lengths)


def _flat(strings: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(np.asarray(s, dtype=np.int64) for s in strings)])


def _ends(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
