"""Differences over time, as Kaldi's add-deltas makes them."""

import torch
from torch import Tensor, nn


class Deltas(nn.Module):
    """Append `orders` differences to frames [B, T, D]; each row is continued by its own first and last frame."""

    filters: Tensor  # [orders, 1, 2 * reach + 1]

    def __init__(self, orders: int, window: int) -> None:
        super().__init__()
        self.orders, self.reach = orders, orders * window
        slope = torch.arange(-window, window + 1, dtype=torch.float64)
        slope /= slope.square().sum()
        filters = torch.zeros(orders, 1, 2 * self.reach + 1, dtype=torch.float64)
        # A second difference is one filter on the frames themselves, not a difference of (continued) differences.
        taps = torch.ones(1, dtype=torch.float64)
        for order in range(orders):
            taps = torch.nn.functional.conv1d(taps[None, None], slope.flip(0)[None, None], padding=2 * window).flatten()
            margin = self.reach - (order + 1) * window
            filters[order, 0, margin : margin + len(taps)] = taps
        self.register_buffer("filters", filters.to(torch.float32), persistent=False)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return [B, T, (1 + orders) * D]."""
        batch, count, dim = frames.shape
        if self.orders == 0:
            return frames
        if count == 0:
            return frames.new_zeros(batch, 0, (1 + self.orders) * dim)
        if batch == 1:  # the same, in one operation
            signals = nn.functional.pad(frames.transpose(1, 2), (self.reach, self.reach), "replicate").transpose(0, 1)
        else:
            places = torch.arange(-self.reach, count + self.reach, device=frames.device)
            places = torch.minimum(places.clamp(min=0), (lengths - 1).clamp(min=0)[:, None])
            continued = frames.gather(1, places[:, :, None].expand(-1, -1, dim))
            signals = continued.transpose(1, 2).reshape(batch * dim, 1, -1)
        differences = torch.nn.functional.conv1d(signals, self.filters)
        differences = differences.view(batch, dim, self.orders, count).permute(0, 3, 2, 1)
        return torch.cat([frames, differences.reshape(batch, count, -1)], dim=2)
