"""Tensors on their way to a GPU."""

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; from the CPU it is on its way, and the host does not wait until it has arrived."""
    if x.device.type != "cpu" or device.type == "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
