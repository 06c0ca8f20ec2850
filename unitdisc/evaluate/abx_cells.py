"""Cells: which items are A, B and X of one another, drawn to a bounded number where asked.

A group is the items of one phone in one node. A node is what A and B share besides the phone: the speaker, and in
context mode "within" the two neighbours too. A leg is a group of X with a group of A, of the same phone; it makes a
cell with every other group of A's node, which is B. A tile is all legs from one node to one node: their distances are
computed together.
"""

from typing import NamedTuple

import numpy as np

from unitdisc.errors import TooFewError
from unitdisc.evaluate.items import Items


class Groups(NamedTuple):
    """Items sorted by node, and by phone within it."""

    order: np.ndarray  # [M] int64, item numbers
    first: np.ndarray  # [G + 1] int64, where each group starts in `order`
    phone: np.ndarray  # [G] int64
    node: np.ndarray  # [G] int64
    node_first: np.ndarray  # [K + 1] int64, each node's first group
    node_speaker: np.ndarray  # [K] int64
    node_context: np.ndarray  # [K] int64; all 0 when any context will do
    phones: list[str]
    speakers: list[str]

    @property
    def sizes(self) -> np.ndarray:
        """Return the items of each group, [G]."""
        return np.diff(self.first)


class Legs(NamedTuple):
    """Groups of X and A, sorted by tile."""

    x: np.ndarray  # [L] int64, group of X
    a: np.ndarray  # [L] int64, group of A
    cell: np.ndarray  # [L + 1] int64, number of each leg's first cell
    tile: np.ndarray  # [T + 1] int64, first leg of each tile


def build_groups(items: Items, within_context: bool, max_group: int | None, seed: int) -> Groups:
    """Sort items into groups and keep at most `max_group` of each, drawn at random."""
    phones, phone = np.unique(items.phones, return_inverse=True)
    speakers, speaker = np.unique(items.speakers, return_inverse=True)
    context = np.zeros(len(items), np.int64)
    if within_context:
        before, after = (np.unique(side, return_inverse=True)[1] for side in (items.before, items.after))
        context = before * len(items) + after
    # Shuffled before the stable sort, the first `max_group` of each group are a draw.
    shuffled = np.random.default_rng([seed, 1]).permutation(len(items)) if max_group else np.arange(len(items))
    order = shuffled[np.lexsort((phone[shuffled], speaker[shuffled], context[shuffled]))]
    first = _starts(context[order], speaker[order], phone[order])
    if max_group:
        rank = np.arange(len(order)) - np.repeat(first[:-1], np.diff(first))
        order = order[rank < max_group]
        first = np.r_[0, np.cumsum(np.minimum(np.diff(first), max_group))]
    head = order[first[:-1]]
    node_first = _starts(context[head], speaker[head])
    node_head = head[node_first[:-1]]
    return Groups(
        order,
        first,
        phone[head],
        np.repeat(np.arange(len(node_head)), np.diff(node_first)),
        node_first,
        speaker[node_head],
        np.unique(context[node_head], return_inverse=True)[1],
        phones.tolist(),
        speakers.tolist(),
    )


def _starts(*keys: np.ndarray) -> np.ndarray:
    """Return where runs of equal keys start, and the end."""
    key = np.stack(keys)
    return np.r_[0, np.flatnonzero((key[:, 1:] != key[:, :-1]).any(axis=0)) + 1, key.shape[1]]


def build_legs(groups: Groups, across: bool, max_x_across: int | None, seed: int) -> Legs:
    """List what is to be scored."""
    several = np.diff(groups.node_first)[groups.node] >= 2  # there is a B
    if across:
        x, a = _other_speakers(groups, max_x_across, seed)
        x, a = x[several[a]], a[several[a]]
    else:
        x = a = np.flatnonzero(several & (groups.sizes >= 2))
    if not len(a):
        raise TooFewError(_why_none(groups, several, across))
    order = np.lexsort((x, groups.node[x], groups.node[a]))
    x, a = x[order], a[order]
    cells = np.diff(groups.node_first)[groups.node[a]] - 1
    return Legs(x, a, np.r_[0, np.cumsum(cells)], _starts(groups.node[a], groups.node[x]))


def work_of(groups: Groups, legs: Legs, count: np.ndarray) -> np.ndarray:
    """Return the pairs of frames of each tile, [T], of items with so many frames [N]."""
    before = np.r_[0, np.cumsum(count[groups.order])]
    frames = np.diff(before[groups.first])
    in_node = np.diff(before[groups.first[groups.node_first]])
    rows = np.add.reduceat(frames[legs.x], legs.tile[:-1])
    return rows.astype(np.float64) * in_node[groups.node[legs.a[legs.tile[:-1]]]]


def _other_speakers(groups: Groups, most: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pair each group of A with groups of X of its phone and context, by at most `most` other speakers.

    The speakers stand in a random ring; among those who have the phone in this context, X comes from the nearest. So
    the draw is balanced: each group is X as often as it is A.
    """
    ring = np.random.default_rng([seed, 2]).permutation(len(groups.speakers))
    context = groups.node_context[groups.node]
    order = np.lexsort((ring[groups.node_speaker[groups.node]], groups.phone, context))
    starts = _starts(context[order], groups.phone[order])
    size = np.repeat(np.diff(starts), np.diff(starts))
    start = np.repeat(starts[:-1], np.diff(starts))
    place = np.arange(len(order)) - start
    xs, as_ = [order[:0]], [order[:0]]
    for k in range(min(int(size.max()) - 1, len(ring) if most is None else most)):
        step = (k // 2 + 1) * (1 if k % 2 == 0 else -1)  # the next, the one before, the second next, ...
        left = np.flatnonzero(size - 1 > k)
        xs.append(order[start[left] + (place[left] + step) % size[left]])
        as_.append(order[left])
    return np.concatenate(xs), np.concatenate(as_)


def _why_none(groups: Groups, several: np.ndarray, across: bool) -> str:
    start = "no A, B and X can be formed from the items: "
    if len(groups.phones) < 2:
        return f"{start}all are of the phone {groups.phones[0]!r}; at least two phones are needed"
    if across and len(groups.speakers) < 2:
        return f"{start}all are of the speaker {groups.speakers[0]!r}; use --speaker within"
    if not several.any():
        return f"{start}no two phones share speaker and context; use --context any, or more data"
    return start + (
        "no phone has a second speaker in the same context; use --context any, --speaker within, or more data"
        if across
        else "no phone occurs twice for a speaker in a context that has a second phone; use --context any, or more data"
    )
