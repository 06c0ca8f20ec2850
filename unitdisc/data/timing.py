"""The time contract: samples to frames and frames to seconds, written here and nowhere else.

Frame i of a grid is centred at `offset + (i + 1/2) * period` seconds. A grid has ceil or round of
samples per hop, whichever its maker says; units of stride k sit at the middle of the k frames they cover.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of an utterance lie, as a function of its number of samples alone."""

    sample_rate: int
    hop: int  # samples
    window: int  # samples
    snip_edges: bool = False  # Kaldi's option: True drops frames that stick out over the ends
    stride: int = 1  # units per frame, for what a strided encoder makes of the frames

    def __str__(self) -> str:
        """Write as the keys of a configuration."""
        edges = "true" if self.snip_edges else "false"
        return f"sample_rate {self.sample_rate}, hop {self.hop}, window {self.window}, snip_edges {edges}"

    @property
    def period(self) -> float:
        """Return the seconds from one frame to the next."""
        return self.hop * self.stride / self.sample_rate

    @property
    def rate(self) -> float:
        """Return the frames per second."""
        return self.sample_rate / (self.hop * self.stride)

    @property
    def offset(self) -> float:
        """Return the seconds by which frame centres lie after (i + 1/2) * period."""
        return (self.window - self.hop) / 2 / self.sample_rate if self.snip_edges else 0.0

    def frames(self, samples: int) -> int:
        """Return the number of frames of so many samples."""
        if self.snip_edges:
            frames = 0 if samples < self.window else 1 + (samples - self.window) // self.hop
        else:
            frames = (samples + self.hop // 2) // self.hop
        return -(-frames // self.stride)

    def strided(self, stride: int) -> "FrameGrid":
        """Return the grid of an encoder that makes one frame of every `stride` frames of this one."""
        return FrameGrid(self.sample_rate, self.hop, self.window, self.snip_edges, self.stride * stride)


def centre(index: int, period: float, offset: float = 0.0) -> float:
    """Return the time in seconds at which a frame is centred."""
    return offset + (index + 0.5) * period


def frames_between(onset: float, end: float, period: float, offset: float = 0.0) -> tuple[int, int]:
    """Return [first, last) of the frames whose centre lies in [onset, end], in float64 with a 1e-9 s tolerance."""
    first = math.ceil((onset - offset) / period - 0.5 - 1e-9 / period)
    last = math.floor((end - offset) / period - 0.5 + 1e-9 / period) + 1
    return max(first, 0), max(last, first, 0)
