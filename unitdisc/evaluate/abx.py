"""ABX: how often is an item X of a phone nearer to a B of another phone than to an A of its own?

Mean over the triplets of a cell, then over the cells of a speaker (contexts, speakers of X), then over speakers, then
over pairs of phones. Errors lie between 0 and 1, chance is 0.5. Without sub-sampling this is fastabx's number.
"""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate import abx_plain
from unitdisc.evaluate.abx_cells import Groups, Legs, build_groups, build_legs, work_of
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.abx_slices import slice_items
from unitdisc.evaluate.abx_space import Space, make_space
from unitdisc.evaluate.codewords import read_codewords
from unitdisc.evaluate.frames import Frames, open_frames
from unitdisc.evaluate.items import Items, read_items
from unitdisc.evaluate.scores import Counts, Score, bootstrap, file_hash

LITTLE = 5_000_000  # pairs of frames: to score them takes no longer than to load the compiled loops
FEW_LEGS = 2000
FEW = 200  # items: with fewer the score may be off by several points whatever the features


class Tally(NamedTuple):
    """Cells summed by pair of phones and by speaker of A and B."""

    errors: np.ndarray  # [S, Q] float64, sum of the cells' errors
    cells: np.ndarray  # [S, Q] int64
    pairs: np.ndarray  # [Q, 2] int64, phone of A and X, phone of B
    triplets: int


def score_abx(
    features: str | Path | Frames,
    items: str | Path | Items,
    frame_shift: float | None = None,
    options: AbxOptions = AbxOptions(),  # noqa: B008 - frozen
    workers: int | None = None,
    codebook: Path | None = None,
    resamples: int = 1000,
) -> Score:
    """Return the ABX error of features (see open_frames) on the items of a file.

    Memory: the features of the named files (twice while they are read; "euclidean" and "kl" keep two and four times as
    much), 8 bytes a cell, and 10 MB a worker, whatever the number of items.
    """
    _check(options)
    frames = features if isinstance(features, Frames) else open_frames(features, frame_shift)
    where, hashes = ("the items", {}) if isinstance(items, Items) else (str(items), {"items": file_hash(items)})
    slices = slice_items(
        items if isinstance(items, Items) else read_items(items), frames, options.slicing, options.max_dropped, where
    )
    of_units = options.distance in ("codebook", "balanced")
    codewords = read_codewords(frames, codebook, options.distance) if of_units else None
    space = make_space(options.distance, slices.frames, slices.first, slices.count, codewords)
    groups = build_groups(slices.items, options.context == "within", options.max_group, options.seed)
    legs = build_legs(groups, options.speaker == "across", options.max_x_across, options.seed)
    counted = tally(count_errors(space, groups, legs, workers), groups, legs)
    rows = _rows(counted, options)
    used = {
        "items": len(slices.items),
        "items in cells": _in_cells(groups, legs),
        "phones": len(groups.phones),
        "speakers": len(groups.speakers),
        "cells": int(legs.cell[-1]),
        "triplets": counted.triplets,
    }
    return Score(
        "abx",
        float(mean_of_pairs(rows.sum(axis=0, keepdims=True))[0]),
        f"abx-{options.speaker}-{options.context}-{options.distance}",
        asdict(options),
        Counts(used, slices.dropped),
        bootstrap(rows, mean_of_pairs, over="speakers of A and B", seed=options.seed, resamples=resamples),
        frames.period,
        {**hashes, "features": slices.hash, **frames.hashes},
        {"hardest": hardest(counted, groups.phones), "warnings": warnings(used)},
    )


def count_errors(space: Space, groups: Groups, legs: Legs, workers: int | None = None) -> np.ndarray:
    """Return twice the errors of every cell, [C] int64."""
    if len(legs.x) <= FEW_LEGS and work_of(groups, legs, space.count).sum() <= LITTLE:
        return abx_plain.count_errors(space, groups, legs)
    from unitdisc.evaluate import abx_distance

    return abx_distance.count_errors(space, groups, legs, workers)


def warnings(used: dict[str, int]) -> list[str]:
    """Say what makes a score mean little."""
    if used["items in cells"] >= FEW:
        return []
    return [
        f"only {used['items in cells']} of {used['items']} items can be A, B or X ({used['cells']} cells of "
        f"{used['phones']} phones and {used['speakers']} speakers): the score means little; take more data, or free "
        "the context (--context any)"
    ]


def _check(options: AbxOptions) -> None:
    least = 2 if options.speaker == "within" else 1
    if options.max_group is not None and options.max_group < least:
        raise DataError(f"--max-group must be none or at least {least}: A and X are two items of one phone")
    if options.max_x_across is not None and options.max_x_across < 1:
        raise DataError("--max-x-across must be none or at least 1")


def _in_cells(groups: Groups, legs: Legs) -> int:
    of_x = np.isin(np.arange(len(groups.phone)), legs.x)
    of_ab = np.isin(groups.node, groups.node[legs.a])
    return int(groups.sizes[of_x | of_ab].sum())


def tally(errors: np.ndarray, groups: Groups, legs: Legs) -> Tally:
    """Sum cells: errors [C] are counted twice, and over the number of their triplets they are the cell's error."""
    sizes = groups.sizes
    speakers, phones = len(groups.speakers), len(groups.phones)
    sums, cells = np.zeros(speakers * phones**2), np.zeros(speakers * phones**2, np.int64)
    triplets = 0
    step = 1 << 16  # legs at a time, to bound the memory
    for start in range(0, len(legs.x), step):
        x, a = legs.x[start : start + step], legs.a[start : start + step]
        edges = legs.cell[start : start + len(x) + 1]
        leg = np.repeat(np.arange(len(x)), np.diff(edges))
        b = np.arange(len(leg)) - (edges[:-1] - edges[0])[leg] + groups.node_first[groups.node[a]][leg]
        b += b >= a[leg]
        size = (sizes[x] * (sizes[a] - (x == a)))[leg] * sizes[b]
        triplets += int(size.sum())
        key = (groups.node_speaker[groups.node[a]][leg] * phones + groups.phone[a][leg]) * phones + groups.phone[b]
        sums += np.bincount(key, errors[edges[0] : edges[-1]] / (2 * size), len(sums))
        cells += np.bincount(key, minlength=len(sums))
    present = np.flatnonzero(cells.reshape(speakers, -1).any(axis=0))
    pairs = np.stack(np.divmod(present, phones), axis=1)
    return Tally(sums.reshape(speakers, -1)[:, present], cells.reshape(speakers, -1)[:, present], pairs, triplets)


def _rows(counted: Tally, options: AbxOptions) -> np.ndarray:
    """Return [S, 2 * Q]: each speaker's numerators and denominators.

    In context mode "any" the cells of all speakers weigh the same; in "within", the speakers do. So has it fastabx.
    """
    errors, cells = counted.errors, counted.cells
    if options.context == "within":
        errors, cells = errors / np.maximum(cells, 1), np.minimum(cells, 1)
    return np.hstack([errors, cells])


def mean_of_pairs(rows: np.ndarray) -> np.ndarray:
    """Return the mean over pairs of numerator / denominator of [R, 2 * Q]; pairs without a cell do not count."""
    above, below = np.split(rows, 2, axis=1)
    present = below > 0
    return np.where(present, above / np.where(present, below, 1), 0).sum(1) / np.maximum(present.sum(1), 1)


def hardest(counted: Tally, phones: list[str], most: int = 10) -> list[dict[str, str | float]]:
    """Return the pairs of phones with the greatest error, both orders together."""
    sums: dict[tuple[str, str], list[float]] = {}
    errors = counted.errors.sum(axis=0) / counted.cells.sum(axis=0)
    for (p, q), error in zip(counted.pairs.tolist(), errors.tolist(), strict=True):
        one, two = sorted((phones[p], phones[q]))
        sums.setdefault((one, two), []).append(error)
    means = sorted(((float(np.mean(errors)), *pair) for pair, errors in sums.items()), key=lambda m: (-m[0], *m[1:]))
    return [{"phones": f"{one} {two}", "abx": mean} for mean, one, two in means[:most]]
