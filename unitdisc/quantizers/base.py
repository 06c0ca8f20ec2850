"""The one interface of all quantisers, and what they return."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unitdisc.quantizers.health import Health


class Quantized(NamedTuple):
    """What every quantiser returns."""

    values: Tensor  # [B, T, D]; straight-through while training
    units: Tensor  # [B, T, G] int64 of G codebooks; -1 on padding, and everywhere when nothing was quantised
    loss: Tensor  # scalar, already weighted
    stats: dict[str, Tensor]  # scalars for the log: perplexity, used codes


class Reestimation(NamedTuple):
    """What happened when a codebook was made anew from data, for the log."""

    step: int
    vectors: int  # how many the reservoir held
    used_before: float  # share of the codes that these vectors use, before and after
    used_after: float
    perplexity_before: float
    perplexity_after: float
    inertia: float  # mean squared distance of the vectors to their new codes


class Quantizer(nn.Module, ABC):
    """Frames to units and back.

    A training loop calls, in this order: `begin_step_(step)`; the forward pass; backward; the optimiser's step.
    """

    dim_in: int
    dim: int  # of the values
    codes: tuple[int, ...]  # codewords of each of the G codebooks; empty if nothing is quantised

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise x [B, T, dim_in]; mask [B, T] is True on frames that count, and padding changes nothing."""

    @abstractmethod
    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what is compared with the codewords: x after normalisation and projection, [B, T, dim]."""

    @abstractmethod
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the units of x [B, T, dim_in] as [B, T, G] int64, -1 where mask is False."""

    @abstractmethod
    def decode(self, units: Tensor) -> Tensor:
        """Return the values [B, T, dim] of units [B, T, G]; those of unit -1 are zero."""

    @abstractmethod
    def codewords(self) -> list[Tensor]:
        """Return the codewords of each codebook, [K, d]; values are made of one from each, side by side or added."""

    def begin_step_(self, step: int) -> Reestimation | None:
        """Do what falls due before this training step: end a warm-up, re-estimate the codebook."""
        return None

    held: bool = False  # whether `begin_` is waited for

    def hold_(self) -> None:
        """Quantise nothing until `begin_` is called: vectors pass on, with units -1, where there are codewords."""
        return

    def begin_(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Set all that follows from data by a sample [N, dim_in] of what is to be quantised, and quantise from now."""
        return

    def health(self) -> Health | None:
        """Tell how the codes were used lately, with advice if the codebook is dying; None where nothing is counted."""
        return None

    def codebook_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that train at the codebook's own learning rate."""
        return []

    @property
    def learning_rate_factor(self) -> float:
        """Return the codebook's learning rate over the model's."""
        return 1.0

    def parameter_groups(self, rate: float) -> list[dict[str, object]]:
        """Return the optimiser's groups: this quantiser's ordinary parameters, and its codebook."""
        own = self.codebook_parameters()
        ids = {id(p) for p in own}
        rest = [p for p in self.parameters() if id(p) not in ids]
        groups: list[dict[str, object]] = [{"params": rest, "lr": rate}] if rest else []
        if own:
            groups.append({"params": own, "lr": rate * self.learning_rate_factor})
        return groups


class Identity(Quantizer):
    """No bottleneck: values pass unchanged. The "none" row of an ablation."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.dim_in = self.dim = dim_in
        self.codes = ()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Return x itself."""
        return Quantized(x, self.encode(x, mask), x.new_zeros(()), {})

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return x itself."""
        return x

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return no codebooks' units, [B, T, 0]."""
        return torch.zeros(*x.shape[:-1], 0, dtype=torch.int64, device=x.device)

    def decode(self, units: Tensor) -> Tensor:
        """Fail: there are no units to decode."""
        raise NotImplementedError("Identity has no units; it passes values through")

    def codewords(self) -> list[Tensor]:
        """Return none: there are no codebooks."""
        return []
