"""The CPU kernel: steps of up to 8 utterances side by side, compiled by numba for 1, 2, 4 and 8 of them.

Per step a waveform decoder reads some 2 MB of weights for 1 MFLOP, so reading them is what takes the time. Hence:
the products of past taps, which are known early, are made for AHEAD / B steps at once, and everything else for B
utterances at once; each weight that is read serves all these rows. The compiled code is kept in numba's cache.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

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
)

VECTORS = PANEL // LANES  # a constant to numba, which an expression is not


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


@cache
def runner(batch: int) -> Callable[..., Any]:
    """Return the compiled kernel for this many utterances, 1, 2, 4 or 8.

    run(packed, memory, time, given [rows, B, layers * pre], hop, noise [n, B, uniforms], temperature, drawn [n, B, D])
    draws n steps from step `time` on; the first row of `given` belongs to the step `time // hop * hop`.
    """
    ahead = AHEAD // batch

    @njit(cache=True, nogil=True)
    def run(packed, memory, time, given, hop, noise, temperature, drawn):  # type: ignore[no-untyped-def]
        weights, layers, taps = packed.weights, packed.layers, packed.kernel
        residual, half, pre, skip, stream = packed.residual, packed.half, packed.pre, packed.skip, packed.stream
        count, inner = len(layers), packed.input_inputs
        rings, inputs, partial = memory.rings.ravel(), memory.inputs.ravel(), memory.pre.ravel()
        flat_given = given.ravel()
        x = np.zeros(batch * stream, np.float32)
        z = np.ones(batch * (half + 16), np.float32)  # what is past the end stays 1, the input of the biases
        a = np.ones(batch * (skip + 16), np.float32)
        hidden_row = packed.hidden + PANEL
        b = np.zeros(batch * hidden_row, np.float32)
        c = np.ones(batch * (packed.hidden + 16), np.float32)
        params = np.zeros(batch * packed.params, np.float32)
        work = np.zeros(4 * packed.params + 128, np.float32)
        for step in range(len(drawn)):
            now = time + step
            if now % ahead == 0:
                partial[: count * ahead * batch * pre] = 0.0
                for layer in range(count):
                    info = layers[layer]
                    for tap in range(taps):
                        at, back = info[TAPS + 2 * tap], info[TAPS + 2 * tap + 1]
                        if back < ahead or back % ahead != 0:
                            continue
                        row = info[RING_AT] + (now - back) % info[RING_ROWS]
                        for o in range(0, pre, PANEL):
                            product(
                                weights, at + o * residual, rings, row * batch * residual, residual, residual,
                                partial, layer * ahead * batch * pre + o, pre, VECTORS, AHEAD,
                            )  # fmt: skip
            slot = now % ahead

            row = now % packed.input_rows
            for u in range(batch):
                for i in range(packed.input_width):
                    inputs[(row * batch + u) * packed.input_width + i] = memory.last[0, u, i]
                copy(packed.start, 0, x, u * stream, stream)
            for tap in range(taps):
                row = (now - (taps - 1 - tap)) % packed.input_rows * batch * packed.input_width
                if packed.embed:
                    for u in range(batch):
                        drawn_class = int(inputs[row + u])
                        if drawn_class >= 0:
                            at = packed.input_at[tap] + drawn_class * residual
                            add(weights, at, x, u * stream, residual)
                else:
                    width = (residual + PANEL - 1) // PANEL * PANEL
                    for o in range(0, width, PANEL):
                        product(
                            weights, packed.input_at[tap] + o * inner, inputs, row, inner, inner,
                            x, o, stream, VECTORS, batch,
                        )  # fmt: skip

            condition = ((now // hop) - (time // hop)) * batch * count * pre
            for layer in range(count):
                info = layers[layer]
                here = (info[RING_AT] + now % info[RING_ROWS]) * batch * residual
                for u in range(batch):
                    copy(x, u * stream, rings, here + u * residual, residual)
                sums = (layer * ahead + slot) * batch * pre
                for tap in range(taps):
                    at, back = info[TAPS + 2 * tap], info[TAPS + 2 * tap + 1]
                    if back >= ahead and back % ahead == 0:
                        continue
                    row = (info[RING_AT] + (now - back) % info[RING_ROWS]) * batch * residual
                    for o in range(0, pre, PANEL):
                        product(
                            weights, at + o * residual, rings, row, residual, residual,
                            partial, sums + o, pre, VECTORS, batch,
                        )  # fmt: skip
                for u in range(batch):
                    at = condition + (u * count + layer) * pre
                    for i in range(0, half, 16):
                        gate(partial, sums + u * pre + i, flat_given, at + i, half, z, u * (half + 16) + i)
                for o in range(0, info[MIX_WIDTH], PANEL):
                    product(
                        weights, info[MIX_AT] + o * (half + 1), z, 0, half + 16, half + 1,
                        x, info[MIX_TO] + o, stream, VECTORS, batch,
                    )  # fmt: skip

            b[:] = 0.0
            params[:] = 0.0
            for u in range(batch):
                rectify(x, u * stream + residual, a, u * (skip + 16), skip)
            for o in range(0, packed.hidden, PANEL):
                product(
                    weights, packed.hidden_at + o * (skip + 1), a, 0, skip + 16, skip + 1,
                    b, o, hidden_row, VECTORS, batch,
                )  # fmt: skip
            for u in range(batch):
                rectify(b, u * hidden_row, c, u * (packed.hidden + 16), packed.hidden)
            for o in range(0, packed.params, PANEL):
                product(
                    weights, packed.output_at + o * (packed.hidden + 1), c, 0, packed.hidden + 16, packed.hidden + 1,
                    params, o, packed.params, VECTORS, batch,
                )  # fmt: skip
            for u in range(batch):
                _draw(
                    packed.kind, packed.classes, packed.levels, packed.log_scale_min, params, u * packed.params,
                    noise[step, u], temperature, drawn[step, u], work,
                )  # fmt: skip
                memory.last[0, u] = drawn[step, u]

    return run
