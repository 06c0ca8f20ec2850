"""The recipe of self-supervised models, on a tiny one with random weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import make_data
from places import TOP
from ssl_models import of_transformers

RECIPE = TOP / "egs" / "ssl" / "run.sh"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the recipe with this Python's command."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(RECIPE), *options], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


@pytest.mark.slow
def test_all_stages_run_and_a_second_start_makes_nothing_anew(tmp_path: Path):
    make_data(tmp_path / "train", 6, features=False)
    make_data(tmp_path / "test", 30, seed=1, features=False)
    of_transformers(tmp_path / "hubert", "hubert", False)
    options = [
        f"--model={tmp_path}/hubert",
        "--layer",
        "2",
        "--codes",
        "6",
        "--exp",
        f"{tmp_path}/exp",
        "--jobs=1",
        "--max-dropped=50%",
    ]
    options += ["--train", f"{tmp_path}/train", "--test", f"{tmp_path}/test"]
    done = run(*options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exp.html").exists()
    assert {path.name for path in (tmp_path / "exp/scores").iterdir()} == {
        "bitrate.json", "clusters.json", "abx-within.json", "abx-across.json",
    }  # fmt: skip
    again = run(*options, "--stop-stage", "4")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modle", "x"], "unknown option '--modle'"),
        (["--model"], "--model: a value must follow"),
        (["--model", "none"], "--model: no such file or folder: none"),
        (["--layer", "0"], "--layer: expected a number above 0, got '0'"),
        (["--kind", "whisper"], "--kind: expected hubert, wav2vec2, wavlm or data2vec, got 'whisper'"),
        (["--model", "/", "--test", "x"], "--train and --test are needed"),
    ],
)
def test_wrong_options_are_said_at_once(options: list[str], message: str):
    done = run(*options)
    assert (done.returncode, message in done.stderr) == (2, True)
