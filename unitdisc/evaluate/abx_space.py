"""Frames made ready for a distance."""

from dataclasses import dataclass

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.abx_options import Distance

ANGULAR, EUCLIDEAN, PLAIN, TABLE, IDENTICAL, EDIT = range(6)  # what to make of a product of frames, or instead of it
FEW = 4096  # different vectors that a table of distances is made of


@dataclass(frozen=True)
class Space:
    """Frames made ready for one distance."""

    kind: int  # one of those above
    left: np.ndarray  # [F, D] float32, frames as X
    right: np.ndarray  # [F, D] float32, frames as A and B
    units: np.ndarray  # [F] int32, for TABLE, IDENTICAL and EDIT
    table: np.ndarray  # [U, U] for TABLE; of the type that distances have, float32 elsewhere
    first: np.ndarray  # [N] int64, first frame of each item
    count: np.ndarray  # [N] int64, frames of each item


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
        kind = EDIT if distance == "edit" else IDENTICAL
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
    if kind == ANGULAR:
        table = np.arccos(np.clip(table, -1, 1)) / np.pi
    elif kind == EUCLIDEAN:
        table = np.sqrt(np.maximum(table, 0))
    table = (table + table.T) / 2
    np.fill_diagonal(table, 0)
    # As multiples of one number that leave room for 2^12 of them, distances sum without rounding, in any order: only so
    # do equal paths tie.
    unit = 2.0 ** (np.ceil(np.log2(max(table.max(), 1e-30))) - 40)
    table = np.round(table / unit) * unit
    return Space(TABLE, NOTHING, NOTHING, units.astype(np.int32), table, first, count)


def _angular(frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    norms = np.linalg.norm(frames, axis=1, keepdims=True)
    frames /= np.where(norms > 0, norms, 1)
    # A zero vector has no direction; like fastabx, take that of (1, ..., 1).
    frames[norms[:, 0] == 0] = frames.shape[1] ** -0.5
    return ANGULAR, frames, frames


def _euclidean(frames: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    # |x|^2 + |y|^2 - 2xy loses digits where the vectors are long against their differences: centre them.
    centred = frames - frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = (centred.astype(np.float64) ** 2).sum(axis=1, keepdims=True).astype(np.float32)
    ones = np.ones_like(squares)
    return EUCLIDEAN, np.hstack([centred, squares, ones]), np.hstack([-2 * centred, ones, squares])


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
    return PLAIN, left.astype(np.float32), right.astype(np.float32)
