"""What stands before a codebook: batch normalisation and a projection."""

import torch
from torch import Tensor, nn

from unitdisc.batch_norm import BatchNorm
from unitdisc.quantizers.configs import Norm


class Front(nn.Module):
    """Normalisation and projection, in either order: vectors [N, dim_in] to what the codewords are compared with."""

    def __init__(
        self,
        dim_in: int,
        dim: int,
        norm: Norm,
        projection: bool,
        generator: torch.Generator | None,
        codebooks: int = 1,
    ) -> None:
        super().__init__()
        self.parts = codebooks if norm == "each-codebook" else 1  # of a vector that are normalised alike
        self.norm_first = norm == "before-projection"
        self.norm = None if norm == "none" else BatchNorm((dim_in if self.norm_first else dim) // self.parts)
        self.projection: nn.Linear | None = None
        if projection:
            self.projection = nn.Linear(dim_in, dim)
            nn.init.xavier_uniform_(self.projection.weight, generator=generator)
            nn.init.zeros_(self.projection.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, dim]."""
        if self.norm is not None and self.norm_first:
            x = self.norm(x)
        if self.projection is not None:
            x = self.projection(x)
        if self.norm is not None and not self.norm_first:
            x = self.norm(self._cut(x)).view_as(x)
        return x

    def _cut(self, x: Tensor) -> Tensor:
        """Return the parts of vectors [N, dim] that are normalised alike, [N * parts, dim / parts]."""
        return x.reshape(-1, x.shape[-1] // self.parts)

    @torch.no_grad()
    def begin_(self, x: Tensor) -> Tensor:
        """Set the running statistics by vectors [N, dim_in]; return what the codewords are compared with, [N, dim]."""
        training = self.training
        self.eval()
        if self.norm is not None:
            seen = self._cut(x if self.norm_first or self.projection is None else self.projection(x)).double()
            self.norm.running_mean.copy_(seen.mean(0))
            self.norm.running_var.copy_(seen.var(0, correction=min(len(seen) - 1, 1)))
        vectors = self(x)
        self.train(training)
        return vectors
