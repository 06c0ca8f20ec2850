"""The compiled inner loops of ABX: distances of frames, many alignments side by side, the counting of triplets.

Alignments run in the lanes of vector instructions: a pack holds LANES items of similar length with their frames
interleaved (frame 0 of all lanes, frame 1 of all lanes, ...), and a row item is aligned with all of a pack at once.
"""

import numba
import numpy as np

LANES = 16
PI = np.float32(np.pi)


@numba.njit(nogil=True, cache=True)
def angles_(cosines: np.ndarray) -> None:
    """Turn cosines [F, W] into angles over pi, in place.

    arccos by Abramowitz and Stegun 4.4.46 (error below 2e-8, so below float32's own), as loops over it vectorise.
    """
    one, zero, two = np.float32(1), np.float32(0), np.float32(2)
    for f in range(cosines.shape[0]):
        row = cosines[f]
        for w in range(len(row)):
            c = row[w]
            x = min(abs(c), one)
            p = np.float32(-0.0012624911)
            p = p * x + np.float32(0.0066700901)
            p = p * x - np.float32(0.0170881256)
            p = p * x + np.float32(0.0308918810)
            p = p * x - np.float32(0.0501743046)
            p = p * x + np.float32(0.0889789874)
            p = p * x - np.float32(0.2145988016)
            p = p * x + np.float32(1.5707963050)
            angle = p * np.sqrt(one - x) * (one / PI)
            sign = one if c < zero else zero
            row[w] = sign + (one - two * sign) * angle


@numba.njit(nogil=True, cache=True)
def roots_(squares: np.ndarray) -> None:
    """Turn squared distances [F, W] into distances, in place."""
    for f in range(squares.shape[0]):
        row = squares[f]
        for w in range(len(row)):
            row[w] = np.sqrt(max(row[w], np.float32(0)))


@numba.njit(nogil=True, cache=True)
def looked_up_(rows: np.ndarray, columns: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Write table[rows[f], columns[w]] to out [F, W]."""
    for f in range(len(rows)):
        line = table[rows[f]]
        for w in range(len(columns)):
            out[f, w] = line[columns[w]]


@numba.njit(nogil=True, cache=True)
def differing_(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Write 1 to out [F, W] where rows[f] != columns[w], and 0 elsewhere."""
    for f in range(len(rows)):
        for w in range(len(columns)):
            out[f, w] = np.float32(rows[f] != columns[w])


@numba.njit(nogil=True, cache=True)
def align(
    cost: np.ndarray,  # [F, W] float32, frames of the rows by the packs' interleaved frames
    row_first: np.ndarray,  # [R] int64, first frame of each row item within cost
    row_count: np.ndarray,  # [R] int64
    pack_first: np.ndarray,  # [P] int64, first column of each pack within cost
    lane_count: np.ndarray,  # [P, LANES] int64, frames of each lane; 0 for none
    lane_column: np.ndarray,  # [P, LANES] int64, where each lane's results go
    out: np.ndarray,  # [R, S] float32, the distances
) -> None:
    """Align by dynamic time warping: least cost over the path's length, on ties diagonal before left before up."""
    far, zero, one = np.float32(np.inf), np.float32(0), np.float32(1)
    longest = lane_count.max()
    # Sums and path lengths of the row before and of this one; slot 0 lies left of the first frame.
    sums, steps = np.empty((2, longest + 1, LANES), np.float32), np.empty((2, longest + 1, LANES), np.float32)
    for r in range(len(row_first)):
        for p in range(len(pack_first)):
            length = lane_count[p].max()
            sums[0, : length + 1] = far
            sums[0, 0] = zero
            steps[0, : length + 1] = zero
            for i in range(row_count[r]):
                before, now = i % 2, (i + 1) % 2
                line = cost[row_first[r] + i]
                sums[now, 0] = far
                for j in range(length):
                    diagonal, up, left = sums[before, j], sums[before, j + 1], sums[now, j]
                    n_diagonal, n_up, n_left = steps[before, j], steps[before, j + 1], steps[now, j]
                    here, n_here = sums[now, j + 1], steps[now, j + 1]
                    column = pack_first[p] + j * LANES
                    for k in range(LANES):
                        side = min(left[k], up[k])
                        n_side = n_left[k] if left[k] <= up[k] else n_up[k]
                        n_here[k] = one + (n_diagonal[k] if diagonal[k] <= side else n_side)
                        here[k] = line[column + k] + min(diagonal[k], side)
            last = row_count[r] % 2
            for k in range(LANES):
                n = lane_count[p, k]
                if n:
                    out[r, lane_column[p, k]] = sums[last, n, k] / steps[last, n, k]


@numba.njit(nogil=True, cache=True)
def edit(
    rows: np.ndarray,  # [F] int64, the strings of all row items
    row_first: np.ndarray,  # [R] int64
    row_count: np.ndarray,  # [R] int64
    columns: np.ndarray,  # [W] int64, the strings of all column items
    column_first: np.ndarray,  # [S] int64
    column_count: np.ndarray,  # [S] int64
    out: np.ndarray,  # [R, S] float32
) -> None:
    """Write Levenshtein distances over the length of the longer string."""
    above = np.empty(column_count.max() + 1, np.int64)
    for r in range(len(row_first)):
        for s in range(len(column_first)):
            n, m = row_count[r], column_count[s]
            for j in range(m + 1):
                above[j] = j
            for i in range(n):
                diagonal, above[0] = above[0], i + 1
                for j in range(m):
                    swap = diagonal + (rows[row_first[r] + i] != columns[column_first[s] + j])
                    diagonal = above[j + 1]
                    above[j + 1] = min(swap, min(above[j], above[j + 1]) + 1)
            out[r, s] = np.float32(above[m]) / np.float32(max(n, m))


@numba.njit(nogil=True, cache=True)
def count_errors(
    distances: np.ndarray,  # [R, S] float32, X by A or B; both sorted by phone
    row_phone: np.ndarray,  # [R] int64, phone of X; ascending
    row_self: np.ndarray,  # [R] int64, the column that is X itself; -1 for none
    column_phone: np.ndarray,  # [S] int64, ascending
    errors: np.ndarray,  # [P, P] int64, added to: twice the errors of (phone of A and X, phone of B)
) -> None:
    """Count the triplets with d(A, X) > d(B, X) twice and those with a tie once, over all A, B and X."""
    doubled = np.empty(distances.shape[1], np.int32)
    for r in range(len(row_phone)):
        p = row_phone[r]
        line = distances[r]
        first, last = np.searchsorted(column_phone, p), np.searchsorted(column_phone, p, side="right")
        doubled[:] = 0
        for a in range(first, last):
            if a != row_self[r]:
                far = line[a]
                for b in range(len(line)):
                    doubled[b] += np.int32(far > line[b]) + np.int32(far >= line[b])
        for b in range(len(line)):
            errors[p, column_phone[b]] += doubled[b]
