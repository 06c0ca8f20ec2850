"""What holds for every kind of quantiser, with its defaults. A kind that is added is found here by itself."""

import pytest
import torch
from torch import Tensor

from unitdisc.quantizers import build_quantizer
from unitdisc.quantizers.base import Quantizer
from unitdisc.quantizers.build import QUANTIZERS

DIM = 12
KINDS = dict(zip(QUANTIZERS.kinds, QUANTIZERS.configs, strict=True))
LENGTHS = torch.tensor([9, 1, 6])


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(kind: str, seed: int = 0) -> Quantizer:
    """Return a quantiser that has seen data, if it needs any, and quantises from now on."""
    torch.manual_seed(seed)  # of layers that a kind draws without the generator
    quantizer = build_quantizer(KINDS[kind](), DIM, torch.Generator().manual_seed(seed))
    quantizer.begin_step_(100_000)  # after the end of every warm-up
    quantizer.begin_(draw(600, DIM, seed=1), torch.Generator().manual_seed(2))
    return quantizer


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def quantizer(kind: str) -> Quantizer:
    return built(kind)


def test_units_are_below_the_number_of_codes_and_do_not_depend_on_the_batch(quantizer: Quantizer):
    quantizer.eval()
    x = draw(4, 9, DIM, seed=3)
    units = quantizer.encode(x)
    assert (units.shape, units.dtype) == ((4, 9, len(quantizer.codes)), torch.int64)
    for codebook, codes in enumerate(quantizer.codes):
        assert 0 <= units[..., codebook].min() <= units[..., codebook].max() < codes
    assert torch.equal(units, quantizer(x).units)
    assert torch.equal(units, torch.cat([quantizer.encode(row[None]) for row in x]))
    assert torch.equal(units, torch.cat([quantizer.encode(x[:, :4]), quantizer.encode(x[:, 4:])], 1))


def test_values_are_those_of_the_units_and_made_of_the_codewords(quantizer: Quantizer):
    quantizer.eval()
    x = draw(4, 9, DIM, seed=3)
    values, units = quantizer(x)[:2]
    assert (values.shape, values.dtype) == ((4, 9, quantizer.dim), torch.float32)
    words = quantizer.codewords()
    assert tuple(map(len, words)) == quantizer.codes
    if not words:  # nothing is quantised
        assert torch.equal(values, x)
        return
    assert torch.allclose(quantizer.decode(units), values, atol=1e-6)
    assert (quantizer.decode(torch.full_like(units, -1)) == 0).all()
    chosen = [word[units[..., codebook]] for codebook, word in enumerate(words)]
    side_by_side = torch.cat(chosen, -1)
    whole = side_by_side if side_by_side.shape == values.shape else torch.stack(chosen).sum(0)
    assert torch.allclose(whole, values, atol=1e-5)


def test_padding_changes_nothing_and_has_no_units(kind: str):
    one, other = built(kind), built(kind)
    mask = torch.arange(9) < LENGTHS[:, None]
    x = draw(3, 9, DIM, seed=4)
    results = []
    for quantizer, frames in ((one, x), (other, torch.where(mask[:, :, None], x, 1e5))):
        frames = frames.clone().requires_grad_()
        out = quantizer(frames, mask)
        (out.loss + out.values[mask].square().sum()).backward()
        assert frames.grad is not None
        assert (frames.grad[~mask] == 0).all()
        assert (out.units[~mask] == -1).all()
        results.append((out.values[mask], out.units, out.loss, frames.grad))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_training_reaches_the_encoder_and_every_parameter_is_in_one_group(quantizer: Quantizer):
    groups = quantizer.parameter_groups(1e-3)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]  # type: ignore[attr-defined]
    assert sorted(grouped) == sorted(map(id, quantizer.parameters()))
    optimizer = torch.optim.Adam([*groups, {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1e-3}])
    for step in range(3):
        quantizer.begin_step_(100_001 + step)
        x = draw(2, 7, DIM, seed=step).requires_grad_()
        values, _, loss, stats = quantizer(x)
        (loss + values.square().sum()).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert x.grad.abs().sum() > 0
        assert all(torch.as_tensor(value).isfinite() for value in (loss, *stats.values()))
        optimizer.step()
        optimizer.zero_grad()


def test_the_state_dict_has_all_that_units_depend_on(kind: str, quantizer: Quantizer):
    quantizer(draw(2, 50, DIM, seed=5))  # moves averages
    copied = build_quantizer(KINDS[kind](), DIM, torch.Generator().manual_seed(9))
    copied.load_state_dict(quantizer.state_dict())
    x = draw(2, 9, DIM, seed=6)
    assert torch.equal(quantizer.eval().encode(x), copied.eval().encode(x))
