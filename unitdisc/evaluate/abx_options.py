"""How ABX is scored: its options, and their defaults for everybody. Nothing is imported that takes time."""

from dataclasses import dataclass
from typing import Literal

Distance = Literal["angular", "euclidean", "kl", "identical", "codebook", "balanced", "edit"]
Slicing = Literal["fastabx", "librilight"]


@dataclass(frozen=True)
class AbxOptions:
    """How ABX is scored."""

    speaker: Literal["within", "across"] = "within"
    context: Literal["within", "any"] = "within"
    distance: Distance = "angular"
    max_group: int | None = 10  # items of a phone by a speaker (in a context); None for all
    max_x_across: int | None = 5  # speakers that X comes from, for each A and B; None for all
    seed: int = 0
    slicing: Slicing = "fastabx"
    max_dropped: float = 0.01
