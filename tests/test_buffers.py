"""What is averaged, what decides units, and that models of version 0.1.0 keep their names."""

import json
from collections.abc import Iterator

import pytest
import torch
from places import FIXTURES
from torch import Tensor

from unitdisc import checkpoint
from unitdisc.buffers import averaged_state, unit_state
from unitdisc.checkpoint import Polyak
from unitdisc.features.configs import MfccConfig
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.networks.encoders.configs import ConvEncoderConfig, ConvLSTMEncoderConfig, NoEncoderConfig
from unitdisc.quantizers import (
    EMAConfig,
    FSQConfig,
    KMeans,
    KMeansConfig,
    ResidualVQConfig,
    ScheduleConfig,
    VQConfig,
)

OLD = FIXTURES / "version-0.1.0"
SCHEDULE = ScheduleConfig(warm_up=1, every=2, until=3, reservoir=64)
ENCODERS = {
    "conv": ConvEncoderConfig(channels=4, pointwise=1),
    "lstm": ConvLSTMEncoderConfig(channels=2, cells=3, layers=1, kernel=5),
    "none": NoEncoderConfig(),
}
QUANTIZERS = {
    "vq": VQConfig(codes=6, codebooks=2, dim=4, schedule=SCHEDULE),
    "ema": EMAConfig(codes=6, dim=4, norm="before-vq", schedule=SCHEDULE),
    "rvq": ResidualVQConfig(codes=6, codebooks=2, dim=4, schedule=SCHEDULE),
    "fsq": FSQConfig(levels=(4, 3)),
    "kmeans": KMeansConfig(codes=6),
}
# Hashes of model and codebook that version 0.1.0 gives the models of `patterned`.
HASHES = {
    "conv-vq": ("beba56269d90", "f39ab3cd390e"),
    "conv-ema": ("85136d143ade", "20dfc834477e"),
    "conv-rvq": ("7d3da39a7282", "cac506ab77c3"),
    "conv-fsq": ("914b5457d5ca", "179706776e82"),
    "conv-kmeans": ("6d3e8b9c0924", "20dfc834477e"),
    "lstm-vq": ("4d707f2d5181", "f39ab3cd390e"),
    "lstm-ema": ("67c8cc3a098b", "20dfc834477e"),
    "lstm-rvq": ("0e1f2f1c0a2a", "cac506ab77c3"),
    "lstm-fsq": ("d294ec84e83d", "179706776e82"),
    "lstm-kmeans": ("d15201d79fce", "3b8efc54c7ec"),
    "none-vq": ("24958f50717c", "f39ab3cd390e"),
    "none-ema": ("67b495012a50", "20dfc834477e"),
    "none-rvq": ("2b0c60cbd357", "cac506ab77c3"),
    "none-fsq": ("1433f3126f33", "179706776e82"),
    "none-kmeans": ("44e78e037734", "2e0a17caef44"),
}


def model_of(encoder: str, quantizer: str) -> UnitModel:
    torch.manual_seed(0)
    features = MfccConfig(mels=12, ceps=4, cmvn="utterance")
    model = UnitModel(ModelConfig(features, encoder=ENCODERS[encoder], quantizer=QUANTIZERS[quantizer]), ["a"])
    if isinstance(model.quantizer, KMeans):
        model.quantizer.codebook.normal_()
        model.quantizer.fitted = True
    return model


def patterned(encoder: str, quantizer: str) -> UnitModel:
    """Return a model whose weights are simple fractions, the same on any machine."""
    model = model_of(encoder, quantizer).eval()
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(((torch.arange(tensor.numel()) * 5 % 17 + 1) / 16).view_as(tensor))
    return model


def train(model: UnitModel, steps: int, average: Polyak | None = None) -> None:
    """Train encoder and quantiser, whose values are to be like the frames' first dimensions."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    model.train()
    for step in range(steps):
        model.begin_step_(step)
        x = torch.randn(3, 40, model.dim_in, generator=torch.Generator().manual_seed(step))
        y, lengths = model.encoder(x, torch.tensor([40, 31, 17]))
        out = model.quantizer(y, torch.arange(y.shape[1]) < lengths[:, None])
        optimizer.zero_grad()
        loss = out.loss + out.values.square().mean()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
        if average is not None:
            average.update_(model)


def float_buffers(model: UnitModel) -> Iterator[tuple[str, Tensor]]:
    for name, value in model.named_buffers():
        if value.is_floating_point():
            yield name, value


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_training_changes_is_averaged(encoder: str, quantizer: str):
    model = model_of(encoder, quantizer)
    before = {name: value.clone() for name, value in float_buffers(model)}
    average = Polyak(model, 0.9)
    train(model, 6, average)
    moved = {name for name, value in float_buffers(model) if not torch.equal(value, before[name])}
    assert moved <= {name for name, _ in averaged_state(model)} | {"quantizer.usage_average"}
    assert ("encoder.norms.0.running_var" in moved) == (encoder == "lstm")
    assert ("quantizer.codebook" in moved) == (quantizer == "ema")
    for name in moved - {"quantizer.usage_average"}:
        assert not torch.equal(average.values[name], dict(model.named_buffers())[name]), name
        assert not torch.equal(average.values[name], before[name]), name


def outputs(model: UnitModel) -> list[Tensor]:
    """Return the units of frames, and the vectors they stand for."""
    x = torch.randn(1, 80, model.dim_in, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y, _ = model.encoder(model.normalise(x), torch.tensor([80]))
        return [model.quantizer.project(y), model.quantizer.encode(y), *model.quantizer.codewords()]


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_models_hash_changes_with_what_decides_units_and_with_nothing_else(encoder: str, quantizer: str):
    model = model_of(encoder, quantizer)
    train(model, 3)
    model.eval()
    hash, wanted = model.model_hash(), outputs(model)
    named = {f"encoder.{n}" for n, _ in unit_state(model.encoder)} | {
        f"quantizer.{n}" for n, _ in unit_state(model.quantizer)
    }
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or name not in model.state_dict():
            continue
        kept = tensor.detach().clone()
        tensor.data.copy_(kept + 0.37 * torch.rand(kept.shape, generator=torch.Generator().manual_seed(5)))
        moved = any(not torch.equal(one, other) for one, other in zip(wanted, outputs(model), strict=True))
        assert not moved or model.model_hash() != hash, name
        if name.startswith(("encoder.", "quantizer.")) and name not in named | {"quantizer.codebook"}:
            assert not moved, name
            assert model.model_hash() == hash, name
        tensor.data.copy_(kept)
    assert model.model_hash() == hash


@pytest.mark.parametrize("kind", HASHES)
def test_models_keep_the_hashes_of_version_0_1_0(kind: str):
    model = patterned(*kind.split("-"))
    assert (model.model_hash(), model.codebook_hash()) == HASHES[kind]


@pytest.mark.parametrize("name", ["conv-vq", "lstm-ema"])
def test_checkpoints_of_version_0_1_0_give_the_same_units(name: str):
    wanted = json.loads((OLD / "units.json").read_text())[name]
    model = checkpoint.load_model(OLD / f"{name}.pt")
    x = torch.linspace(-3, 3, 60 * 12).sin().mul(2).view(1, 60, 12)
    units = model.encode(x, torch.tensor([60])).units[0, :, 0].tolist()
    assert {"model": model.model_hash(), "codebook": model.codebook_hash(), "units": units} == wanted


def test_a_training_of_version_0_1_0_goes_on_with_all_that_is_averaged_now():
    tree = checkpoint.load(OLD / "lstm-ema.pt")
    model = checkpoint.build_model(tree, averaged=False)
    average = Polyak(checkpoint.build_model(tree), 0.9)
    average.load_state_dict(tree["average"], model)
    state = dict(averaged_state(model))
    assert average.values.keys() == average.updates.keys() == state.keys()
    new = state.keys() - tree["average"]["values"].keys()
    assert new == {"quantizer.codebook", *(f"encoder.norms.{n}.running_{s}" for n in (0, 1) for s in ("mean", "var"))}
    for name in new:
        assert torch.equal(average.values[name], state[name])
        assert average.updates[name] == 0


def test_torchs_own_batch_normalisation_is_averaged_too():
    names = [name for name, _ in averaged_state(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))]
    assert names == ["0.weight", "0.bias", "0.running_mean", "0.running_var"]
