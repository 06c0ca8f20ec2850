"""Sampling on a GPU: a block of steps is recorded once as a CUDA graph and replayed, so Python drops out of the loop.

On another device the same steps run one by one; that is what a CPU tests, and the cached loop that `fast` is timed
against.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from unitdisc.sampling.request import Request, silence
from unitdisc.sampling.steps import Stepper

BLOCK = 64  # steps per graph: long enough to hide the launch, short enough to record quickly


class Recorded:
    """A Stepper and the buffers of one block; on a GPU its steps are a graph."""

    def __init__(self, stepper: Stepper, block: int = BLOCK) -> None:
        """Record a block of steps; the stepper begins anew afterwards."""
        self.stepper, self.block = stepper, block
        like, output = stepper.bias, stepper.output
        self.given = like.expand(block, stepper.batch, -1).clone()
        self.noise = output.noise(torch.full((block, stepper.batch, output.uniforms), 0.5, device=like.device))
        self.drawn = silence(output, stepper.batch, block, like.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if like.is_cuda:
            with torch.cuda.device(like.device):  # whose streams are meant below, of several GPUs
                self._record()

    def _record(self) -> None:
        aside = torch.cuda.Stream()  # libraries allocate at their first use, which a graph must not hold
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._steps()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._steps()
        self.stepper.begin_()

    def _steps(self) -> None:
        for step in range(self.block):
            self.drawn[:, step] = self.stepper(self.given[step], self.noise[step])

    def advance(self, given: Tensor, noise: Tensor) -> Tensor:
        """Draw a block of steps from given [n <= block, B, layers * gate] and noise [n, B, uniforms]."""
        self.given[: len(given)] = given
        self.noise[: len(noise)] = noise
        if self.graph is None:
            self._steps()
        else:
            with torch.cuda.device(self.given.device):
                self.graph.replay()
        return self.drawn[:, : len(noise)].clone()


@torch.no_grad()
def stream(request: Request, block: int = BLOCK) -> Iterator[Tensor]:
    """Yield steps in blocks [B, up to block]."""
    condition, hop = request.condition, request.hop
    stepper = Stepper(request.wavenet, request.output, request.batch, request.temperature)
    recorded = Recorded(stepper, min(block, max(request.steps, 1)))
    for begin in range(0, request.steps, recorded.block):
        end = min(begin + recorded.block, request.steps)
        given = stepper.given(None)
        if condition is not None:
            rows = torch.arange(begin, end, device=condition.device) // hop - begin // hop
            given = stepper.given(condition[:, begin // hop : (end - 1) // hop + 1])[:, rows].transpose(0, 1)
        noise = request.noise[:, begin:end].transpose(0, 1)
        yield request.silenced_(recorded.advance(given.expand(end - begin, request.batch, -1), noise), begin)


def sample(request: Request) -> Tensor:
    """Draw steps."""
    blocks = list(stream(request))
    return torch.cat(blocks, 1) if blocks else silence(request.output, request.batch, 0, request.noise.device)
