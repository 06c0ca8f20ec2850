"""Frames made ready for a distance, and the scoring of all tiles with it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from unitdisc.errors import DataError
from unitdisc.evaluate import abx_kernels as kernels
from unitdisc.evaluate.abx_cells import Groups, Legs
from unitdisc.evaluate.abx_kernels import LANES

Distance = Literal["angular", "euclidean", "kl", "identical", "codebook", "balanced", "edit"]
BLOCK_ROWS = 128  # frames; a block of costs should stay in a core's second-level cache
BLOCK_COLUMNS = 2048
TILE_DISTANCES = 1_000_000  # held at once by a worker: 4 MB
SMALL = 30_000  # pairs of frames: below it, calling a library costs more than it saves
FEW = 4096  # different vectors that a table of distances is made of


@dataclass(frozen=True)
class Space:
    """Frames made ready for one distance."""

    kind: int  # of abx_kernels
    left: np.ndarray  # [F, D] float32, frames as X
    right: np.ndarray  # [F, D] float32, frames as A and B
    units: np.ndarray  # [F] int32, for TABLE, IDENTICAL and EDIT
    table: np.ndarray  # [U, U] for TABLE; of the type that distances have, float32 elsewhere
    first: np.ndarray  # [N] int64, first frame of each item
    count: np.ndarray  # [N] int64, frames of each item

    def columns(self, frames: np.ndarray) -> np.ndarray:
        """Gather frames [W] of A and B, given by number, for `costs`."""
        if self.kind in (kernels.TABLE, kernels.IDENTICAL):
            return self.units[frames]
        return self.right[frames].T

    def costs(self, frames: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
        """Write the distances of X's frames [F], given by number, to gathered columns [W] into out [F, W]."""
        if self.kind == kernels.TABLE:
            kernels.look_up_(self.units[frames], columns, self.table, out)
        elif self.kind == kernels.IDENTICAL:
            kernels.differ_(self.units[frames], columns, out)
        else:
            rows = self.left[frames]
            np.matmul(rows, columns, out=out)
            if self.kind == kernels.ANGULAR:
                kernels.angles_(out)
            elif self.kind == kernels.EUCLIDEAN:
                kernels.roots_(out, rows, columns.T)


NOTHING = np.zeros((1, 1), np.float32)
NO_UNITS, NO_TABLE = np.zeros(1, np.int32), np.zeros((1, 1), np.float32)


def make_space(
    distance: Distance,
    frames: np.ndarray,
    first: np.ndarray,
    count: np.ndarray,
    codewords: np.ndarray | None = None,
) -> Space:
    """Prepare frames [F, D] (units: int64 [F, 1]) once, and perhaps in place; codewords [K, D]: of units."""
    if distance in ("codebook", "balanced"):
        return _codebook_space(frames, first, count, codewords)
    if distance in ("identical", "edit"):
        units = _as_units(frames, distance)
        if distance == "edit":
            units, first, count = _strings(units, first, count)
        kind = kernels.EDIT if distance == "edit" else kernels.IDENTICAL
        return Space(kind, NOTHING, NOTHING, units, NO_TABLE, first, count)
    if frames.dtype.kind != "f":
        raise DataError(
            f"--distance {distance} needs vectors, and these are units; use identical or edit, or codebook or "
            "balanced with the codewords' vectors"
        )
    few = _few_vectors(frames)
    if few is not None:
        return _table_space(distance, *few, first, count)
    sides = {"angular": _angular, "euclidean": _euclidean, "kl": _kl}[distance](frames)
    return Space(*sides, NO_UNITS, NO_TABLE, first, count)


def _as_units(frames: np.ndarray, distance: str) -> np.ndarray:
    if frames.shape[1] != 1:
        raise DataError(f"--distance {distance} compares units, one number a frame; these have {frames.shape[1]}")
    return np.unique(frames[:, 0], return_inverse=True)[1].astype(np.int32)


def _strings(units: np.ndarray, first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge runs of equal units inside each item; return them one after the other, with starts and counts."""
    edges = np.r_[0, np.cumsum(count)]
    strung = units[np.repeat(first - edges[:-1], count) + np.arange(edges[-1])]
    kept = np.r_[True, strung[1:] != strung[:-1]]
    kept[edges[:-1]] = True
    before = np.r_[0, np.cumsum(kept)]
    return strung[kept], before[edges[:-1]], np.diff(before[edges])


def _codebook_space(frames: np.ndarray, first: np.ndarray, count: np.ndarray, codewords: np.ndarray | None) -> Space:
    if codewords is None or frames.dtype.kind == "f" or frames.shape[1] != 1:
        raise DataError("--distance codebook and balanced need units, one number a frame, and the codewords' vectors")
    used, units = np.unique(frames[:, 0], return_inverse=True)
    return _table_space("angular", units, codewords[used].astype(np.float32), first, count)


def _few_vectors(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (number of each frame's vector [F], different vectors [U, D]) if there are few, else None.

    Quantised frames tie by the thousand, and ties must not be broken by the rounding of a product.
    """
    numbers: dict[bytes, int] = {}
    units = np.empty(len(frames), dtype=np.int64)
    for place, frame in enumerate(frames):
        units[place] = numbers.setdefault((frame + 0).tobytes(), len(numbers))  # + 0: -0 is 0
        if len(numbers) > FEW:
            return None
    if len(numbers) > len(frames) // 2:
        return None
    _, first = np.unique(units, return_index=True)
    return units, frames[first]


def _table_space(
    distance: Distance, units: np.ndarray, vectors: np.ndarray, first: np.ndarray, count: np.ndarray
) -> Space:
    """Tabulate the distances of few vectors, exactly 0 from each to itself."""
    kind, left, right = {"angular": _angular, "euclidean": _euclidean, "kl": _kl}[distance](vectors)
    table = left.astype(np.float64) @ right.astype(np.float64).T
    if kind == kernels.ANGULAR:
        table = np.arccos(np.clip(table, -1, 1)) / np.pi
    elif kind == kernels.EUCLIDEAN:
        table = np.sqrt(np.maximum(table, 0))
    table = (table + table.T) / 2
    np.fill_diagonal(table, 0)
    # As multiples of one number that leave room for 2^12 of them, distances sum without rounding, in any order: only so
    # do equal paths tie.
    unit = 2.0 ** (np.ceil(np.log2(max(table.max(), 1e-30))) - 40)
    table = np.round(table / unit) * unit
    return Space(kernels.TABLE, NOTHING, NOTHING, units.astype(np.int32), table, first, count)


def _angular(frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    norms = np.linalg.norm(frames, axis=1, keepdims=True)
    frames /= np.where(norms > 0, norms, 1)
    # A zero vector has no direction; like fastabx, take that of (1, ..., 1).
    frames[norms[:, 0] == 0] = frames.shape[1] ** -0.5
    return kernels.ANGULAR, frames, frames


def _euclidean(frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    # |x|^2 + |y|^2 - 2xy loses digits where the vectors are long against their differences: centre them.
    centred = frames - frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = (centred.astype(np.float64) ** 2).sum(axis=1, keepdims=True).astype(np.float32)
    ones = np.ones_like(squares)
    return kernels.EUCLIDEAN, np.hstack([centred, squares, ones]), np.hstack([-2 * centred, ones, squares])


def _kl(frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Return sides whose product is the mean of both Kullback-Leibler divergences."""
    total = frames.sum(axis=1, dtype=np.float64)
    wrong = (abs(total - 1) > 1e-2) | (frames.min(axis=1) < 0)
    if wrong.any():
        worst = int(np.argmax(wrong))
        raise DataError(
            "--distance kl compares probabilities: expected frames of numbers >= 0 that sum to 1, got one with "
            f"minimum {frames[worst].min():g} and sum {total[worst]:g}"
        )
    p = frames.astype(np.float64)
    logs = np.log(p + 1e-6)
    logs -= logs.mean(axis=1, keepdims=True)
    # Only differences of rows count; as with euclidean, taking away a mean row saves digits.
    p, logs = p - p.mean(axis=0), logs - logs.mean(axis=0)
    own = (p * logs).sum(axis=1, keepdims=True) / 2
    ones = np.ones_like(own)
    left, right = np.hstack([p, logs, own, ones]), np.hstack([-logs / 2, -p / 2, ones, own])
    return kernels.PLAIN, left.astype(np.float32), right.astype(np.float32)


class Packs(NamedTuple):
    """Items as columns: sorted by length into packs of LANES, their frames interleaved."""

    frames: np.ndarray  # [W] int64, frame of each column
    first: np.ndarray  # [P + 1] int64, first column of each pack
    lane_count: np.ndarray  # [P, LANES] int64
    lane_column: np.ndarray  # [P, LANES] int64


def make_packs(first: np.ndarray, count: np.ndarray) -> Packs:
    """Pack items; the lanes that are left over repeat the last item, and write no result."""
    order = np.argsort(count, kind="stable")
    packs = -(-len(order) // LANES)
    lanes = np.r_[order, np.full(packs * LANES - len(order), order[-1])].reshape(packs, LANES)
    lane_count = count[lanes]
    lengths = lane_count.max(axis=1)
    edges = np.r_[0, np.cumsum(lengths * LANES)]
    pack = np.repeat(np.arange(packs), lengths * LANES)
    place = np.arange(edges[-1]) - edges[pack]
    lane = lanes[pack, place % LANES]
    frames = first[lane] + np.minimum(place // LANES, count[lane] - 1)
    lane_count.flat[len(order) :] = 0
    return Packs(frames, edges, lane_count, lanes)


def distances(space: Space, rows: np.ndarray, packs: Packs, columns: int) -> np.ndarray:
    """Return the distances of items `rows` [R] to packed items, [R, columns]."""
    out = np.empty((len(rows), columns), space.table.dtype)
    first, count = space.first[rows], space.count[rows]
    row_chunks, pack_chunks = _chunks(count, BLOCK_ROWS), _chunks(np.diff(packs.first), BLOCK_COLUMNS)
    most = max(count[r0:r1].sum() for r0, r1 in pairwise(row_chunks))
    scratch = np.empty(
        most * max(packs.first[p1] - packs.first[p0] for p0, p1 in pairwise(pack_chunks)), space.table.dtype
    )
    for p0, p1 in pairwise(pack_chunks):
        edges = packs.first[p0 : p1 + 1]
        gathered = space.columns(packs.frames[edges[0] : edges[-1]])
        for r0, r1 in pairwise(row_chunks):
            row_first = np.r_[0, np.cumsum(count[r0:r1])]
            frames = np.repeat(first[r0:r1] - row_first[:-1], count[r0:r1]) + np.arange(row_first[-1])
            cost = scratch[: len(frames) * gathered.shape[-1]].reshape(len(frames), -1)
            space.costs(frames, gathered, cost)
            kernels.align(
                cost, row_first, edges - edges[0], packs.lane_count[p0:p1], packs.lane_column[p0:p1], out[r0:r1]
            )
    return out


def _chunks(sizes: np.ndarray, most: int) -> list[int]:
    """Cut a list of sizes so that no piece sums to more than `most`, unless it is a single one."""
    edges, total = [0], 0
    for place, size in enumerate(sizes.tolist()):
        if total and total + size > most:
            edges.append(place)
            total = 0
        total += size
    return [*edges, len(sizes)]


def count_errors(space: Space, groups: Groups, legs: Legs, workers: int | None = None) -> np.ndarray:
    """Return twice the errors of every cell, [C] int64; threads share the tiles, as products and loops hold no lock."""
    workers = workers or len(os.sched_getaffinity(0))
    errors = np.zeros(legs.cell[-1], np.int64)
    work = _work(space, groups, legs)
    small = work < (np.inf if space.kind == kernels.EDIT else SMALL)
    large = np.flatnonzero(~small)
    # The longest first, so that no worker is left alone with one at the end.
    large = large[np.argsort(-work[large], kind="stable")]
    lots = np.array_split(np.flatnonzero(small), workers * 16)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(_score_large, space, groups, legs, tile, errors) for tile in large.tolist()]
        tasks += [pool.submit(_score_small, space, groups, legs, lot, errors) for lot in lots if len(lot)]
        for task in tasks:
            task.result()
    return errors


def _work(space: Space, groups: Groups, legs: Legs) -> np.ndarray:
    """Return the pairs of frames of each tile, [T]."""
    before = np.r_[0, np.cumsum(space.count[groups.order])]
    frames = np.diff(before[groups.first])
    in_node = np.diff(before[groups.first[groups.node_first]])
    rows = np.add.reduceat(frames[legs.x], legs.tile[:-1])
    return rows.astype(np.float64) * in_node[groups.node[legs.a[legs.tile[:-1]]]]


def _score_small(space: Space, groups: Groups, legs: Legs, tiles: np.ndarray, errors: np.ndarray) -> None:
    kernels.score_directly(
        tiles,
        space.kind,
        space.left,
        space.right,
        space.units,
        space.table,
        space.first[groups.order],
        space.count[groups.order],
        groups.first,
        groups.node,
        groups.node_first,
        legs.x,
        legs.a,
        legs.cell,
        legs.tile,
        errors,
    )


def _score_large(space: Space, groups: Groups, legs: Legs, tile: int, errors: np.ndarray) -> None:
    l0, l1 = legs.tile[tile], legs.tile[tile + 1]
    x, a = legs.x[l0:l1], legs.a[l0:l1]
    node = groups.node[a[0]]
    h0, h1 = groups.node_first[node], groups.node_first[node + 1]
    c0, c1 = groups.first[h0], groups.first[h1]
    columns = groups.order[c0:c1]
    packs = make_packs(space.first[columns], space.count[columns])
    sizes = groups.sizes[x]
    leg = np.repeat(np.arange(len(x)), sizes)
    rows = np.arange(len(leg)) + np.repeat(groups.first[x] - np.r_[0, np.cumsum(sizes)[:-1]], sizes)
    itself = rows - c0 if x[0] == a[0] else np.full(len(rows), -1)
    cells = errors[legs.cell[l0] : legs.cell[l1]].reshape(len(x), -1)
    step = max(1, TILE_DISTANCES // len(columns))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        apart = distances(space, groups.order[rows[part]], packs, len(columns))
        kernels.count_block(apart, itself[part], leg[part], a - h0, groups.first[h0 : h1 + 1] - c0, cells)
