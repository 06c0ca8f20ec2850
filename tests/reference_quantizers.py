"""Slow twins of the quantisers: loops, one-hot matrices and float64."""

import torch
from torch import Tensor


def search(x: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Return units [N] and all squared distances [N, K] of x [N, D], in float64."""
    distances = torch.stack([(x.double() - word.double()).square().sum(1) for word in codebook], 1)
    return distances.argmin(1), distances


def ties(distances: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Return which vectors [N] have two codewords at nearly the same distance."""
    if distances.shape[1] < 2:
        return torch.zeros(len(distances), dtype=torch.bool)
    two = distances.topk(2, largest=False).values
    return two[:, 1] - two[:, 0] < tolerance * (1 + two[:, 1])


def vq(x: Tensor, codebook: Tensor, commitment: float, per_vector: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return values (straight-through), units and loss of x [N, G * d] in codebooks [G, K, d], by autograd."""
    parts = x.view(len(x), len(codebook), -1)
    values, units, loss = [], [], x.new_zeros(())
    for part, words in zip(parts.unbind(1), codebook, strict=True):
        found = search(part.detach(), words.detach())[0]
        onehot = torch.nn.functional.one_hot(found, len(words)).to(x.dtype)
        word = onehot @ words
        loss = loss + (part.detach() - word).square().sum() + commitment * (part - word.detach()).square().sum()
        values.append(part + (word - part).detach())
        units.append(found)
    count = len(x) * (1 if per_vector else x.shape[1])
    return torch.cat(values, 1), torch.stack(units, 1), loss / count


def ema(codebook: Tensor, average: Tensor, x: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Return codebook [K, d] and usage averages [K] after one step, by the pair of averages that is usually kept."""
    units = search(x, codebook)[0]
    sums = average[:, None] * codebook
    counts = torch.stack([(units == i).sum() for i in range(len(codebook))]).to(x)
    totals = torch.stack([x[units == i].sum(0) for i in range(len(codebook))])
    average = decay * average + (1 - decay) * counts
    return (decay * sums + (1 - decay) * totals) / average[:, None], average


def reservoir(seen: int, held: list[int], capacity: int, names: list[int], draws: list[float]) -> tuple[int, list[int]]:
    """Algorithm R, one element at a time, from given uniform draws."""
    held = list(held)
    for name, draw in zip(names, draws, strict=True):
        slot = seen if seen < capacity else int(draw * (seen + 1))
        if seen < capacity:
            held.append(name)
        elif slot < capacity:
            held[slot] = name
        seen += 1
    return seen, held


def lloyd(x: Tensor, centres: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Return centres and mean squared distance after so many plain iterations, in float64."""
    x, centres = x.double(), centres.double().clone()
    for _ in range(iterations):
        units = search(x, centres)[0]
        for i in range(len(centres)):
            if (units == i).any():
                centres[i] = x[units == i].mean(0)
    return centres, float(search(x, centres)[1].min(1).values.mean())
