"""What every encoder is: frames to vectors at the rate of units.

Every encoder of stride s makes ceil(T / s) units of T frames, and unit j is centred on the frames [j * s, (j + 1) * s):
strided convolutions get a kernel as much longer than their stride on the left as on the right. Padding never changes a
result: it is zeroed before each layer that would look at it.

A new encoder is a file of its own here, its configuration in configs.py, and a line in build.py.
"""

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

    def between(self, x: Tensor, lengths: Tensor, first: int, last: int) -> Tensor:
        """Return the vectors [B, last - first, dim] of these units alone, for inference: by less work if it can be.

        x is long enough for all of them; what stands on padding has no meaning.
        """
        return self(x, lengths)[0][:, first:last]
