"""Random replacements while training: time jitter of the latents, and dropout of whole frames."""

import torch
from torch import Tensor, nn

from unitdisc.networks.draws import RandomStream, row_uniforms


class TimeJitter(nn.Module):
    """Replace each vector, with a probability, by its left or its right neighbour; only while training."""

    def __init__(self, probability: float = 0.12) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, lengths: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Jitter x [B, T, D] by the rows' seeds [B]; the first and last vector have one neighbour only."""
        if not self.training or self.probability == 0.0 or seeds is None:
            return x
        frames = x.shape[1]
        u = row_uniforms(seeds, frames, RandomStream.TIME_JITTER)
        step = (u < self.probability / 2).long() - (u >= 1.0 - self.probability / 2).long()
        source = (torch.arange(frames, device=x.device) + step).clamp(min=0)
        source = torch.minimum(source, (lengths - 1).clamp(min=0)[:, None])
        return x.gather(1, source[:, :, None].expand_as(x))


def drop_frames(x: Tensor, probability: float, whole: float, seeds: Tensor) -> Tensor:
    """Zero frames of x [B, T, D] with a probability, and all of a row with another, by the rows' seeds [B]."""
    kept = row_uniforms(seeds, x.shape[1], RandomStream.FRAME_DROPOUT) >= probability
    kept &= row_uniforms(seeds, 1, RandomStream.ROW_DROPOUT) >= whole
    return x.masked_fill(~kept[:, :, None], 0.0)
