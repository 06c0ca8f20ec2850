"""Steps whose gradient stands out: found where the gradient lies, so that nobody waits for a GPU to say so."""

from collections.abc import Sequence

import torch
from torch import Tensor

KEPT = 100  # norms of the last steps
FEWEST = 50  # norms that say what is usual
LASTING = 5  # steps in a row whose gradients stand out: a new level, and no spike


class Norms:
    """The norms of the gradients of the last steps, on the model's device."""

    def __init__(self, device: torch.device | str = "cpu", norms: Sequence[float] = ()) -> None:
        missing = [float("nan")] * (KEPT - len(norms))
        self._values = torch.tensor([*missing, *norms], dtype=torch.float64).to(device)  # [KEPT], the newest last

    def tolist(self) -> list[float]:
        """Return the norms, the newest last."""
        return [x for x in self._values.cpu().tolist() if x == x]

    def spike_(self, norm: Tensor, limit: float) -> Tensor:
        """Return whether a gradient's norm is no number or stands out of the last ones, as a scalar; note the norm.

        It stands out above so many times the median of the last ones (0: never), unless they have stayed there.
        """
        norm = norm.double()
        finite = norm.isfinite()
        spike = ~finite
        if limit:
            ordered, count = self._values.sort().values, self._values.isfinite().sum()  # what is missing comes last
            middle = torch.stack([count - 1, count]).clamp(min=0) // 2
            bound = limit * ordered.index_select(0, middle).mean()
            spike = spike | ((count >= FEWEST) & (norm > bound) & (self._values[-LASTING:].min() <= bound))
        self._values = torch.where(finite, torch.cat([self._values[1:], norm[None]]), self._values)
        return spike
