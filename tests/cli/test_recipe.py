"""The verb `recipe`: a copied recipe is whole, and runs where it was copied to."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipe_files import EGS, program

from unitdisc.cli import main
from unitdisc.config import read_tree
from unitdisc.errors import DataError
from unitdisc.recipes import copy_recipe, recipe_names


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a copied recipe with this Python and its command."""
    program(folder.parent / "bin" / "unitdisc", '#!/bin/sh\nexec {python} -m unitdisc "$@"\n')
    path = f"{folder.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run([folder / "run.sh", *options], text=True, capture_output=True, env=environment)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EGS.glob("*/run.sh")))
def test_a_copy_is_whole(name: str, tmp_path: Path):
    folder, _ = copy_recipe(name, tmp_path)
    for path in folder.glob("conf/**/*.yaml"):
        read_tree(path)  # with all that it includes
    for path in (EGS / name).glob("*.*"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    done = subprocess.run([folder / "run.sh", "--modle", "x"], capture_output=True, text=True)
    assert (done.returncode, "unknown option" in done.stderr) == (2, True), done.stderr


def test_own_runs_its_first_stage_from_its_copy(tmp_path: Path):
    generator = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "recordings" / "anna" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator.uniform(-0.3, 0.3, 8000), 16000)
    folder, _ = copy_recipe("own", tmp_path / "my recipes")
    done = run(folder, "--wavs", str(tmp_path / "recordings"), "--stop-stage", "data")
    assert done.returncode == 0, done.stderr
    parts = [len((folder / "data" / part / "utt2spk").read_text().splitlines()) for part in ("train", "dev", "test")]
    assert sum(parts) == 6
    assert min(parts) > 0


def test_mini_runs_its_first_stage_from_its_copy(tmp_path: Path):
    pytest.importorskip("espeakng_loader", reason="espeakng-loader, which speaks mini's corpus, is not installed")
    folder, _ = copy_recipe("mini", tmp_path)
    done = run(folder, "--minutes", "1", "--speakers", "6", "--stop-stage", "corpus")
    assert done.returncode == 0, done.stderr
    assert (folder / "corpus" / "full" / "phones.ctm").stat().st_size > 0


def test_a_second_recipe_goes_beside_the_first_and_nothing_is_written_over(tmp_path: Path):
    copy_recipe("own", tmp_path)
    copy_recipe("ssl", tmp_path)
    (tmp_path / "own" / "run.sh").write_text("mine")
    (tmp_path / "common" / "cmd.sh").unlink()
    with pytest.raises(DataError, match=r"own/run.sh: is there already and differs; choose another folder"):
        copy_recipe("own", tmp_path)
    assert not (tmp_path / "common" / "cmd.sh").exists()  # nothing was copied


def test_the_verb_lists_and_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["recipe"])
    assert end.value.code == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == recipe_names()
    assert "own              your recordings" in rows
    with pytest.raises(SystemExit):
        main(["recipe", "own", str(tmp_path)])
    assert f"cd {tmp_path}/own && ./run.sh --help" in capsys.readouterr().out
    assert os.access(tmp_path / "own" / "run.sh", os.X_OK)
    assert not os.access(tmp_path / "own" / "README.md", os.X_OK)
    for words, code, message in (
        (["own"], 2, "DEST is missing"),
        (["owl", str(tmp_path)], 1, "owl: no such recipe; expected one of cifar10,"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["recipe", *words])
        assert end.value.code == code
        assert message in capsys.readouterr().err
