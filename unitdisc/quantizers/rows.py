"""Padded sequences to the vectors that count, and back."""

from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.devices import sent
from unitdisc.errors import UnitdiscError


class Rows(NamedTuple):
    """The vectors of a batch that count, in order of utterance and time."""

    vectors: Tensor  # [N, D] float32
    places: Tensor | None  # [N] where each stands among the B * T; None if all count
    shape: tuple[int, int]  # B, T

    def unpack(self, vectors: Tensor, fill: float = 0) -> Tensor:
        """Return vectors [N, ...] as [B, T, ...] with `fill` on padding."""
        if self.places is None:
            return vectors.reshape(*self.shape, *vectors.shape[1:])
        padded = vectors.new_full((self.shape[0] * self.shape[1], *vectors.shape[1:]), fill)
        return padded.index_copy(0, self.places, vectors).view(*self.shape, *vectors.shape[1:])


def pack(x: Tensor, mask: Tensor | None, dim: int) -> Rows:
    """Take the vectors of x [B, T, D] where mask [B, T] is True.

    The mask may lie on the CPU whatever the vectors' device: the host then need not wait to know how many they are.
    """
    if x.dim() != 3 or x.shape[-1] != dim:
        raise UnitdiscError(f"quantiser: expected vectors of shape [B, T, {dim}], got {list(x.shape)}")
    flat = x.float().reshape(-1, dim)
    shape = (x.shape[0], x.shape[1])
    if mask is None:
        return Rows(flat, None, shape)
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise UnitdiscError(
            f"quantiser: expected a bool mask of shape {list(shape)}, got {mask.dtype} of {list(mask.shape)}"
        )
    index = mask.reshape(-1).nonzero().squeeze(1)
    if len(index) == len(flat):
        return Rows(flat, None, shape)
    index = sent(index, x.device)
    return Rows(flat.index_select(0, index), index, shape)


def check_finite(x: Tensor, what: str, wait: bool = True) -> None:
    """Refuse NaN and infinity before they reach any state.

    A GPU that is not waited for stops by itself, and the training ends at the next look at it.
    """
    if not wait and x.device.type != "cpu":
        torch._assert_async(torch.isfinite(x.detach().sum()), f"quantiser: the {what} holds NaN or infinity")
        return
    # One pass that makes no temporary; a sum overflows only where the second, dearer look is due anyway.
    if not torch.isfinite(x.detach().sum()) and not torch.isfinite(x).all():
        bad = (~torch.isfinite(x)).any(1)
        raise UnitdiscError(
            f"quantiser: {int(bad.sum())} of {len(x)} vectors of the {what} hold NaN or infinity; "
            "lower the learning rate, clip gradients, or look for silent or empty utterances"
        )
