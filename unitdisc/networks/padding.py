"""What keeps padding from changing anything: masks."""

import torch
from torch import Tensor

from unitdisc.devices import sent


def padding_mask(lengths: Tensor, frames: int, device: torch.device | None = None) -> Tensor | None:
    """Return [B, T] that is True on valid frames, or None when every row is full; on the lengths' or another device.

    Of lengths on a GPU, and while a graph is compiled, the mask always comes: looking would make the host wait.
    """
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool((lengths >= frames).all()):
        return None
    mask = torch.arange(frames, device=lengths.device) < lengths[:, None]
    return mask if device is None else sent(mask, device)


def masked(x: Tensor, mask: Tensor | None, time: int = 1) -> Tensor:
    """Zero x [B, ...] where mask [B, T] is False; `time` is x's time dimension, and mask None leaves x alone."""
    if mask is None:
        return x
    mask = sent(mask, x.device)
    shape = [mask.shape[0]] + [1] * (x.dim() - 1)
    shape[time] = mask.shape[1]
    return x.masked_fill(~mask.view(shape), 0.0)


def ceil_divide(lengths: Tensor, stride: int) -> Tensor:
    """Return how many units of a stride cover so many frames."""
    return (lengths + stride - 1) // stride  # never of a negative number, which ONNX rounds the other way
