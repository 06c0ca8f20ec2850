"""Cells: which items are A, B and X of one another, drawn to a bounded number where asked.

A node is what A and B (or X) share besides the phone: a speaker, and in context mode "within" the two neighbours too.
A tile is a node that X comes from and one that A and B come from: in speaker mode "within" the same one, in "across"
two of the same context and of different speakers. All cells (a phone of A and X, a phone of B) of
a tile are scored at once.
"""

from typing import NamedTuple

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.items import Items


class Nodes(NamedTuple):
    """Items sorted by node and phone within it."""

    order: np.ndarray  # [M] int64, item numbers
    phone: np.ndarray  # [M] int64, phone of each
    starts: np.ndarray  # [K + 1] int64, where each node's items start
    context: np.ndarray  # [K] int64; all 0 when any context will do
    speaker: np.ndarray  # [K] int64
    phones: list[str]
    speakers: list[str]


class Tiles(NamedTuple):
    """Pairs of nodes to score, [L]."""

    x: np.ndarray  # int64, node of X
    ab: np.ndarray  # int64, node of A and B
    wanted: np.ndarray  # [L, P] bool, the phones of A and X that this tile scores


def build_nodes(items: Items, within_context: bool, max_group: int | None, seed: int) -> Nodes:
    """Sort items into nodes and keep at most `max_group` of a phone in a node, drawn at random."""
    phones, phone = np.unique(items.phones, return_inverse=True)
    speakers, speaker = np.unique(items.speakers, return_inverse=True)
    context = np.zeros(len(items), np.int64)
    if within_context:
        before, after = (np.unique(side, return_inverse=True)[1] for side in (items.before, items.after))
        context = np.unique(before * (len(phones) + len(items)) + after, return_inverse=True)[1]
    # Shuffled before the stable sort, the first `max_group` of each group are a draw.
    shuffled = np.random.default_rng([seed, 1]).permutation(len(items)) if max_group else np.arange(len(items))
    order = shuffled[np.lexsort((phone[shuffled], speaker[shuffled], context[shuffled]))]
    if max_group:
        key = np.stack([context[order], speaker[order], phone[order]])
        starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        order = order[rank < max_group]
    key = np.stack([context[order], speaker[order]])
    starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
    return Nodes(
        order,
        phone[order],
        np.r_[starts, len(order)],
        context[order[starts]],
        speaker[order[starts]],
        phones.tolist(),
        speakers.tolist(),
    )


def build_tiles(nodes: Nodes, across: bool, max_x_across: int | None, seed: int) -> Tiles:
    """List the tiles that have at least one cell.

    Across speakers, X of a cell come from at most `max_x_across` other speakers. Which they are follows from a random
    ring of the speakers: those nearest to the speaker of A and B that have the phone in this context. So every speaker
    gives X about equally often.
    """
    counts = _phone_counts(nodes)
    tiles = _across(nodes, counts, max_x_across, seed) if across else _within(counts)
    if not len(tiles.x):
        raise DataError(_why_none(nodes, counts, across))
    return tiles


def _phone_counts(nodes: Nodes) -> np.ndarray:
    """Return [K, P]: the items of each phone in each node."""
    counts = np.zeros((len(nodes.speaker), len(nodes.phones)), np.int32)
    node = np.repeat(np.arange(len(nodes.speaker)), np.diff(nodes.starts))
    np.add.at(counts, (node, nodes.phone), 1)
    return counts


def _within(counts: np.ndarray) -> Tiles:
    several = (counts > 0).sum(axis=1) >= 2
    wanted = counts >= 2
    kept = np.flatnonzero(several & wanted.any(axis=1))
    return Tiles(kept, kept, wanted[kept])


def _across(nodes: Nodes, counts: np.ndarray, most: int | None, seed: int) -> Tiles:
    present = counts > 0
    several = present.sum(axis=1) >= 2
    ring = np.random.default_rng([seed, 2]).permutation(len(nodes.speakers))
    edges = np.flatnonzero(np.diff(nodes.context)) + 1
    xs: list[int] = []
    abs_: list[int] = []
    wanted: list[np.ndarray] = []
    for members in np.split(np.arange(len(nodes.context)), edges):
        if len(members) < 2:
            continue
        for ab in members[several[members]].tolist():
            others = members[members != ab]
            away = (ring[nodes.speaker[others]] - ring[nodes.speaker[ab]]) % len(ring)
            nearest = np.argsort(np.minimum(2 * away, 2 * (len(ring) - away) + 1), kind="stable")
            shared = present[others[nearest]] & present[ab]
            if most is not None:
                shared &= np.cumsum(shared, axis=0) <= most
            for x, phones in zip(others[nearest].tolist(), shared, strict=True):
                if phones.any():
                    xs.append(x)
                    abs_.append(ab)
                    wanted.append(phones)
    stacked = np.stack(wanted) if wanted else np.zeros((0, len(nodes.phones)), bool)
    return Tiles(np.asarray(xs, np.int64), np.asarray(abs_, np.int64), stacked)


def _why_none(nodes: Nodes, counts: np.ndarray, across: bool) -> str:
    start = "no A, B and X can be formed from the items: "
    if len(nodes.phones) < 2:
        return f"{start}all are of the phone {nodes.phones[0]!r}; at least two phones are needed"
    if across and len(nodes.speakers) < 2:
        return f"{start}all are of the speaker {nodes.speakers[0]!r}; use --speaker within"
    if not ((counts > 0).sum(axis=1) >= 2).any():
        return f"{start}no two phones share speaker and context; use --context any, or more data"
    return start + (
        "no phone has a second speaker in the same context; use --context any, --speaker within, or more data"
        if across
        else "no phone occurs twice for a speaker in a context that has a second phone; use --context any, or more data"
    )
