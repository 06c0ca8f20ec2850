"""The recipe of ZeroSpeech 2019: its parts, its voices, and the folders that the challenges of 2019 and 2020 take."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from recipe_files import EGS, STUB, copy_of_recipes, program, run_recipe
from test_recipes_convert import plan, put
from test_recipes_speech import prepared, put_zerospeech, script

from unitdisc.data.kaldi import write_data_dir
from unitdisc.data.store import write_features
from unitdisc.errors import DataError

LOCAL = EGS / "zerospeech2019" / "local"
ABOUT = {"author": "", "affiliation": "", "open source": False}
SYSTEM = {
    "abx distance": "dtw_cosine",
    "system description": "unitdisc: VQ-VAE with robust codebook training",
    "auxiliary1 description": "",
    "auxiliary2 description": "",
    "using parallel train": False,
    "using external data": False,
}


def test_it_trains_on_units_and_voices(tmp_path: Path):
    _, parts = prepared("zerospeech2019", tmp_path)
    assert sorted(parts["train"].spk2utt) == ["S015", "S020", "V001", "V002"]
    assert len(parts["train"].utts) + len(parts["dev"].utts) == 12
    assert sorted(parts["test"].spk2utt) == ["S002", "S003"]
    got = script(LOCAL / "prepare.py", tmp_path / "corpus" / "train", tmp_path / "again")
    assert got.returncode == 1
    assert "is train one language's folder?" in got.stderr


# The submission.

VECTORS = np.array([[0.25, -1.5], [0.25, -1.5], [1e-7, 2]], np.float32)


def submitted(folder: Path, *options: str) -> set[str]:
    """Submit the units of an utterance and its conversion to V002; return the files of the submission."""
    units, converted = folder / "exp/units/test", folder / "converted"
    units.mkdir(parents=True)
    write_features(units / "vectors", [("S002_0000000020", VECTORS)])
    rows = []
    for target in ("V002", "same"):
        (converted / target).mkdir(parents=True)
        (converted / target / "a.wav").write_bytes(target.encode())
        row = {"utt": f"{target}-S002_0000000020", "source": "S002_0000000020", "speaker": "S002"}
        rows.append({**row, "target": target, "path": f"{target}/a.wav"})
    (converted / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    got = script(LOCAL / "submission.py", folder / "exp", converted, folder / "out", *options)
    assert got.returncode == 0, got.stderr
    return {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}


def metadata(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text())


def test_a_submission_has_a_line_for_each_frame_and_the_conversions_to_voices(tmp_path: Path):
    assert submitted(tmp_path) == {
        "metadata.yaml", "english/test/S002_0000000020.txt", "english/test/V002_0000000020.wav"
    }  # fmt: skip
    test = tmp_path / "out/english/test"
    lines = (test / "S002_0000000020.txt").read_text().splitlines()
    assert lines[:2] == ["0.25 -1.5", "0.25 -1.5"]  # the same symbol is the same text: that is what is counted
    np.testing.assert_allclose([[float(x) for x in line.split(" ")] for line in lines], VECTORS, rtol=1e-5)
    assert (test / "V002_0000000020.wav").read_bytes() == b"V002"


def test_the_layout_of_2019_has_one_file_of_metadata(tmp_path: Path):
    submitted(tmp_path, "--language", "surprise")
    assert (tmp_path / "out/surprise/test/V002_0000000020.wav").exists()
    # "open source" is false because a submission that says true without its code is refused
    assert metadata(tmp_path / "out/metadata.yaml") == ABOUT | SYSTEM


def test_the_layout_of_2020_has_a_folder_2019_with_its_own_metadata(tmp_path: Path):
    assert submitted(tmp_path, "--layout", "2020") == {
        "metadata.yaml", "2019/metadata.yaml", "2019/english/test/S002_0000000020.txt",
        "2019/english/test/V002_0000000020.wav",
    }  # fmt: skip
    # each file has the keys that the other must not have
    assert metadata(tmp_path / "out/metadata.yaml") == ABOUT
    assert metadata(tmp_path / "out/2019/metadata.yaml") == SYSTEM


def test_an_unknown_layout_is_refused_before_anything_is_done(tmp_path: Path):
    got = run_recipe(EGS / "zerospeech2019", "--corpus", str(tmp_path), "--layout", "2021")
    assert (got.returncode, got.stdout) == (2, "")
    assert "--layout: expected 2019 or 2020, got '2021'" in got.stderr


# What is converted.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    put(tmp_path / "data/train", "S015 V001 V002")
    put(tmp_path / "data/dev", "S015")
    put_test(tmp_path / "data/test", "S002_0016520932", "S003_0033179769", "S003_0348166629")
    return tmp_path / "data"


def put_test(path: Path, *utts: str) -> None:
    write_data_dir(path, [(utt, f"{utt}.wav") for utt in utts], {utt: utt[:4] for utt in utts})


def test_the_files_that_the_challenge_requires_are_a_list_of_conversions(data: Path):
    (data.parent / "list").write_text(
        "english/test/S002_0016520932.txt\nenglish/test/S003_0033179769.txt\nenglish/test/S003_0348166629.txt\n"
        "english/test/V001_0016520932.wav\nenglish/test/V001_0033179769.wav\nV002_0348166629.wav\n"
    )
    assert sorted(plan(data, pairs=data.parent / "list")["converted"]) == [
        ("S002_0016520932", "V001"), ("S003_0033179769", "V001"), ("S003_0348166629", "V002")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "V001_0000000007.wav\n",
            "V001_0000000007.wav: expected one utterance of .*test named <speaker>_0000000007, got none",
        ),
        ("V003_0016520932.wav\n", "target V003 is no speaker of"),
        ("a/V001.wav\n", "V001.wav: expected one utterance of"),
        ("english/test/S002_0016520932.txt\n", "the list of conversions is empty"),
        ("V001_0016520932.wav\nS003_0033179769 V001\n", "expected lines '<utterance> <target>' or '<target>_<rest"),
    ],
)
def test_required_files_that_cannot_be_made_are_refused(text: str, message: str, data: Path):
    (data.parent / "list").write_text(text)
    with pytest.raises(DataError, match=message):
        plan(data, pairs=data.parent / "list")


def test_a_file_that_two_utterances_could_be_is_refused(data: Path):
    put_test(data / "test", "S003_0348166629", "S004_0348166629")
    (data.parent / "list").write_text("V001_0348166629.wav\n")
    with pytest.raises(DataError, match="got S003_0348166629 and S004_0348166629"):
        plan(data, pairs=data.parent / "list")


def test_without_a_list_some_sentences_go_to_the_voices_and_the_submission_is_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = copy_of_recipes(tmp_path / "egs") / "zerospeech2019"
    program(tmp_path / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    # The stub makes no vectors and no sound.
    (recipe / "local/submission.py").write_text("import sys; print('submitted', *sys.argv[1:])\n")
    corpus = ["--corpus", str(put_zerospeech(tmp_path / "corpus"))]
    assert run_recipe(recipe, *corpus, "--stop-stage", "data").returncode == 0
    exp = recipe / "exp/base-0"
    for name in ("units/test/units.jsonl", "units/test/vectors.scp", "config.yaml"):
        (exp / name).parent.mkdir(parents=True, exist_ok=True)
        (exp / name).write_text("model: {}\n")

    def converted(*options: str) -> str:
        """Convert; return what was said."""
        got = run_recipe(recipe, *corpus, "--stage", "convert", "--stop-stage", "convert", *options)
        assert got.returncode == 0, got.stderr + got.stdout
        return got.stdout

    said = converted("--sentences", "2", "--layout", "2020")
    assert "submitted exp/base-0 exp/base-0/converted exp/base-0/submission --language english --layout 2020" in said
    assert "is incomplete: it has a few conversions only; --pairs required_filelist.txt" in said
    pairs = [line.split()[1] for line in (exp / "to-convert/converted.pairs").read_text().splitlines()]
    assert sorted(pairs) == ["V001", "V002"]
    assert len((exp / "to-convert/converted/utt2spk").read_text().splitlines()) == 1

    (tmp_path / "list").write_text("V002_0000000020.wav\nV001_0000000031.wav\n")
    assert "incomplete" not in converted("--pairs", str(tmp_path / "list"))
    pairs = (exp / "to-convert/converted.pairs").read_text().splitlines()
    assert [line.split()[1] for line in pairs] == ["V002", "V001"]
