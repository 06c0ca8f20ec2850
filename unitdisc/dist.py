"""Everything that knows of several processes; each function does nothing when there is only one.

Start with `torchrun --nproc-per-node 2 -m unitdisc train ...`; torchrun sets RANK, WORLD_SIZE and LOCAL_RANK.
"""

import datetime
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unitdisc.errors import ConfigError, UnitdiscError

if TYPE_CHECKING:
    from torch import Tensor

# How long one process may work while the others wait: on targets of a thousand hours, for hours. One that is gone is
# noticed by its connections, and by torchrun.
PATIENCE = datetime.timedelta(days=7)
# What torch says when a process that belongs to the run is gone.
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset)|Broken pipe|Timed out|DistNetworkError", re.I)


def rank() -> int:
    """Return this process's number among all."""
    return int(os.environ.get("RANK", "0")) if _started() else 0


def world_size() -> int:
    """Return the number of processes that train or encode together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _started() else 1


def local_rank() -> int:
    """Return this process's number on its machine, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Return the number of processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_main() -> bool:
    """Tell whether this process writes files and prints."""
    return rank() == 0


def _started() -> bool:
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    import torch.distributed as torch_dist

    return torch_dist.is_available() and torch_dist.is_initialized()


def check_device(name: str) -> None:
    """Refuse a device that is not there, before anything is loaded."""
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
        raise ConfigError(f"device: expected cpu, cuda or cuda:N, got {name!r}")
    if kind == "cpu":
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= int(number or 0):
        raise ConfigError(f"device: {name} is not there: PyTorch finds {count} GPUs; --device cpu, or check the driver")


@contextmanager
def group(device: str = "cpu") -> Iterator[None]:
    """Join the processes that torchrun started, for the length of a with block."""
    check_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _started():
        yield
        return
    import torch
    import torch.distributed as torch_dist

    if device.startswith("cuda"):
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    torch_dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        raise UnitdiscError(
            f"another of the {world_size()} processes has ended, or does not answer; what it said stands above. "
            "The same command goes on where it was, also with another number of processes"
        ) from error
    finally:
        torch_dist.destroy_process_group()


def all_reduce_(tensor: "Tensor") -> "Tensor":
    """Sum a tensor over all processes, in place."""
    if world_size() > 1:
        import torch.distributed as torch_dist

        torch_dist.all_reduce(tensor)
    return tensor


def broadcast_(tensor: "Tensor", source: int = 0) -> "Tensor":
    """Overwrite a tensor with that of one process."""
    if world_size() > 1:
        import torch.distributed as torch_dist

        torch_dist.broadcast(tensor, source)
    return tensor


def all_gather(tensor: "Tensor") -> "list[Tensor]":
    """Return every process's tensor, in order of rank; first dimensions may differ."""
    if world_size() == 1:
        return [tensor]
    import torch
    import torch.distributed as torch_dist

    count = torch.tensor([tensor.shape[0]], device=tensor.device)
    counts = [torch.zeros_like(count) for _ in range(world_size())]
    torch_dist.all_gather(counts, count)
    longest = int(max(c.item() for c in counts))
    padded = tensor.new_zeros(longest, *tensor.shape[1:])
    padded[: tensor.shape[0]] = tensor
    parts = [torch.zeros_like(padded) for _ in counts]
    torch_dist.all_gather(parts, padded)
    return [part[: int(c.item())] for part, c in zip(parts, counts, strict=True)]


def any_of(flag: bool) -> bool:
    """Tell whether something holds in some process. They agree on their CPUs: no GPU is waited for."""
    if world_size() == 1:
        return flag
    import torch
    import torch.distributed as torch_dist

    value = torch.tensor(int(flag))
    torch_dist.all_reduce(value, op=torch_dist.ReduceOp.MAX)
    return bool(value)


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        import torch.distributed as torch_dist

        torch_dist.barrier()
