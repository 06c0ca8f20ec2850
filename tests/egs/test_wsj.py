"""The recipe of WSJ: audio that must be converted is refused at once, with the command that converts it."""

import os
import subprocess
from pathlib import Path

import pytest
from recipe_files import program
from test_recipes_speech import EGS, put_wsj, put_wsj_discs, script

from unitdisc.data.check import check_data_dir
from unitdisc.data.kaldi import DataDir

PREPARE = EGS / "wsj/local/prepare.py"
SHORTEN = (
    b"NIST_1A\n   1024\nsample_count -i 25600\nsample_n_bytes -i 2\nchannel_count -i 1\nsample_rate -i 16000\n"
    b"sample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
)
# Stands for the program: what is compressed has its samples in a file beside it.
SPH2PIPE = """#!/usr/bin/env bash
while [[ $1 == -* ]]; do [[ $1 != -f ]] || shift; shift; done
cat "${{1%.*}}.samples" >"${{2-/dev/stdout}}"
"""


def compress(folder: Path, suffix: str) -> None:
    """Make files of a corpus look compressed."""
    for path in folder.rglob(f"*{suffix}"):
        path.rename(path.with_suffix(".samples"))
        path.with_suffix(".wv1").write_bytes(SHORTEN.ljust(1024) + b"ajkg")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wall street"  # a name to be quoted
    folder.mkdir()
    program(tmp_path / "bin" / "sph2pipe", SPH2PIPE)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return folder


def convert(error: str) -> None:
    command = error.split("convert all files once, and start again:\n")[1]
    subprocess.run(["bash", "-c", command], check=True, stdin=subprocess.DEVNULL)


def read(folder: Path) -> dict[str, DataDir]:
    parts = {name: DataDir.read(folder / name) for name in ("train", "dev", "test")}
    for part in parts.values():
        assert check_data_dir(part.path, decode=True).errors == []
    return parts


def put_kaldi(corpus: Path, command: str) -> None:
    """Write data directories whose wav.scp has a command of {path} for each utterance."""
    put_wsj(corpus)
    for table in corpus.glob("*/wav.scp"):
        utts = [line.split()[0] for line in table.read_text().splitlines()]
        table.write_text("".join(f"{u} {command.format(path=corpus / 'wsj0' / u)}\n" for u in utts))


def test_compressed_audio_of_kaldis_commands_is_decoded_by_them(corpus: Path, tmp_path: Path):
    put_kaldi(corpus, "sph2pipe -f wav '{path}.wv1' |")
    compress(corpus, ".wv1")
    got = script(PREPARE, corpus, tmp_path / "data")
    assert got.returncode == 0, got.stderr
    assert len(read(tmp_path / "data")["train"].utts) == 10


def test_compressed_audio_of_kaldis_directories(corpus: Path, tmp_path: Path):
    put_kaldi(corpus, "{path}.wv1")
    assert script(PREPARE, corpus, tmp_path / "data").returncode == 0  # plain SPHERE is read as it is
    compress(corpus, ".wv1")
    got = script(PREPARE, corpus, tmp_path / "compressed")
    assert got.returncode == 1
    assert "train_si284/wav.scp:1: " in got.stderr
    assert "expected plain SPHERE audio, got 'pcm,embedded-shorten-v2.00'" in got.stderr
    convert(got.stderr)
    got = script(PREPARE, corpus, tmp_path / "converted")
    assert got.returncode == 0, got.stderr
    parts = read(tmp_path / "converted")
    assert parts["dev"].source(parts["dev"].utts[0]).path.parent == corpus / "wav"
    assert len(parts["train"].utts) == 10


def test_commands_that_are_not_understood(corpus: Path, tmp_path: Path):
    put_kaldi(corpus, "sph2pipe -f wav '{path}.wv1' | cat -u |")
    for path in (corpus / "wsj0").iterdir():
        path.with_suffix(".samples").write_bytes(path.read_bytes())
    got = script(PREPARE, corpus, tmp_path / "data")
    assert got.returncode == 1
    assert "does more than decode a file, and is not run here" in got.stderr
    assert "--allow-pipes" not in got.stderr
    convert(got.stderr)
    assert script(PREPARE, corpus, tmp_path / "data").returncode == 0
    assert len(read(tmp_path / "data")["test"].utts) == 10


def test_a_conversion_that_fails_leaves_nothing_that_looks_converted(corpus: Path, tmp_path: Path):
    put_kaldi(corpus, "sph2pipe -f wav '{path}.wv1' |")
    compress(corpus, ".wv1")
    for path in (corpus / "wsj0").glob("*.samples"):
        path.unlink()
    convert(script(PREPARE, corpus, tmp_path / "data").stderr)
    assert list((corpus / "wav").iterdir()) == []


def test_compressed_audio_of_the_discs(corpus: Path, tmp_path: Path):
    put_wsj_discs(corpus)
    compress(corpus, ".wav")
    got = script(PREPARE, corpus, tmp_path / "data")
    assert got.returncode == 1
    assert "011c0201.wv1: expected plain SPHERE audio" in got.stderr
    convert(got.stderr)
    got = script(PREPARE, corpus, tmp_path / "data")
    assert got.returncode == 0, got.stderr
    assert read(tmp_path / "data")["train"].source("46ac0201").path == corpus / "wav" / "46ac0201.wav"


def test_audio_that_is_not_there_is_not_for_conversion(corpus: Path, tmp_path: Path):
    put_kaldi(corpus, "{path}.flac")
    got = script(PREPARE, corpus, tmp_path / "data")
    assert got.returncode == 1
    assert got.stderr.endswith(".flac: no such audio file")
