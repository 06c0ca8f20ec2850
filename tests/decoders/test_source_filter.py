"""Source and filter: the pitch asked for, the level that log-mel says, no seams, and silence that stays silent."""

import pytest
import torch

from unitdisc.features.aperiodicity import BANDS
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.excitation import Excitation
from unitdisc.synthesis.source_filter import SourceFilter, speak

CONFIGS = [
    LogMelConfig(mels=40),
    LogMelConfig(mels=80),
    LogMelConfig(sample_rate=8000, hop=80, window=200, n_fft=256, fmax=4000.0, mels=30),
]


def flat(config: LogMelConfig, frames: int, level: float = -4.0) -> torch.Tensor:
    """Return log-mel of a spectrum of one magnitude everywhere."""
    from unitdisc.features.acoustic import slaney_banks

    return (level + slaney_banks(config).sum(0).log()).expand(frames, -1).float()


def tone(frames: int, frequency: float, noise: float = 0.0) -> Excitation:
    return Excitation(torch.full((frames,), frequency, dtype=torch.float64), torch.full((frames, BANDS), noise))


def log_mel(wave: torch.Tensor, config: LogMelConfig) -> torch.Tensor:
    return build_raw_features(config)(wave[None], torch.tensor([len(wave)])).frames[0]


def spectral_peak(wave: torch.Tensor, rate: int, low: float, high: float) -> float:
    """Return the frequency of the strongest line in a band, to 0.1 Hz."""
    size = rate * 10
    power = torch.fft.rfft(wave * torch.hann_window(len(wave)), size).abs()
    bins = torch.arange(len(power)) / 10
    return float(bins[torch.where((bins > low) & (bins < high), power, 0.0).argmax()])


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("frequency", [70.0, 123.4, 251.0, 417.0])
def test_a_tone_has_its_pitch_within_a_percent(config: LogMelConfig, frequency: float):
    wave = speak(flat(config, 100), tone(100, frequency), config)
    assert len(wave) == 100 * config.hop
    for harmonic in (1, 3):
        near = harmonic * frequency
        peak = spectral_peak(wave, config.sample_rate, near - frequency / 2, near + frequency / 2)
        assert peak == pytest.approx(near, rel=0.002)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("excitation", [tone(200, 0.0, 1.0), tone(200, 110.0), tone(200, 220.0), tone(200, 160.0, 0.5)])
def test_the_level_is_what_log_mel_says_whatever_the_source(config: LogMelConfig, excitation: Excitation):
    frames = flat(config, 200)
    heard = log_mel(speak(frames, excitation, config), config)[20:-20]
    difference = (heard - frames[0]).exp().mean(0).unfold(0, 6, 1).mean(1).log()  # one band may hold no harmonic
    assert float(difference.mean()) == pytest.approx(0.0, abs=0.15)  # nats of magnitude
    assert float(difference.abs().max()) < 0.5


def test_a_pitch_that_glides_is_followed():
    config, frames = CONFIGS[0], 100
    contour = torch.linspace(100.0, 200.0, frames, dtype=torch.float64)
    wave = speak(flat(config, frames), Excitation(contour, torch.zeros(frames, BANDS)), config)
    for frame in (20, 50, 80):
        piece = wave[(frame - 2) * 160 : (frame + 3) * 160]
        assert spectral_peak(piece, 16000, 60, 260) == pytest.approx(float(contour[frame]), rel=0.03)


def lively(frames: int) -> tuple[torch.Tensor, Excitation]:
    """Return frames with a moving spectrum, a moving pitch, and stretches without one."""
    random = torch.Generator().manual_seed(1)
    log = flat(CONFIGS[0], frames) + torch.randn(frames, 40, generator=random)
    time = torch.arange(frames)
    contour = 150 * torch.exp(0.3 * torch.sin(time / 9.0)).double() * ((time // 23) % 3 != 2)
    return log, Excitation(contour, torch.rand(frames, BANDS, generator=random))


@pytest.mark.parametrize("sizes", [[1] * 130, [7, 0, 60, 1, 62], [46, 84], [129, 1]])
def test_pieces_make_the_sound_of_the_whole(sizes: list[int]):
    log, excitation = lively(130)
    whole = speak(log, excitation, CONFIGS[0], seed=3)
    voice, pieces, first = SourceFilter(CONFIGS[0], seed=3), [], 0
    for size in sizes:
        here = slice(first, first + size)
        pieces.append(voice.push(log[here], Excitation(*(part[here] for part in excitation))))
        first += size
    pieces.append(voice.finish())
    assert max(len(piece) for piece in pieces[:-1]) >= max(sizes) * 160 - 81  # nothing is held back longer than needed
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5 * float(whole.abs().max()), rtol=0)
    again = torch.cat([voice.push(log, excitation), voice.finish()])  # the next utterance begins anew
    torch.testing.assert_close(again, whole, atol=1e-5 * float(whole.abs().max()), rtol=0)


def test_nothing_clicks_where_blocks_meet():
    config = CONFIGS[0]
    wave = speak(flat(config, 1300), tone(1300, 100.0), config)  # more than three blocks; 160 samples a period
    periods = wave[1600:].unfold(0, 160, 160)[:-10]
    assert float((periods - periods[0]).abs().max()) < 3e-3 * float(periods[0].abs().max())


def test_silence_stays_silent():
    config = CONFIGS[0]
    floor = torch.full((60, 40), config.floor).log()
    for excitation in (tone(60, 120.0), tone(60, 0.0, 1.0)):
        assert float(speak(floor, excitation, config).abs().max()) < 1e-5
    assert len(speak(floor[:0], tone(0, 0.0), config)) == 0


def test_one_frame_and_unvoiced_utterances_are_sound():
    config = CONFIGS[0]
    for frames in (1, 2, 5):
        for frequency in (0.0, 100.0, 400.0):
            wave = speak(flat(config, frames), tone(frames, frequency, 0.3 if frequency else 1.0), config)
            assert len(wave) == frames * 160
            assert torch.isfinite(wave).all()
            assert float(wave.abs().max()) > 0


def test_the_seed_is_of_the_noise_alone():
    log, excitation = lively(80)
    one, again, other = (speak(log, excitation, CONFIGS[0], seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    clear = Excitation(torch.full((80,), 120.0, dtype=torch.float64), torch.zeros(80, BANDS))
    one, other = (speak(log, clear, CONFIGS[0], seed) for seed in (1, 2))
    assert float((one - other).abs().max()) < 0.02 * float(one.abs().max())


def test_a_gradient_reaches_log_mel():
    log, excitation = lively(30)
    log.requires_grad_()
    loss = speak(log, excitation, CONFIGS[0]).square().sum()
    loss.backward()
    assert log.grad is not None
    step = 1e-2 * log.grad / log.grad.norm()
    with torch.no_grad():
        more = speak(log + step, excitation, CONFIGS[0]).square().sum()
    assert float(more - loss) == pytest.approx(float((step * log.grad).sum()), rel=0.1)
