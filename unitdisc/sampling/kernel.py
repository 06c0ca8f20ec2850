"""The CPU kernel: steps of up to 8 utterances side by side, compiled by numba for 1, 2, 4 and 8 of them.

Per step a waveform decoder reads some 2 MB of weights for 1 MFLOP, so reading them is what takes the time. Hence:
the products of past taps, which are known early, are made for AHEAD / B steps at once, and everything else for B
utterances at once; each weight that is read serves all these rows. The compiled code is kept in numba's cache.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from unitdisc.sampling.lanes import LANES, add, copy, exponentials, gate, product, rectify
from unitdisc.sampling.packed import (
    AHEAD,
    MIX_AT,
    MIX_TO,
    MIX_WIDTH,
    MIXTURE,
    PANEL,
    RING_AT,
    RING_ROWS,
    SCALED,
    SOFTMAX,
    TAPS,
    Memory,
    PackedWeights,
)

VECTORS = PANEL // LANES  # a constant to numba, which an expression is not

# A part of `run`, written into it when it is compiled, so that `batch` stays a constant and a call costs nothing.
_part = njit(inline="always")


class Work(NamedTuple):
    """Where a call computes: the memory and the conditions, flat, and the vectors of one step of B utterances."""

    rings: np.ndarray
    inputs: np.ndarray
    early: np.ndarray  # sums over past taps
    given: np.ndarray
    stream: np.ndarray  # [B, stream]: residual and skips
    gated: np.ndarray  # [B, half + 16]; what is past the end stays 1, the input of the biases
    skips: np.ndarray  # [B, skip + 16], likewise
    hidden: np.ndarray  # [B, hidden + PANEL]
    rectified: np.ndarray  # [B, hidden + 16], with ones at the end
    params: np.ndarray  # [B, params]
    drawing: np.ndarray


@njit(cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _largest(x: np.ndarray, at: int, count: int) -> float:
    largest = x[at]
    for i in range(at + 1, at + count):
        largest = max(largest, x[i])
    return largest


@njit(cache=True)
def _choose(x: np.ndarray, at: int, count: int, uniform: float, temperature: float, work: np.ndarray) -> int:
    """Draw a class by the inverse of the cumulated distribution; `work` holds twice as many floats."""
    largest = _largest(x, at, count)
    if temperature == 0.0:
        where = 0
        while x[at + where] != largest:
            where += 1
        return where
    for i in range(count, (count + 15) // 16 * 16):
        x[at + i] = -1e30
    blocks = (count + 15) // 16
    total = 0.0
    for i in range(blocks):
        mass = exponentials(x, at + 16 * i, np.float32(largest), np.float32(1.0 / temperature), work, 16 * i)
        work[16 * blocks + i] = mass
        total += mass
    target, below, first = uniform * total, 0.0, 0
    while first < blocks - 1 and below + work[16 * blocks + first] <= target:
        below += work[16 * blocks + first]
        first += 1
    for i in range(16 * first, count):
        below += work[i]
        if below > target:
            return i
    return count - 1


@njit(cache=True)
def _draw(
    kind: int, count: int, levels: int, log_scale_min: float, x: np.ndarray, at: int, noise: np.ndarray,
    temperature: float, drawn: np.ndarray, work: np.ndarray,
) -> None:  # fmt: skip
    """Draw a step from the parameters x[at:], as `Output.draw` does."""
    if kind == SOFTMAX:
        drawn[0] = _choose(x, at, count, noise[0], temperature, work)
    elif kind == MIXTURE:
        # The choice pads its logits in place, over the first means: so they are read first.
        for i in range(3 * count):
            work[64 + i] = x[at + i]
        chosen = _choose(x, at, count, noise[0], temperature, work[64 + 3 * count :])
        mean, log_scale = work[64 + count + chosen], work[64 + 2 * count + chosen]
        value = mean + temperature * np.exp(max(log_scale, np.float32(log_scale_min))) * noise[1]
        step = 2.0 / (levels - 1)
        drawn[0] = np.floor((min(max(value, -1.0), 1.0) + 1.0) / step + 0.5) * step - 1.0
    else:
        for i in range(count):
            drawn[i] = x[at + i]
            if kind == SCALED:
                scale = np.exp(max(x[at + count + i], np.float32(log_scale_min)))
                drawn[i] += temperature * scale * noise[i]


@_part
def _begin(batch: int, packed: PackedWeights, memory: Memory, given: np.ndarray) -> Work:
    """Return where a call computes."""
    return Work(
        memory.rings.ravel(), memory.inputs.ravel(), memory.pre.ravel(), given.ravel(),
        np.zeros(batch * packed.stream, np.float32), np.ones(batch * (packed.half + 16), np.float32),
        np.ones(batch * (packed.skip + 16), np.float32), np.zeros(batch * (packed.hidden + PANEL), np.float32),
        np.ones(batch * (packed.hidden + 16), np.float32), np.zeros(batch * packed.params, np.float32),
        np.zeros(4 * packed.params + 128, np.float32),
    )  # fmt: skip


@_part
def _sum_early(batch: int, ahead: int, packed: PackedWeights, work: Work, now: int) -> None:
    """Sum, for the next `ahead` steps at once, over the taps that look back at least as far."""
    residual, pre, count = packed.residual, packed.pre, len(packed.layers)
    work.early[: count * ahead * batch * pre] = 0.0
    for layer in range(count):
        info = packed.layers[layer]
        for tap in range(packed.kernel):
            at, back = info[TAPS + 2 * tap], info[TAPS + 2 * tap + 1]
            if back < ahead or back % ahead != 0:
                continue
            row = (info[RING_AT] + (now - back) % info[RING_ROWS]) * batch * residual
            for o in range(0, pre, PANEL):
                product(
                    packed.weights, at + o * residual, work.rings, row, residual, residual,
                    work.early, layer * ahead * batch * pre + o, pre, VECTORS, AHEAD,
                )  # fmt: skip


@_part
def _read(batch: int, packed: PackedWeights, memory: Memory, work: Work, now: int) -> None:
    """Write the convolution of the steps drawn last into the stream."""
    width, residual, inner, taps = packed.input_width, packed.residual, packed.input_inputs, packed.kernel
    row = now % packed.input_rows
    for u in range(batch):
        for i in range(width):
            work.inputs[(row * batch + u) * width + i] = memory.last[0, u, i]
        copy(packed.start, 0, work.stream, u * packed.stream, packed.stream)
    for tap in range(taps):
        row = (now - (taps - 1 - tap)) % packed.input_rows * batch * width
        if packed.embed:
            for u in range(batch):
                drawn_class = int(work.inputs[row + u])
                if drawn_class >= 0:
                    at = packed.input_at[tap] + drawn_class * residual
                    add(packed.weights, at, work.stream, u * packed.stream, residual)
        else:
            for o in range(0, (residual + PANEL - 1) // PANEL * PANEL, PANEL):
                product(
                    packed.weights, packed.input_at[tap] + o * inner, work.inputs, row, inner, inner,
                    work.stream, o, packed.stream, VECTORS, batch,
                )  # fmt: skip


@_part
def _pass(batch: int, ahead: int, packed: PackedWeights, work: Work, now: int, condition: int) -> None:
    """Take the stream through the layers, whose gates are given the floats from `condition` on."""
    residual, half, pre, count = packed.residual, packed.half, packed.pre, len(packed.layers)
    for layer in range(count):
        info = packed.layers[layer]
        here = (info[RING_AT] + now % info[RING_ROWS]) * batch * residual
        for u in range(batch):
            copy(work.stream, u * packed.stream, work.rings, here + u * residual, residual)
        sums = (layer * ahead + now % ahead) * batch * pre
        for tap in range(packed.kernel):
            at, back = info[TAPS + 2 * tap], info[TAPS + 2 * tap + 1]
            if back >= ahead and back % ahead == 0:
                continue
            row = (info[RING_AT] + (now - back) % info[RING_ROWS]) * batch * residual
            for o in range(0, pre, PANEL):
                product(
                    packed.weights, at + o * residual, work.rings, row, residual, residual,
                    work.early, sums + o, pre, VECTORS, batch,
                )  # fmt: skip
        for u in range(batch):
            at = condition + (u * count + layer) * pre
            for i in range(0, half, 16):
                gate(work.early, sums + u * pre + i, work.given, at + i, half, work.gated, u * (half + 16) + i)
        for o in range(0, info[MIX_WIDTH], PANEL):
            product(
                packed.weights, info[MIX_AT] + o * (half + 1), work.gated, 0, half + 16, half + 1,
                work.stream, info[MIX_TO] + o, packed.stream, VECTORS, batch,
            )  # fmt: skip


@_part
def _finish(batch: int, packed: PackedWeights, work: Work) -> None:
    """Write the parameters of the step's distribution, from the skips in the stream."""
    skip, hidden, params, hidden_row = packed.skip, packed.hidden, packed.params, packed.hidden + PANEL
    work.hidden[:] = 0.0
    work.params[:] = 0.0
    for u in range(batch):
        rectify(work.stream, u * packed.stream + packed.residual, work.skips, u * (skip + 16), skip)
    for o in range(0, hidden, PANEL):
        product(
            packed.weights, packed.hidden_at + o * (skip + 1), work.skips, 0, skip + 16, skip + 1,
            work.hidden, o, hidden_row, VECTORS, batch,
        )  # fmt: skip
    for u in range(batch):
        rectify(work.hidden, u * hidden_row, work.rectified, u * (hidden + 16), hidden)
    for o in range(0, params, PANEL):
        product(
            packed.weights, packed.output_at + o * (hidden + 1), work.rectified, 0, hidden + 16, hidden + 1,
            work.params, o, params, VECTORS, batch,
        )  # fmt: skip


@cache
def runner(batch: int) -> Callable[..., Any]:
    """Return the compiled kernel for this many utterances, 1, 2, 4 or 8.

    run(packed, memory, time, given [rows, B, layers * pre], hop, noise [n, B, uniforms], temperature, drawn [n, B, D])
    draws n steps from step `time` on; the first row of `given` belongs to the step `time // hop * hop`.
    """
    ahead = AHEAD // batch

    @njit(cache=True, nogil=True)
    def run(packed, memory, time, given, hop, noise, temperature, drawn):  # type: ignore[no-untyped-def]
        work = _begin(batch, packed, memory, given)
        row = batch * len(packed.layers) * packed.pre
        for step in range(len(drawn)):
            now = time + step
            if now % ahead == 0:
                _sum_early(batch, ahead, packed, work, now)
            _read(batch, packed, memory, work, now)
            _pass(batch, ahead, packed, work, now, (now // hop - time // hop) * row)
            _finish(batch, packed, work)
            for u in range(batch):
                _draw(
                    packed.kind, packed.classes, packed.levels, packed.log_scale_min, work.params, u * packed.params,
                    noise[step, u], temperature, drawn[step, u], work.drawing,
                )  # fmt: skip
                memory.last[0, u] = drawn[step, u]

    return run
