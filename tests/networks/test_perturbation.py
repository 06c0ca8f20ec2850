"""Perturbation: a stretched spectrum is where it should be; only the input of the encoder in training changes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import tiny_model

from unitdisc.errors import ConfigError
from unitdisc.features.acoustic import centre_frequencies
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import FbankConfig
from unitdisc.networks.configs import PerturbationConfig
from unitdisc.networks.perturb import Perturbation

CONFIG = FbankConfig(mels=40, deltas=0)
SEEDS = torch.tensor([3, 5, 8, 13])


def bank_of_tone(hertz: float) -> int:
    """Return the bank that is loudest for a tone, by the features themselves."""
    wave = torch.sin(2 * math.pi * hertz * torch.arange(8000) / 16000)[None]
    frames = build_raw_features(CONFIG)(wave, torch.tensor([8000]))[0]
    return int(frames[0, 20].argmax())


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 2500.0, 5000.0])
def test_centre_frequencies_are_those_of_the_filters(hertz: float):
    nearest = (centre_frequencies(CONFIG).log() - math.log(hertz)).abs().argmin()
    assert abs(bank_of_tone(hertz) - int(nearest)) <= 1


def test_a_stretch_reads_each_bank_at_its_frequency_times_the_factor():
    centres = centre_frequencies(CONFIG)
    module = Perturbation(PerturbationConfig(warp=0.2), centres)
    curve = np.sin(np.linspace(0, 3, 40)) + 2
    for factor in (0.85, 1.0, 1.1):
        stretched = module.stretches(torch.tensor([factor]))[0].double().numpy() @ curve
        assert np.allclose(stretched, np.interp(factor * centres.numpy(), centres.numpy(), curve), atol=1e-5)
    assert torch.equal(module.stretches(torch.tensor([1.0]))[0], torch.eye(40))


def test_rows_depend_on_their_seed_alone_and_evaluation_changes_nothing():
    module = Perturbation(PerturbationConfig(warp=0.2, tilt=0.5), centre_frequencies(CONFIG))
    frames = torch.randn(4, 7, 80, generator=torch.Generator().manual_seed(0))
    made = module(frames, SEEDS)
    assert not torch.allclose(made, frames)
    assert torch.allclose(module(frames[2:3, :5], SEEDS[2:3]), made[2:3, :5], atol=1e-6)
    assert torch.equal(module(frames, None), frames)
    assert torch.equal(module.eval()(frames, SEEDS), frames)


def test_a_tilt_is_added_to_the_banks_and_not_to_their_differences():
    module = Perturbation(PerturbationConfig(tilt=0.5), centre_frequencies(CONFIG))
    frames = torch.randn(4, 7, 80, generator=torch.Generator().manual_seed(0))
    change = module(frames, SEEDS) - frames
    assert torch.allclose(change[:, :, 40:], torch.zeros(4, 7, 40))
    assert torch.allclose(change[:, 0, :40], change[:, 6, :40], atol=1e-5)
    seeds = torch.arange(4000)
    many = module(torch.zeros(4000, 1, 40), seeds)[:, 0]
    deviation = 0.5 * sum(1 / (2 * k) for k in range(1, 6)) ** 0.5  # of cosines over whole and half periods
    assert float(many.std()) == pytest.approx(deviation, rel=0.1)


def test_only_filter_banks_are_stretched():
    on = PerturbationConfig(warp=0.1)
    with pytest.raises(ConfigError, match=r"set features\.kind to fbank"):
        tiny_model(perturbation=on)
    assert tiny_model(features=CONFIG, perturbation=on).perturbation.on
    with pytest.raises(ConfigError, match=r"warp must lie in 0\.\.1"):
        replace(on, warp=1.5)
