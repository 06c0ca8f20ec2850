"""The compiled loop of edit distances."""

import numba
import numpy as np


@numba.njit(cache=True)
def count_edits(references: np.ndarray, rows: np.ndarray, hypotheses: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Count substitutions, insertions and deletions of each pair, [U, 3].

    Rows and columns [U + 1] say where each string starts, and the last one ends.
    """
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
