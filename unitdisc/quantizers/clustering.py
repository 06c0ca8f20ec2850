"""k-means in torch: greedy k-means++ seeding in few passes, Lloyd's iteration that skips what cannot have changed."""

from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.errors import UnitdiscError
from unitdisc.quantizers.rows import check_finite
from unitdisc.quantizers.search import Nearest, chunk_rows, nearest

SEED_BATCH = 128  # centres chosen at a time
GREED = 3  # candidates per centre
SAMPLE = 100_000  # vectors that a codebook is set from, or more for many codes
FEWEST = 32  # for each code


class Clusters(NamedTuple):
    """A clustering of N vectors."""

    centres: Tensor  # [K, D]
    counts: Tensor  # [K] vectors nearest to each
    inertia: float  # mean squared distance of the vectors to their centres
    iterations: int


def sample_size(codes: int) -> int:
    """Return of how many vectors a codebook is set."""
    return max(SAMPLE, FEWEST * codes)


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
    check_finite(vectors, "vectors to cluster")
    centres, found = seed_centres(vectors, codes, generator, floats)
    return lloyd(vectors, centres, iterations, tolerance, floats, found)


def lloyd(
    vectors: Tensor,
    centres: Tensor,
    iterations: int,
    tolerance: float,
    floats: int = 0,
    found: Nearest | None = None,
) -> Clusters:
    """Move centres [K, D] to the means of the vectors [N, D] nearest to them, again and again.

    Only clusters that won or lost a vector move, and only what that can change is computed anew. `found` is the nearest
    of the centres to each vector, if known.
    """
    codes = len(centres)
    found = nearest(vectors, centres, floats) if found is None else found
    touched = torch.ones(codes, dtype=torch.bool, device=vectors.device)
    last, iteration = float("inf"), 0
    while True:
        inertia = float(found.distances.mean(dtype=torch.float64))
        counts = torch.bincount(found.units, minlength=codes)
        if last - inertia <= tolerance * inertia or iteration == iterations:
            return Clusters(centres, counts, inertia, iteration)
        last = inertia
        members = touched[found.units].nonzero().squeeze(1)
        sums = torch.zeros_like(centres)
        sums.index_add_(0, found.units.index_select(0, members), vectors.index_select(0, members))
        means = sums / counts.clamp(min=1)[:, None]
        centres = torch.where((touched & (counts > 0))[:, None], means, centres)
        touched |= _fill_empty_(centres, counts, vectors, found.distances)
        before = found.units
        found = _nearest_again(vectors, centres, found, touched, floats)
        changed = before != found.units
        touched = torch.zeros_like(touched)
        touched[before[changed]] = True
        touched[found.units[changed]] = True
        iteration += 1


def _fill_empty_(centres: Tensor, counts: Tensor, vectors: Tensor, distances: Tensor) -> Tensor:
    """Move each empty centre to one of the vectors that are worst off; return which centres moved, [K] bool."""
    empty = (counts == 0).nonzero().squeeze(1)
    moved = torch.zeros_like(counts, dtype=torch.bool)
    if len(empty):
        far = distances.topk(min(len(empty), len(vectors))).indices
        zero = 1e-6 * (vectors - vectors.mean(0)).square().sum(1).mean()  # rounding of a distance that is zero
        far = far[distances[far] > zero]
        centres[empty[: len(far)]] = vectors[far]
        moved[empty[: len(far)]] = True
    return moved


def _nearest_again(vectors: Tensor, centres: Tensor, found: Nearest, moved: Tensor, floats: int) -> Nearest:
    """Return the nearest centres after only some of them moved.

    A vector whose own centre has not gone farther away can only have been caught by a centre that moved.
    """
    units, distances = found.units.clone(), found.distances.clone()
    members = moved[units].nonzero().squeeze(1)
    own = (vectors.index_select(0, members) - centres.index_select(0, units[members])).square().sum(1)
    away = own > distances[members]
    distances[members] = own
    places = members[away]
    anew = nearest(vectors.index_select(0, places), centres, floats)
    units[places], distances[places] = anew.units, anew.distances
    others = torch.ones_like(units, dtype=torch.bool)
    others[places] = False
    places = others.nonzero().squeeze(1)
    names = moved.nonzero().squeeze(1)
    if len(names) and len(places):
        rival = nearest(vectors.index_select(0, places), centres.index_select(0, names), floats)
        closer = rival.distances < distances[places]
        places = places[closer]
        units[places], distances[places] = names[rival.units[closer]], rival.distances[closer]
    return Nearest(units, distances)


def seed_centres(
    vectors: Tensor, codes: int, generator: torch.Generator, floats: int = 0
) -> tuple[Tensor, Nearest | None]:
    """Choose `codes` of the vectors [N, D] as greedy k-means++ does, but many at a time.

    Return the centres and, unless there were too few distinct vectors, the nearest of them to each vector.

    Candidates are drawn by the squared distances known at the start of a batch and ranked by how much each alone would
    lower the sum of distances. In that order each is kept with the probability by which its distance has shrunk since
    the start of the batch (rejection sampling), until the batch is full.
    """
    vectors = vectors - (centre := vectors.mean(0))
    squares = vectors.square().sum(1)
    noise = 1e-6 * squares  # rounding of a distance that is zero
    first = int(torch.rand(1, dtype=torch.float64, generator=generator).item() * len(vectors))
    chosen = torch.tensor([first], device=vectors.device)
    distances = _clean((vectors - vectors[first]).square().sum(1), noise)
    units = torch.zeros_like(distances, dtype=torch.int64)
    left = torch.cat([vectors, squares[:, None], torch.ones_like(squares)[:, None]], 1)
    while len(chosen) < codes and distances.any():
        wanted = min(max(len(chosen), 4), SEED_BATCH, codes - len(chosen))
        candidates = _draw(distances, GREED * wanted, generator)
        torch.sub(distances, squares, out=left[:, -2])
        gains = _gains(left, vectors[candidates], floats)
        candidates = candidates[gains.argsort(descending=True)]
        kept = _accept(vectors[candidates], distances[candidates], noise[candidates], wanted, generator)
        candidates = candidates[kept.to(candidates.device)]
        rival = nearest(vectors, vectors[candidates], floats)
        units = torch.where(rival.distances < distances, rival.units + len(chosen), units)
        distances = _clean(torch.minimum(distances, rival.distances), noise)
        distances[candidates] = 0
        units[candidates] = torch.arange(len(chosen), len(chosen) + len(candidates), device=units.device)
        chosen = torch.cat([chosen, candidates])
    centres = vectors[chosen]
    found: Nearest | None = Nearest(units, distances)
    if len(centres) < codes:
        copies = torch.randint(len(vectors), (codes - len(centres),), generator=generator).to(vectors.device)
        moves = torch.randn(len(copies), vectors.shape[1], generator=generator).to(vectors.device)
        spread = vectors.std(0, correction=0) + 1e-3 * centre.abs() + 1e-12
        centres, found = torch.cat([centres, vectors[copies] + 0.01 * spread * moves]), None
    return centres + centre, found


def _clean(distances: Tensor, noise: Tensor) -> Tensor:
    return torch.where(distances > noise, distances, 0.0)


def _draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw indices [count] with probability proportional to weights [N], with replacement."""
    ends = weights.cumsum(0, dtype=torch.float64)
    draws = torch.rand(count, dtype=torch.float64, generator=generator).to(weights.device) * ends[-1]
    return torch.searchsorted(ends, draws, right=True).clamp_(max=len(weights) - 1)


def _gains(left: Tensor, candidates: Tensor, floats: int) -> Tensor:
    """Return the sum over vectors [N, D] of max(0, distance - |vector - candidate|^2) for each candidate [M, D].

    `left` [N, D + 2] is the vectors, then their distance - |vector|^2, then ones: one product gives the differences.
    """
    ones = candidates.new_ones(len(candidates), 1)
    right = torch.cat([2 * candidates, ones, -candidates.square().sum(1, keepdim=True)], 1).t()
    gains = candidates.new_zeros(len(candidates))
    rows = chunk_rows(len(candidates), left.device, floats)
    for part in left.split(rows):
        gains += (part @ right).relu_().sum(0)
    return gains


def _accept(x: Tensor, known: Tensor, noise: Tensor, wanted: int, generator: torch.Generator) -> Tensor:
    """Return which of candidates x [M, D], drawn by `known` squared distances, are kept, at most `wanted`."""
    squares = x.square().sum(1)
    between = _clean(torch.addmm(squares[:, None] + squares, x, x.t(), alpha=-2), noise[:, None]).cpu().numpy()
    bar = (torch.rand(len(x), dtype=torch.float64, generator=generator) * known.cpu()).numpy()
    best = known.cpu().numpy().copy()
    kept: list[int] = []
    for i in range(len(x)):
        if bar[i] < best[i]:
            kept.append(i)
            best = best.clip(max=between[i])
            best[i] = 0
            if len(kept) == wanted:
                break
    return torch.tensor(kept, dtype=torch.int64)
