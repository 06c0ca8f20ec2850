"""Scripts of the recipes as programs: wrong use is told, and what they share is found without run.sh, too."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_files import EGS
from test_recipes_speech import module


def call(script: str, *arguments: object, folder: Path | None = None) -> tuple[int, str, str]:
    """Run a script as a user does, without what run.sh exports."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(EGS / script), *map(str, arguments)]
    got = subprocess.run(command, text=True, capture_output=True, cwd=folder, env=bare)
    return got.returncode, got.stdout, got.stderr


@pytest.mark.parametrize("script", ["hear", "vectors", "rows", "pairs", "download"])
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
