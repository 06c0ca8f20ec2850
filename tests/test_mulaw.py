"""Mu-law: torchaudio's levels, and back to within half a step."""

import torch
import torchaudio.functional

from unitdisc.features.mulaw import mulaw_decode, mulaw_encode


def test_equal_to_torchaudio():
    waves = torch.cat([torch.linspace(-1, 1, 20001), torch.randn(5000, generator=torch.Generator().manual_seed(0)) / 9])
    for levels in (16, 256, 1024):
        units = mulaw_encode(waves, levels)
        theirs = torchaudio.functional.mu_law_encoding(waves.clamp(-1, 1), levels)
        # On the border of two levels rounding may go either way.
        assert ((units - theirs).abs() <= 1).all()
        assert (units == theirs).float().mean() > 0.999
        assert torch.allclose(
            mulaw_decode(units, levels), torchaudio.functional.mu_law_decoding(units, levels), atol=1e-6
        )


def test_every_level_comes_back():
    for levels in (2, 16, 255, 256):
        units = torch.arange(levels)
        assert torch.equal(mulaw_encode(mulaw_decode(units, levels), levels), units)


def test_ends_and_beyond():
    assert mulaw_encode(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]
    assert mulaw_decode(torch.tensor([0, 255])).tolist() == [-1.0, 1.0]


def test_quiet_samples_are_fine_and_loud_ones_coarse():
    waves = torch.linspace(-1, 1, 10001)
    error = (mulaw_decode(mulaw_encode(waves)) - waves).abs()
    assert error[waves.abs() < 0.01].max() < 3e-4
    assert error.max() < 0.022
