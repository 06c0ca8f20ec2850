"""Nearest codewords by blocks that stay in the processor's cache; the full distance matrix never exists."""

from typing import NamedTuple

import torch
from torch import Tensor

# Distances held at once, in floats. On a CPU they must fit in the cache: a distance matrix that travels to memory and
# back costs more than the arithmetic. A GPU wants fewer and larger launches.
CPU_CHUNK = 2**20
GPU_CHUNK = 2**26
BLOCK = 64  # a minimum over short runs vectorises, an argmin over long ones does not


class Nearest(NamedTuple):
    """The codeword nearest to each vector."""

    units: Tensor  # [N] int64; of equally near codewords the first
    distances: Tensor  # [N] squared, not below 0


def chunk_rows(codes: int, device: torch.device, floats: int = 0) -> int:
    """Return how many vectors are compared with all codes at once."""
    return max(1, (floats or (CPU_CHUNK if device.type == "cpu" else GPU_CHUNK)) // max(codes, 1))


def nearest_units(x: Tensor, codebook: Tensor, floats: int = 0) -> Tensor:
    """Return the units [N] of vectors x [N, D] in a codebook [K, D]; of equal distances the first counts."""
    return _search(x, codebook, floats, want_distances=False).units


def nearest(x: Tensor, codebook: Tensor, floats: int = 0) -> Nearest:
    """Return the units of vectors x [N, D] in a codebook [K, D], and their squared distances."""
    return _search(x, codebook, floats, want_distances=True)


@torch.no_grad()
def _search(x: Tensor, codebook: Tensor, floats: int, want_distances: bool) -> Nearest:
    x, codebook = x.detach(), codebook.detach()
    if torch.jit.is_tracing():  # blocks would be those of the example that is traced
        words = codebook - codebook.mean(0)
        scores = words.square().sum(1) - 2 * (x - codebook.mean(0)) @ words.t()
        return Nearest(scores.argmin(1), x.new_empty(0))
    units = torch.empty(len(x), dtype=torch.int64, device=x.device)
    distances = x.new_empty(len(x) if want_distances else 0)
    # |x - w|^2 - |x|^2 = |w|^2 - 2 x w loses digits when all vectors lie far from the origin: move it among the codes.
    centre = codebook.mean(0)
    padded = -len(codebook) % BLOCK
    words = torch.nn.functional.pad(codebook - centre, (0, 0, 0, padded))
    offset = torch.nn.functional.pad(words.square().sum(1)[: len(codebook)], (0, padded), value=float("inf"))
    rows = chunk_rows(len(words), x.device, floats)
    buffer = x.new_empty(min(rows, len(x)), len(words))
    for start in range(0, len(x), rows):
        part = x[start : start + rows] - centre
        scores = torch.addmm(offset, part, words.t(), alpha=-2, out=buffer[: len(part)])
        blocks = scores.view(len(part), -1, BLOCK)
        block = blocks.amin(2).argmin(1)
        first = torch.arange(len(part), device=x.device) * blocks.shape[1]
        inside = blocks.view(-1, BLOCK).index_select(0, block + first).min(1)
        torch.add(inside.indices, block, alpha=BLOCK, out=units[start : start + rows])
        if want_distances:
            torch.add(inside.values, part.square().sum(1), out=distances[start : start + rows])
    return Nearest(units, distances.clamp_(min=0))
