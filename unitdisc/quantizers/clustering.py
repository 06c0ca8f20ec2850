"""k-means in torch: exact k-means++ seeding in few passes, Lloyd's iteration in blocks."""

from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.quantizers.search import nearest

SEED_BATCH = 512


class Clusters(NamedTuple):
    """A clustering of N vectors."""

    centres: Tensor  # [K, D]
    counts: Tensor  # [K] vectors nearest to each
    inertia: float  # mean squared distance of the vectors to their centres
    iterations: int


def kmeans(
    vectors: Tensor,
    codes: int,
    generator: torch.Generator,
    iterations: int = 100,
    tolerance: float = 1e-3,
    floats: int = 0,
) -> Clusters:
    """Cluster vectors [N, D] around `codes` centres.

    Stop when an iteration lowers the inertia by less than `tolerance` of it. Where there are fewer distinct vectors
    than codes, each becomes a centre and the other centres are slightly moved copies. `generator` lives on the CPU.
    """
    if len(vectors) == 0:
        raise UnitdiscError(f"k-means: no vectors to make {codes} codes from; is every frame masked out?")
    vectors = vectors.detach().float()
    centres = seed_centres(vectors, codes, generator, floats)
    last = float("inf")
    for iteration in range(iterations + 1):
        units, distances = nearest(vectors, centres, floats)
        counts = torch.bincount(units, minlength=codes)
        inertia = float(distances.mean(dtype=torch.float64))
        if last - inertia <= tolerance * inertia or iteration == iterations:
            break
        last = inertia
        sums = torch.zeros_like(centres).index_add_(0, units, vectors)
        centres = _moved(centres, sums, counts, vectors, distances)
    return Clusters(centres, counts, inertia, iteration)


def _moved(centres: Tensor, sums: Tensor, counts: Tensor, vectors: Tensor, distances: Tensor) -> Tensor:
    """Return the mean of each cluster; an empty one goes to one of the vectors that are worst off."""
    moved = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    empty = (counts == 0).nonzero().squeeze(1)
    if len(empty):
        far = distances.topk(min(len(empty), len(vectors))).indices
        far = far[distances[far] > 0]
        moved[empty[: len(far)]] = vectors[far]
    return moved


def seed_centres(vectors: Tensor, codes: int, generator: torch.Generator, floats: int = 0) -> Tensor:
    """Draw `codes` of the vectors [N, D] as k-means++ does, exactly, but in batches.

    Candidates are drawn by the squared distances known at the start of a batch, and each is kept with the probability
    by which its distance has shrunk since: rejection sampling from the true distribution. So all vectors are compared
    with each centre once, many centres at a time, instead of once per centre.
    """
    noise = 1e-6 * (vectors - vectors.mean(0)).square().sum(1)  # rounding of a distance that is zero
    first = int(torch.rand(1, dtype=torch.float64, generator=generator).item() * len(vectors))
    chosen = torch.tensor([first], device=vectors.device)
    distances = _clean((vectors - vectors[first]).square().sum(1), noise)
    while len(chosen) < codes and distances.any():
        candidates = _draw(distances, min(max(len(chosen), 8), SEED_BATCH), generator)
        kept = _accept(vectors[candidates], distances[candidates], noise[candidates], codes - len(chosen), generator)
        candidates = candidates[kept.to(candidates.device)]
        chosen = torch.cat([chosen, candidates])
        distances = torch.minimum(distances, _clean(nearest(vectors, vectors[candidates], floats).distances, noise))
        distances[candidates] = 0
    centres = vectors[chosen]
    if len(centres) < codes:
        copies = torch.randint(len(vectors), (codes - len(centres),), generator=generator).to(vectors.device)
        moves = torch.randn(len(copies), vectors.shape[1], generator=generator).to(vectors.device)
        spread = vectors.std(0, correction=0).clamp(min=1e-6)
        centres = torch.cat([centres, vectors[copies] + 0.01 * spread * moves])
    return centres


def _clean(distances: Tensor, noise: Tensor) -> Tensor:
    return torch.where(distances > noise, distances, 0.0)


def _draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw indices [count] with probability proportional to weights [N], with replacement."""
    ends = weights.cumsum(0, dtype=torch.float64)
    draws = torch.rand(count, dtype=torch.float64, generator=generator).to(weights.device) * ends[-1]
    return torch.searchsorted(ends, draws, right=True).clamp_(max=len(weights) - 1)


def _accept(x: Tensor, known: Tensor, noise: Tensor, wanted: int, generator: torch.Generator) -> Tensor:
    """Return which of candidates x [M, D], drawn by `known` squared distances, are kept, at most `wanted`."""
    between = _clean((x[:, None] - x).square().sum(2), noise).double().cpu().numpy()
    bar = (torch.rand(len(x), dtype=torch.float64, generator=generator) * known.cpu()).numpy()
    best = known.double().cpu().numpy()
    kept: list[int] = []
    for i in range(len(x)):
        if bar[i] < best[i] and len(kept) < wanted:
            kept.append(i)
            best = best.clip(max=between[i])
    return torch.tensor(kept, dtype=torch.int64)
