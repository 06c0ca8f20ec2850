"""Drawing from a WaveNet, step by step: the specification, and the same samples faster on CPU and GPU.

`sample` and `stream` take the arguments that `unitdisc.sampling.inputs` describes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet


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
    """Draw steps [B, T] or [B, T, M] in the fastest way there is where the weights are."""
    arguments = (wavenet, output, condition, lengths, uniforms, generator, temperature, hop)
    if wavenet.output.weight.is_cuda:
        from unitdisc.sampling import graphs

        return graphs.sample(*arguments)
    from unitdisc.sampling import fast  # numba is slow to import, and only needed here

    return fast.sample(*arguments)


def stream(
    wavenet: WaveNet,
    output: Output,
    condition: Tensor | None = None,
    lengths: Tensor | None = None,
    uniforms: Tensor | None = None,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    hop: int = 1,
) -> Iterator[Tensor]:
    """Yield what `sample` returns in blocks, as they are ready; up to 8 utterances on a CPU."""
    arguments = (wavenet, output, condition, lengths, uniforms, generator, temperature, hop)
    if wavenet.output.weight.is_cuda:
        from unitdisc.sampling import graphs

        return graphs.stream(*arguments)
    from unitdisc.sampling import fast

    return fast.stream(*arguments)
