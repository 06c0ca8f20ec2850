"""What quantisers with a codebook share: front, warm-up, reservoir, re-estimation, usage, state."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.errors import CheckpointError, UnitdiscError
from unitdisc.quantizers.base import Quantized, Quantizer, Reestimation
from unitdisc.quantizers.clustering import kmeans
from unitdisc.quantizers.configs import Norm
from unitdisc.quantizers.health import Health, Usage, count_units, perplexity
from unitdisc.quantizers.norm import Front
from unitdisc.quantizers.reservoir import Reservoir
from unitdisc.quantizers.rows import Rows, check_finite, pack
from unitdisc.quantizers.schedule import ScheduleConfig


class Looked(NamedTuple):
    """What a codebook makes of vectors [N, D]."""

    values: Tensor  # [N, D]; straight-through
    units: Tensor  # [N, G]
    loss: Tensor  # scalar


class CodebookQuantizer(Quantizer):
    """A quantiser with codebooks [G, K, d] that can be re-estimated from data."""

    codebook: Tensor

    def __init__(
        self,
        dim_in: int,
        dim: int | None,
        codes: int,
        codebooks: int,
        norm: Norm,
        schedule: ScheduleConfig,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.dim_in = dim_in
        self.dim = dim or dim_in
        self.codes = (codes,) * codebooks
        self.schedule = schedule
        self.step = -1
        self.held = False
        self.front = Front(dim_in, self.dim, norm, dim is not None, generator, codebooks)
        self.usage = Usage(codebooks, codes)
        self.reservoir: Reservoir | None = None
        if schedule.until > 0:
            seed = int(torch.randint(2**62, (1,), generator=generator))
            self.reservoir = Reservoir(max(schedule.reservoir, 4 * codes), self.dim, seed)
        self._collected_since = 0  # the step after which the reservoir was last empty

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise x [B, T, dim_in]; during the warm-up pass the projected vectors on, with units -1."""
        if self.training and self.schedule.on and self.step < 0:
            raise UnitdiscError("quantiser: call begin_step_(step) before each training step, or set a schedule of 0")
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output", wait=not self.training)
            vectors = self.front(rows.vectors)
            self._observe_(vectors)
            if self.warming_up:
                return Quantized(self._values(rows, vectors, x), self._no_units(x), self._zero_loss(), {})
            found = self._look_up_and_learn(vectors)
            counts = self.usage.add_(found.units) if self.training else count_units(found.units, self.codes[0])
            units = rows.unpack(found.units, -1)
            return Quantized(self._values(rows, found.values, x), units, found.loss, batch_stats(counts))

    def project(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return x [B, T, dim_in] after normalisation and projection, [B, T, dim]; zero on padding."""
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output")
            return self._values(rows, self.front(rows.vectors), x)

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the units [B, T, G] of x [B, T, dim_in]; -1 on padding, and everywhere during the warm-up."""
        if self.warming_up:
            return self._no_units(x)
        with full_precision(x):
            rows = pack(x, mask, self.dim_in)
            check_finite(rows.vectors, "encoder output")
            return rows.unpack(self.units_of(self.front(rows.vectors)), -1)

    def decode(self, units: Tensor) -> Tensor:
        """Return the values [B, T, dim] of units [B, T, G]; those of unit -1 are zero."""
        if units.shape[-1] != len(self.codes) or (
            units.numel() and not -1 <= units.min() <= units.max() < self.codes[0]
        ):
            raise UnitdiscError(
                f"quantiser: expected units -1..{self.codes[0] - 1} of {len(self.codes)} codebooks, got shape "
                f"{list(units.shape)}" + (f" from {units.min()} to {units.max()}" if units.numel() else "")
            )
        flat = units.reshape(-1, len(self.codes))
        values = self.values_of(flat.clamp(min=0)).masked_fill((flat < 0).any(1, keepdim=True), 0)
        return values.view(*units.shape[:-1], self.dim)

    def begin_step_(self, step: int) -> Reestimation | None:
        """End the warm-up and re-estimate the codebook if that has fallen due since the last call."""
        due = self.schedule.next_after(self.step)
        self.step = step
        if self.reservoir is None or due is None or due > step:
            return None
        event = self._reestimate_(step) if len(self.reservoir.vectors) else None
        self.reservoir.reset_()
        self._collected_since = step
        self.usage.reset_()
        return event

    def hold_(self) -> None:
        """Pass vectors on until `begin_` is called."""
        self.held = True

    @torch.no_grad()
    def begin_(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Set normalisation and codebooks by a sample [N, dim_in], and quantise from now."""
        self.held = False
        self._fit_(self.front.begin_(vectors.float()), generator)
        self.usage.reset_()
        if self.reservoir is not None:
            self.reservoir.reset_()
            self._collected_since = self.step

    def health(self) -> Health:
        """Tell how the codes were used over the last 100 to 200 training steps."""
        return self.usage.health(self.remedies())

    @property
    def warming_up(self) -> bool:
        """Tell whether vectors still pass unquantised."""
        return self.held or (self.step < self.schedule.warm_up and self.schedule.warm_up > 0)

    @abstractmethod
    def units_of(self, vectors: Tensor) -> Tensor:
        """Return the units [N, G] of projected vectors [N, D]."""

    @abstractmethod
    def values_of(self, units: Tensor) -> Tensor:
        """Return the values [N, D] of units [N, G], none of them -1."""

    @abstractmethod
    def _look_up_and_learn(self, vectors: Tensor) -> Looked:
        """Quantise projected vectors [N, D] with loss; in training also learn what is not learnt by gradient."""

    def remedies(self) -> str:
        """Say what to change when the codebook dies."""
        tips = []
        if self.front.norm is None:
            tips.append('set norm to "before-projection" (or "before-vq")')
        if self.schedule.until == 0:
            tips.append("re-estimate it from data (schedule: warm_up, every, until)")
        elif self.step > self.schedule.until:
            tips.append("let re-estimation last longer (schedule.until)")
        tips.append("use fewer codes")
        return "try to " + ", ".join(tips)

    def _parts(self, vectors: Tensor) -> Tensor:
        """Split vectors [N, D] among the codebooks, [N, G, d]."""
        return vectors.reshape(-1, len(self.codes), vectors.shape[1] // len(self.codes))

    def _observe_(self, vectors: Tensor) -> None:
        if self.training and self.reservoir is not None and self.schedule.next_after(self.step) is not None:
            self.reservoir.add_(vectors)

    @torch.no_grad()
    def _reestimate_(self, step: int) -> Reestimation:
        assert self.reservoir is not None
        vectors = self.reservoir.vectors.to(self.codebook.device)
        before = count_units(self.units_of(vectors), self.codes[0])
        self._fit_(vectors, self.reservoir.generator())
        for tensor in self._fitted():
            dist.broadcast_(tensor)
        units = self.units_of(vectors)
        after = count_units(units, self.codes[0])
        return Reestimation(
            step=step,
            vectors=len(vectors),
            used_before=float((before > 0).double().mean()),
            used_after=float((after > 0).double().mean()),
            perplexity_before=float(perplexity(before).mean()),
            perplexity_after=float(perplexity(after).mean()),
            inertia=float((self.values_of(units) - vectors).square().sum(1).mean(dtype=torch.float64)),
        )

    def _fit_(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Make the codebooks anew from projected vectors [N, D]."""
        for group, part in enumerate(self._parts(vectors).unbind(1)):
            self.codebook.data[group] = kmeans(part.contiguous(), self.codes[0], generator).centres

    def _fitted(self) -> list[Tensor]:
        """Return what `_fit_` makes anew, which must be the same in all processes."""
        return [self.codebook.data]

    def codewords(self) -> list[Tensor]:
        """Return the codebooks, each [K, d]."""
        return list(self.codebook.detach())

    def _zero_loss(self) -> Tensor:
        # The codebook takes part, with gradient zero, so that DDP finds every parameter in each backward pass.
        return (self.codebook * 0).sum()

    def _no_units(self, x: Tensor) -> Tensor:
        return torch.full((*x.shape[:2], len(self.codes)), -1, device=x.device)

    def _values(self, rows: Rows, vectors: Tensor, x: Tensor) -> Tensor:
        return rows.unpack(vectors).to(x.dtype)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "steps"] = torch.tensor([self.step, self._collected_since, int(self.held)])

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        theirs = state_dict.get(prefix + "codebook")
        if theirs is not None and theirs.shape != self.codebook.shape:
            raise CheckpointError(
                f"{prefix}codebook: expected {_shape(self.codebook)}, the checkpoint has {_shape(theirs)}; "
                "use the configuration that it was trained with"
            )
        if prefix + "steps" in state_dict:
            self.step, self._collected_since, *held = state_dict.pop(prefix + "steps").tolist()
            self.held = bool(held and held[0])  # version 0.1.0 did not hold
        else:
            arguments[2].append(prefix + "steps")
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _shape(codebook: Tensor) -> str:
    groups, codes, dim = codebook.shape if codebook.dim() == 3 else (0, 0, 0)
    return f"{groups} x {codes} codes of dimension {dim}"


def batch_stats(counts: Tensor) -> dict[str, Tensor]:
    """Return perplexity and share of codes in use of one batch's counts [G, K], as the mean over codebooks."""
    return {"perplexity": perplexity(counts).mean(), "used": (counts > 0).double().mean()}


@contextmanager
def full_precision(x: Tensor) -> Iterator[None]:
    """Leave autocast: distances in half precision confuse near codewords."""
    with torch.autocast(x.device.type, enabled=False):
        yield
