"""Audio: every format, any rate, any slice, and what is said of files that are no audio."""

import errno
import os
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import reference_data
import soundfile
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import noise, put_audio
from scipy.signal import resample_poly

from unitdisc.data.audio import AudioSource, load_audio, save_audio
from unitdisc.data.headers import ogg_is_cut
from unitdisc.data.resample import resample, resampled_count
from unitdisc.errors import DataError

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 12345])
LOSSLESS = {"wav": {}, "flac": {}, "sph": {"format": "NIST"}, "aiff": {}}
LOSSY = {"ogg": {}, "mp3": {}, "opus": {"format": "OGG", "subtype": "OPUS"}}


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_every_format_is_read_whole_and_in_slices(tmp_path: Path, suffix):
    path = tmp_path / f"a.{suffix}"
    wave = put_audio(path, 16000, 16000, **{**LOSSLESS, **LOSSY}[suffix])
    source = AudioSource(path)
    whole = source.load(16000)
    assert whole.dtype == np.float32
    assert whole.shape == (source.samples(16000),)
    if suffix in LOSSLESS:
        np.testing.assert_array_equal(whole, wave)
    else:
        assert np.corrcoef(whole[:16000], wave[: len(whole)])[0, 1] > 0.9
    for first, count in ((0, 1), (3, 500), (9000, 2000), (15990, 100), (5, None)):
        np.testing.assert_array_equal(source.load(16000, first, count), whole[first:][:count])


@given(first=st.integers(0, 5000), count=st.none() | st.integers(0, 5000), rate_in=RATES, rate_out=RATES)
@settings(max_examples=60, deadline=None)
def test_a_slice_is_the_slice_of_the_whole(tmp_path_factory, first, count, rate_in, rate_out):
    path = tmp_path_factory.getbasetemp() / f"slice{rate_in}.wav"
    if not path.exists():
        put_audio(path, 4000, rate_in)
    source = AudioSource(path, start=0.01, end=0.3 * 8000 / rate_in)
    whole = source.load(rate_out)
    assert len(whole) == source.samples(rate_out)
    np.testing.assert_array_equal(source.load(rate_out, first, count), whole[first:][:count])


@given(st.integers(1, 300), RATES, RATES, st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_resampling_is_the_sum_of_windowed_sincs(samples, rate_in, rate_out, seed):
    wave = noise(samples, seed)
    ours = resample(wave, rate_in, rate_out)
    assert len(ours) == resampled_count(samples, rate_in, rate_out) == -(-samples * Fraction(rate_out, rate_in) // 1)
    np.testing.assert_allclose(
        ours, reference_data.resample(wave, rate_in, rate_out) if rate_in != rate_out else wave, atol=2e-4
    )


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(44100, 16000), (48000, 16000), (22050, 16000), (8000, 16000), (16000, 8000)]
)
def test_tones_keep_their_shape_and_nothing_is_folded_back(rate_in, rate_out):
    nyquist = min(rate_in, rate_out) / 2
    for share in (0.05, 0.5, 0.86):
        out = resample(tone(share * nyquist, rate_in), rate_in, rate_out)
        middle = slice(len(out) // 4, -len(out) // 4)
        np.testing.assert_allclose(out[middle], tone(share * nyquist, rate_out)[middle], atol=2e-3)
    if rate_in > rate_out:
        for share in (1.02, 1.1, 1.5):
            out = resample(tone(share * nyquist, rate_in), rate_in, rate_out)
            assert np.abs(out[len(out) // 4 : -len(out) // 4]).max() < 10 ** (-70 / 20)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44100, 16000), (16000, 22050), (8000, 16000)])
def test_resampling_agrees_with_torchaudio_and_scipy_below_nyquist(rate_in, rate_out):
    wave = sum(tone(hertz, rate_in) for hertz in (100, 440, 1000, 1900)) / 4
    ours = resample(wave, rate_in, rate_out)
    theirs = torchaudio.functional.resample(torch.from_numpy(wave), rate_in, rate_out, lowpass_filter_width=64).numpy()
    divisor = np.gcd(rate_in, rate_out)
    scipys = resample_poly(wave, rate_out // divisor, rate_in // divisor)
    assert len(ours) == len(theirs) == len(scipys)
    middle = slice(500, -500)
    np.testing.assert_allclose(ours[middle], theirs[middle], atol=2e-3)
    np.testing.assert_allclose(ours[middle], scipys[middle], atol=5e-3)


def test_channels_are_chosen_or_mixed(tmp_path: Path):
    stereo = np.stack([noise(1000, 1), noise(1000, 2)], axis=1)
    save_audio(tmp_path / "s.wav", stereo, 16000)
    np.testing.assert_array_equal(load_audio(tmp_path / "s.wav", 16000), stereo[:, 0])
    np.testing.assert_array_equal(load_audio(tmp_path / "s.wav", 16000, 1), stereo[:, 1])
    np.testing.assert_allclose(load_audio(tmp_path / "s.wav", 16000, "mix"), stereo.mean(axis=1), atol=1e-7)
    assert AudioSource(tmp_path / "s.wav").info() == (16000, 1000, 2)


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50), st.sampled_from(["wav", "flac"]), RATES)
@settings(max_examples=30, deadline=None)
def test_what_is_saved_is_loaded(tmp_path_factory, values, suffix, rate):
    path = tmp_path_factory.getbasetemp() / f"saved.{suffix}"
    wave = (np.array(values) / 32768).astype(np.float32)
    save_audio(path, wave, rate)
    np.testing.assert_array_equal(load_audio(path, rate), wave)
    assert not list(path.parent.glob(".saved*"))


def test_saving_clips_refuses_and_leaves_nothing_half_written(tmp_path: Path):
    save_audio(tmp_path / "loud.wav", np.array([2.0, -2.0, 0.5]), 16000)
    np.testing.assert_array_equal(load_audio(tmp_path / "loud.wav", 16000), np.float32([32767 / 32768, -1, 0.5]))
    with pytest.raises(DataError, match=r"expected a name in \.wav, \.flac, \.ogg, got '\.xyz'"):
        save_audio(tmp_path / "a.xyz", np.zeros(3), 16000)
    with pytest.raises(DataError, match="expected finite samples to write, got NaN or infinity"):
        save_audio(tmp_path / "a.wav", np.array([np.nan]), 16000)
    with pytest.raises(DataError, match=r"nowhere/a\.wav: cannot be written"):
        save_audio(tmp_path / "nowhere" / "a.wav", np.zeros(3), 16000)
    assert [p.name for p in tmp_path.iterdir()] == ["loud.wav"]


def message_of(source: AudioSource, rate: int = 16000) -> str:
    with pytest.raises(DataError) as error:
        source.load(rate)
    return str(error.value)


def test_a_file_of_three_bytes_is_no_audio(tmp_path: Path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"abc")
    assert message_of(AudioSource(path)) == (
        f"{path}: expected audio (wav, flac, ogg, mp3, sph), got 3 bytes that are none: Format not recognised."
    )
    path.write_bytes(b"")
    assert message_of(AudioSource(path)) == f"{path}: expected audio, got 0 bytes: it is empty"
    assert message_of(AudioSource(tmp_path / "b.wav")) == f"{tmp_path}/b.wav: no such audio file"
    assert message_of(AudioSource(tmp_path)) == f"{tmp_path}: expected an audio file, got a folder"


def test_no_samples_are_no_audio(tmp_path: Path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0), 16000)
    assert message_of(AudioSource(path)) == f"{path}: expected audio, got a file of zero samples; remove the utterance"


@pytest.mark.parametrize(("suffix", "announced", "came"), [("wav", 8000, 3956), ("sph", 8000, 2976)])
def test_truncated_files_are_noticed_by_their_headers(tmp_path: Path, suffix, announced, came):
    path = tmp_path / f"a.{suffix}"
    put_audio(path, 4000, **LOSSLESS[suffix])
    path.write_bytes(path.read_bytes()[:4000])
    assert message_of(AudioSource(path)) == (
        f"{path}: truncated: the header announces {announced} bytes of audio, the file has {came}; copy it again"
    )
    with pytest.raises(DataError, match="truncated"):
        AudioSource(path).samples(16000)


def test_truncated_compressed_files_are_noticed(tmp_path: Path):
    for suffix in ("flac", "mp3", "ogg"):
        put_audio(tmp_path / f"a.{suffix}", 48000)
        raw = (tmp_path / f"a.{suffix}").read_bytes()
        assert not ogg_is_cut(tmp_path / f"a.{suffix}")
        (tmp_path / f"a.{suffix}").write_bytes(raw[: len(raw) // 2])
    assert message_of(AudioSource(tmp_path / "a.flac")).startswith(f"{tmp_path}/a.flac: ")
    assert "the header announces 48000 samples, the audio ends at" in message_of(AudioSource(tmp_path / "a.mp3"))
    assert ogg_is_cut(tmp_path / "a.ogg")  # can be played, so this is only a warning of the validator


def test_wav_lengths_left_open_by_a_pipe_are_taken(tmp_path: Path):
    path = tmp_path / "a.wav"
    wave = put_audio(path, 4000)
    raw = path.read_bytes()
    for length in (0x7FFFFFFF, 0xFFFFFFFF):
        path.write_bytes(raw[:40] + struct.pack("<I", length) + raw[44:])
        np.testing.assert_array_equal(load_audio(path, 16000), wave)
    path.write_bytes(raw[:40] + struct.pack("<I", 0) + raw[44:])
    assert message_of(AudioSource(path)) == (
        f"{path}: expected audio, got a header that announces none before 8000 bytes; its writer was interrupted"
    )


def test_compressed_sphere_is_refused_with_its_cure(tmp_path: Path):
    path = tmp_path / "a.sph"
    put_audio(path, 4000, format="NIST")
    raw = path.read_bytes()
    plain = b"sample_coding -s3 pcm"
    assert plain in raw[:1024]
    shortened = b"sample_coding -s26 pcm,embedded-shorten-v2.00"
    head = raw[:1024].replace(plain, shortened).replace(b"end_head\n", b"end_head\n")[:1024]
    path.write_bytes(head + raw[1024:])
    assert message_of(AudioSource(path)) == (
        f"{path}: expected plain SPHERE audio, got 'pcm,embedded-shorten-v2.00'; "
        "convert it once, as with `sph2pipe -f wav -p IN OUT`, and point wav.scp to the result"
    )


def test_nan_is_named_by_its_sample(tmp_path: Path):
    wave = noise(1000)
    wave[321] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    said = f"{tmp_path}/a.wav: expected finite samples, got nan at 321; mend the file"
    assert message_of(AudioSource(tmp_path / "a.wav")) == said
    with pytest.raises(DataError, match="got nan at 321"):
        AudioSource(tmp_path / "a.wav").load(16000, 300, 100)
    assert np.isfinite(AudioSource(tmp_path / "a.wav").load(16000, 0, 300)).all()


def test_a_rate_can_be_required(tmp_path: Path):
    put_audio(tmp_path / "a.wav", 800, 8000)
    source = AudioSource(tmp_path / "a.wav", where="wav.scp:3")
    assert len(replace(source, decode_rate=16000).at(16000).load(16000)) == 1600  # a decode command resamples
    assert len(source.load(16000)) == 1600
    assert message_of(source.at(16000)) == (
        f"wav.scp:3: {tmp_path}/a.wav: expected audio at 16000 Hz, got 8000 Hz; resample it"
    )


def test_segments_and_channels_must_be_there(tmp_path: Path):
    path = tmp_path / "a.wav"
    put_audio(path, 16000)
    assert message_of(AudioSource(path, start=0.5, end=1.6)) == (
        f"{path}: expected a segment within 1.000 s, got 0.5 to 1.6 s; correct or remove it"
    )
    assert "got 1.0 to None s" in message_of(AudioSource(path, start=1.0))
    assert "has no sample at 16000 Hz" in message_of(AudioSource(path, start=0.5, end=0.500001))
    assert message_of(AudioSource(path, channel=1)) == f"{path}: expected channel 1 (from 0), got 1 channels"


def test_a_long_file_is_not_read_for_a_short_slice(tmp_path: Path, monkeypatch):
    path = tmp_path / "long.flac"
    put_audio(path, 480000, 48000)
    read = soundfile.SoundFile.read
    frames = []

    def counting(self, count=-1, *args, **options):
        frames.append(count)
        return read(self, count, *args, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    AudioSource(path).load(16000, 100000, 1000)
    AudioSource(path).samples(16000)
    assert len(frames) == 1
    assert frames[0] < 3000 + 400


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_full_disk_names_the_file_that_was_not_written(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=rf"a\.{suffix}: cannot be written: the disk is full"):
        save_audio(tmp_path / f"a.{suffix}", np.zeros(20000), 16000)
    assert list(tmp_path.iterdir()) == []
