"""Small numbers for units: of many codebooks together there are more codes than any table has room for."""

import numpy as np

FEW = 4096  # codes that are their own numbers


class Numbering:
    """Numbers for units: those below `own` keep theirs, others are numbered as they come, from there on."""

    def __init__(self, own: int = FEW) -> None:
        self.own = own
        self._numbers: dict[int, int] = {}

    @classmethod
    def of_codes(cls, codes: int) -> "Numbering":
        """Return numbers for units of so many codes: few keep their own; of many, those that come count alone."""
        return cls(codes if codes <= FEW else 0)

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return self.own + len(self._numbers)

    def __call__(self, units: np.ndarray) -> np.ndarray:
        """Return the numbers [N] of units [N]."""
        if not len(units) or units.max() < self.own:
            return units
        found, places = np.unique(units, return_inverse=True)
        numbers = [u if u < self.own else self._numbers.setdefault(u, len(self)) for u in found.tolist()]
        return np.array(numbers, dtype=np.int64)[places]

    @property
    def units(self) -> np.ndarray:
        """Return the unit of each number, [len]."""
        return np.concatenate([np.arange(self.own), np.array(list(self._numbers), dtype=np.int64)])
