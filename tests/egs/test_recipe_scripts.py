"""Scripts of the recipes as programs: wrong use is told, and what they share is found without run.sh, too."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_files import EGS
from test_recipes_speech import module, script

from unitdisc.data.kaldi import DataDir, write_data_dir


def call(script: str, *arguments: object, folder: Path | None = None) -> tuple[int, str, str]:
    """Run a script as a user does, without what run.sh exports."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(EGS / script), *map(str, arguments)]
    got = subprocess.run(command, text=True, capture_output=True, cwd=folder, env=bare)
    return got.returncode, got.stdout, got.stderr


@pytest.mark.parametrize("script", ["conversions", "rows", "pairs", "download"])
def test_a_script_that_is_called_wrongly_says_how_it_is_called(script: str):
    code, _, error = call(f"common/{script}.py", "a")
    assert code == 2
    assert error.startswith(f"usage: {script}.py [-h]")
    assert "the following arguments are required" in error


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("mini/local/prepare.py", "nowhere/speakers.tsv: no such file; make the corpus first"),
        ("own/local/split.py", "nowhere: no such data directory"),
        ("zerospeech2019/local/prepare.py", "nowhere/train/unit: expected wav files, got none"),
    ],
)
def test_the_scripts_of_a_recipe_run_without_run_sh(script: str, message: str, tmp_path: Path):
    code, _, error = call(script, "nowhere", "out", folder=tmp_path)
    assert code == 1
    assert error.startswith(f"{Path(script).name}: {message}")
    assert len(error.splitlines()) == 1


def test_a_download_that_takes_time_shows_size_and_per_cent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    download = module(EGS / "common/download.py")
    content = bytes(3 * download.BLOCK)
    (tmp_path / "there").write_bytes(content)
    wanted = (tmp_path / "there").as_uri(), tmp_path / "file", f"md5:{hashlib.md5(content).hexdigest()}"
    download.download(*wanted)
    assert capsys.readouterr().err == ""  # soon done
    (tmp_path / "file").unlink()
    monkeypatch.setattr(download, "SECONDS", 0)
    download.download(*wanted)
    shown = capsys.readouterr().err
    assert f"{wanted[0]}:  33%" in shown
    assert "262k/786k" in shown
    assert ".file.partial: 100%" in shown  # its hash takes a while, too
    assert (tmp_path / "file").read_bytes() == content

    with download.progress("x", 1000, 250):
        pass
    assert "x:  25%" in capsys.readouterr().err  # of one that goes on


# The parts that own/local/split.py makes.


def split(folder: Path, *recordings: int) -> tuple[dict[str, DataDir], str]:
    """Split a data directory of speakers with so many recordings; return the parts, and what is said of each."""
    utt2spk = {f"s{s:02d}-{n:02d}": f"s{s:02d}" for s, count in enumerate(recordings) for n in range(count)}
    write_data_dir(folder / "all", [(utt, f"{utt}.wav") for utt in utt2spk], utt2spk)
    got = script(EGS / "own/local/split.py", folder / "all", folder)
    assert got.returncode == 0, got.stderr
    parts = {name: DataDir.read(folder / name) for name in ("train", "dev", "test")}
    assert sorted(utt for part in parts.values() for utt in part.utts) == sorted(utt2spk)
    (said,) = {line.rsplit("; ", 1)[1] for line in got.stdout.splitlines()}
    return parts, said


def counts(parts: dict[str, DataDir]) -> list[tuple[int, int]]:
    """Return the number of utterances, and of speakers, of train, dev and test."""
    return [(len(part.utts), len(part.spk2utt)) for part in parts.values()]


@pytest.mark.parametrize(
    ("recordings", "wanted"),
    [
        ([3] * 8, [(15, 5), (3, 1), (6, 2)]),  # at least two are tested
        ([1] * 8, [(5, 5), (1, 1), (2, 2)]),
        ([3] * 9, [(18, 6), (3, 1), (6, 2)]),
        ([2] * 40, [(64, 32), (8, 4), (8, 4)]),
    ],
)
def test_of_eight_speakers_or_more_each_part_has_its_own(
    recordings: list[int], wanted: list[tuple[int, int]], tmp_path: Path
):
    parts, said = split(tmp_path, *recordings)
    assert counts(parts) == wanted
    assert len(set.union(*(set(part.spk2utt) for part in parts.values()))) == len(recordings)
    assert said == "each part has speakers of its own"


@pytest.mark.parametrize(
    ("recordings", "wanted"),
    [
        ([3], [(1, 1), (1, 1), (1, 1)]),
        ([20], [(16, 1), (2, 1), (2, 1)]),
        ([6, 3], [(5, 2), (2, 2), (2, 2)]),
        ([3] * 7, [(7, 7), (7, 7), (7, 7)]),
        ([6, 2, 1], [(7, 3), (1, 1), (1, 1)]),  # who has fewer than three is trained on
    ],
)
def test_of_fewer_everybody_with_three_recordings_is_in_all_parts(
    recordings: list[int], wanted: list[tuple[int, int]], tmp_path: Path
):
    parts, said = split(tmp_path, *recordings)
    assert counts(parts) == wanted
    assert said == "everybody with 3 recordings or more is in all parts, as there are fewer than 8 speakers"


def test_where_nobody_has_three_recordings_they_are_dealt_at_random(tmp_path: Path):
    parts, said = split(tmp_path, *[1] * 7)
    assert [len(part.utts) for part in parts.values()] == [5, 1, 1]
    assert said == "dealt at random, as nobody has 3 recordings"


@pytest.mark.parametrize("recordings", [[1], [1, 1], [2]])
def test_two_recordings_are_too_few_to_split(recordings: list[int], tmp_path: Path):
    with pytest.raises(AssertionError, match=rf"all: expected at least 3 recordings .*, got {sum(recordings)}"):
        split(tmp_path, *recordings)
