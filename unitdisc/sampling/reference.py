"""The specification of sampling: the whole network over the receptive field, for every single step."""

import torch
from torch import Tensor

from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling.inputs import prepare, silence, silenced_


@torch.no_grad()
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
    """Draw steps one by one; the arguments are those of `unitdisc.sampling.inputs`."""
    inputs = prepare(wavenet, output, condition, lengths, uniforms, generator, temperature, hop)
    given = None if condition is None else condition.repeat_interleave(hop, dim=1)
    samples = silence(output, len(inputs.lengths), inputs.steps, inputs.noise.device)
    for t in range(inputs.steps):
        first = max(0, t + 1 - wavenet.receptive_field)
        x = output.shifted(samples[:, : t + 1])[:, first:]
        params = wavenet(x, None if given is None else given[:, first : t + 1])[:, -1]
        samples[:, t] = output.draw(params, inputs.noise[:, t], temperature)
    return silenced_(samples, output, inputs.lengths)
