"""The recipe of one's own recordings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipe_files import EGS, calls, run_recipe, with_stub

from unitdisc.config import load
from unitdisc.data.folder import import_folder
from unitdisc.train_config import Config


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
    again = run_recipe(egs / "own", "--wavs", str(folder), "--sentences", "1")
    assert "data/all: unchanged" in again.stdout
    assert "data: unchanged" in again.stdout.splitlines()

    wavs(folder, speakers=1, each=7)  # one more recording
    more = run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "1")
    assert (more.returncode, "unchanged" in more.stdout) == (0, False), more.stderr


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


def test_own_says_what_is_odd(tmp_path: Path):
    folder = wavs(tmp_path / "wavs", speakers=1, each=2)
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, 16000)
    soundfile.write(folder / "speaker 0" / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "speaker 0" / "half.wav", np.stack([noise, noise * 1e-4], 1), 16000)
    soundfile.write(folder / "speaker 0" / "long.wav", np.tile(noise, 61), 16000)
    import_folder(folder, tmp_path / "data")
    script = EGS / "own" / "local" / "odd.py"
    got = subprocess.run([sys.executable, script, tmp_path / "data"], capture_output=True, text=True, check=True)
    said = got.stdout
    assert "1 recording (speaker_0-silent): no sound above" in said
    assert "1 recording (speaker_0-long): longer than a minute" in said
    assert "1 recording (speaker_0-half): a channel is nearly empty" in said
    assert "only 1.1 minutes in all" in said
    assert "all recordings are by one speaker, 'speaker_0'" in said


def test_own_trains_the_default_units_and_a_decoder_on_top_of_them():
    own, small = (
        load(EGS / recipe / "conf" / f"{name}.yaml", Config)
        for recipe, name in (("own", "base"), ("librispeech", "small"))
    )
    assert own == small
    voices = load(EGS / "own" / "conf" / "voices.yaml", Config)
    assert (voices.model.decoder.kind, voices.train.units_of) == ("voice", "exp/base-0")
    assert (voices.model.features, voices.model.encoder) == (own.model.features, own.model.encoder)
    assert voices.model.quantizer == own.model.quantizer  # or the units could not be taken over


def test_the_ablation_of_own_is_of_a_codebook(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=2, each=6)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--ablation", "vanilla all", "--seeds", "0", FAIL="train")
    assert "vanilla, seed 0" in got.stdout, got.stderr
    own = egs / "own" / "exp" / "ablation" / "conf"
    assert load(own / "all.yaml", Config) == load(EGS / "mini" / "conf" / "ablation.yaml", Config)
    assert load(own / "vanilla.yaml", Config).model.quantizer.norm == "none"


def test_own_gives_every_recording_units(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=2, each=6)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "encode", "--max-failed", "0.2")
    assert got.returncode == 0, got.stderr
    units = egs / "own" / "exp" / "base-0" / "units"
    assert {path.name for path in units.iterdir()} == {"train", "test", "all"}
    assert "odd: only" in got.stdout
    assert calls(egs)[-3:] == ["segment", "words", "export"]
