"""Every stage of mini, the later ones by a stub, and what all recipes of speech do alike."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_files import (
    EGS,
    calls,
    copy_of_recipes,
    run_recipe,
    with_stub,
)

from unitdisc.config import read_tree

RECIPES = ("mini", "own")
SHORT = ("--short", "true", "--minutes", "1", "--speakers", "6")


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return with_stub(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the first stages of mini once, with the real command; return its folder."""
    pytest.importorskip("espeakng_loader")
    copy = copy_of_recipes(tmp_path_factory.mktemp("prepared") / "egs")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    got = run_recipe(copy / "mini", *SHORT, "--stop-stage", "features", "--nj", "2", PATH=path)
    assert got.returncode == 0, got.stderr
    return copy / "mini"


@pytest.fixture
def mini(egs: Path, prepared: Path) -> Path:
    """Return a copy of mini with its first stages done, in a copy of egs/."""
    shutil.rmtree(egs / "mini")
    return shutil.copytree(prepared, egs / "mini")


def test_the_first_stages_of_mini_make_features(prepared: Path):
    data = prepared / "data" / "short"
    for split in ("train", "dev", "test"):
        utts = [line.split()[0] for line in (data / split / "utt2spk").read_text().splitlines()]
        assert [line.split()[0] for line in (data / split / "feats.scp").read_text().splitlines()] == utts
    logs = [(prepared / f"exp/short-0/log/features{job}.log").read_text() for job in (".1", ".2", "")]
    assert ["part 1 of 2 of feats" in logs[0], "part 2 of 2 of feats" in logs[1]] == [True, True]
    assert "test: feats, targets: " in logs[2]


def test_mini_runs_to_a_report_and_only_once(mini: Path):
    got = run_recipe(mini, *SHORT)
    assert got.returncode == 0, got.stderr
    assert {"corpus/short: unchanged", "data/short: unchanged"} <= set(got.stdout.splitlines())
    exp = mini / "exp" / "short-0"
    assert (exp / "report.html").exists()
    assert (exp / "scores" / "conversion.json").exists()
    assert {"features", "train", "encode", "compare", "convert", "score", "report"} == set(calls(mini.parent))
    again = run_recipe(mini, *SHORT)
    assert (again.returncode, calls(mini.parent)) == (0, []), again.stderr

    # Another seed trains another model; the corpus and its features stay.
    run_recipe(mini, *SHORT, "--seed", "1", "--stop-stage", "train")
    assert calls(mini.parent) == ["train"]


def test_encoding_and_conversion_are_told_the_device(mini: Path):
    assert run_recipe(mini, *SHORT, "--device", "cuda:1", "--stop-stage", "convert").returncode == 0
    lines = (mini.parent.parent / "calls").read_text().splitlines()
    told = [line.split()[0] for line in lines if "--device cuda:1" in line]
    made = calls(mini.parent)
    assert told.count("encode") == made.count("encode") == 2
    assert told.count("convert") == made.count("convert") == 2
    refused = run_recipe(mini, *SHORT, "--device", "gpu")
    assert (refused.returncode, calls(mini.parent)) == (2, [])
    assert "--device: expected cpu, cuda or cuda:N, got 'gpu'" in refused.stderr


def test_a_list_of_pairs_is_converted_and_a_changed_one_anew(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "score")
    calls(mini.parent)
    convert = (*SHORT, "--stage", "convert", "--stop-stage", "convert", "--pairs", "pairs")
    utts = [line.split()[0] for line in (mini / "data/short/test/utt2spk").read_text().splitlines()]
    (mini / "pairs").write_text(f"{utts[0]} f01\n{utts[1]} m01\n")
    got = run_recipe(mini, *convert)
    assert got.returncode == 0, got.stderr
    assert calls(mini.parent) == ["convert", "features", "score"]
    plan = mini / "exp/short-0/to-convert"
    assert (plan / "converted.pairs").read_text() == (mini / "pairs").read_text()
    assert "to-convert: unchanged" in run_recipe(mini, *convert).stdout
    (mini / "pairs").write_text(f"{utts[0]} m01\n")
    assert run_recipe(mini, *convert).returncode == 0
    assert (plan / "converted.pairs").read_text() == (mini / "pairs").read_text()
    (mini / "pairs").write_text(f"{utts[0]} nobody\n")
    refused = run_recipe(mini, *convert)
    assert refused.returncode == 1
    assert "target nobody is no speaker of data/short/train" in refused.stderr
    assert (plan / "converted.pairs").read_text() == f"{utts[0]} m01\n"


@pytest.mark.parametrize(
    ("stage", "before"), [("encode", "train"), ("score", "encode"), ("convert", "train"), ("report", "score")]
)
def test_a_late_stage_alone_says_what_comes_first(stage: str, before: str, mini: Path):
    got = run_recipe(mini, *SHORT, "--stage", stage, "--stop-stage", stage)
    assert got.returncode == 1
    assert "exp/short-0/" in got.stderr
    assert f"({before}) makes; run it first: ./run.sh --stage {before} --stop-stage {before}" in got.stderr


def test_the_ablation_has_a_configuration_of_its_own(mini: Path):
    prepared = ("--corpus", "corpus/short", "--data", "data/short", *SHORT[2:])
    got = run_recipe(mini, *prepared, "--ablation", "all", "--seeds", "0", FAIL="train")
    assert "all, seed 0" in got.stdout, got.stderr
    steps = [read_tree(mini / name)["train"]["steps"] for name in ("conf/ablation.yaml", "exp/ablation/conf/all.yaml")]
    assert steps[0] == steps[1] < read_tree(mini / "conf/base.yaml")["train"]["steps"]


def test_a_short_ablation_is_of_the_short_corpus_and_training(mini: Path):
    got = run_recipe(mini, *SHORT, "--ablation", "all", "--seeds", "0", FAIL="train")
    assert "all, seed 0" in got.stdout, got.stderr
    assert read_tree(mini / "exp/ablation-short/conf/all.yaml") == read_tree(mini / "conf/short.yaml")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_without_the_command_says_so(recipe: str, egs: Path):
    bare = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "unitdisc").exists())
    got = run_recipe(egs / recipe, PATH=bare)
    assert got.returncode == 1
    assert "no unitdisc on the PATH" in got.stderr


def test_a_corpus_behind_a_link_is_found(egs: Path):
    (egs.parent / "disc" / "TRAIN").mkdir(parents=True)
    (egs.parent / "link").symlink_to("disc")
    got = run_recipe(egs / "timit", "--corpus", str(egs.parent / "link"), "--stop-stage", "corpus")
    assert (got.returncode, got.stderr) == (0, "")


def test_a_missing_config_is_refused(egs: Path):
    got = run_recipe(egs / "mini", "--config", "conf/none.yaml", REAL="config")
    assert got.returncode == 1
    assert "conf/none.yaml: no such file; expected a configuration" in got.stderr


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ("--short true", "short"),
        ("--short=true", "short"),
        ("--short true --short=false", "base"),
        ("--short false --short true", "short"),
        ("--short false", "base"),
        ("--short true --config conf/ablation.yaml", "ablation"),
    ],
)
def test_short_is_what_was_said_last(words: str, config: str, egs: Path):
    got = run_recipe(egs / "mini", *words.split(), "--stage", "report")
    assert f"exp/{config}-0/compare/table.json is missing" in got.stderr


def test_a_config_that_cannot_be_read_is_refused_before_any_stage(egs: Path):
    (egs / "mini" / "conf" / "base.yaml").write_text("model: {\n")
    got = run_recipe(egs / "mini", REAL="config")
    assert (got.returncode, got.stdout) == (1, "")
    assert "conf/base.yaml:2:1: cannot be read as YAML" in got.stderr


WRONG = [
    (["--set", "train.stepz=3"], 1, "unknown key 'stepz'; did you mean 'steps'?"),
    (["--set", "train.steps 3"], 2, "expected A.B=C, got 'train.steps'"),
    (["--seed", "x"], 2, "--seed: expected a number, got 'x'"),
    (["--jobs", "0"], 2, "--jobs: expected a number above 0, got '0'"),
    (["--processes", "0"], 2, "--processes: expected a number above 0, got '0'"),
    (["--cmd", "nowhere/cmd.sh"], 2, "--cmd: no such program: nowhere/cmd.sh"),
    (["--ablation", "all", "--seeds", "0 x"], 2, "--seeds: expected numbers, as in '0 1 2', got '0 x'"),
    (["--short=yes"], 2, "--short: expected true or false, got 'yes'"),
    (["--ablation", "true", "--stage", "encode"], 2, "leave out --stage and --stop-stage"),
]


def test_a_wrong_value_is_refused_before_anything_is_made(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train")
    before = sorted(mini.rglob("*"))
    for arguments, code, message in WRONG:
        got = run_recipe(mini, *SHORT, *arguments, REAL="check import config")
        assert (got.returncode, got.stdout) == (code, ""), arguments
        assert message in got.stderr
        assert sorted(mini.rglob("*")) == before, arguments


def test_changes_reach_features_and_training(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train", "--set", "model.jitter=0.5 train.batch=8", "--exp", "exp/other")
    lines = (mini.parent.parent / "calls").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["features", "train"]
    assert all("--set model.jitter=0.5 train.batch=8" in line for line in lines)


def test_a_recipe_runs_in_a_folder_with_a_blank(mini: Path):
    copy = mini.parent.rename(mini.parent.parent / "my egs") / "mini"
    got = run_recipe(copy, *SHORT, "--stop-stage", "encode")
    assert (got.returncode, calls(copy.parent)) == (0, ["features", "train", "encode", "encode"]), got.stderr


def test_a_plan_that_cannot_be_followed_leaves_the_conversions(mini: Path):
    run_recipe(mini, *SHORT)
    made = sorted((mini / "exp" / "short-0" / "converted").rglob("*"))
    assert made
    got = run_recipe(mini, *SHORT, "--stage", "convert", "--targets", "nobody")
    assert got.returncode == 1
    assert "target nobody is no speaker" in got.stderr
    assert sorted((mini / "exp" / "short-0" / "converted").rglob("*")) == made


def test_a_failed_verb_shows_the_end_of_its_log_and_can_be_begun_again(mini: Path):
    got = run_recipe(mini, *SHORT, FAIL="train")
    assert got.returncode == 1
    assert "unitdisc train: told to fail" in got.stderr
    assert run_recipe(mini, *SHORT, "--stage", "train", "--stop-stage", "train").returncode == 0


# Text.


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_configs_of_a_recipe_are_valid(recipe: str):
    from unitdisc import config
    from unitdisc.train_config import Config

    for path in (EGS / recipe / "conf").glob("*.yaml"):
        config.load(path, Config)


@pytest.mark.parametrize("path", sorted(EGS.glob("*/run.sh")), ids=lambda path: path.parent.name)
def test_a_recipe_is_short_and_shows_its_stages_in_order(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) < 120
    assert max(map(len, text.splitlines())) <= 140
    numbers = re.findall(r"if \[ \$stage -le (\d) \] && \[ \$stop_stage -ge (\d) \]", text)
    assert [one for one, _ in numbers] == [other for _, other in numbers] == sorted(one for one, _ in numbers)
    assert {"3", "4", "5", "7"} <= {one for one, _ in numbers}
    assert ("6" in dict(numbers)) == (path.parent.name not in ("ssl", "discophon"))  # which convert nothing
    assert "()" not in text  # no functions


def test_what_recipes_share_is_small():
    assert sum(len(path.read_text().splitlines()) for path in (EGS / "common").glob("*.sh")) < 350


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "path", [*EGS.glob("*/run.sh"), *EGS.glob("common/*.sh")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_scripts_pass_shellcheck(path: Path):
    got = subprocess.run(["shellcheck", "-x", path.name], cwd=path.parent, text=True, capture_output=True)
    assert got.returncode == 0, got.stdout
