"""The recipe of one's own recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipe_files import run_recipe, with_stub


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return with_stub(tmp_path, monkeypatch)


def wavs(folder: Path, speakers: int, each: int) -> Path:
    generator = np.random.default_rng(0)
    for speaker in range(speakers):
        for number in range(each):
            path = folder / f"speaker {speaker}" / f"take-{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, generator.uniform(-0.3, 0.3, 8000), 16000)
    return folder


def parts_of(data: Path) -> list[list[str]]:
    """Return the words of utt2spk for each part."""
    return [(data / name / "utt2spk").read_text().split() for name in ("train", "dev", "test")]


def test_own_takes_a_folder_of_recordings(egs: Path):
    folder = wavs(egs.parent / "my recordings", speakers=2, each=6)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--sentences", "1")
    assert got.returncode == 0, got.stderr
    utts = [utt for part in parts_of(egs / "own" / "data") for utt in part[::2]]
    assert len(utts) == len(set(utts)) == 12
    assert [len(set(part[1::2])) for part in parts_of(egs / "own" / "data")] == [2, 2, 2]
    assert (egs / "own" / "exp" / "base-0" / "report.html").exists()
    assert "no phones.ctm in" in got.stdout
    again = run_recipe(egs / "own", "--wavs", str(folder), "--sentences", "1")
    assert again.stdout.count("unchanged, skipped") == 7

    wavs(folder, speakers=1, each=7)  # one more recording
    assert run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "1").stdout.count("skipped") == 0


def test_own_without_a_score_of_speakers_still_has_its_report(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=1, each=4)
    got = run_recipe(egs / "own", "--wavs", str(folder), FAIL="score speaker")
    assert got.returncode == 0, got.stderr
    assert "without a score of speakers" in got.stdout
    exp = egs / "own" / "exp" / "base-0"
    assert {path.name for path in (exp / "scores").iterdir()} == {"bitrate.json", "conversion.json", "usage.json"}
    assert (exp / "report.html").exists()


def test_own_keeps_speakers_apart_where_there_are_enough(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=9, each=2)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "data")
    assert got.returncode == 0, got.stderr
    speakers = [set(part[1::2]) for part in parts_of(egs / "own" / "data")]
    assert [len(part) for part in speakers] == [6, 1, 2]  # one tested speaker says nothing of the others
    assert len(set.union(*speakers)) == 9


@pytest.mark.parametrize(
    ("wanted", "message"), [([], "--wavs FOLDER is missing"), (["--wavs", "/nowhere"], "/nowhere")]
)
def test_own_without_recordings_is_refused(egs: Path, wanted: list[str], message: str):
    got = run_recipe(egs / "own", *wanted)
    assert got.returncode == 2
    assert message in got.stderr
