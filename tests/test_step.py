"""What a step of a training is computed in."""

import pytest
import torch

from unitdisc.state import precision_of
from unitdisc.train_config import TrainConfig

CPU = torch.device("cpu")
HALF = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("has", [True, False])
def test_products_are_in_bfloat16_where_the_processor_has_it(name: str, has: bool, monkeypatch: pytest.MonkeyPatch):
    for other in HALF:
        monkeypatch.setattr(torch.cpu, other, lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, name, lambda: has, raising=False)
    assert precision_of(TrainConfig(precision="auto"), CPU) == (torch.bfloat16 if has else torch.float32)


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch):
    for name in HALF:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert precision_of(TrainConfig(precision="auto"), CPU) == torch.float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(precision, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, HALF[0], lambda: precision == "float32", raising=False)
    assert precision_of(TrainConfig(precision=precision), CPU) == getattr(torch, precision)
