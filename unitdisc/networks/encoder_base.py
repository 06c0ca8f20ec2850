"""What every encoder is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Frames [B, T, dim_in] to vectors [B, ceil(T / stride), dim]."""

    dim_in: int
    dim: int
    stride: int
    receptive_field: int | None  # frames that one vector depends on; None: the whole utterance

    @property
    def context(self) -> int | None:
        """Return how many frames on either side of its own ones a unit depends on; None: all of them."""
        return None if self.receptive_field is None else (self.receptive_field - self.stride) // 2

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode x [B, T, dim_in] of lengths [B] frames; return vectors, zero on padding, and their lengths.

        What is random while training follows from the rows' seeds [B] alone; without seeds nothing is.
        """
