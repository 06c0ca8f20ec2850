"""Fbank, MFCC and log-mel: Kaldi's numbers, whatever the batch, the padding and the chunks."""

import os
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
import reference_features as reference
import torch
import torchaudio.compliance.kaldi as compliance
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.config import from_tree
from unitdisc.data.timing import FrameGrid
from unitdisc.errors import ConfigError
from unitdisc.features import acoustic
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import FbankConfig, LogMelConfig, MfccConfig, archive_tree
from unitdisc.features.deltas import Deltas
from unitdisc.features.extract import ExtractConfig
from unitdisc.features.framing import laid_out


def speech_like(samples: int, seed: int = 0) -> torch.Tensor:
    """Return [S] in -1..1: harmonics that come and go over a little noise, off centre."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16000
    voice = sum(torch.sin(2 * torch.pi * 130 * k * time + k) / k for k in range(1, 30))
    gate = (torch.sin(2 * torch.pi * 2.5 * time) > -0.3).float()
    return 0.08 * voice * gate + 0.003 * torch.randn(samples, generator=generator) + 0.01


def frames_of(config, wave: torch.Tensor) -> torch.Tensor:
    frames, lengths = build_raw_features(config)(wave[None], torch.tensor([len(wave)]))
    assert lengths.tolist() == [config.grid.frames(len(wave))] == [frames.shape[1]]
    return frames[0]


def relative(got, want) -> float:
    """Return the largest difference, relative to a value or to 1 where values are smaller (they are logarithms)."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    return float((np.abs(got - want) / np.maximum(np.abs(want), 1)).max())


def native(config, wave: torch.Tensor) -> np.ndarray:
    is_mfcc = isinstance(config, MfccConfig)
    options = knf.MfccOptions() if is_mfcc else knf.FbankOptions()
    options.frame_opts.dither, options.frame_opts.snip_edges = 0, config.snip_edges
    options.frame_opts.samp_freq = config.sample_rate
    options.frame_opts.window_type = config.window_type
    options.mel_opts.num_bins, options.mel_opts.low_freq = config.mels, config.fmin
    options.mel_opts.high_freq = config.fmax
    options.use_energy, options.energy_floor, options.htk_compat = config.energy, 0.0, False
    if is_mfcc:
        options.num_ceps, options.cepstral_lifter = config.ceps, config.lifter
    computer = knf.OnlineMfcc(options) if is_mfcc else knf.OnlineFbank(options)
    computer.accept_waveform(config.sample_rate, (wave * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(n) for n in range(computer.num_frames_ready)])


CONFIGS = [
    FbankConfig(deltas=0, energy=energy, snip_edges=snip, window_type=window)
    for energy in (False, True)
    for snip in (False, True)
    for window in ("povey", "hamming", "rectangular")
] + [
    MfccConfig(deltas=0, energy=energy, snip_edges=snip, mels=mels, ceps=ceps, lifter=22.0)
    for energy in (False, True)
    for snip in (False, True)
    for mels, ceps in ((23, 13), (40, 40))
]


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda c: f"{c.kind}-{c.energy}-{c.snip_edges}-{c.window_type}-{c.mels}"
)
def test_equal_to_kaldi_native_fbank_and_torchaudio(config):
    wave = speech_like(16000 * 7 + 123)  # more than one chunk
    got = frames_of(config, wave)
    assert relative(got, native(config, wave)) < 1e-3
    options = {"num_mel_bins": config.mels, "use_energy": config.energy, "snip_edges": config.snip_edges}
    options |= {"dither": 0.0, "energy_floor": 0.0, "window_type": config.window_type}
    if isinstance(config, MfccConfig):
        theirs = compliance.mfcc(wave[None] * 32768, num_ceps=config.ceps, **options)
    else:
        theirs = compliance.fbank(wave[None] * 32768, **options)
    assert relative(got, theirs) < 1e-3


@pytest.mark.skipif("UNITDISC_SPEECH" not in os.environ, reason="UNITDISC_SPEECH names no folder of recordings")
@pytest.mark.parametrize("config", [FbankConfig(deltas=0), FbankConfig(deltas=0, energy=True), MfccConfig(deltas=0)])
def test_equal_to_kaldi_on_real_speech(config):
    import soundfile

    paths = [p for p in sorted(Path(os.environ["UNITDISC_SPEECH"]).rglob("*")) if p.suffix in (".wav", ".flac", ".ogg")]
    for path in paths[:: max(1, len(paths) // 20)]:
        wave, rate = soundfile.read(path, dtype="float32")
        if rate != 16000:
            continue
        got, want = frames_of(config, torch.from_numpy(wave)).numpy(), native(config, torch.from_numpy(wave))
        assert np.linalg.norm(got - want) < 1e-3 * np.linalg.norm(want)
        if config.kind == "fbank":
            # Filters 60 dB below a window's loudest hold rounding errors of the float32 transform, theirs and ours.
            loud = want > want.max(axis=1, keepdims=True) - np.log(1e6)
            assert relative(got[loud], want[loud]) < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(1, 900),
    hop=st.integers(1, 200),
    window=st.integers(20, 210),
    snip=st.booleans(),
    window_type=st.sampled_from(["povey", "hanning", "hamming", "rectangular"]),
    energy=st.booleans(),
)
def test_equal_to_the_definition_for_any_framing(samples, hop, window, snip, window_type, energy):
    config = FbankConfig(
        hop=hop, window=window, snip_edges=snip, window_type=window_type, energy=energy,
        sample_rate=1000, mels=3, fmin=20.0, deltas=0,
    )  # fmt: skip
    wave = speech_like(samples, seed=samples)
    got = frames_of(config, wave)
    want = reference.kaldi_fbank(wave.numpy(), config).reshape(-1, config.mels + energy)
    assert got.shape == want.shape
    # A filter that gets next to nothing of a window is where float32 is at its end: compare energies.
    assert np.allclose(np.exp(got.numpy()), np.exp(want), rtol=2e-3, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=5), snip=st.booleans(), seed=st.integers(0, 99))
@pytest.mark.parametrize("config", [MfccConfig(), FbankConfig(energy=True), LogMelConfig()], ids=lambda c: c.kind)
def test_padding_never_changes_a_frame(config, lengths, snip, seed):
    config = type(config)(snip_edges=snip)
    module = build_raw_features(config)
    generator = torch.Generator().manual_seed(seed)
    # What lies behind an utterance is garbage, also not a number.
    waves = torch.full((len(lengths), max(lengths) + 7), float("nan"))
    for row, count in enumerate(lengths):
        waves[row, :count] = 0.1 * torch.randn(count, generator=generator)
    frames, counts = module(waves, torch.tensor(lengths))
    assert counts.tolist() == [config.grid.frames(count) for count in lengths]
    for row, count in enumerate(lengths):
        alone = module(waves[row : row + 1, :count], torch.tensor([count])).frames[0]
        assert torch.allclose(frames[row, : counts[row]], alone, atol=2e-4)
        assert (frames[row, counts[row] :] == 0).all()


@pytest.mark.parametrize(("hop", "window"), [(160, 400), (160, 512), (160, 80), (7, 20), (3, 3)])
def test_one_row_alone_is_laid_out_and_continued_as_in_a_batch(hop: int, window: int):
    generator = torch.Generator().manual_seed(0)
    grid, deltas = FrameGrid(16000, hop, window, False), Deltas(2, 2)
    for count in range(0, 3 * (hop + window), max(1, (hop + window) // 37)):
        wave = torch.randn(1, count + 5, generator=generator)
        both = laid_out(wave.expand(2, -1), torch.tensor([count, count]), grid)
        assert torch.equal(laid_out(wave, torch.tensor([count]), grid), both[:1])
    for count in (0, 1, 3, 50):
        frames = torch.randn(1, count, 13, generator=generator)
        both = deltas(frames.expand(2, -1, -1), torch.tensor([count, count]))
        assert torch.equal(deltas(frames, torch.tensor([count])), both[:1])


def test_chunks_do_not_matter(monkeypatch):
    wave = speech_like(16000)
    for config in (MfccConfig(), LogMelConfig()):
        whole = frames_of(config, wave)
        with monkeypatch.context() as patch:
            patch.setattr(acoustic, "CHUNK", 7)
            assert torch.allclose(frames_of(config, wave), whole, atol=1e-4)


def test_deltas_equal_the_definition():
    config = FbankConfig(mels=5)
    wave = speech_like(4000)
    static = frames_of(FbankConfig(mels=5, deltas=0), wave).numpy()
    for orders, window in ((1, 2), (2, 2), (3, 1)):
        config = FbankConfig(mels=5, deltas=orders, delta_window=window)
        want = reference.kaldi_deltas(static.astype(np.float64), orders, window)
        assert np.allclose(frames_of(config, wave).numpy(), want, atol=1e-4)
    assert build_raw_features(FbankConfig(energy=True)).dim == 243
    assert build_raw_features(MfccConfig()).dim == 39


def test_deltas_of_a_ramp():
    from unitdisc.features.deltas import Deltas

    ramp = torch.arange(20.0)[None, :, None]
    got = Deltas(2, 2)(ramp, torch.tensor([20]))
    assert torch.allclose(got[0, 4:-4, 1], torch.ones(12), atol=1e-6)
    assert torch.allclose(got[0, 4:-4, 2], torch.zeros(12), atol=1e-6)


def test_log_mel_equals_the_definition_and_librosa_filters():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")

    config = LogMelConfig()
    banks = librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, fmin=0, fmax=8000).T
    wave = speech_like(5000)
    want = reference.log_mel(wave.numpy(), config, banks)
    assert np.allclose(frames_of(config, wave).numpy(), want, atol=1e-3)


def test_a_target_for_every_frame():
    features, targets = build_raw_features(MfccConfig()), build_raw_features(LogMelConfig())
    assert features.grid == targets.grid
    said = (
        "features have sample_rate 16000, hop 160, window 400, snip_edges false; targets have .* hop 200, .* Set hop, "
    )
    with pytest.raises(ConfigError, match=f"targets need the frames of the features: {said}"):
        ExtractConfig(MfccConfig(), LogMelConfig(hop=200))
    with pytest.raises(ConfigError, match="targets need the frames of the features"):
        ExtractConfig(MfccConfig(snip_edges=True), LogMelConfig())


def test_silence_and_a_single_sample_are_finite():
    for config in (MfccConfig(), FbankConfig(energy=True), LogMelConfig()):
        assert torch.isfinite(frames_of(config, torch.zeros(1600))).all()
        assert torch.isfinite(frames_of(type(config)(hop=1), torch.ones(1) * 0.5)).all()


def test_modules_have_no_state():
    assert not build_raw_features(MfccConfig()).state_dict()
    assert not list(build_raw_features(LogMelConfig()).parameters())


@pytest.mark.parametrize(
    ("cls", "tree", "message"),
    [
        (MfccConfig, {"ceps": 30}, r"ceps must lie in 1\.\.mels = 23, got 30"),
        (FbankConfig, {"fmax": 9000.0}, "expected 0 <= fmin < fmax <= 8000 Hz, got fmin 20, fmax 9000"),
        (LogMelConfig, {"n_fft": 256}, "n_fft must be at least window = 400, got 256"),
        (FbankConfig, {"hop": 0}, "hop and window must be above 0"),
        (FbankConfig, {"cmvn": "speakers"}, "did you mean 'speaker'"),
        (FbankConfig, {"cmvn_min_window": 700}, r"cmvn_min_window must lie in 1\.\.cmvn_window = 600"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(cls, tree, message):
    with pytest.raises(ConfigError, match=message):
        from_tree(cls, tree, "x.yaml")


def test_too_many_filters_say_so():
    with pytest.raises(ConfigError, match="filter 2 covers no bin of 512; lower mels or raise window"):
        build_raw_features(FbankConfig(mels=200))
    with pytest.raises(ConfigError, match=r"mels = 200: filter \d+ covers no bin of 512"):
        build_raw_features(LogMelConfig(mels=200))


@pytest.mark.gpu
@pytest.mark.parametrize("config", [MfccConfig(), FbankConfig(energy=True), LogMelConfig()], ids=lambda c: c.kind)
def test_a_gpu_makes_the_same_frames(config):
    waves = torch.stack([speech_like(40000, seed) for seed in range(3)])
    samples = torch.tensor([40000, 100, 25001])
    module = build_raw_features(config)
    want, lengths = module(waves, samples)
    got, counts = module.cuda()(waves.cuda(), samples.cuda())
    assert torch.equal(counts.cpu(), lengths)
    assert relative(got.cpu(), want) < 1e-3


def holed(samples: int = 16000) -> torch.Tensor:
    """Return [S] whose spectrum is empty above 3 kHz, as a codec may leave it."""
    spectrum = torch.fft.rfft(speech_like(samples))
    spectrum[int(3000 / 16000 * samples) :] = 0
    return torch.fft.irfft(spectrum, samples)


def test_a_floor_bounds_the_filters_from_below_and_changes_no_other():
    wave, floor = holed(), 1e5
    plain, floored = frames_of(FbankConfig(deltas=0), wave), frames_of(FbankConfig(deltas=0, floor=floor), wave)
    assert float(plain.min()) < np.log(floor) - 5, "the signal has holes"
    assert torch.equal(floored, plain.clamp(min=float(np.log(np.float32(floor)))))


@pytest.mark.parametrize("gain", [0.01, 1.0, 3.0])
def test_a_floor_in_decibels_follows_the_level_of_the_recording(gain: float):
    config = FbankConfig(deltas=0, floor_db=30)
    plain = frames_of(FbankConfig(deltas=0), holed() * gain).double()
    want = np.log(plain.exp().mean().item()) - 30 * np.log(10) / 10
    floored = frames_of(config, holed() * gain)
    assert floored.min().item() == pytest.approx(want, abs=1e-4)
    torch.testing.assert_close(floored - 2 * np.log(gain), frames_of(config, holed()), rtol=0, atol=1e-3)


def test_a_floor_in_decibels_does_not_depend_on_the_batch_or_its_padding():
    waves = [speech_like(9000), 0.01 * holed(30000), torch.zeros(8000)]
    config = MfccConfig(floor_db=25)
    padded = torch.full((3, 40000), 7.0)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    frames, lengths = build_raw_features(config)(padded, torch.tensor([len(wave) for wave in waves]))
    for row, count, wave in zip(frames, lengths.tolist(), waves, strict=True):
        torch.testing.assert_close(row[:count], frames_of(config, wave), rtol=0, atol=1e-4)
    assert bool(torch.isfinite(frames).all())


def test_dither_is_noise_of_the_stated_deviation_and_the_same_every_time():
    waves, samples = torch.zeros(2, 50000), torch.tensor([50000, 30000])
    waves[1] = speech_like(50000)
    noise = (acoustic.dithered(waves, samples, 1.0) - waves) * 32768
    assert noise[0].std().item() == pytest.approx(1.0, abs=0.02)
    assert noise[1, :30000].std().item() == pytest.approx(1.0, abs=0.02)
    assert not noise[1, 30000:].any()
    alone = acoustic.dithered(waves[1:, :30000], samples[1:], 1.0)
    torch.testing.assert_close(alone[0], (waves[1] + noise[1] / 32768)[:30000])
    assert acoustic.dithered(waves, samples, 0.0) is waves


def test_archives_of_features_without_the_later_options_keep_their_digest():
    old = archive_tree(MfccConfig())
    assert not {"dither", "floor", "floor_db"} & set(old)
    assert archive_tree(MfccConfig(floor_db=30))["floor_db"] == 30
