"""Sampling on a GPU: a block of steps is recorded once as a CUDA graph and replayed, so Python drops out of the loop.

On another device the same steps run one by one; that is what a CPU tests, and the cached loop that `fast` is timed
against.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling.inputs import prepare, silence, silenced_
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
            self.graph.replay()
        return self.drawn[:, : len(noise)].clone()


@torch.no_grad()
def stream(
    wavenet: WaveNet,
    output: Output,
    condition: Tensor | None = None,
    lengths: Tensor | None = None,
    uniforms: Tensor | None = None,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    hop: int = 1,
    block: int = BLOCK,
) -> Iterator[Tensor]:
    """Yield steps in blocks [B, up to block]; the arguments are those of `unitdisc.sampling.inputs`."""
    inputs = prepare(wavenet, output, condition, lengths, uniforms, generator, temperature, hop)
    batch = len(inputs.lengths)
    recorded = Recorded(Stepper(wavenet, output, batch, temperature), min(block, max(inputs.steps, 1)))
    for begin in range(0, inputs.steps, recorded.block):
        end = min(begin + recorded.block, inputs.steps)
        given = recorded.stepper.given(None)
        if condition is not None:
            rows = torch.arange(begin, end, device=condition.device) // hop - begin // hop
            given = recorded.stepper.given(condition[:, begin // hop : (end - 1) // hop + 1])[:, rows].transpose(0, 1)
        samples = recorded.advance(given.expand(end - begin, batch, -1), inputs.noise[:, begin:end].transpose(0, 1))
        yield silenced_(samples, output, [max(0, length - begin) for length in inputs.lengths])


def sample(
    wavenet: WaveNet,
    output: Output,
    condition: Tensor | None = None,
    lengths: Tensor | None = None,
    uniforms: Tensor | None = None,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    hop: int = 1,
) -> Tensor:
    """Draw steps; the arguments are those of `unitdisc.sampling.inputs`."""
    blocks = list(stream(wavenet, output, condition, lengths, uniforms, generator, temperature, hop))
    batch = 0 if lengths is None else len(lengths)
    return torch.cat(blocks, 1) if blocks else silence(output, batch, 0, wavenet.output.weight.device)
