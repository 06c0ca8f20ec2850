"""ABX: how often is an item X of a phone nearer to a B of another phone than to an A of its own?

The definition stands in METRICS: mean over the triplets of a cell, then over the cells of a speaker (contexts, speakers
of X), then over speakers, then over pairs of phones. Errors lie between 0 and 1, chance is 0.5.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from unitdisc.errors import DataError
from unitdisc.evaluate import abx_kernels as kernels
from unitdisc.evaluate.abx_cells import Nodes, Tiles, build_nodes, build_tiles
from unitdisc.evaluate.abx_distance import Distance, Space, distances, make_space
from unitdisc.evaluate.abx_slices import Slicing, slice_items
from unitdisc.evaluate.frames import Frames, open_frames
from unitdisc.evaluate.items import Items, read_items
from unitdisc.evaluate.scores import Counts, Interval, Score, bootstrap, file_hash

TILE_ROWS = 4_000_000  # distances held at once by a worker: 16 MB


@dataclass(frozen=True)
class AbxOptions:
    """How ABX is scored."""

    speaker: Literal["within", "across"] = "within"
    context: Literal["within", "any"] = "within"
    distance: Distance = "angular"
    max_group: int | None = 10  # items of a phone by a speaker (in a context); None for all
    max_x_across: int | None = 5  # speakers that X comes from, for each A and B; None for all
    seed: int = 0
    slicing: Slicing = "fastabx"
    max_dropped: float = 0.01


class Cells(NamedTuple):
    """The error of every cell, [C]."""

    phone: np.ndarray  # int64, of A and X
    other: np.ndarray  # int64, of B
    context: np.ndarray  # int64
    speaker: np.ndarray  # int64, of A and B
    x_speaker: np.ndarray  # int64
    error: np.ndarray  # float64
    triplets: np.ndarray  # int64


def score_abx(
    features: str | Path | Frames,
    items: str | Path | Items,
    frame_shift: float | None = None,
    options: AbxOptions = AbxOptions(),  # noqa: B008 - frozen
    workers: int | None = None,
) -> Score:
    """Return the ABX error of features (see open_frames) on the items of a file.

    Memory: the features of the named files once, plus about 20 MB a worker, whatever the number of items.
    """
    frames = features if isinstance(features, Frames) else open_frames(features, frame_shift)
    where = "the items" if isinstance(items, Items) else str(items)
    hashes = {} if isinstance(items, Items) else {"items": file_hash(items)}
    table = items if isinstance(items, Items) else read_items(items)
    slices = slice_items(table, frames, options.slicing, options.max_dropped, where)
    space = make_space(options.distance, slices.frames, slices.first, slices.count)
    nodes = build_nodes(slices.items, options.context == "within", options.max_group, options.seed)
    tiles = build_tiles(nodes, options.speaker == "across", options.max_x_across, options.seed)
    cells = score_tiles(space, nodes, tiles, workers)
    return Score(
        "abx",
        collapse(cells, options.context == "within"),
        f"abx-{options.speaker}-{options.context}-{options.distance}",
        asdict(options),
        Counts(
            {
                "items": len(slices.items),
                "scored items": int(_used(nodes, tiles)),
                "phones": len(nodes.phones),
                "speakers": len(nodes.speakers),
                "cells": len(cells.error),
                "triplets": int(cells.triplets.sum()),
            },
            slices.dropped,
        ),
        interval(cells, options.context == "within", options.seed),
        frames.period,
        {**hashes, **frames.hashes},
    )


def _used(nodes: Nodes, tiles: Tiles) -> int:
    used = np.unique(np.r_[tiles.x, tiles.ab])
    return int(np.diff(nodes.starts)[used].sum())


def score_tiles(space: Space, nodes: Nodes, tiles: Tiles, workers: int | None = None) -> Cells:
    """Score the cells of all tiles, tile by tile, in threads: products and compiled loops hold no lock."""
    workers = workers or len(os.sched_getaffinity(0))
    # Long ones first, so that no worker is left alone with one at the end.
    sizes = np.diff(nodes.starts)
    order = np.argsort(-sizes[tiles.x] * sizes[tiles.ab], kind="stable")
    with _one_torch_thread(), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        scored = list(pool.map(lambda tile: _score_tile(space, nodes, tiles, tile), order.tolist()))
    scored = [scored[place] for place in np.argsort(order).tolist()]
    return Cells(*(np.concatenate(column) for column in zip(*scored, strict=True)))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _score_tile(space: Space, nodes: Nodes, tiles: Tiles, tile: int) -> Cells:
    x, ab, wanted = int(tiles.x[tile]), int(tiles.ab[tile]), tiles.wanted[tile]
    columns = np.arange(nodes.starts[ab], nodes.starts[ab + 1])
    rows = np.arange(nodes.starts[x], nodes.starts[x + 1])
    rows = rows[wanted[nodes.phone[rows]]]
    column_phone = nodes.phone[columns]
    phones = len(nodes.phones)
    errors = np.zeros((phones, phones), np.int64)
    step = max(1, TILE_ROWS // len(columns))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        apart = distances(space, nodes.order[part], nodes.order[columns])
        itself = part - columns[0] if x == ab else np.full(len(part), -1)
        kernels.count_errors(apart, nodes.phone[part], itself, column_phone, errors)
    of_x, of_ab = np.bincount(nodes.phone[rows], minlength=phones), np.bincount(column_phone, minlength=phones)
    triplets = np.outer(of_x * (of_ab - (x == ab)), of_ab)
    np.fill_diagonal(triplets, 0)
    phone, other = np.nonzero(triplets)
    size = triplets[phone, other]
    same = np.ones_like(phone)
    return Cells(
        phone,
        other,
        same * nodes.context[ab],
        same * nodes.speaker[ab],
        same * nodes.speaker[x],
        errors[phone, other] / (2 * size),
        size,
    )


def _means(keys: tuple[np.ndarray, ...], values: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return the different keys and the mean value of each."""
    different, place = np.unique(np.stack(keys), axis=1, return_inverse=True)
    place = place.reshape(-1)
    return tuple(different), np.bincount(place, values) / np.bincount(place)


def collapse(cells: Cells, within_context: bool) -> float:
    """Average the cells: over contexts and speakers of X, over speakers, over pairs of phones.

    In context mode "any" the cells of all speakers weigh the same, as fastabx has it.
    """
    keys: tuple[np.ndarray, ...] = (cells.phone, cells.other, cells.speaker)
    values = cells.error
    if within_context:
        keys, values = _means(keys, values)
    return float(_means(keys[:2], values)[1].mean())


def interval(cells: Cells, within_context: bool, seed: int) -> Interval | None:
    """Return the bootstrap interval over the speakers of A and B."""
    speakers, speaker = np.unique(cells.speaker, return_inverse=True)
    _, pair = np.unique(np.stack([cells.phone, cells.other]), axis=1, return_inverse=True)
    pair = pair.reshape(-1)
    pairs = int(pair.max()) + 1
    shape = (len(speakers), pairs)
    place = np.ravel_multi_index((speaker, pair), shape)
    size = shape[0] * pairs
    sums: np.ndarray = np.bincount(place, cells.error, minlength=size).reshape(shape)
    counts: np.ndarray = np.bincount(place, minlength=size).reshape(shape)
    if within_context:
        sums, counts = sums / np.maximum(counts, 1), np.minimum(counts, 1)

    def value(drawn: np.ndarray) -> np.ndarray:
        above, below = drawn[:, :pairs], drawn[:, pairs:]
        present = below > 0
        return np.where(present, above / np.where(present, below, 1), 0).sum(1) / np.maximum(present.sum(1), 1)

    return bootstrap(np.hstack([sums, counts]), value, over="speakers", seed=seed)


def check_options(options: AbxOptions) -> None:
    """Refuse options that make no sense."""
    for name in ("max_group", "max_x_across"):
        value = getattr(options, name)
        if value is not None and value < (2 if name == "max_group" else 1):
            raise DataError(f"--{name.replace('_', '-')} must be at least {2 if name == 'max_group' else 1} or none")
