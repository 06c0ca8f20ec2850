"""Linear discriminant analysis of vectors whose classes are clusters: sums over a stream, then directions."""

from typing import NamedTuple

import torch
from scipy.linalg import eigh
from torch import Tensor

from unitdisc.errors import UnitdiscError

SHRINK = 1e-3  # of the mean variance within classes, added to each, so that nothing is divided by zero


class Projection(NamedTuple):
    """An affine map to the directions that tell classes apart best."""

    mean: Tensor  # [D]
    directions: Tensor  # [D, d], the best first; the deviation within classes is 1 along each

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return vectors [N, D] in the new directions, [N, d]."""
        return (vectors - self.mean) @ self.directions


class Scatter:
    """Sums of vectors [N, D] by class, and of their products: all that LDA needs, in bounded memory."""

    def __init__(self, classes: int, dim: int) -> None:
        self.counts = torch.zeros(classes, dtype=torch.float64)
        self.sums = torch.zeros(classes, dim, dtype=torch.float64)
        self.products = torch.zeros(dim, dim, dtype=torch.float64)

    def add_(self, vectors: Tensor, classes: Tensor) -> None:
        """Count vectors [N, D] of classes [N] in."""
        self.counts += torch.bincount(classes, minlength=len(self.counts))
        exact = vectors.double()
        self.sums.index_add_(0, classes, exact)
        self.products += exact.t() @ exact

    def projection(self, dim: int) -> Projection:
        """Return at most `dim` directions, by the variance between classes over that within them."""
        count = self.counts.sum()
        if count == 0:
            raise UnitdiscError("LDA: no vectors to take directions from")
        mean = self.sums.sum(0) / count
        total = self.products / count - torch.outer(mean, mean)
        means = self.sums / self.counts.clamp(min=1)[:, None] - mean
        between = (means * self.counts[:, None]).t() @ means / count
        within = total - between
        spread = float(within.diagonal().mean().clamp(min=1e-10))
        within += SHRINK * spread * torch.eye(len(within), dtype=torch.float64)
        _, vectors = eigh(_symmetric(between).numpy(), _symmetric(within).numpy())
        best = torch.from_numpy(vectors[:, ::-1].copy())[:, :dim]
        # The sign of an eigenvector is arbitrary: the largest entry is made positive.
        largest = best.gather(0, best.abs().argmax(0, keepdim=True))
        return Projection(mean.float(), (best * largest.sign()).float())


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.t()) / 2


def spliced(frames: Tensor, side: int) -> Tensor:
    """Return frames [T, D] with `side` neighbours on each side, [T, (2 * side + 1) * D]; ends are repeated."""
    if not side:
        return frames
    padded = torch.cat([frames[:1].expand(side, -1), frames, frames[-1:].expand(side, -1)])
    return torch.cat([padded[i : i + len(frames)] for i in range(2 * side + 1)], 1)
