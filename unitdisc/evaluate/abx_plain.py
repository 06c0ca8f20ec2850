"""ABX of few items in NumPy: all pairs of items at once, step by step through their frames.

Loading the compiled loops takes longer than such a score. Both give the same: on equal cost a path comes diagonally
before from the left before from above, rows being X.
"""

import numpy as np

from unitdisc.evaluate.abx_cells import Groups, Legs
from unitdisc.evaluate.abx_space import ANGULAR, EDIT, EUCLIDEAN, IDENTICAL, TABLE, Space

NEAR = 1 / 16  # of |x|^2 + |y|^2: below it a product has lost its digits
MOST = 2_000_000  # pairs of frames that are held at once


def count_errors(space: Space, groups: Groups, legs: Legs) -> np.ndarray:
    """Return twice the errors of every cell, [C] int64."""
    errors = np.zeros(legs.cell[-1], np.int64)
    rows = [np.arange(groups.first[x], groups.first[x + 1]) for x in legs.x]
    nodes = groups.node[legs.a]
    columns = [np.arange(*groups.first[groups.node_first[node : node + 2]]) for node in nodes]
    row = np.concatenate([np.repeat(x, len(c)) for x, c in zip(rows, columns, strict=True)])
    column = np.concatenate([np.tile(c, len(x)) for x, c in zip(rows, columns, strict=True)])
    apart = distances(space, groups.order[row], groups.order[column])
    start = 0
    for leg, (x, c) in enumerate(zip(rows, columns, strict=True)):
        here = apart[start : start + len(x) * len(c)].reshape(len(x), len(c))
        start += here.size
        edges = groups.first[groups.node_first[nodes[leg]] : groups.node_first[nodes[leg] + 1]] - c[0]
        a = legs.a[leg] - groups.node_first[nodes[leg]]
        of_a = slice(edges[a], edges[a] + groups.sizes[legs.a[leg]])
        far = here[:, of_a, None]
        doubled = (far > here[:, None]).astype(np.int64) + (far >= here[:, None])  # [R, A, S]
        doubled[x[:, None] == c[of_a]] = 0  # A is not X
        by_group = np.add.reduceat(doubled.sum(axis=(0, 1)), edges)
        errors[legs.cell[leg] : legs.cell[leg + 1]] = np.delete(by_group, a)
    return errors


def distances(space: Space, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the distances of items `row` [P] to items `column` [P]."""
    out = np.empty(len(row), space.table.dtype)
    sizes = space.count[row] * space.count[column]
    order = np.lexsort((space.count[column], space.count[row]))  # of like length together
    step = max(1, MOST // int(sizes.max(initial=1)))
    for start in range(0, len(order), step):
        some = order[start : start + step]
        x, y = row[some], column[some]
        out[some] = (_edits if space.kind == EDIT else _warped)(space, x, y)
    return out


def _frames(space: Space, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the frames of items, [P, longest], the last one repeated, and how many each has."""
    count = space.count[items]
    return space.first[items][:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1), count


def _costs(space: Space, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distances of frames x [P, N] to y [P, M], [P, N, M]."""
    if space.kind == TABLE:
        return space.table[space.units[x][:, :, None], space.units[y][:, None]]
    if space.kind == IDENTICAL:
        return (space.units[x][:, :, None] != space.units[y][:, None]).astype(np.float32)
    left, right = space.left[x], space.right[y]
    cost = left @ right.transpose(0, 2, 1)
    if space.kind == ANGULAR:
        return np.arccos(np.clip(cost, -1, 1)) / np.float32(np.pi)
    if space.kind == EUCLIDEAN:
        return _roots(cost, left, right)
    return cost


def _roots(squares: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the roots of squared distances; where vectors are near each other, of the squares of their differences."""
    lengths = left[:, :, None, -2] + right[:, None, :, -1]
    pair, n, m = np.nonzero(squares < np.float32(NEAR) * lengths)
    squares[pair, n, m] = ((left[pair, n, :-2] + right[pair, m, :-2] / 2) ** 2).sum(axis=-1)
    return np.sqrt(np.maximum(squares, 0))


def _warped(space: Space, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Align pairs of items by dynamic time warping: least cost over the path's length, [P]."""
    (x, n), (y, m) = _frames(space, row), _frames(space, column)
    cost = np.ascontiguousarray(_costs(space, x, y).transpose(1, 2, 0))  # [N, M, P]
    far, zero, one = cost.dtype.type(np.inf), cost.dtype.type(0), cost.dtype.type(1)
    sums = np.full((y.shape[1] + 1, len(row)), far)
    steps = np.zeros_like(sums)
    sums[0] = zero
    out, pairs = np.empty(len(row), cost.dtype), np.arange(len(row))
    for i in range(x.shape[1]):
        diagonal, n_diagonal = sums[0].copy(), steps[0].copy()
        sums[0] = far
        for j in range(y.shape[1]):
            left, n_left, up, n_up = sums[j], steps[j], sums[j + 1].copy(), steps[j + 1].copy()
            side = np.minimum(left, up)
            n_side = np.where(left <= up, n_left, n_up)
            sums[j + 1] = cost[i, j] + np.minimum(diagonal, side)
            steps[j + 1] = one + np.where(diagonal <= side, n_diagonal, n_side)
            diagonal, n_diagonal = up, n_up
        done = pairs[n == i + 1]
        out[done] = sums[m[done], done] / steps[m[done], done]
    return out


def _edits(space: Space, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return Levenshtein distances over the longer one's length, [P]."""
    (x, n), (y, m) = _frames(space, row), _frames(space, column)
    one, two = space.units[x].T, space.units[y].T
    above = np.repeat(np.arange(y.shape[1] + 1, dtype=np.float32)[:, None], len(row), axis=1)
    out, pairs = np.empty(len(row), np.float32), np.arange(len(row))
    for i in range(x.shape[1]):
        diagonal = above[0].copy()
        above[0] = i + 1
        for j in range(y.shape[1]):
            swap, diagonal = diagonal + (one[i] != two[j]), above[j + 1].copy()
            above[j + 1] = np.minimum(swap, np.minimum(above[j], diagonal) + np.float32(1))
        done = pairs[n == i + 1]
        out[done] = above[m[done], done] / np.maximum(n[done], m[done])
    return out
