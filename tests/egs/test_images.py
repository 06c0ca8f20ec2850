"""The recipes of images from end to end: cifar10 and scribblelens by their run.sh."""

import json
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import recipe_files
from image_files import binary_version, image_files, scribblelens_zip, some_images
from recipe_files import EGS, copy_of_recipes

RECIPES = ("cifar10", "scribblelens")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()


@pytest.fixture
def egs(tmp_path: Path) -> Path:
    return copy_of_recipes(tmp_path / "egs")


def run_recipe(folder: Path, *arguments: str) -> CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return recipe_files.run_recipe(folder, *arguments, PATH=path, OMP_NUM_THREADS="1")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_without_its_corpus_says_where_to_get_it(recipe: str, egs: Path):
    got = run_recipe(egs / recipe)
    assert got.returncode == 2
    assert "--corpus is missing" in got.stderr
    assert len((EGS / recipe / "run.sh").read_text().splitlines()) < 120


TINY = {
    recipe: f"{model} train.steps=26 train.batch=2 model.quantizer.schedule.warm_up=25"
    for recipe, model in {
        "cifar10": "model.width=4 model.residual=1 test_images=5",
        "scribblelens": "model.channels=[4,4,4,4,4,4,8] model.lstm=8 model.hidden=6 model.layers=1 probe.epochs=1",
    }.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_on_the_corpus_in_its_other_form(recipe: str, egs: Path, images: np.ndarray, tmp_path: Path):
    corpus = image_files(tmp_path / "files", images)
    if recipe == "scribblelens":
        corpus = scribblelens_zip(tmp_path / "corpus.zip", places=True)
    options = ("--corpus", str(corpus), "--config", "conf/small.yaml", "--set", TINY[recipe], "--stop-stage", "score")
    got = run_recipe(egs / recipe, *options)
    assert got.returncode == 0, got.stderr
    metrics = json.loads((egs / recipe / "exp" / "small-0" / "result.json").read_text())["metrics"]
    assert {"cifar10": "bits per dim", "scribblelens": "mapping accuracy"}[recipe] in metrics


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_to_its_report_and_only_once(recipe: str, egs: Path, images: np.ndarray, tmp_path: Path):
    corpus = ("--corpus", str(binary_version(tmp_path / "bin", images)))
    if recipe == "scribblelens":
        corpus = ("--corpus", "rendered", "--lines", "40", "--hands", "3")
    common = (*corpus, "--config", "conf/small.yaml", "--set", TINY[recipe])
    got = run_recipe(egs / recipe, *common)
    assert got.returncode == 0, got.stderr
    exp = egs / recipe / "exp" / "small-0"
    assert {"config.yaml", "result.json", "reconstructions.png", "report.md"} <= {p.name for p in exp.iterdir()}
    made = [file for name in ("checkpoints", "units") for file in (exp / name).rglob("*") if file.is_file()]
    made += [exp / "result.json", exp / "reconstructions.png"]
    before = [file.stat().st_mtime_ns for file in made]
    again = run_recipe(egs / recipe, *common)
    assert len(made) > 3
    assert [file.stat().st_mtime_ns for file in made] == before, again.stdout
    said = [line.strip() for line in again.stdout.splitlines()]
    for name in ("exp/small-0", "exp/small-0/units", "exp/small-0/result.json", "exp/small-0/reconstructions.png"):
        assert f"{name}: unchanged" in said, again.stdout

    table = run_recipe(egs / recipe, *common, "--ablation", "vanilla", "--seeds", "3")
    assert table.returncode == 0, table.stderr
    folder = egs / recipe / "exp" / "ablation-small"
    assert (folder / "table.md").read_text().splitlines()[2].startswith("| vanilla VQ | 1 |")
    assert (folder / "table.png").exists()
