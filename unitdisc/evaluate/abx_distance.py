"""The scoring of all tiles by the compiled loops."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from unitdisc.evaluate import abx_kernels as kernels
from unitdisc.evaluate.abx_cells import Groups, Legs, work_of
from unitdisc.evaluate.abx_kernels import LANES
from unitdisc.evaluate.abx_space import ANGULAR, EDIT, EUCLIDEAN, IDENTICAL, TABLE, Space

BLOCK_ROWS = 128  # frames; a block of costs should stay in a core's second-level cache
BLOCK_COLUMNS = 2048
TILE_DISTANCES = 1_000_000  # held at once by a worker: 4 MB
SMALL = 30_000  # pairs of frames: below it, calling a library costs more than it saves


def gathered(space: Space, frames: np.ndarray) -> np.ndarray:
    """Gather frames [W] of A and B, given by number, for `costs_`."""
    if space.kind in (TABLE, IDENTICAL):
        return space.units[frames]
    return space.right[frames].T


def costs_(space: Space, frames: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Write the distances of X's frames [F], given by number, to gathered columns [W] into out [F, W]."""
    if space.kind == TABLE:
        kernels.look_up_(space.units[frames], columns, space.table, out)
    elif space.kind == IDENTICAL:
        kernels.differ_(space.units[frames], columns, out)
    else:
        rows = space.left[frames]
        np.matmul(rows, columns, out=out)
        if space.kind == ANGULAR:
            kernels.angles_(out)
        elif space.kind == EUCLIDEAN:
            kernels.roots_(out, rows, columns.T)


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
        columns_here = gathered(space, packs.frames[edges[0] : edges[-1]])
        for r0, r1 in pairwise(row_chunks):
            row_first = np.r_[0, np.cumsum(count[r0:r1])]
            frames = np.repeat(first[r0:r1] - row_first[:-1], count[r0:r1]) + np.arange(row_first[-1])
            cost = scratch[: len(frames) * columns_here.shape[-1]].reshape(len(frames), -1)
            costs_(space, frames, columns_here, cost)
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
    work = work_of(groups, legs, space.count)
    small = work < (np.inf if space.kind == EDIT else SMALL)
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
