"""The compiled inner loops of ABX: distances of frames, alignments, and the counting of triplets.

Small tiles are scored pair by pair; in large ones alignments run in the lanes of vector instructions: a pack holds
LANES items of similar length with their frames interleaved (frame 0 of all lanes, frame 1 of all lanes, ...), and a row
item is aligned with all of a pack at once. Both give the same: on equal cost a path comes diagonally before from the
left before from above, rows being X.
"""

import numba
import numpy as np

from unitdisc.evaluate.abx_space import ANGULAR, EDIT, EUCLIDEAN, IDENTICAL, TABLE

LANES = 16
NEAR = np.float32(1 / 16)  # of |x|^2 + |y|^2
PI = np.float32(np.pi)


@numba.njit(nogil=True, cache=True, error_model="numpy")
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def roots_(squares: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Turn squared distances [F, W] of rows left [F, D + 2] and right [W, D + 2] into distances, in place.

    The rows are those of `_euclidean` in abx_space: x, |x|^2, 1 and -2y, 1, |y|^2. Their product has lost its digits
    where the vectors are near each other against their lengths: there the differences are squared.
    """
    dim = left.shape[1] - 2
    lengths = np.empty(right.shape[0], np.float32)
    for w in range(len(lengths)):
        lengths[w] = NEAR * right[w, dim + 1]
    for f in range(squares.shape[0]):
        row, length = squares[f], NEAR * left[f, dim]
        for w in range(len(row)):
            if row[w] < length + lengths[w]:
                square = np.float32(0)
                for d in range(dim):
                    apart = left[f, d] + np.float32(0.5) * right[w, d]
                    square += apart * apart
                row[w] = square
        for w in range(len(row)):
            row[w] = np.sqrt(max(row[w], np.float32(0)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def look_up_(rows: np.ndarray, columns: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Write table[rows[f], columns[w]] to out [F, W]."""
    for f in range(len(rows)):
        line = table[rows[f]]
        for w in range(len(columns)):
            out[f, w] = line[columns[w]]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def differ_(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Write 1 to out [F, W] where rows[f] != columns[w], and 0 elsewhere."""
    for f in range(len(rows)):
        for w in range(len(columns)):
            out[f, w] = rows[f] != columns[w]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def multiply_(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Write rows [F, D] @ columns [W, D].T to out; for products too small for a library."""
    for f in range(rows.shape[0]):
        for w in range(columns.shape[0]):
            total = np.float32(0)
            for d in range(rows.shape[1]):
                total += rows[f, d] * columns[w, d]
            out[f, w] = total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def align(
    cost: np.ndarray,  # [F, W] float32 or float64, frames of the rows by the packs' interleaved frames
    row_first: np.ndarray,  # [R + 1] int64, first frame of each row item within cost
    pack_first: np.ndarray,  # [P + 1] int64, first column of each pack within cost
    lane_count: np.ndarray,  # [P, LANES] int64, frames of each lane; 0 for none
    lane_column: np.ndarray,  # [P, LANES] int64, where each lane's results go
    out: np.ndarray,  # [R, S] of the same type, the distances
) -> None:
    """Align by dynamic time warping: least cost over the path's length."""
    real = cost.dtype.type
    far, zero, one = real(np.inf), real(0), real(1)
    # A slot for each frame of the pack, and one before the first, of four vectors: sum and path length in this row, and
    # in the row above. Being at fixed distances from each other, they let the compiler use vector instructions.
    slots = np.empty((lane_count.max() + 1) * 4 * LANES, cost.dtype)
    for r in range(len(row_first) - 1):
        for p in range(len(pack_first) - 1):
            length = (pack_first[p + 1] - pack_first[p]) // LANES
            slots[: (length + 1) * 4 * LANES] = far
            slots[2 * LANES : 4 * LANES] = zero  # the path starts here
            for i in range(row_first[r], row_first[r + 1]):
                line = cost[i, pack_first[p] : pack_first[p + 1]]
                for j in range(length):
                    slot = slots[j * 4 * LANES : (j + 2) * 4 * LANES]
                    here = line[j * LANES : (j + 1) * LANES]
                    for k in range(LANES):
                        left, n_left = slot[k], slot[k + LANES]
                        diagonal, n_diagonal = slot[k + 2 * LANES], slot[k + 3 * LANES]
                        up, n_up = slot[k + 4 * LANES], slot[k + 5 * LANES]
                        side = min(left, up)
                        n_side = n_left if left <= up else n_up
                        slot[k + 4 * LANES] = here[k] + min(diagonal, side)
                        slot[k + 5 * LANES] = one + (n_diagonal if diagonal <= side else n_side)
                        slot[k + 6 * LANES] = up
                        slot[k + 7 * LANES] = n_up
                slots[2 * LANES : 3 * LANES] = far
            for k in range(LANES):
                n = lane_count[p, k]
                if n:
                    out[r, lane_column[p, k]] = slots[n * 4 * LANES + k] / slots[(n * 4 + 1) * LANES + k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def warped(cost: np.ndarray, sums: np.ndarray, steps: np.ndarray) -> float:
    """Align one pair, cost [N, M]; sums and steps [M + 1 or more] are scratch."""
    real = cost.dtype.type
    far, zero, one = real(np.inf), real(0), real(1)
    n, m = cost.shape
    sums[: m + 1] = far
    sums[0], steps[0] = zero, zero
    for i in range(n):
        diagonal, n_diagonal = sums[0], steps[0]
        left, n_left = far, zero
        for j in range(m):
            up, n_up = sums[j + 1], steps[j + 1]
            side = min(left, up)
            n_left = n_left if left <= up else n_up
            n_left = one + (n_diagonal if diagonal <= side else n_left)
            left = cost[i, j] + min(diagonal, side)
            diagonal, n_diagonal = up, n_up
            sums[j + 1], steps[j + 1] = left, n_left
        sums[0] = far
    return sums[m] / steps[m]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def edits(one: np.ndarray, two: np.ndarray, above: np.ndarray) -> float:
    """Return the Levenshtein distance of two strings over the longer one's length; above [M + 1 or more] is scratch."""
    for j in range(len(two) + 1):
        above[j] = j
    for i in range(len(one)):
        diagonal, above[0] = above[0], above.dtype.type(i + 1)
        for j in range(len(two)):
            swap = diagonal + above.dtype.type(one[i] != two[j])
            diagonal = above[j + 1]
            above[j + 1] = min(swap, min(above[j], above[j + 1]) + above.dtype.type(1))
    return above[len(two)] / max(len(one), len(two))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def count_row(
    line: np.ndarray,  # [S], distances of X to the items of A's node
    itself: int,  # the column that is X; -1 for none
    a: int,  # the group of A, among those of the node
    first: np.ndarray,  # [H + 1] int64, first column of each group of the node
    doubled: np.ndarray,  # [S] int32, scratch
    errors: np.ndarray,  # [H - 1] int64, of the cells: added to
) -> None:
    """Count the triplets of X with d(A, X) > d(B, X) twice, and those with a tie once."""
    doubled[: len(line)] = 0
    for place in range(first[a], first[a + 1]):
        if place != itself:
            far = line[place]
            for b in range(len(line)):
                doubled[b] += np.int32(far > line[b]) + np.int32(far >= line[b])
    cell = 0
    for h in range(len(first) - 1):
        if h != a:
            errors[cell] += doubled[first[h] : first[h + 1]].sum()
            cell += 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def count_block(
    distances: np.ndarray,  # [R, S]
    itself: np.ndarray,  # [R] int64
    leg: np.ndarray,  # [R] int64, number of the row's leg within the tile
    a: np.ndarray,  # [legs] int64, each leg's group of A, among those of the node
    first: np.ndarray,  # [H + 1] int64
    errors: np.ndarray,  # [legs, H - 1] int64: added to
) -> None:
    """Count the errors of many X."""
    doubled = np.empty(distances.shape[1], np.int32)
    for r in range(len(leg)):
        count_row(distances[r], itself[r], a[leg[r]], first, doubled, errors[leg[r]])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def score_directly(
    tiles: np.ndarray,  # [T'] int64, which tiles to score
    kind: int,
    left: np.ndarray,  # [F, D] float32: frames as X
    right: np.ndarray,  # [F, D] float32: frames as A and B
    units: np.ndarray,  # [F] int32
    table: np.ndarray,  # [U, U]; its type is that of all distances
    frame: np.ndarray,  # [M] int64, first frame of each item, in the order of the groups
    count: np.ndarray,  # [M] int64, its frames
    group_first: np.ndarray,  # [G + 1]
    group_node: np.ndarray,  # [G]
    node_first: np.ndarray,  # [K + 1]
    leg_x: np.ndarray,  # [L]
    leg_a: np.ndarray,  # [L]
    leg_cell: np.ndarray,  # [L + 1]
    tile_leg: np.ndarray,  # [T + 1]
    errors: np.ndarray,  # [C] int64: added to
) -> None:
    """Score tiles pair by pair."""
    longest = count.max()
    scratch = np.empty(longest * longest, table.dtype)
    sums, steps = np.empty(longest + 1, table.dtype), np.empty(longest + 1, table.dtype)
    line = np.empty(0, table.dtype)
    doubled = np.empty(0, np.int32)
    for tile in tiles:
        for leg in range(tile_leg[tile], tile_leg[tile + 1]):
            x, a = leg_x[leg], leg_a[leg]
            node = group_node[a]
            h0, h1 = node_first[node], node_first[node + 1]
            c0, c1 = group_first[h0], group_first[h1]
            if len(line) < c1 - c0:
                line, doubled = np.empty(c1 - c0, table.dtype), np.empty(c1 - c0, np.int32)
            for row in range(group_first[x], group_first[x + 1]):
                f, n = frame[row], count[row]
                for column in range(c0, c1):
                    g, m = frame[column], count[column]
                    cost = scratch[: n * m].reshape(n, m)
                    if kind == EDIT:
                        line[column - c0] = edits(units[f : f + n], units[g : g + m], sums)
                        continue
                    if kind == TABLE:
                        look_up_(units[f : f + n], units[g : g + m], table, cost)
                    elif kind == IDENTICAL:
                        differ_(units[f : f + n], units[g : g + m], cost)
                    else:
                        multiply_(left[f : f + n], right[g : g + m], cost)
                        if kind == ANGULAR:
                            angles_(cost)
                        elif kind == EUCLIDEAN:
                            roots_(cost, left[f : f + n], right[g : g + m])
                    line[column - c0] = warped(cost, sums, steps)
                itself = row - c0 if x == a else -1
                first = group_first[h0 : h1 + 1] - c0
                count_row(line[: c1 - c0], itself, a - h0, first, doubled, errors[leg_cell[leg] : leg_cell[leg + 1]])
