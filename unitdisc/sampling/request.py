"""What a sampler is asked for, checked once: a network, its density, conditions, lengths and the randomness.

All samplers take a Request, and give the same samples [B, T] or [B, T, M] for the same uniforms.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.networks.outputs import Output
from unitdisc.networks.wavenet import WaveNet


class Request(NamedTuple):
    """Steps to draw, to be made by `Request.of`. Steps beyond an utterance's length will be silence."""

    wavenet: WaveNet
    output: Output
    condition: Tensor | None  # [B, at least T / hop, C]; each row holds for `hop` steps
    lengths: list[int]
    noise: Tensor  # [B, T, uniforms]: the uniforms as `Output.draw` takes them
    steps: int  # T
    temperature: float
    hop: int

    @classmethod
    def of(
        cls,
        wavenet: WaveNet,
        output: Output,
        condition: Tensor | None = None,
        lengths: Tensor | None = None,
        *,
        uniforms: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        hop: int = 1,
    ) -> "Request":
        """Ask for steps.

        Lengths [B] count steps; by default all that the conditions [B, T / hop, C] cover. Uniforms
        [B, T, output.uniforms] in 0..1 are drawn from the generator if not given. Temperature 0 takes the mode.
        """
        counts = _checked_lengths(wavenet, output, condition, lengths, hop)
        if temperature < 0:
            raise UnitdiscError(f"sampling: wanted temperature >= 0, got {temperature}")
        steps = max(counts, default=0)
        device = wavenet.output.weight.device
        if uniforms is None:
            where = device if generator is None else generator.device
            uniforms = torch.rand(len(counts), steps, output.uniforms, generator=generator, device=where)
        elif uniforms.shape[0] != len(counts) or uniforms.shape[1] < steps or uniforms.shape[2] != output.uniforms:
            wanted = [len(counts), steps, output.uniforms]
            raise UnitdiscError(f"sampling: wanted uniforms of shape {wanted}, got {list(uniforms.shape)}")
        noise = output.noise(uniforms[:, :steps].to(device, torch.float32))
        return cls(wavenet, output, condition, counts, noise, steps, temperature, hop)

    @property
    def batch(self) -> int:
        """Return the number of utterances."""
        return len(self.lengths)

    def silenced_(self, samples: Tensor, begin: int = 0) -> Tensor:
        """Overwrite what lies beyond each length with silence, in samples [B, ...] from step `begin` on."""
        for row, length in enumerate(self.lengths):
            samples[row, max(0, length - begin) :] = silence(self.output, 1, 1)[0, 0].to(samples.device)
        return samples


def _checked_lengths(
    wavenet: WaveNet, output: Output, condition: Tensor | None, lengths: Tensor | None, hop: int
) -> list[int]:
    """Return how many steps each utterance has, if network, density and conditions fit together."""
    if (wavenet.dim_in, wavenet.dim_out, wavenet.embed) != (output.dim_in, output.dim_out, output.embed):
        raise UnitdiscError(
            f"sampling: the WaveNet maps {wavenet.dim_in} to {wavenet.dim_out}, but {type(output).__name__} wants "
            f"{output.dim_in} to {output.dim_out}; build the network with output.network(...)"
        )
    if hop < 1:
        raise UnitdiscError(f"sampling: wanted hop >= 1, got {hop}")
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
    return counts


def silence(output: Output, batch: int, steps: int, device: torch.device | str = "cpu") -> Tensor:
    """Return steps of silence: what stands before the start and beyond the end of an utterance."""
    return output.encode(torch.zeros(output.shape(batch, steps), device=device))
