"""Decoders that are a WaveNet: of frames, or of samples.

A decoder reads one vector per unit and holds it for all steps of the unit: `stride` frames, or `stride * hop` samples.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unitdisc.decoders.base import Decoder, Fit, Randomness, Streams, fit_steps
from unitdisc.decoders.configs import Stream
from unitdisc.networks.configs import OutputConfig, WaveNetConfig
from unitdisc.networks.draws import output_uniforms
from unitdisc.networks.outputs import Output, build_output
from unitdisc.sampling import Request, sample, stream

WINDOW = 2**15  # steps of all rows together that are computed at once where no gradient is wanted


class AutoregressiveDecoder(Decoder):
    """A WaveNet, and what its outputs mean."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, wavenet: WaveNetConfig, output: OutputConfig, streams: tuple[Stream, ...], fit: Fit, *, bins: int = 0
    ) -> None:
        """Build for one stream, of so many bins if it is of frames."""
        super().__init__()
        self.streams = streams
        self.output: Output = build_output(output, bins)
        self.wavenet = self.output.network(wavenet, fit.dim)

    def normalise(self, targets: Tensor) -> Tensor:
        """Return targets as the WaveNet reads them."""
        return targets

    def denormalise(self, targets: Tensor) -> Tensor:
        """Undo `normalise`."""
        return targets

    def hide(self, past: Tensor, seeds: Tensor) -> Tensor:
        """Return the past [B, T, ...] as the WaveNet sees it while training."""
        return past

    def recompute_(self) -> None:
        """Keep each layer's input alone while training."""
        self.wavenet.recompute = True

    @property
    def blind(self) -> bool:
        """Tell whether steps are generated without their past.

        A mean predicted from means that were predicted from the units knows no more than the units do, and errors fed
        back pile up; densities that are drawn from need what was drawn.
        """
        return self.output.uniforms == 0

    def say(self, condition: Tensor, units: Tensor, generator: Randomness = None, temperature: float = 1.0) -> Streams:
        """Return the one stream, [B, T' * hold, ...]."""
        if self.blind:
            return {self.streams[0].name: self.predict(condition)}
        steps = units * self.hold
        draw: dict[str, Any] = {"uniforms": None, "generator": generator, "temperature": temperature}
        if isinstance(generator, Tensor):
            uniforms = output_uniforms(generator.to(condition.device), int(steps.max()), self.output.uniforms)
            draw |= {"uniforms": uniforms, "generator": None}
        return self._said(sample(self._request(condition, steps, draw)))

    def say_by_piece(
        self, condition: Tensor, units: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Iterator[Streams]:
        """Yield the stream as it is drawn."""
        if self.blind:
            return iter([self.say(condition, units)])
        draw = {"uniforms": None, "generator": generator, "temperature": temperature}
        request = self._request(condition, units * self.hold, draw)
        return (self._said(piece) for piece in stream(request))

    def _request(self, condition: Tensor, steps: Tensor, draw: dict[str, Any]) -> Request:
        return Request.of(self.wavenet, self.output, condition, steps, hop=self.hold, **draw)

    def _said(self, samples: Tensor) -> Streams:
        return {self.streams[0].name: self.denormalise(self.output.decode(samples))}

    @torch.no_grad()
    def predict(self, condition: Tensor) -> Tensor:
        """Return frames [B, T' * hold, M] from condition [B, T', dim] alone, in one pass."""
        steps = condition.shape[1] * self.hold
        past = condition.new_zeros(condition.shape[0], steps, self.output.dim_in)
        params = [self._params(past, condition, *window) for window in self._windows(*past.shape[:2])]
        return self.denormalise(torch.cat(params, 1) if params else past)

    def loss(
        self, targets: Tensor, condition: Tensor, seeds: Tensor | None = None, units: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each step [B, T' * hold] of targets, given condition [B, T', dim]."""
        samples = self.output.encode(fit_steps(self.normalise(targets), condition.shape[1] * self.hold))
        past = self.output.shifted(samples)
        if self.training and seeds is not None:
            past = self.hide(past, seeds)
        if torch.is_grad_enabled():
            return self.output.nll(self.wavenet(past, condition).float(), samples)
        windows = self._windows(*samples.shape[:2])
        losses = [self.output.nll(self._params(past, condition, *w), samples[:, slice(*w)]) for w in windows]
        return torch.cat(losses, 1) if losses else samples.new_zeros(samples.shape[:2], dtype=torch.float32)

    def _windows(self, batch: int, steps: int) -> list[tuple[int, int]]:
        """Cut the steps into windows of whole units: without gradients, whole utterances need bounded memory only."""
        size = max(WINDOW // max(batch, 1) // self.hold, 1) * self.hold
        return [(first, min(first + size, steps)) for first in range(0, steps, size)]

    def _params(self, past: Tensor, condition: Tensor, first: int, last: int) -> Tensor:
        """Return the outputs at steps first..last, from these and as many before them as the WaveNet looks back."""
        unit = max(first - self.wavenet.receptive_field + 1, 0) // self.hold
        start = unit * self.hold
        return self.wavenet(past[:, start:last], condition[:, unit : -(-last // self.hold)])[:, first - start :].float()
