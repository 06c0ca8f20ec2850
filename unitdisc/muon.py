"""Muon: steps of matrices whose directions all count the same, and AdamW for everything else.

The momentum of a matrix is replaced by the nearest matrix with orthogonal rows, or nearly so, before it is added
(Jordan et al. 2024). A few steps of an iteration that needs products alone get there.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from unitdisc import dist

QUINTIC, ITERATIONS = (3.4445, -4.7750, 2.0315), 5  # of Jordan et al.: singular values end between 0.7 and 1.2


class Muon(torch.optim.AdamW):
    """AdamW, but for matrices that are told apart."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        matrices: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float],
        decay: float,
        factor: float,
        momentum: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Learn the matrices `factor` times as fast as AdamW learns the rest of the groups.

        Matrices may have more than two dimensions: all but the first one are inputs. Products are computed in `dtype`.
        """
        super().__init__(groups, rate, betas, weight_decay=decay, fused=True)
        self.matrices, self.factor, self.momentum, self.dtype = list(matrices), factor, momentum, dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change all parameters that have a gradient."""
        gradients = [(matrix, matrix.grad) for matrix in self.matrices if matrix.grad is not None]
        for matrix, _ in gradients:
            matrix.grad = None  # AdamW passes over these
        loss = super().step(closure)
        for matrix, gradient in gradients:
            matrix.grad = gradient
        self._step_matrices(gradients, getattr(self, "found_inf", None))  # as AdamW's kernel is told
        return loss

    def _step_matrices(self, gradients: list[tuple[Tensor, Tensor]], left_out: Tensor | None) -> None:
        rates = {id(p): (group["lr"], group["weight_decay"]) for group in self.param_groups for p in group["params"]}
        ahead = []
        for matrix, gradient in gradients:
            state = self.state[matrix]
            if not state:
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(matrix))  # AdamW looks for a step
            _set(state["momentum"], state["momentum"].lerp(gradient, 1 - self.momentum), left_out)
            ahead.append(gradient.lerp(state["momentum"], self.momentum))  # as Nesterov looks ahead
        for (matrix, _), change in zip(gradients, orthogonal([_parts(x) for x in ahead], self.dtype), strict=True):
            rate, decay = rates[id(matrix)]
            scale = self.factor * rate * max(1.0, change.shape[1] / change.shape[2]) ** 0.5
            slower = matrix * (1 - self.factor * rate * decay)
            _set(matrix, slower.sub_(change.reshape(matrix.shape), alpha=scale), left_out)


def _set(old: Tensor, new: Tensor, left_out: Tensor | None) -> None:
    """Write new values over old ones, unless a step is left out: a GPU knows, and the host does not wait for it."""
    old.copy_(new if left_out is None else torch.where(left_out > 0, old, new))


def _parts(matrix: Tensor) -> Tensor:
    """Return the matrices [K, M, N] that are stacked in one: a layer with gates has several times as many outputs."""
    inputs, outputs = matrix.shape[1], len(matrix)
    return matrix.reshape(outputs // inputs if outputs % inputs == 0 else 1, -1, matrix[0].numel())


def orthogonal(stacks: list[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Bring the singular values of the matrices of each stack [K, M, N] near to 1.

    Those of equal shapes are done at once, and of several processes each does its share.
    """
    shapes: dict[tuple[int, int], list[int]] = {}
    for number, stack in enumerate(stacks):
        shapes.setdefault((min(stack.shape[1:]), max(stack.shape[1:])), []).append(number)
    found = list(stacks)
    for (rows, _), numbers in shapes.items():
        flat = [stacks[n] if stacks[n].shape[1] == rows else stacks[n].mT for n in numbers]
        whole, share = torch.cat(flat), slice(dist.rank(), None, dist.world_size())
        made = torch.zeros_like(whole)
        made[share] = _iterated(whole[share], dtype)
        dist.all_reduce_(made)
        for n, x in zip(numbers, made.split([len(x) for x in flat]), strict=True):
            found[n] = x if stacks[n].shape[1] == rows else x.mT
    return found


def _iterated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Apply an odd polynomial to the singular values of x [K, M, N], M <= N, several times over."""
    once, twice, thrice = QUINTIC
    x = (x / (torch.linalg.matrix_norm(x)[:, None, None] + 1e-7)).to(dtype)
    for _ in range(ITERATIONS):
        squares = x @ x.mT
        squares = torch.baddbmm(squares, squares, squares, beta=twice, alpha=thrice)
        x = torch.baddbmm(x, squares, x, beta=once)
    return x.float()
