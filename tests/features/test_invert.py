"""Log-mel frames and back: the same frames, the same time, the same bytes for the same seed."""

import numpy as np
import pytest
import torch

from unitdisc.features.acoustic import slaney_banks
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.invert import griffin_lim, linear_spectrum


def speech_like(samples: int = 16000) -> torch.Tensor:
    """Return a gliding harmonic sound that begins after 0.25 s and ends at 0.75 s."""
    time = torch.arange(samples) / 16000
    phase = 2 * np.pi * (150 * time + 40 * time**2)
    wave = sum(torch.sin(k * phase) / k for k in range(1, 20))
    inside = ((time > 0.25) & (time < 0.75)).float()
    return 0.1 * wave * inside


def log_mel(wave: torch.Tensor, config: LogMelConfig) -> torch.Tensor:
    frames, lengths = build_raw_features(config)(wave[None], torch.tensor([len(wave)]))[:2]
    return frames[0, : int(lengths[0])]


def test_filters_and_griffin_lim_are_torchaudios_bit_for_bit():
    from torchaudio.functional import griffinlim, melscale_fbanks

    for config in (LogMelConfig(), LogMelConfig(mels=40, n_fft=1024, fmin=50.0, fmax=7600.0)):
        shape = (config.n_fft // 2 + 1, config.fmin, config.fmax, config.mels, config.sample_rate)
        assert torch.equal(slaney_banks(config), melscale_fbanks(*shape, "slaney", "slaney"))
    config, frames = LogMelConfig(), log_mel(speech_like(), LogMelConfig())
    spectrum = linear_spectrum(torch.cat([frames[:1], frames, frames[-1:]]), config).T
    torch.manual_seed(3)
    window, length = torch.hann_window(config.window), (len(frames) + 1) * config.hop
    theirs = griffinlim(
        spectrum, window, config.n_fft, config.hop, config.window, power=1.0, n_iter=20, momentum=0.99,
        length=length, rand_init=True,
    )  # fmt: skip
    first = config.hop // 2
    assert torch.equal(griffin_lim(frames, config, 20, 3), theirs[first : first + len(frames) * config.hop])


@pytest.mark.parametrize("mels", [40, 80])
def test_frames_of_the_sound_are_near_the_frames_it_was_made_from(mels: int):
    config = LogMelConfig(mels=mels)
    frames = log_mel(speech_like(), config)
    made = griffin_lim(frames, config)
    assert len(made) == len(frames) * config.hop == 16000
    loud = frames > -5
    difference = (log_mel(made, config) - frames)[loud].abs().mean()
    silence = (frames.mean() - frames)[loud].abs().mean()
    assert difference < 0.25
    assert difference < 0.15 * silence


def test_the_sound_starts_and_ends_where_it_did():
    config = LogMelConfig()
    made = griffin_lim(log_mel(speech_like(), config), config)
    envelope = made.abs().unfold(0, 160, 160).mean(1)
    loud = (envelope > 0.1 * envelope.max()).nonzero().flatten() * 0.01
    assert float(loud[0]) == pytest.approx(0.25, abs=0.03)
    assert float(loud[-1]) == pytest.approx(0.74, abs=0.03)


def test_a_seed_makes_the_same_sound_and_leaves_the_callers_randomness_alone():
    config = LogMelConfig()
    frames = log_mel(speech_like()[4000:8000], config)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two, other = (
        griffin_lim(frames, config, 5, 3),
        griffin_lim(frames, config, 5, 3),
        griffin_lim(frames, config, 5, 4),
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_mel_bands_of_the_linear_spectrum_are_those_wanted():
    from unitdisc.features.acoustic import slaney_banks

    config = LogMelConfig(mels=40)
    frames = log_mel(speech_like(), config)
    spectrum = linear_spectrum(frames, config)
    assert bool((spectrum >= 0).all())
    bands = (spectrum @ slaney_banks(config)).clamp(min=config.floor).log()
    loud = frames > -5
    assert float((bands - frames)[loud].abs().mean()) < 0.1


def test_what_is_at_the_floor_is_silent():
    config = LogMelConfig(mels=40)
    assert float(griffin_lim(torch.full((50, 40), config.floor).log(), config).abs().max()) < 1e-6
    spectrum = torch.fft.rfft(0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0)))
    spectrum[4000:] = 0  # Hz, as many as bins
    frames = log_mel(torch.fft.irfft(spectrum), config)[3:-3]  # without the clicks of both ends
    made = griffin_lim(frames, config)
    power = torch.fft.rfft(made * torch.hann_window(len(made)), 16000).abs().square()
    assert float(power[4500:].mean() / power[:4000].mean()) < 1e-10


def test_quiet_sound_is_as_loud_as_it_was():
    from unitdisc.features.acoustic import slaney_banks

    config = LogMelConfig(mels=40)
    noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    frames = log_mel(0.03 * (speech_like() + 0.002 * noise), config)
    bands = (linear_spectrum(frames, config) @ slaney_banks(config)).clamp(min=config.floor).log()
    quiet = (frames > np.log(5 * config.floor)) & (frames < np.log(20 * config.floor))
    assert int(quiet.sum()) > 100
    assert abs(float((bands - frames)[quiet].mean())) < 0.1


def test_no_frames_make_no_sound():
    assert griffin_lim(torch.zeros(0, 80), LogMelConfig()).shape == (0,)
