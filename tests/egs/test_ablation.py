"""Ablations: the results of runs, and the table that is made of them."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from image_files import Image, modules
from recipe_files import EGS, program, run_recipe

from unitdisc.config import read_tree
from unitdisc.errors import DataError


def python() -> dict[str, str]:
    """Return what makes python3 of a script the one that runs this."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def common() -> SimpleNamespace:
    return modules(EGS / "common")


def write_result(*arguments) -> None:
    """Write what a run leaves."""
    modules(EGS / "common").results.write_result(*arguments)


@pytest.fixture(scope="module")
def ablation(common) -> ModuleType:
    return common.ablation


def put_env(exp: Path, *starts: dict[str, object]) -> None:
    """Write what a training writes at each of its starts."""
    exp.mkdir(parents=True, exist_ok=True)
    exp.joinpath("env.json").write_text(json.dumps({"starts": list(starts)}))


def results(folder: Path, ablation: ModuleType) -> list[Path]:
    values = {("all", 0): 0.2, ("all", 1): 0.4, ("none", 0): 0.1, ("vanilla", 0): 10.0, ("zzz", 0): 0.0}
    for (row, seed), value in values.items():
        exp = folder / f"{row}-{seed}"
        put_env(exp, {"unitdisc": "1.0", "commit": f"abc{seed}", "cpus": 2, "resumed_at": 0})
        metrics = {"PER": value} if row == "none" else {"PER": value, "codes": 12}
        write_result(exp, row, seed, metrics, {"seconds": 10 * (seed + 1)})
    return sorted(folder.iterdir())


def test_the_table_has_means_and_spreads_in_the_paper_s_order(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    text = ablation.write_table(exps, tmp_path / "RESULTS.md", tmp_path / "plot.png", [])
    assert text.splitlines()[:6] == [
        "| row | seeds | PER ↓ | codes | seconds of training |",
        "|---|---|---|---|---|",
        "| no bottleneck | 1 | 0.1000 |  | 10 |",
        "| vanilla VQ | 1 | 10.00 | 12.00 | 10 |",
        "| + all three | 2 | 0.3000 ± 0.1414 | 12.00 ± 0.00 | 15 |",
        "| zzz | 1 | 0.000 | 12.00 | 10 |",
    ]
    assert "seeds 0, 1; unitdisc 1.0; commit abc0, abc1; cpus 2." in text
    assert (tmp_path / "RESULTS.md").read_text() == text
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 200
    chosen = ablation.write_table(exps, tmp_path / "RESULTS.md", None, ["codes"])
    assert chosen.startswith("| row | seeds | codes | seconds of training |")


def test_arrows_are_those_of_the_scores(ablation):
    assert ablation.headed("ABX-across") == "ABX-across ↓"
    assert ablation.headed("PNMI") == "PNMI ↑"
    assert ablation.headed("units-per-second") == "units-per-second"
    assert ablation.headed("reconstruction bits") == "reconstruction bits ↓"  # of images


def test_a_table_of_what_is_not_there_is_refused(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    with pytest.raises(DataError, match="no run has 'CER'; they have PER, codes"):
        ablation.write_table(exps, tmp_path / "t.md", None, ["CER"])
    with pytest.raises(DataError, match=r"none/result.json: no such file; run the stage score"):
        ablation.read_results([tmp_path / "none"])
    (exps[0] / "result.json").write_text('{"metrics": {"a": "b"}}')
    with pytest.raises(DataError, match=r'expected {"row", "seed", "metrics"'):
        ablation.read_results(exps)


def test_a_result_is_of_the_code_and_machine_that_trained_it(ablation, tmp_path: Path):
    first = {"unitdisc": "1.0", "commit": "aaa", "cpus": 2, "time": "monday", "resumed_at": 0}
    for starts, commit in (
        ([first], "aaa"),
        ([{**first, "commit": "zzz"}, first], "aaa"),  # which was killed before its first checkpoint
        ([first, {**first, "commit": "bbb", "resumed_at": 4}], "aaa, bbb"),
        ([first, {**first, "commit": "bbb", "resumed_at": 9}], "aaa"),  # when there was nothing left to train
    ):
        put_env(tmp_path, *starts)
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / "00000009.pt").touch()
        write_result(tmp_path, "all", 0, {"PER": 0.5}, {"steps": 9})
        about = json.loads((tmp_path / "result.json").read_text())["about"]
        assert about == {"unitdisc": "1.0", "commit": commit, "cpus": 2, "steps": 9}


def test_a_row_and_seed_that_are_there_twice_are_refused(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    write_result(tmp_path, "all", 0, {"PER": 0.9})
    with pytest.raises(DataError, match=r"row 'all' with seed 0 is in .*all-0, too; give one of them"):
        ablation.write_table([*exps, tmp_path], tmp_path / "t.md", None, [])
    assert not (tmp_path / "t.md").exists()


def test_what_is_of_other_settings_is_left_out_and_listed(common, ablation, tmp_path: Path):
    base, row = tmp_path / "base.yaml", tmp_path / "row.yaml"
    base.write_text("train: {steps: 5}\n")
    exps = {exp.name: exp for exp in results(tmp_path / "exp", ablation) if exp.name != "zzz-0"}

    def table() -> str:
        return ablation.write_table(
            list(exps.values()), tmp_path / "t.md", None, [], ablation.current_settings(ablation.ROWS, base, "data 1")
        )

    for name in ("none-0", "vanilla-0", "all-0", "all-1"):
        change = read_tree(EGS / "common" / "conf" / "ablation" / f"{name[:-2]}.yaml")
        row.write_text(yaml.safe_dump(common.rows.compose(read_tree(base), change)))
        common.results.add_settings(exps[name], row, "data 1")
    assert "Left out" not in table()
    common.results.add_settings(exps["all-1"], row, "data 2")  # was made of other data
    write_result(exps["vanilla-0"], "vanilla", 0, {"PER": 0.9})  # says nothing of its settings
    lines = table().splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:5]] == [["| no bottleneck", "1"], ["| + all three", "1"], [""]]
    listed = f"all with seed 1 ({exps['all-1']}), vanilla with seed 0 ({exps['vanilla-0']})"
    assert lines[-1] == f"Left out, being of other settings or data (--ablation with them trains anew): {listed}."
    base.write_text("train: {steps: 6}\n")
    with pytest.raises(DataError, match="all runs are of other settings than those asked for"):
        table()


# Trains nothing: leaves a score that says how it was configured.
RECIPE = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
stage=corpus # first
stop_stage=report # last
config=base.yaml # what to train
data=data # its folder
exp= # its folder
set= # changes
seed=0 # of the training
cmd=env # how
ablation=off # rows
seeds="0 1" # of the ablation
. "{egs}/common/parse_options.sh"
if [ "$ablation" != off ]; then
  exec python3 {egs}/common/ablate.py --rows "$ablation" --seeds "$seeds" --config "$config" --set "$set" \\
    --data "$data" --exp "$exp" --from "${{OLDPWD:-.}}" "$PWD/run.sh" "$@"
fi
echo "$stage-$stop_stage $exp $seed"
if [ $stage -le 3 ] && [ $stop_stage -ge 3 ]; then
  mkdir -p "$exp/scores"
  echo '{{"scores": [{{"definition": "pnmi", "value": 0.5}}]}}' >"$exp/scores/units.json"
fi
"""


@pytest.fixture
def run(tmp_path: Path):
    program(tmp_path / "recipe" / "run.sh", RECIPE.replace("{egs}", str(EGS)))
    for name in ("data/train/feats.scp", "base.yaml"):
        (tmp_path / "recipe" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "recipe" / name).write_text("{}\n")
    return lambda *words: run_recipe(tmp_path / "recipe", *words, **python())


def test_an_ablation_runs_the_first_stages_once_and_rows_by_seed_and_takes_what_is_of_its_settings(run, tmp_path: Path):
    folder = "exp/ablation-base"

    def table(seeds: str, steps: int) -> tuple[list[str], list[str], str]:
        """Return the runs, the table's rows with how many seeds, and what stands under it."""
        got = run("--ablation", "none all", "--seeds", seeds, "--set", f"train.steps={steps}")
        assert got.returncode == 0, got.stderr
        assert read_tree(tmp_path / "recipe" / folder / "conf/all.yaml")["train"]["steps"] == steps
        runs = [line.strip() for line in got.stdout.splitlines() if line[:2] == "  " and line[3:4] == "-"]
        lines = (tmp_path / "recipe" / folder / "table.md").read_text().splitlines()
        return runs, [" ".join(line.split(" | ")[:2]) for line in lines[2:] if line[:1] == "|"], lines[-1]

    runs, rows, _ = table("0 1", steps=5)
    assert runs == ["0-2  0"] + [f"3-5 {folder}/{row}-{seed} {seed}" for seed in (0, 1) for row in ("none", "all")]
    assert rows == ["| no bottleneck 2", "| + all three 2"]
    _, rows, left_out = table("0", steps=6)
    assert rows == ["| no bottleneck 1", "| + all three 1"]
    assert f"all with seed 1 ({folder}/all-1), none with seed 1 ({folder}/none-1)." in left_out


def test_rows_may_lie_in_a_folder_of_ones_own(run, tmp_path: Path):
    for row, steps in (("long", 9), ("short", 2)):
        path = tmp_path / "recipe" / "conf/mine" / f"{row}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"train: {{steps: {steps}}}\n")
    got = run("--ablation", "conf/mine", "--seeds", "0")
    assert got.returncode == 0, got.stderr
    lines = (tmp_path / "recipe/exp/ablation-base/table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| long", "| short"]
    assert read_tree(tmp_path / "recipe/exp/ablation-base/conf/short.yaml") == {"train": {"steps": 2}}
    got = run("--ablation", "conf/nothing")
    assert got.returncode == 2
    assert "no rows (NAME.yaml) in a folder conf/nothing" in got.stderr


def test_without_matplotlib_there_is_a_table_and_no_picture(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    got = run("--ablation", "all", "--seeds", "0")
    assert (got.returncode, got.stderr) == (0, "")
    assert "no picture of it: that needs matplotlib; pip install 'unitdisc[images]'" in got.stdout
    assert [path.name for path in (tmp_path / "recipe/exp/ablation-base").glob("table.*")] == ["table.md"]


def test_a_seed_is_refused_where_there_are_several(run):
    got = run("--ablation", "all", "--seed", "3")
    assert (got.returncode, "--ablation takes --seeds" in got.stderr) == (2, True)


def test_a_run_without_scores_is_not_in_the_table(run, tmp_path: Path):
    (tmp_path / "recipe/run.sh").write_text((tmp_path / "recipe/run.sh").read_text().replace("pnmi", "other"))
    got = run("--ablation", "all", "--seeds", "0")
    assert got.returncode == 1
    assert "not in the table: without phones there is nothing to score of it" in got.stdout
    assert "exp/ablation-base: no run has a score" in got.stderr
