"""No encoder."""

from torch import Tensor

from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import NoEncoderConfig
from unitdisc.networks.padding import masked, padding_mask


class NoEncoder(Encoder):
    """Passes frames on as they are."""

    stride, receptive_field = 1, 1

    def __init__(self, _config: NoEncoderConfig, dim_in: int) -> None:
        super().__init__()
        self.dim_in = self.dim = dim_in

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return x [B, T, D], zero on padding, and its lengths."""
        return masked(x, padding_mask(lengths, x.shape[1], x.device)), lengths
