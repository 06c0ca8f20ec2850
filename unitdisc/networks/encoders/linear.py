"""An encoder that does not learn: frames with their neighbours, in given directions, averaged over each unit."""

import torch
from torch import Tensor

from unitdisc.devices import sent
from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import LinearEncoderConfig
from unitdisc.networks.padding import ceil_divide, masked, padding_mask


class LinearEncoder(Encoder):
    """Splices, projects and averages. Buffers: origin [S], directions [S, dim] of spliced frames, if dim is not 0."""

    origin: Tensor
    directions: Tensor

    def __init__(self, config: LinearEncoderConfig, dim_in: int) -> None:
        super().__init__()
        spliced = (2 * config.splice + 1) * dim_in
        self.dim_in, self.dim, self.stride = dim_in, config.dim or spliced, config.stride
        self.splice = config.splice
        self.receptive_field = 2 * config.splice + config.stride
        self.unit_buffers = ("origin", "directions") if config.dim else ()
        if config.dim:
            self.register_buffer("origin", torch.zeros(spliced))
            self.register_buffer("directions", torch.eye(spliced, config.dim))

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode; an utterance's first and last frame stand for those that it has not."""
        units = (x.shape[1] + self.stride - 1) // self.stride
        last = sent((lengths - 1).clamp(min=0)[:, None], x.device)
        frames = torch.minimum(torch.arange(units * self.stride, device=x.device)[None], last)
        sides = torch.arange(-self.splice, self.splice + 1, device=x.device)
        places = torch.minimum((frames[:, :, None] + sides).clamp(min=0), last[:, :, None])
        rows = torch.arange(x.shape[0], device=x.device)[:, None, None] * x.shape[1]
        y = x.flatten(0, 1).index_select(0, (places + rows).flatten())
        y = y.reshape(x.shape[0], -1, (2 * self.splice + 1) * self.dim_in)
        if self.unit_buffers:
            y = (y - self.origin) @ self.directions
        y = y.reshape(x.shape[0], -1, self.stride, self.dim).mean(2)
        lengths = ceil_divide(lengths, self.stride)
        return masked(y, padding_mask(lengths, y.shape[1])), lengths
