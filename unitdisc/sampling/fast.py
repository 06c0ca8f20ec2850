"""Sampling on the CPU, many times faster than step by step in torch, and the same samples for the same uniforms.

The first call compiles the kernel, for some ten seconds; after that numba's cache has it. Equality with
`unitdisc.sampling.reference` is up to float32 rounding: a uniform within about 1e-6 of the border between two classes
may fall to either side.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling.kernel import runner
from unitdisc.sampling.packed import AHEAD, blank, conditions, pack

FOREVER = 2**62  # the hop of no conditions: one row of biases
GIVEN_FLOATS = 2**17  # half a megabyte
SIDE_BY_SIDE = (1, 2, 4, 8)  # how many utterances the kernel is compiled for


class Sampler:
    """Utterances under way, side by side: give it conditions as they come, and it returns as many steps.

    It holds a copy of the weights as they are when it is built.
    """

    def __init__(self, wavenet: WaveNet, output: Output, batch: int = 1, temperature: float = 1.0) -> None:
        """Begin a batch of utterances; up to 8 go at once."""
        self.output, self.batch, self.temperature, self.time = output, batch, temperature, 0
        self._packed = pack(wavenet, output)
        self._weight, self._bias = conditions(wavenet)
        self._width = next(n for n in SIDE_BY_SIDE if n >= batch)
        self._memory = blank(self._packed, output, self._width)

    @torch.no_grad()
    def push(self, condition: Tensor | None, noise: Tensor, hop: int = 1) -> Tensor:
        """Draw the next n steps [B, n] or [B, n, M], for condition [B, ceil(n / hop), C] and noise [B, n, uniforms].

        The noise is `output.noise(uniforms)`. With a hop, a call begins at a new row of conditions.
        """
        steps, width = noise.shape[1], self._width
        noise = _filled(noise.cpu(), width)  # [n, width, uniforms]
        drawn = np.zeros((steps, width, self._packed.input_width), np.float32)
        # What the gates are given is large, so it is made for a few steps at a time and read while in the cache.
        block = max(1, GIVEN_FLOATS // (len(self._bias) * width)) * hop if condition is not None else steps
        rows = None if condition is None else _filled(condition.to("cpu", torch.float32), width)
        for first in range(0, steps, block):
            last = min(first + block, steps)
            if rows is None or self._weight is None:
                given, hold = self._bias.expand(1, width, -1).contiguous(), FOREVER
            else:
                given, hold = F.linear(rows[first // hop : -(-last // hop)], self._weight, self._bias), hop
            runner(width)(
                self._packed, self._memory, self.time + first, given.numpy(), hold,
                noise[first:last].numpy(), self.temperature, drawn[first:last],
            )  # fmt: skip
        self.time += steps
        samples = torch.from_numpy(drawn)[:, : self.batch].transpose(0, 1)
        samples = samples.long() if self.output.embed else samples
        return samples.reshape(self.output.shape(self.batch, steps))

    def keep_(self, rows: list[int]) -> None:
        """Go on with some of the utterances, at a time that is a multiple of AHEAD."""
        assert self.time % AHEAD == 0, self.time
        self.batch, self._width = len(rows), next(n for n in SIDE_BY_SIDE if n >= len(rows))
        self._memory = self._memory.keep(rows + rows[:1] * (self._width - len(rows)))


def _filled(x: Tensor, width: int) -> Tensor:
    """Turn [B, n, D] into [n, width, D] with idle utterances at the end."""
    return F.pad(x, (0, 0, 0, 0, 0, width - x.shape[0])).transpose(0, 1).contiguous()
