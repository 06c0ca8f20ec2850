"""Files that another program decodes: without a shell, with its own message, refused by name where it is not there."""

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from made_data import put_audio, put_tables

from unitdisc.data.audio import AudioSource
from unitdisc.data.folder import import_folder
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the whole PATH, apart from what scripts need."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cp", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_program(folder: Path, name: str, script: str) -> None:
    """Write a stand-in for a decoder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def put_m4a(folder: Path, name: str = "x.m4a") -> np.ndarray:
    """Write a file that is no audio, and the wave that the stand-in makes of it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\0\0\0\x18ftypM4A no audio")
    return put_audio(folder.parent / "real.wav")


def test_ffmpeg_reads_what_libsndfile_cannot(tmp_path: Path, programs: Path):
    wave = put_m4a(tmp_path / "rec")
    put_program(programs, "ffmpeg", f'for last; do :; done; echo "$@" >{tmp_path}/args; cp {tmp_path}/real.wav "$last"')
    np.testing.assert_array_equal(AudioSource(tmp_path / "rec/x.m4a").load(16000), wave)
    words = (tmp_path / "args").read_text().split()
    assert words[words.index("-i") + 1] == f"file:{tmp_path / 'rec/x.m4a'}"
    assert "-protocol_whitelist file" in " ".join(words)
    data = import_folder(tmp_path / "rec", tmp_path / "data").data
    assert data.utts == ["rec-x"]
    np.testing.assert_array_equal(data.source("rec-x").load(16000, 100, 50), wave[100:150])


def test_without_ffmpeg_its_files_are_counted_and_the_cure_named(tmp_path: Path, programs: Path):
    put_m4a(tmp_path / "rec")
    with pytest.raises(DataError, match=r"1 recording passed by \(1 \.m4a\): install ffmpeg"):
        import_folder(tmp_path / "rec", tmp_path / "data")
    put_audio(tmp_path / "rec/y.wav")
    (tmp_path / "rec/z.webm").write_bytes(b"x")
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    assert imported.data.utts == ["rec-y"]
    assert imported.notes == ["2 recordings passed by (1 .m4a, 1 .webm): install ffmpeg to read them, too"]
    with pytest.raises(
        DataError, match=r"x\.m4a: libsndfile cannot read this kind of file, and ffmpeg is not installed"
    ):
        AudioSource(tmp_path / "rec/x.m4a").load(16000)


def test_a_program_that_fails_is_quoted(tmp_path: Path, programs: Path):
    put_m4a(tmp_path / "rec")
    put_program(programs, "ffmpeg", "echo moov atom not found >&2; exit 1")
    with pytest.raises(DataError, match=r"x\.m4a: ffmpeg cannot decode it \(code 1\): moov atom not found"):
        AudioSource(tmp_path / "rec/x.m4a").load(16000)


def test_a_pipe_that_is_understood_is_decoded_by_its_own_program(tmp_path: Path, programs: Path):
    wave = put_m4a(tmp_path / "rec", "short.sph")
    put_program(programs, "sph2pipe", f'for last; do :; done; cp {tmp_path}/real.wav "$last"')
    put_tables(tmp_path, {"wav.scp": f"a sph2pipe -f wav -p -c 1 {tmp_path}/rec/short.sph |\n", "utt2spk": "a a\n"})
    np.testing.assert_array_equal(DataDir.read(tmp_path).source("a").load(16000), wave)


@pytest.mark.parametrize("command", ["sox {} -t wav - |", "ffmpeg -i {} -f wav - |", "sph2pipe -f wav {} |"])
def test_a_truncated_recording_is_refused_whatever_program_its_line_names(tmp_path: Path, programs: Path, command: str):
    put_audio(tmp_path / "real.wav", 1000)
    put_audio(tmp_path / "cut.wav")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:2000])
    put_program(programs, command.split()[0], f'for last; do :; done; cp {tmp_path}/real.wav "$last"')
    line = f"a {command.format(tmp_path / 'cut.wav')}\n"
    data = DataDir.read(put_tables(tmp_path / "d", {"wav.scp": line, "utt2spk": "a a\n"}))
    with pytest.raises(DataError, match=r"cut\.wav: truncated: the header announces 8000 bytes of audio"):
        data.source("a").load(16000)


def test_without_the_program_the_reason_to_need_it_is_told(tmp_path: Path, programs: Path):
    (tmp_path / "x.wav").write_bytes(b"no!")
    line = f"a sox {tmp_path / 'x.wav'} -t wav - |\n"
    data = DataDir.read(put_tables(tmp_path / "d", {"wav.scp": line, "utt2spk": "a a\n"}))
    with pytest.raises(DataError, match=r"sox is not installed.* Without it: .*x\.wav: expected audio .* got 3 bytes"):
        data.source("a").load(16000)


def test_a_file_named_like_an_option_is_no_option(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch):
    put_m4a(tmp_path / "rec", "-y.m4a")
    put_program(programs, "ffmpeg", f'for last; do :; done; echo "$@" >{tmp_path}/args; cp {tmp_path}/real.wav "$last"')
    monkeypatch.chdir(tmp_path / "rec")
    AudioSource(Path("-y.m4a")).load(16000)
    assert f"-i file:{tmp_path}/rec/-y.m4a" in (tmp_path / "args").read_text()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_the_real_ffmpeg(tmp_path: Path):
    import subprocess

    wave = put_audio(tmp_path / "a.wav", 16000)
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "alac", tmp_path / "a.m4a"], check=True)
    np.testing.assert_allclose(AudioSource(tmp_path / "a.m4a").load(16000)[: len(wave)], wave, atol=1e-4)
