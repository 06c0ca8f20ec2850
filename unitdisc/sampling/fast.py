"""Sampling on the CPU, many times faster than step by step in torch, and the same samples for the same uniforms.

The first call compiles the kernel, which takes a few seconds; after that numba's cache has it. Equality with
`unitdisc.sampling.reference` is up to float32 rounding: a uniform within about 1e-6 of the border between two classes
may fall to either side.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling.kernel import runner
from unitdisc.sampling.packed import AHEAD, blank, conditions, pack, round_up
from unitdisc.sampling.request import Request, silence

FOREVER = 2**62  # the hop of no conditions: one row of biases
GIVEN_FLOATS = 2**17  # half a megabyte
SIDE_BY_SIDE = (1, 2, 4, 8)  # how many utterances the kernel is compiled for


class Sampler:
    """Up to 8 utterances under way: give it conditions as they come, and it returns as many steps.

    It holds a copy of the weights as they are when it is built.
    """

    def __init__(self, wavenet: WaveNet, output: Output, batch: int = 1, temperature: float = 1.0) -> None:
        """Pack the weights and begin."""
        self.output, self.temperature = output, temperature
        self._packed = pack(wavenet, output)
        self._weight, self._bias = conditions(wavenet)
        self.begin_(batch)

    def begin_(self, batch: int) -> None:
        """Begin a batch of utterances, and forget the one before."""
        if not 1 <= batch <= SIDE_BY_SIDE[-1]:
            raise UnitdiscError(f"sampling: 1 to {SIDE_BY_SIDE[-1]} utterances go side by side, got {batch}")
        self.batch, self.time = batch, 0
        self._width = next(n for n in SIDE_BY_SIDE if n >= batch)
        self._memory = blank(self._packed, self.output, self._width)

    @torch.no_grad()
    def push(self, condition: Tensor | None, noise: Tensor, hop: int = 1) -> Tensor:
        """Draw the next n steps [B, n] or [B, n, M] for noise [B, n, uniforms], which is `output.noise(uniforms)`.

        Row 0 of the condition [B, rows, C] is that of the next step; where a call ends inside a row's `hop` steps, the
        next call brings that row again.
        """
        steps, width = noise.shape[1], self._width
        noise = _filled(noise.cpu(), width)  # [n, width, uniforms]
        drawn = np.zeros((steps, width, self._packed.input_width), np.float32)
        # What the gates are given is large, so it is made for a few steps at a time and read while in the cache.
        block = max(1, GIVEN_FLOATS // (len(self._bias) * width)) * hop if condition is not None else steps
        rows = None if condition is None else _filled(condition.to("cpu", torch.float32), width)
        for first in range(0, steps, max(block, 1)):
            last, now = min(first + block, steps), self.time + first
            if rows is None or self._weight is None:
                given, hold = self._bias.expand(1, width, -1).contiguous(), FOREVER
            else:
                begin, end = now // hop - self.time // hop, (self.time + last - 1) // hop - self.time // hop + 1
                given, hold = F.linear(rows[begin:end], self._weight, self._bias), hop
            runner(width)(
                self._packed, self._memory, now, given.numpy(), hold,
                noise[first:last].numpy(), self.temperature, drawn[first:last],
            )  # fmt: skip
        self.time += steps
        samples = torch.from_numpy(drawn)[:, : self.batch].transpose(0, 1)
        samples = samples.long() if self.output.embed else samples
        return samples.reshape(self.output.shape(self.batch, steps))

    def keep_(self, batch: int) -> None:
        """Go on with the first utterances only, at a time that is a multiple of AHEAD."""
        assert self.time % AHEAD == 0, self.time
        self.batch, self._width = batch, next(n for n in SIDE_BY_SIDE if n >= batch)
        self._memory = self._memory.keep(self._width)


def _filled(x: Tensor, width: int) -> Tensor:
    """Turn [B, n, D] into [n, width, D] with idle utterances at the end."""
    return F.pad(x[:width], (0, 0, 0, 0, 0, max(0, width - x.shape[0]))).transpose(0, 1).contiguous()


def sample(request: Request) -> Tensor:
    """Draw steps for any number of utterances.

    Utterances of like length go side by side, and as many groups of them at once as torch may use threads.
    """
    samples = silence(request.output, request.batch, request.steps)
    order = sorted(range(request.batch), key=lambda row: -request.lengths[row])
    threads = min(torch.get_num_threads(), len(order))
    size = min(SIDE_BY_SIDE[-1], -(-len(order) // max(threads, 1)))
    groups = [order[i : i + size] for i in range(0, len(order), max(size, 1))]

    def run(group: list[int]) -> None:
        _sample_group(request, group, samples)

    if threads > 1 and len(groups) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, groups))
    else:
        for group in groups:
            run(group)
    return request.silenced_(samples).to(request.noise.device)


def _sample_group(request: Request, rows: list[int], samples: Tensor) -> None:
    """Sample these utterances, longest first, into their rows of samples; halve the group as they end."""
    sampler = Sampler(request.wavenet, request.output, len(rows), request.temperature)
    condition = None if request.condition is None else request.condition[rows]
    noise, lengths, hop = request.noise[rows], [request.lengths[row] for row in rows], request.hop
    alive = len(rows)
    while sampler.time < lengths[0]:
        half = next((n for n in reversed(SIDE_BY_SIDE) if n < alive), 0)
        end = min(round_up(lengths[half], AHEAD), lengths[0])  # where only `half` of them go on
        begin = sampler.time
        if end > begin:
            given = None if condition is None else condition[:alive, begin // hop :]
            samples[rows[:alive], begin:end] = sampler.push(given, noise[:alive, begin:end], hop)
        if end < lengths[0]:
            alive = half
            sampler.keep_(alive)


def stream(request: Request, block: int = 1600) -> Iterator[Tensor]:
    """Yield what `sample` returns, for up to 8 utterances, in blocks [B, up to block] as they are ready."""
    sampler = Sampler(request.wavenet, request.output, request.batch, request.temperature)
    while sampler.time < request.steps:
        begin = sampler.time
        given = None if request.condition is None else request.condition[:, begin // request.hop :]
        samples = sampler.push(given, request.noise[:, begin : begin + block], request.hop)
        yield request.silenced_(samples, begin)
