"""What every sampler is asked for, checked once: a density, conditions, lengths and the randomness.

All samplers have the same signature, and give the same samples for the same uniforms:

    sample(wavenet, output, condition, lengths, uniforms, generator, temperature, hop) -> [B, T] or [B, T, M]

condition [B, T / hop, C]: each row holds for `hop` steps. lengths [B] counts steps; by default all that the conditions
cover. uniforms [B, T, output.uniforms] in 0..1 are drawn from the generator if not given. Temperature 0 takes the mode.
Steps beyond an utterance's length are silence.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet


class Inputs(NamedTuple):
    """A checked request for samples."""

    condition: Tensor | None  # [B, at least T / hop, C]
    lengths: list[int]
    noise: Tensor  # [B, T, uniforms]: the uniforms as `Output.draw` takes them
    steps: int  # T


def prepare(
    wavenet: WaveNet,
    output: Output,
    condition: Tensor | None,
    lengths: Tensor | None,
    uniforms: Tensor | None,
    generator: torch.Generator | None,
    temperature: float,
    hop: int,
) -> Inputs:
    """Check the arguments of a sampler, and draw uniforms if there are none."""
    if (wavenet.dim_in, wavenet.dim_out, wavenet.embed) != (output.dim_in, output.dim_out, output.embed):
        raise UnitdiscError(
            f"sampling: the WaveNet maps {wavenet.dim_in} to {wavenet.dim_out}, but {type(output).__name__} wants "
            f"{output.dim_in} to {output.dim_out}; build the network with output.network(...)"
        )
    if temperature < 0 or hop < 1:
        raise UnitdiscError(f"sampling: wanted temperature >= 0 and hop >= 1, got {temperature} and {hop}")
    width = 0 if condition is None else condition.shape[-1]
    if width != wavenet.dim_condition:
        raise UnitdiscError(f"sampling: conditions have {width} channels, the WaveNet takes {wavenet.dim_condition}")
    if lengths is None:
        if condition is None:
            raise UnitdiscError("sampling: without conditions, say how many steps: lengths=torch.tensor([...])")
        lengths = torch.full((condition.shape[0],), condition.shape[1] * hop)
    counts = [int(n) for n in lengths.tolist()]
    steps = max(counts, default=0)
    if condition is not None and (condition.shape[0] != len(counts) or condition.shape[1] * hop < steps):
        raise UnitdiscError(
            f"sampling: {len(counts)} utterances of up to {steps} steps need conditions "
            f"[{len(counts)}, {-(-steps // hop)}, {width}], got {list(condition.shape)}"
        )
    device = wavenet.output.weight.device
    if uniforms is None:
        where = device if generator is None else generator.device
        uniforms = torch.rand(len(counts), steps, output.uniforms, generator=generator, device=where)
    elif uniforms.shape[0] != len(counts) or uniforms.shape[1] < steps or uniforms.shape[2] != output.uniforms:
        wanted = [len(counts), steps, output.uniforms]
        raise UnitdiscError(f"sampling: wanted uniforms of shape {wanted}, got {list(uniforms.shape)}")
    noise = output.noise(uniforms[:, :steps].to(device, torch.float32))
    return Inputs(condition, counts, noise, steps)


def silence(output: Output, batch: int, steps: int, device: torch.device | str = "cpu") -> Tensor:
    """Return steps of silence: what stands before the start and beyond the end of an utterance."""
    return output.encode(torch.zeros(output.shape(batch, steps), device=device))


def silenced_(samples: Tensor, output: Output, lengths: list[int]) -> Tensor:
    """Overwrite what lies beyond each length with silence."""
    for row, length in enumerate(lengths):
        samples[row, length:] = silence(output, 1, 1)[0, 0].to(samples.device)
    return samples
