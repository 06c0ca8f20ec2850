"""Activations computed again: the same gradients."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_up import make_data, tiny_model

from unitdisc.checkpoint import newest
from unitdisc.errors import ConfigError
from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.wavenet import WaveNet
from unitdisc.train import train
from unitdisc.train_config import Config, TrainConfig


def test_gradients_are_those_of_kept_activations():
    torch.manual_seed(0)
    net = WaveNet(WaveNetConfig(layers=4, cycles=2, residual=6, gate=8, skip=5, hidden=7), 3, 4, 2)
    x, condition = torch.randn(2, 24, 3, requires_grad=True), torch.randn(2, 6, 2, requires_grad=True)
    found = []
    for net.recompute in (False, True):
        out = net(x, condition)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, condition, *net.parameters()])])
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


def test_a_training_is_the_same_to_the_bit(tmp_path: Path):
    for part in ("train", "dev"):
        make_data(tmp_path / part, 4)
    trees = []
    for recompute in (False, True):
        options = TrainConfig(
            steps=2, batch=2, chunk=16, device="cpu", tensorboard=False, recompute=recompute, validate_every=2
        )
        exp = tmp_path / str(recompute)
        train(Config(replace(tiny_model(), jitter=0.0), options), exp, tmp_path / "train", tmp_path / "dev")
        trees.append(newest(exp))
    for name, value in trees[0]["model"].items():
        assert torch.equal(value, trees[1]["model"][name]), name


def test_a_decoder_that_cannot_is_refused():
    from unitdisc.decoders.configs import VoiceDecoderConfig
    from unitdisc.model import UnitModel

    model = UnitModel(tiny_model(decoder=VoiceDecoderConfig(channels=8, hidden=8)), ["a"])
    assert model.decoder is not None
    with pytest.raises(ConfigError, match=r"train\.recompute: only a WaveNet"):
        model.decoder.recompute_()
