"""Long recordings are cut at their pauses."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.data.alignment import read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.check import check_data_dir
from unitdisc.data.folder import import_folder
from unitdisc.data.kaldi import DataDir
from unitdisc.data.pauses import HOP, cut_at_pauses, cut_levels, find_pauses, levels_of, smoothed

RATE = 8000


def speech(words: list[tuple[float, float]], seconds: float, noise: float = 0.003, seed: int = 0) -> np.ndarray:
    """Return noise with louder stretches, that rise and fall 4 times a second as syllables do."""
    rng = np.random.default_rng(seed)
    wave = noise * rng.standard_normal(round(seconds * RATE))
    for start, end in words:
        a, b = round(start * RATE), round(end * RATE)
        syllables = 0.6 + 0.4 * np.cos(2 * np.pi * 4 * np.arange(b - a) / RATE)
        wave[a:b] += 0.1 * syllables * rng.standard_normal(b - a)
    return wave.astype(np.float32)


def between(pauses: list[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    edges = [0.0, *(t for pause in pauses for t in pause), seconds]
    return list(zip(edges[::2], edges[1::2], strict=True))


def source(folder: Path, wave: np.ndarray, name: str = "x.wav") -> AudioSource:
    soundfile.write(folder / name, wave, RATE)
    return AudioSource(folder / name)


PAUSES = [(3.0, 3.4), (6.1, 6.9), (9.0, 9.3), (13.0, 13.5), (17.2, 17.5), (21.0, 22.0)]


@pytest.mark.parametrize("noise", [0.0, 0.0005, 0.003, 0.02])
@pytest.mark.parametrize("change", ["none", "hum", "offset", "quiet", "digital silence"])
def test_known_pauses_are_found_whatever_the_noise_floor(tmp_path: Path, noise: float, change: str):
    wave = speech(between(PAUSES, 25.0), 25.0, noise)
    if change == "hum":
        wave += 0.1 * np.sin(2 * np.pi * 50 * np.arange(len(wave)) / RATE).astype(np.float32)
    if change == "offset":
        wave += 0.2
    if change == "quiet":
        wave *= 0.01
    if change == "digital silence":
        wave[round(21.2 * RATE) : round(21.8 * RATE)] = 0
    levels, seconds = levels_of(source(tmp_path, wave))
    found = find_pauses(smoothed(levels))
    assert seconds == 25.0
    assert len(found) == len(PAUSES)
    assert np.allclose(found, PAUSES, atol=0.06)


def test_cuts_are_in_pauses_and_pieces_short_enough(tmp_path: Path):
    pieces = cut_at_pauses(source(tmp_path, speech(between(PAUSES, 25.0), 25.0)), 10.0)
    assert pieces.forced == 0
    cuts = [end for _, end in pieces.spans[:-1]]
    assert cuts == [pytest.approx(6.5, abs=0.05), pytest.approx(13.25, abs=0.05), pytest.approx(21.4, abs=0.25)]
    assert [a for a, _ in pieces.spans] == [0.0, *cuts]
    assert pieces.spans[-1][1] == 25.0


def test_without_a_pause_the_quietest_place_is_cut(tmp_path: Path):
    wave = speech([(0.0, 20.0)], 20.0)
    dip = slice(round(8.0 * RATE), round(8.08 * RATE))  # too short for a pause
    wave[dip] *= 0.05
    pieces = cut_at_pauses(source(tmp_path, wave), 12.0)
    assert pieces.forced == 1
    assert pieces.spans[0][1] == pytest.approx(8.04, abs=0.05)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 200.0), st.floats(2.0, 40.0), st.floats(0, 30))
def test_pieces_follow_each_other_and_none_is_too_long(seed: int, seconds: float, longest: float, spread: float):
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.standard_normal(max(round(seconds / HOP / 7), 0) + 1) * spread, 7)[: round(seconds / HOP)]
    spans = cut_levels(levels, seconds, longest).spans
    edges = [spans[0][0], *(end for _, end in spans)]
    assert (edges[0], edges[-1]) == (0.0, seconds)
    assert [start for start, _ in spans] == edges[:-1]
    lengths = np.diff(edges)
    assert (lengths <= longest + 0.011).all()
    assert len(spans) == 1 or (lengths > 0).all()


def test_levels_do_not_depend_on_how_audio_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    audio = source(tmp_path, speech(between(PAUSES, 25.0), 25.0))
    whole, _ = levels_of(audio)
    monkeypatch.setattr("unitdisc.data.pauses.BLOCK", 0.337)
    assert np.allclose(levels_of(audio)[0], whole)


def test_blocks_are_what_load_reads(tmp_path: Path):
    stereo = np.stack([speech([(0.0, 1.0)], 3.0), speech([(1.0, 2.0)], 3.0, seed=1)], 1)
    soundfile.write(tmp_path / "x.flac", stereo, RATE)
    for channel in (0, 1, "mix"):
        audio = AudioSource(tmp_path / "x.flac", channel, start=0.5, end=2.75)
        assert np.array_equal(np.concatenate(list(audio.blocks(0.4))), audio.load(RATE))


def test_import_cuts_long_recordings_and_their_alignments(tmp_path: Path):
    folder = tmp_path / "wavs" / "anna"
    folder.mkdir(parents=True)
    words = between(PAUSES, 25.0)
    source(folder, speech(words, 25.0), "long.wav")
    source(folder, speech([(0.0, 2.0)], 2.0), "short.wav")
    (folder / "long.wrd").write_text(
        "".join(f"{round(a * RATE)} {round(b * RATE)} w{n}\n" for n, (a, b) in enumerate(words))
    )
    (folder / "long.txt").write_text("all of it")
    data, _, _, notes = import_folder(folder.parent, tmp_path / "data", cut=10)
    assert "recordings longer than 10 s: 1, cut at pauses into 4 utterances" in notes
    assert any(note.startswith("transcripts of cut recordings, left out") and note.endswith(": 1") for note in notes)
    assert len(data.utts) == 5
    assert data.utts[-1] == "anna-short"
    assert set(data.utt2spk.values()) == {"anna"}
    segments = [data.segments[utt] for utt in data.utts[:4]]
    assert [s.start for s in segments[1:]] == [s.end for s in segments[:-1]]
    assert data.utts[1] == f"anna-long-{round(100 * segments[1].start):07d}-{round(100 * segments[1].end):07d}"
    assert sum(data.utt2dur.values()) == pytest.approx(27.0)
    aligned = read_alignment(data.path / "words.ctm")
    told = [(i.label, i.end + data.segments[utt].start) for utt in data.utts if utt in aligned for i in aligned[utt]]
    assert [label for label, _ in told] == [f"w{n}" for n in range(7)]
    assert [time for _, time in told] == pytest.approx([end for _, end in words], abs=0.02)
    assert not check_data_dir(data.path).errors
    assert DataDir.read(data.path).segments == data.segments


def test_import_gives_each_recording_a_speaker_of_its_own_where_nobody_knows(tmp_path: Path):
    for name in ("a/1.wav", "a/2.wav", "3 b.wav"):
        path = tmp_path / "wavs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source(path.parent, speech([(0.0, 0.5)], 1.0), path.name)
    data = import_folder(tmp_path / "wavs", tmp_path / "data", unknown_speakers=True).data
    assert data.utt2spk == {"a-1": "a-1", "a-2": "a-2", "3_b": "3_b"}
