"""Encode in blocks of one fixed shape, so that a unit never depends on what else is computed beside it.

Convolutions in float32 round differently for different shapes and numbers of threads (measured on one CPU thread: with
256 channels, 83 % of the outputs change in their last bits between a batch of 8 and one of 16), and now and then that
flips which of 2048 codewords is nearest (1 of 131,200 units of real speech). So units are always computed with the same
shapes: one row of one block, with as much context on both sides as the encoder's receptive field asks for, on one
thread. Whole utterances and streams are cut at the same places, so they give the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from unitdisc.processes import single_thread

BLOCK = 256  # frames whose units one block makes
STEP = 32  # units by which last blocks differ
TOGETHER = 64  # blocks that a GPU computes at once, the last ones beside zeros

# (frames [N, W, D], lengths [N], first unit, last unit + 1) -> tensors [N, units, ...] of these units
Compute = Callable[[Tensor, Tensor, int, int], tuple[Tensor, ...]]


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Use one thread on a CPU for the length of a with block; on a GPU, no reduced precision."""
    with single_thread() if device.type == "cpu" else _full_precision():
        yield


@contextmanager
def _full_precision() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


class BlockEncoder:
    """One utterance's frames, pushed in pieces of any size, to the tensors that `compute` makes of each block."""

    def __init__(self, compute: Compute, stride: int, context: int, block: int = BLOCK) -> None:
        """Prepare for an encoder of a stride, whose units depend on so many frames on either side of their own."""
        self._compute, self._stride = compute, stride
        self._units = max(block // stride, 1)
        self._side = -(-context // stride)  # units
        self.width = (self._units + 2 * self._side) * stride  # frames that one block reads
        self._rest: Tensor | None = None  # [T, D] frames not done with
        self._first = 0  # unit at which the rest begins
        self._next = 0  # unit to be made next
        self._total = 0  # frames pushed so far

    def push(self, frames: Tensor) -> list[tuple[Tensor, ...]]:
        """Take frames [T, D]; return what blocks are complete now."""
        self._rest = frames if self._rest is None else torch.cat([self._rest, frames])
        self._total += frames.shape[0]
        done = []
        while self._rest.shape[0] >= self.width:
            done.append(self._block(self.width))
        return done

    def finish(self) -> list[tuple[Tensor, ...]]:
        """Return the last blocks; afterwards the next utterance may be pushed."""
        done = []
        while self._rest is not None and self._next < -(-self._total // self._stride):
            done.append(self._block(min(self._rest.shape[0], self.width)))
        self._rest, self._first, self._next, self._total = None, 0, 0, 0
        return done

    def many(self, rows: Sequence[Tensor], together: int = TOGETHER) -> list[tuple[Tensor, ...]]:
        """Return what whole utterances [T, D] make, tensors [units, ...] each, their blocks computed side by side.

        All blocks have one shape, as when they come one by one, and those computed at once are always as many.
        """
        places = [(n, k) for n, row in enumerate(rows) for k in range(-(-len(row) // (self._units * self._stride)))]
        made: dict[tuple[int, int], tuple[Tensor, ...]] = {}
        for skip in sorted({min(k * self._units, self._side) for _, k in places}):  # the first has nothing before it
            ours = [(n, k) for n, k in places if min(k * self._units, self._side) == skip]
            for first in range(0, len(ours), together):
                made |= self._together(rows, ours[first : first + together], skip, together)
        return [
            tuple(torch.cat(parts) for parts in zip(*(made[m, k] for m, k in places if m == n), strict=True))
            for n in range(len(rows))
        ]

    def _together(
        self, rows: Sequence[Tensor], places: list[tuple[int, int]], skip: int, together: int
    ) -> dict[tuple[int, int], tuple[Tensor, ...]]:
        frames = rows[0].new_zeros(together, self.width, rows[0].shape[1])
        lengths = torch.ones(together, dtype=torch.int64)
        for place, (n, k) in enumerate(places):
            window = rows[n][(k * self._units - skip) * self._stride :][: self.width]
            frames[place, : len(window)] = window
            lengths[place] = len(window)
        parts = self._compute(frames, lengths, skip, skip + self._units)
        units = [-(-int(n) // self._stride) - skip for n in lengths]
        return {key: tuple(part[place, : units[place]] for part in parts) for place, key in enumerate(places)}

    def _block(self, valid: int) -> tuple[Tensor, ...]:
        """Compute the block at the start of the rest, of which so many frames are there, and drop what is done."""
        assert self._rest is not None
        rest = self._rest[: self.width]
        frames = F.pad(rest, (0, 0, 0, self.width - rest.shape[0]))[None]
        skip = self._next - self._first
        units = min(-(-valid // self._stride) - skip, self._units)
        # The last block of an utterance is as long as it must be, in steps: always the same for the same utterance.
        count = min(-(-units // STEP) * STEP, self._units)
        made = self._compute(frames, torch.tensor([valid]), skip, skip + count)
        self._next += units
        first = max(self._next - self._side, 0)
        self._rest = self._rest[(first - self._first) * self._stride :]
        self._first = first
        return tuple(part[:, :units] for part in made)
