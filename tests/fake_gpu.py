"""A GPU that is not there: tensors that say they are on one, refuse to meet those of the CPU, and count waits.

Numbers are computed on the CPU, so whatever runs on the fake can be compared with what runs without. Counted is what
makes the host wait for a real GPU: a tensor that is read, copied over, or whose values decide the shape of another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_stack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda:0")
aten = torch.ops.aten
# What a GPU cannot do without telling the host what came of it.
WAITS = {
    aten._local_scalar_dense, aten.nonzero, aten.bincount, aten.masked_select, aten.equal, aten.is_nonzero,
    aten._unique, aten._unique2, aten.unique_consecutive, aten.unique_dim, aten.repeat_interleave, aten._ctc_loss,
}  # fmt: skip


# Indices may lie on the CPU, at the price of a copy; the sizes of a packed batch have to.
MAY_MIX = {aten.index, aten._pack_padded_sequence, aten._pack_padded_sequence_backward}


class FakeGpu(Tensor):
    """A tensor that says it is on a GPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "FakeGpu":
        self = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device="meta", requires_grad=False,
        )  # fmt: skip
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func}: outside of the fake GPU")

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Say so; only autograd, which would look for a real GPU's streams, sees the device `meta`."""
        return DEVICE

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"FakeGpu({list(self.shape)}, {self.dtype})"


class Gpu(TorchDispatchMode):
    """What runs on the fake; `waits` says where the host waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        there = [x for x in tensors if isinstance(x, FakeGpu)]
        to = kwargs.get("device")
        if not there and (to is None or torch.device(to).type == "cpu"):
            return func(*args, **kwargs)
        copies = func in (aten._to_copy.default, aten.copy_.default)
        if there and not copies:
            strangers = [x for x in tensors if not isinstance(x, FakeGpu) and x.dim()]
            assert not strangers or func.overloadpacket in MAY_MIX, (
                f"{func}: {[tuple(x.shape) for x in strangers]} on the CPU meets a GPU's"
            )
        self._count(func, args, kwargs, there)
        if to is not None:
            kwargs["device"] = torch.device("cpu")
        leaves = len(there) < len(tensors) if func is aten.copy_.default else False
        out = func(*tree_map(_inside, args), **tree_map(_inside, kwargs))
        if to is not None and torch.device(to).type == "cpu":
            return out.clone() if out is getattr(args[0], "inner", None) else out
        if leaves and not isinstance(args[0], FakeGpu):
            return args[0]
        if func is aten._pack_padded_sequence.default:  # the sizes of its steps stay with the host
            return FakeGpu(out[0]), out[1]
        out = tree_map(lambda x: FakeGpu(x) if isinstance(x, Tensor) else x, out)
        return return_and_correct_aliasing(func, args, kwargs, out) if there else out

    def _count(self, func: Any, args: Any, kwargs: Any, there: list[Any]) -> None:
        waits = func.overloadpacket in WAITS and bool(there) and func is not aten.repeat_interleave.self_int
        if there and func.overloadpacket in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
            places = [x for x in args[1] if x is not None]
            waits = any(x.dtype in (torch.bool, torch.uint8) or not isinstance(x, FakeGpu) for x in places)
        if func is aten._to_copy.default:
            over = isinstance(args[0], FakeGpu) != (torch.device(kwargs.get("device", DEVICE)).type != "cpu")
            out = isinstance(args[0], FakeGpu)
            waits = over and (out or not kwargs.get("non_blocking", False))
        if func is aten.copy_.default:
            one, two = (isinstance(x, FakeGpu) for x in args[:2])
            quick = (args[2] if len(args) > 2 else kwargs.get("non_blocking", False)) or args[1].dim() == 0
            waits = one != two and (two or not quick)
        if waits:
            here = [x for x in extract_stack() if "/unitdisc/" in x.filename]
            self.waits.append(f"{func} at {Path(here[-1].filename).name}:{here[-1].lineno}" if here else str(func))


def _inside(x: Any) -> Any:
    return x.inner if isinstance(x, FakeGpu) else x


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """Let `cuda:0` mean the fake for the length of a with block."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self)
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with Gpu() as gpu:
            yield gpu
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
