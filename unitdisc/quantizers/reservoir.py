"""A uniform sample of all vectors seen, of fixed size: algorithm R, vectorised, the same in all processes."""

from typing import Any

import torch
from torch import Tensor, nn

from unitdisc import dist
from unitdisc.devices import sent


class Reservoir(nn.Module):
    """Keep each of the vectors seen since the last reset with the same probability, at most `capacity` of them.

    All processes draw the same numbers and hold the same sample, so that any one process' state dict is complete;
    only vectors that enter the sample travel between them. State: the sample, its counter, and the generator's state.
    """

    def __init__(self, capacity: int, dim: int, seed: int) -> None:
        super().__init__()
        self.capacity, self.dim = capacity, dim
        self.seen = 0
        self._held = torch.zeros(0, dim)
        self._random = torch.Generator().manual_seed(seed).get_state()
        self._same_random = False  # whether all processes are known to draw the same numbers

    @property
    def vectors(self) -> Tensor:
        """Return the sample [N, D], N = min(seen, capacity)."""
        return self._held

    @torch.no_grad()
    def add_(self, vectors: Tensor) -> None:
        """Offer vectors [N, D]: the t-th ever seen replaces a random one with probability capacity / t."""
        counts = [len(vectors)]
        if dist.world_size() > 1:
            self._share_random_(vectors.device)
            counts = [int(c) for c in dist.all_gather(torch.tensor([len(vectors)], device=vectors.device))]
        order, slots = self._choose_(sum(counts))
        first = sum(counts[: dist.rank()])
        mine = (order >= first) & (order < first + len(vectors))
        chosen = vectors.detach()[sent(order[mine] - first, vectors.device)].float()
        entering = torch.cat(dist.all_gather(chosen)) if dist.world_size() > 1 else chosen
        held = sent(self._held, vectors.device)
        size = min(self.seen, self.capacity)
        if len(held) < size:
            held = torch.cat([held, held.new_zeros(size - len(held), self.dim)])
        self._held = held.index_copy_(0, sent(slots, held.device), entering.to(held.dtype))

    def _choose_(self, count: int) -> tuple[Tensor, Tensor]:
        """Return which of `count` new vectors enter, in order, and the slot of each; slots are distinct."""
        number = torch.arange(self.seen, self.seen + count, dtype=torch.float64)
        generator = torch.Generator()
        generator.set_state(self._random)
        draws = torch.rand(count, dtype=torch.float64, generator=generator)
        self._random = generator.get_state()
        self.seen += count
        slots = torch.where(number < self.capacity, number, (draws * (number + 1)).floor()).long()
        order = (slots < self.capacity).nonzero().squeeze(1)
        slots = slots[order]
        # Of several that fall into one slot only the last stays, as when they come one by one.
        last = torch.full((self.capacity,), -1).scatter_reduce_(0, slots, order, "amax")
        stays = last[slots] == order
        return order[stays], slots[stays]

    def _share_random_(self, device: torch.device) -> None:
        if not self._same_random:
            self._random = dist.broadcast_(self._random.to(device)).cpu()
            self._same_random = True

    def uniform(self, count: int) -> Tensor:
        """Draw float64 numbers [count] in 0..1 from the reservoir's generator."""
        generator = torch.Generator()
        generator.set_state(self._random)
        draws = torch.rand(count, dtype=torch.float64, generator=generator)
        self._random = generator.get_state()
        return draws

    def generator(self) -> torch.Generator:
        """Return a generator seeded from the reservoir's own."""
        return torch.Generator().manual_seed(int(self.uniform(1).item() * 2**53))

    def reset_(self) -> None:
        """Forget all vectors; the generator goes on."""
        self.seen = 0
        self._held = self._held.new_zeros(0, self.dim)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "vectors"] = self._held.clone()
        destination[prefix + "seen"] = torch.tensor(self.seen)
        destination[prefix + "random"] = self._random.clone()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        names = ("vectors", "seen", "random")
        missing = [prefix + name for name in names if prefix + name not in state_dict]
        arguments[2].extend(missing)
        if not missing:
            vectors, seen, random = (state_dict.pop(prefix + name) for name in names)
            self._held = vectors.to(self._held.device, torch.float32).clone()
            self.seen = int(seen)
            self._random = random.cpu().clone()
            self._same_random = False
        super()._load_from_state_dict(state_dict, prefix, *arguments)
