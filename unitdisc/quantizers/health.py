"""Is a codebook alive? Usage, perplexity and dead codes over a window of steps, and advice when it is dying."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unitdisc import dist


class Health(NamedTuple):
    """How the codes were used over the last steps, over all processes and codebooks."""

    steps: int
    vectors: int
    used: float  # share of the codes
    dead: float  # share of the codes: 1 - used
    perplexity: float  # mean over codebooks
    advice: str  # what to change; empty while all is well


def perplexity(counts: Tensor) -> Tensor:
    """Return exp of the entropy of counts [..., K]; of no counts, 0."""
    total = counts.sum(-1, keepdim=True, dtype=torch.float64)
    share = counts / total.clamp(min=1)
    return torch.where(total[..., 0] > 0, torch.special.entr(share).sum(-1).exp(), 0.0)


class Usage(nn.Module):
    """Count how often each code was used over the last `window` to 2 `window` steps.

    The counts are summed over all processes as they come, so that each holds, and saves, the same.
    """

    counts: Tensor  # [2, G, K] int64: the window under way, and the one before

    def __init__(self, codebooks: int, codes: int, window: int = 100) -> None:
        super().__init__()
        self.window = window
        self.steps = [0, 0]
        self.register_buffer("counts", torch.zeros(2, codebooks, codes, dtype=torch.int64))

    def add_(self, units: Tensor) -> Tensor:
        """Count units [N, G] of one step; return this step's counts [G, K] over all processes."""
        counts = dist.all_reduce_(count_units(units, self.counts.shape[-1]))
        if self.steps[0] >= self.window:
            self.counts[1].copy_(self.counts[0])
            self.counts[0].zero_()
            self.steps = [0, self.steps[0]]
        self.counts[0] += counts
        self.steps[0] += 1
        return counts

    def reset_(self) -> None:
        """Start a new window: codes from before a re-estimation mean nothing after it."""
        self.counts.zero_()
        self.steps = [0, 0]

    def health(self, remedies: str) -> Health:
        """Sum up; `remedies` is what to try if the codebook is dying."""
        counts = self.counts.sum(0)
        groups, codes = counts.shape
        numbers = torch.stack([counts[0].sum().double(), (counts > 0).double().mean(), perplexity(counts).mean()])
        total, used, ratio = numbers.cpu().tolist()  # one copy, if they lie on a GPU
        vectors = int(total)
        fair = 1 - (1 - 1 / codes) ** vectors  # the share in use if all codes were equally likely
        advice = ""
        if sum(self.steps) >= self.window and used < fair / 2:
            advice = (
                f"the codebook is dying: {used:.0%} of {groups} x {codes} codes in use over {sum(self.steps)} steps "
                f"({vectors} vectors), perplexity {ratio:.1f}; {remedies}"
            )
        return Health(sum(self.steps), vectors, used, 1 - used, ratio, advice)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "steps"] = torch.tensor(self.steps)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        if prefix + "steps" in state_dict:
            self.steps = state_dict.pop(prefix + "steps").tolist()
        else:
            arguments[2].append(prefix + "steps")
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def count_units(units: Tensor, codes: int) -> Tensor:
    """Return how often each of `codes` occurs in units [N, G], as [G, codes]."""
    groups = units.shape[1]
    places = (units + torch.arange(groups, device=units.device) * codes).reshape(-1)
    if units.device.type == "cpu":
        return torch.bincount(places, minlength=groups * codes).view(groups, codes)
    # bincount would make the host wait for the largest unit.
    return places.new_zeros(groups * codes).scatter_add_(0, places, torch.ones_like(places)).view(groups, codes)
