"""Every stage of mini, the later ones by a stub, and what all recipes of speech do alike."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

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
    got = run_recipe(copy / "mini", *SHORT, "--stop-stage", "features", PATH=path)
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


def test_mini_runs_to_a_report_and_only_once(mini: Path):
    got = run_recipe(mini, *SHORT)
    assert got.returncode == 0, got.stderr
    assert got.stdout.count("unchanged, skipped") == 3, got.stdout
    exp = mini / "exp" / "short-0"
    assert (exp / "report.html").exists()
    assert {path.stem for path in exp.glob("scores/*.json")} >= {"input-abx-across", "codes-abx-across", "units"}
    assert {"convert", "encode", "items", "report", "score", "train"} <= set(calls(mini.parent))
    again = run_recipe(mini, *SHORT)
    assert (again.returncode, calls(mini.parent)) == (0, [])
    assert again.stdout.count("unchanged, skipped") == 8

    # Another seed trains another model; the corpus and its features stay.
    other = run_recipe(mini, *SHORT, "--seed", "1", "--stop-stage", "train")
    assert other.stdout.count("unchanged, skipped") == 3
    assert calls(mini.parent) == ["train"]


def test_encoding_and_conversion_are_told_the_device(mini: Path):
    assert run_recipe(mini, *SHORT, "--device", "cuda:1", "--stop-stage", "convert").returncode == 0
    lines = (mini.parent.parent / "calls").read_text().splitlines()
    told = [line.split()[0] for line in lines if "--device cuda:1" in line]
    made = calls(mini.parent)
    assert (told.count("encode"), made.count("encode")) == (2, 6)  # k-means of MFCC and of the input, on the CPU
    assert told.count("convert") == made.count("convert") > 0
    assert all("--jobs 1 " in line for line in lines if line.startswith("encode") and "cuda" in line)
    refused = run_recipe(mini, *SHORT, "--device", "gpu")
    assert (refused.returncode, calls(mini.parent)) == (2, [])
    assert "--device: expected cpu, cuda or cuda:N, got 'gpu'" in refused.stderr


def test_a_list_of_pairs_is_converted_and_a_changed_one_anew(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "score")
    calls(mini.parent)
    convert = (*SHORT, "--stage", "convert", "--stop-stage", "convert")
    utts = [line.split()[0] for line in (mini / "data/short/test/utt2spk").read_text().splitlines()]
    (mini / "pairs").write_text(f"{utts[0]} f01\n{utts[1]} f01\n{utts[1]} m01\n")
    got = run_recipe(mini, *convert, "--pairs", "pairs")
    assert got.returncode == 0, got.stderr
    assert calls(mini.parent) == ["convert", "convert", "combine", "features", "score"]
    exp = mini / "exp/short-0"
    assert len((exp / "converted/manifest.jsonl").read_text().splitlines()) == 2  # one of each call, put together
    assert (exp / "scores/conversion.json").exists()
    assert "unchanged, skipped" in run_recipe(mini, *convert, "--pairs", "pairs").stdout
    (mini / "pairs").write_text(f"{utts[0]} m01\n")
    assert run_recipe(mini, *convert, "--pairs", "pairs", FAIL="convert").returncode == 1
    assert not (exp / "scores/conversion.json").exists()
    calls(mini.parent)
    assert run_recipe(mini, *convert, "--pairs", "pairs").returncode == 0  # goes on
    assert calls(mini.parent) == ["convert", "combine", "features", "score"]

    refused = run_recipe(mini, *convert, "--pairs", "none")
    assert (refused.returncode, "--pairs: no such file" in refused.stderr) == (2, True)
    (mini / "pairs").write_text(f"{utts[0]} nobody\n")
    refused = run_recipe(mini, *convert, "--pairs", "pairs")
    assert refused.returncode == 1
    assert "target nobody is no speaker of data/short/train" in refused.stderr


@pytest.mark.parametrize(("stage", "before"), [("score", "encode"), ("convert", "train"), ("report", "encode")])
def test_a_late_stage_alone_says_what_comes_first(stage: str, before: str, mini: Path):
    got = run_recipe(mini, *SHORT, "--stage", stage, "--stop-stage", stage)
    assert got.returncode == 1
    assert f"({stage}) needs exp/short-0/" in got.stderr
    assert f"run it first: ./run.sh --stage {before} --stop-stage {before}" in got.stderr


def test_a_report_needs_the_stage_of_scores_but_no_score(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "encode")
    report = (*SHORT, "--stage", "report")
    got = run_recipe(mini, *report)
    assert got.returncode == 1
    assert "run it first: ./run.sh --stage score" in got.stderr
    (mini / "exp/short-0/scores").mkdir()
    assert run_recipe(mini, *report).returncode == 0
    assert (mini / "exp/short-0/report.html").exists()


def test_a_score_that_fails_stops_the_stage_which_goes_on_later(mini: Path):
    got = run_recipe(mini, *SHORT, "--stop-stage", "score", FAIL="score per")
    assert got.returncode == 1
    assert "unitdisc score: told to fail" in got.stderr
    calls(mini.parent)
    assert run_recipe(mini, *SHORT, "--stop-stage", "score").returncode == 0
    assert len(list((mini / "exp/short-0/scores").glob("*.json"))) == 15
    assert not list((mini / "exp/short-0/scores").glob("*.part"))
    # Another model: what does not depend on it is not scored again.
    calls(mini.parent)
    assert run_recipe(mini, *SHORT, "--stop-stage", "score", "--seed", "1").returncode == 0
    assert calls(mini.parent).count("score") == 4
    assert len(list((mini / "exp/short-1/scores").glob("*.json"))) == 15


def test_the_ablation_has_a_configuration_of_its_own(mini: Path):
    prepared = ("--corpus", "corpus/short", "--data", "data/short", *SHORT[2:])
    got = run_recipe(mini, *prepared, "--ablation", "all", "--seeds", "0", FAIL="train")
    assert got.stdout.count("unchanged, skipped") == 3, got.stdout + got.stderr
    assert "all, seed 0" in got.stdout
    steps = [read_tree(mini / name)["train"]["steps"] for name in ("conf/ablation.yaml", "exp/ablation/conf/all.yaml")]
    assert steps[0] == steps[1] < read_tree(mini / "conf/base.yaml")["train"]["steps"]


def test_a_changed_config_trains_anew_and_sets_the_old_training_aside(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "encode")
    calls(mini.parent)
    config = mini / "conf" / "short.yaml"
    config.write_text(config.read_text().replace("batch: 16", "batch: 8"))
    assert run_recipe(mini, *SHORT, "--stop-stage", "train", FAIL="train").returncode == 1
    assert len(list((mini / "exp").glob("short-0.before-*"))) == 1
    assert calls(mini.parent) == ["train"]
    (mini / "exp" / "short-0" / "checkpoints").mkdir(parents=True)  # it had come so far; it goes on from there
    changed = run_recipe(mini, *SHORT, "--stop-stage", "encode")
    assert changed.stdout.count("unchanged, skipped") == 3, changed.stdout
    assert calls(mini.parent) == ["train", "encode", "encode"]
    assert "set aside" not in changed.stdout
    assert len(list((mini / "exp").glob("short-0.before-*"))) == 1


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
    got = run_recipe(egs / "mini", "--config", "conf/none.yaml")
    assert got.returncode == 2
    assert "no such file: conf/none.yaml" in got.stderr


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
    shutil.rmtree(egs / "mini" / "conf")
    got = run_recipe(egs / "mini", *words.split())
    assert (got.returncode, f"no such file: conf/{config}.yaml" in got.stderr) == (2, True)


def test_a_config_that_cannot_be_read_is_refused_before_any_stage(egs: Path):
    (egs / "mini" / "conf" / "base.yaml").write_text("model: {\n")
    got = run_recipe(egs / "mini")
    assert (got.returncode, got.stdout) == (1, "")
    assert "conf/base.yaml:2:1: cannot be read as YAML" in got.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "train.stepz=3"], 1, "unknown key 'stepz'; did you mean 'steps'?"),
        (["--set", "train.steps 3"], 1, "expected A.B=C, got 'train.steps'"),
        (["--seed", "x"], 2, "--seed: expected a number, got 'x'"),
        (["--jobs", "0"], 2, "--jobs: expected a number above 0, got '0'"),
        (["--processes", "0"], 2, "--processes: expected a number above 0, got '0'"),
        (["--cmd", "nowhere/cmd.sh"], 2, "--cmd: no such program: nowhere/cmd.sh"),
        (["--ablation", "all", "--seeds", "0 x"], 2, "--seeds: expected numbers, as in '0 1 2', got '0 x'"),
        (["--again=yes"], 2, "--again: expected true or false, got 'yes'"),
        (["--ablation", "true", "--stage", "encode"], 2, "leave out --stage and --stop-stage"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_made(arguments, code, message, mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train")
    before = sorted(mini.rglob("*"))
    got = run_recipe(mini, *SHORT, *arguments, REAL="check import config")
    assert (got.returncode, got.stdout) == (code, "")
    assert message in got.stderr
    assert sorted(mini.rglob("*")) == before


def test_changes_reach_every_stage(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train")
    calls(mini.parent)
    got = run_recipe(
        mini, *SHORT, "--stop-stage", "train", "--set", "model.features.cmvn=speaker", "--exp", "exp/other"
    )
    assert got.returncode == 0, got.stderr
    assert calls(mini.parent) == ["features", "train"]
    assert read_tree(mini / ".stages" / "config-exp_other.yaml")["model"]["features"]["cmvn"] == "speaker"
    assert not list((mini / "exp").glob("*.before-*"))


def stages_run(got: CompletedProcess[str]) -> list[str]:
    """Return the stages that were not skipped."""
    assert got.returncode == 0, got.stderr
    lines = [line for line in got.stdout.splitlines() if line.startswith("stage ") and "skipped" not in line]
    return [line.split("(")[1].split(")")[0] for line in lines]


def index_of(data: Path) -> list[str]:
    """Return where in its archive each utterance begins, and what is said of all of them."""
    places = [line.rpartition(":")[2] for line in (data / "feats.scp").read_text().splitlines()]
    return [*places, (data / "feats.json").read_text()]


def test_recordings_that_are_replaced_in_place_are_trained_on_anew(mini: Path):
    wanted = (*SHORT, "--stop-stage", "encode")
    assert stages_run(run_recipe(mini, *wanted)) == ["train", "encode"]
    data = mini / "data" / "short" / "train"
    wav = (data / (data / "wav.scp").read_text().split()[1]).resolve()
    index = index_of(data)
    before, times = wav.read_bytes(), (wav.stat().st_atime_ns, wav.stat().st_mtime_ns)
    real = {"REAL": "check import features"}
    try:  # the recording is that of all tests of this file
        wav.write_bytes(before[:1000] + bytes(8000) + before[9000:])
        assert stages_run(run_recipe(mini, *wanted, **real)) == ["features", "train", "encode"]
        assert index_of(data) == index
        assert len(list((mini / "exp").glob("short-0.before-*"))) == 1

        # Features that are lost and made again are the same: what was trained on them stays.
        (data / "feats.ark").unlink()
        assert stages_run(run_recipe(mini, *wanted, **real)) == ["features"]
    finally:
        wav.write_bytes(before)
        os.utime(wav, ns=times)


def test_other_phones_train_anew_where_the_model_learns_from_them(mini: Path):
    phones = mini / "data" / "short" / "train" / "phones.ctm"
    for weight, stages in (("ctc=0", []), ("ctc=1", ["train"]), ("framewise=0.5", ["train"])):
        wanted = (*SHORT, "--stop-stage", "train", "--set", f"model.weights.{weight}", "--exp", f"exp/{weight}")
        assert stages_run(run_recipe(mini, *wanted)) == ["train"]
        assert stages_run(run_recipe(mini, *wanted)) == []
        phones.write_text(phones.read_text().replace(" AA\n", " AO\n") + "\n")
        assert stages_run(run_recipe(mini, *wanted)) == stages


def test_a_recipe_runs_in_a_folder_with_a_blank(mini: Path):
    copy = mini.parent.rename(mini.parent.parent / "my egs") / "mini"
    assert stages_run(run_recipe(copy, *SHORT, "--stop-stage", "encode")) == ["train", "encode"]


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
    assert not list((mini / "exp").glob("*.before-*"))


# Text.


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short_and_its_configs_are_valid(recipe: str):
    from unitdisc import config
    from unitdisc.train import Config

    assert len((EGS / recipe / "run.sh").read_text().splitlines()) < 120
    for path in (EGS / recipe / "conf").glob("*.yaml"):
        config.load(path, Config)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "path", [*EGS.glob("*/run.sh"), *EGS.glob("common/*.sh")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_scripts_pass_shellcheck(path: Path):
    got = subprocess.run(["shellcheck", "-x", path.name], cwd=path.parent, text=True, capture_output=True)
    assert got.returncode == 0, got.stdout
