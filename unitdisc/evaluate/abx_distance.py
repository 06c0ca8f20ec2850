"""Distances between all items of two sets, [R, S], by matrix products and alignments side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch

from unitdisc.errors import DataError
from unitdisc.evaluate import abx_kernels as kernels
from unitdisc.evaluate.abx_kernels import LANES

Distance = Literal["angular", "euclidean", "kl", "identical", "codebook", "edit"]
Block = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
BLOCK_ROWS = 128  # frames; a block of costs should stay in a core's second-level cache
BLOCK_COLUMNS = 2048


@dataclass(frozen=True)
class Space:
    """Frames made ready for one distance."""

    block: Block  # (row frames [F], column frames [W], out [F, W]): writes the distances of frames, given by number
    first: np.ndarray  # [N] int64, first frame of each item
    count: np.ndarray  # [N] int64, frames of each item
    strings: np.ndarray | None = None  # [F] int64, for the edit distance


def make_space(distance: Distance, frames: np.ndarray, first: np.ndarray, count: np.ndarray) -> Space:
    """Prepare frames [F, D] (units: int64 [F, 1]) once, for all the blocks to come."""
    if distance in ("identical", "edit"):
        units = _as_units(frames, distance)
        if distance == "edit":
            return _strings(units, first, count)
        return Space(lambda rows, columns, out: kernels.differing_(units[rows], units[columns], out), first, count)
    if frames.dtype.kind != "f":
        raise DataError(
            f"--distance {distance} needs vectors, and these are units; use identical, edit, or codebook with "
            "the codewords' vectors"
        )
    left, right, finish_ = {"angular": _angular, "euclidean": _euclidean, "kl": _kl}[distance](frames)

    def block(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
        torch.mm(left[rows], right[columns].T, out=torch.from_numpy(out))
        finish_(out)

    return Space(block, first, count)


def _as_units(frames: np.ndarray, distance: str) -> np.ndarray:
    if frames.shape[1] != 1:
        raise DataError(f"--distance {distance} compares units, one number a frame; these have {frames.shape[1]}")
    return np.unique(frames[:, 0], return_inverse=True)[1].astype(np.int32)


def _strings(units: np.ndarray, first: np.ndarray, count: np.ndarray) -> Space:
    """Merge runs of equal units inside each item."""
    pieces, firsts, counts, total = [], [], [], 0
    for start, length in zip(first.tolist(), count.tolist(), strict=True):
        item = units[start : start + length]
        item = item[np.r_[True, item[1:] != item[:-1]]]
        firsts.append(total)
        counts.append(len(item))
        pieces.append(item)
        total += len(item)
    return Space(_no_block, np.asarray(firsts), np.asarray(counts), np.concatenate(pieces).astype(np.int64))


def _no_block(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    raise AssertionError("strings are not aligned frame by frame")


Sides = tuple[torch.Tensor, torch.Tensor, Callable[[np.ndarray], None]]


def _angular(frames: np.ndarray) -> Sides:
    norms = np.linalg.norm(frames, axis=1, keepdims=True)
    # A zero vector has no direction; like fastabx, take that of (1, ..., 1).
    unit = np.where(norms > 0, frames / np.where(norms > 0, norms, 1), np.float32(frames.shape[1] ** -0.5))
    whole = torch.from_numpy(unit.astype(np.float32))
    return whole, whole, kernels.angles_


def _euclidean(frames: np.ndarray) -> Sides:
    # |x|^2 + |y|^2 - 2xy loses digits where the vectors are long against their differences: centre them.
    centred = torch.from_numpy(frames - frames.mean(axis=0, dtype=np.float64).astype(np.float32))
    squares = (centred.double() ** 2).sum(1, keepdim=True).float()
    ones = torch.ones_like(squares)
    return torch.cat([centred, squares, ones], 1), torch.cat([-2 * centred, ones, squares], 1), kernels.roots_


def _kl(frames: np.ndarray) -> Sides:
    """Return sides whose product is the mean of both Kullback-Leibler divergences."""
    total = frames.sum(axis=1, dtype=np.float64)
    if frames.min() < 0 or abs(total - 1).max() > 1e-2:
        worst = int(np.argmax(np.maximum(abs(total - 1), (frames < 0).any(axis=1) * 1e9)))
        raise DataError(
            "--distance kl compares probabilities: expected frames of numbers >= 0 that sum to 1, got one with "
            f"minimum {frames[worst].min():g} and sum {total[worst]:g}"
        )
    p = torch.from_numpy(frames).double()
    logs = (p + 1e-6).log()
    logs -= logs.mean(1, keepdim=True)
    own = (p * logs).sum(1, keepdim=True) / 2
    ones = torch.ones_like(own)
    left = torch.cat([p, logs, own, ones], 1).float()
    right = torch.cat([-logs / 2, -p / 2, ones, own], 1).float()
    return left, right, lambda out: None


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


def distances(space: Space, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the distances of items `rows` [R] to items `columns` [S] as float32 [R, S]."""
    out = np.empty((len(rows), len(columns)), np.float32)
    first, count = space.first[rows], space.count[rows]
    if space.strings is not None:
        kernels.edit(space.strings, first, count, space.strings, space.first[columns], space.count[columns], out)
        return out
    packs = make_packs(space.first[columns], space.count[columns])
    row_edges = _chunks(count, BLOCK_ROWS)
    pack_edges = _chunks(np.diff(packs.first), BLOCK_COLUMNS)
    for r0, r1 in pairwise(row_edges):
        chunk_first = np.r_[0, np.cumsum(count[r0:r1])]
        frames = np.repeat(first[r0:r1] - chunk_first[:-1], count[r0:r1]) + np.arange(chunk_first[-1])
        for p0, p1 in pairwise(pack_edges):
            w0, w1 = packs.first[p0], packs.first[p1]
            cost = np.empty((len(frames), w1 - w0), np.float32)
            space.block(frames, packs.frames[w0:w1], cost)
            kernels.align(
                cost,
                chunk_first[:-1],
                count[r0:r1],
                packs.first[p0:p1] - w0,
                packs.lane_count[p0:p1],
                packs.lane_column[p0:p1],
                out[r0:r1],
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
