"""k-means over any features as a quantiser of its own, fitted to streams of any length."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.devices import sent
from unitdisc.errors import CheckpointError, UnitdiscError
from unitdisc.quantizers.base import Quantized, Quantizer
from unitdisc.quantizers.clustering import Clusters, kmeans
from unitdisc.quantizers.codebook import batch_stats, full_precision
from unitdisc.quantizers.configs import KMeansConfig
from unitdisc.quantizers.health import count_units
from unitdisc.quantizers.reservoir import Reservoir
from unitdisc.quantizers.rows import Rows, check_finite, pack
from unitdisc.quantizers.search import nearest, nearest_units


class KMeans(Quantizer):
    """Units by the nearest of the centres that `fit_` has found. Values are the centres; gradients pass straight."""

    codebook: Tensor
    fitted: bool = False  # kept as a tensor in checkpoints, and not on a GPU, which would be waited for at each look

    def __init__(self, dim_in: int, config: KMeansConfig) -> None:
        super().__init__()
        self.dim_in = self.dim = dim_in
        self.codes = (config.codes,)
        self.register_buffer("codebook", torch.zeros(1, config.codes, dim_in))

    def fit_(
        self,
        blocks: Callable[[], Iterable[Tensor]],
        generator: torch.Generator,
        passes: int = 5,
        sample: int = 0,
    ) -> Clusters:
        """Find the centres of a stream; see `kmeans_of_stream`."""
        found = kmeans_of_stream(blocks, self.codes[0], generator, passes, sample)
        self.set_(found.centres)
        return found

    def set_(self, centres: Tensor) -> None:
        """Take centres [K, D] that were found elsewhere."""
        self.codebook.copy_(centres[None])
        self.fitted = True

    @property
    def held(self) -> bool:  # type: ignore[override]
        """Tell whether there are no centres yet."""
        return not self.fitted

    def hold_(self) -> None:
        """Be as before the fit."""
        self.fitted = False

    def begin_(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Find the centres of a sample [N, D]."""
        self.set_(kmeans(vectors, self.codes[0], generator).centres)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Replace each vector of x [B, T, D] by its centre; before the fit, pass vectors on, with units -1."""
        kept = x if mask is None else x.masked_fill(~sent(mask, x.device)[..., None], 0)
        if not self.fitted:
            units = torch.full((*x.shape[:2], 1), -1, device=x.device)
            return Quantized(kept, units, x.new_zeros(()), {})
        rows, found = self._look_up(x, mask, wait=not self.training)
        units = rows.unpack(found, -1)
        values = self.decode(units).to(x.dtype)
        stats = batch_stats(count_units(found, self.codes[0]))
        return Quantized(values + (kept - kept.detach()), units, x.new_zeros(()), stats)

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return x itself."""
        return x

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the units [B, T, 1] of x [B, T, D]; -1 on padding."""
        if not self.fitted:
            raise UnitdiscError(
                "k-means: no centres yet; a training sets them when it ends, else call fit_ with the features"
            )
        rows, units = self._look_up(x, mask, wait=True)
        return rows.unpack(units, -1)

    def _look_up(self, x: Tensor, mask: Tensor | None, wait: bool) -> tuple[Rows, Tensor]:
        """Return the vectors of x [B, T, D] that count, and their units [N, 1]."""
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "features", wait)
            return rows, nearest_units(rows.vectors, self.codebook[0])[:, None]

    def decode(self, units: Tensor) -> Tensor:
        """Return the centres [B, T, D] of units [B, T, 1]; zero for unit -1."""
        known = units[..., 0]
        return self.codebook[0][known.clamp(min=0)].masked_fill((known < 0)[..., None], 0)

    def codewords(self) -> list[Tensor]:
        """Return the centres, [K, D]."""
        return [self.codebook[0]]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "fitted"] = torch.tensor(self.fitted)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        if prefix + "fitted" in state_dict:
            self.fitted = bool(state_dict.pop(prefix + "fitted"))
        else:
            arguments[2].append(prefix + "fitted")
        theirs = state_dict.get(prefix + "codebook")
        if theirs is not None and theirs.shape != self.codebook.shape:
            raise CheckpointError(
                f"{prefix}codebook: expected {list(self.codebook.shape)}, the checkpoint has {list(theirs.shape)}; "
                "use the configuration that it was fitted with"
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def kmeans_of_stream(
    blocks: Callable[[], Iterable[Tensor]],
    codes: int,
    generator: torch.Generator,
    passes: int = 5,
    sample: int = 0,
    floats: int = 0,
) -> Clusters:
    """Cluster a stream in bounded memory: seed on a uniform sample, then `passes` exact Lloyd iterations over all.

    `blocks()` yields [N, D] blocks and starts anew at each call; with several processes each yields its own share, at
    least one block.
    `sample` vectors are held at once (0: 32 per code, at least 20480), beside one block.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    reservoir: Reservoir | None = None
    for block in _in_step(blocks()):
        if reservoir is None:
            reservoir = Reservoir(sample or max(32 * codes, 20480), block.shape[-1], seed)
        reservoir.add_(block)
    if reservoir is None:
        raise UnitdiscError("k-means: the stream of features is empty")
    found = kmeans(reservoir.vectors, codes, generator, floats=floats)
    centres = dist.broadcast_(found.centres)
    counts, inertia, done = found.counts, found.inertia, 0
    for _ in range(passes + 1):
        sums = torch.zeros_like(centres, dtype=torch.float64)
        counts = torch.zeros(codes, dtype=torch.int64, device=centres.device)
        total = torch.zeros(2, dtype=torch.float64, device=centres.device)
        for block in blocks():
            x = block.detach().float().to(centres.device)
            check_finite(x, "features")
            units, distances = nearest(x, centres, floats)
            sums.index_add_(0, units, x.double())
            counts += torch.bincount(units, minlength=codes)
            total[0] += distances.sum(dtype=torch.float64)
            total[1] += len(x)
        for tensor in (sums, counts, total):
            dist.all_reduce_(tensor)
        inertia = float(total[0] / total[1])
        if done == passes:
            break
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres.double()).float()
        done += 1
    return Clusters(centres, counts, inertia, done)


def _in_step(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield as many blocks as the process that has most, empty ones at the end: all are asked for theirs together."""
    stream, last = iter(blocks), None
    while True:
        block = next(stream, None)
        if not dist.any_of(block is not None):
            return
        if block is None:
            if last is None:
                raise UnitdiscError("k-means: the stream of features is empty in one of the processes")
            block = last[:0]
        yield block
        last = block
