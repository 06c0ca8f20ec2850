"""Ablations: the results of runs, and the table that is made of them."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from image_files import Image, modules
from recipe_files import EGS, run_recipe

from unitdisc.config import read_tree
from unitdisc.errors import DataError


def python() -> dict[str, str]:
    """Return what makes python3 of a script the one that runs this."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def common() -> SimpleNamespace:
    return modules(EGS / "common")


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
        ablation.write_result(exp, row, seed, metrics, {"seconds": 10 * (seed + 1)})
    return sorted(folder.iterdir())


def test_the_table_has_means_and_spreads_in_the_paper_s_order(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    text = ablation.write_table(exps, tmp_path / "RESULTS.md", tmp_path / "plot.png", [])
    assert text.splitlines()[:6] == [
        "| row | seeds | PER ↓ | codes ↑ | seconds of training |",
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
    assert chosen.startswith("| row | seeds | codes ↑ | seconds of training |")


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
        ablation.write_result(tmp_path, "all", 0, {"PER": 0.5}, {"steps": 9})
        about = json.loads((tmp_path / "result.json").read_text())["about"]
        assert about == {"unitdisc": "1.0", "commit": commit, "cpus": 2, "steps": 9}


def test_a_row_and_seed_that_are_there_twice_are_refused(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    ablation.write_result(tmp_path, "all", 0, {"PER": 0.9})
    with pytest.raises(DataError, match=r"row 'all' with seed 0 is in .*all-0, too; give one of them"):
        ablation.write_table([*exps, tmp_path], tmp_path / "t.md", None, [])
    assert not (tmp_path / "t.md").exists()


def test_what_is_of_other_settings_is_left_out_and_listed(common, ablation, tmp_path: Path):
    base, row = tmp_path / "base.yaml", tmp_path / "row.yaml"
    base.write_text("train: {steps: 5}\n")
    exps = {exp.name: exp for exp in results(tmp_path / "exp", ablation) if exp.name != "zzz-0"}

    def table() -> str:
        return ablation.write_table(
            list(exps.values()), tmp_path / "t.md", None, [], ablation.current_settings(base, "data 1")
        )

    for name in ("none-0", "vanilla-0", "all-0", "all-1"):
        change = read_tree(EGS / "common" / "conf" / "ablation" / f"{name[:-2]}.yaml")
        row.write_text(yaml.safe_dump(common.rows.compose(read_tree(base), change)))
        common.results.add_settings(exps[name], row, "data 1")
    assert "Left out" not in table()
    common.results.add_settings(exps["all-1"], row, "data 2")  # was made of other data
    ablation.write_result(exps["vanilla-0"], "vanilla", 0, {"PER": 0.9})  # says nothing of its settings
    lines = table().splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:5]] == [["| no bottleneck", "1"], ["| + all three", "1"], [""]]
    listed = f"all with seed 1 ({exps['all-1']}), vanilla with seed 0 ({exps['vanilla-0']})"
    assert lines[-1] == f"Left out, being of other settings or data (--ablation with them trains anew): {listed}."
    base.write_text("train: {steps: 6}\n")
    with pytest.raises(DataError, match="all runs are of other settings than those asked for"):
        table()


RECIPE = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
common=$EGS/common version=1 data_files=(made)
. "$common/options.sh"; . "$common/stages.sh"; . "$common/ablation.sh"
option config base.yaml "what to train"
option data data "its folder"
for name in exp set; do option $name "" "as in recipes"; done
option seed 0 "of the training"
option seeds "0 1" "of the ablation"
option ablation off "rows"
read_config() { :; }
stage_corpus() { :; }; stage_data() { :; }; stage_features() { :; }; stage_encode() { :; }; stage_score() { :; }
stage_train() {
  uses "$seed" "$(section "$config")"
  kept "$exp/config.yaml" && return
  set_aside
  cleared
  mkdir -p "$exp/scores"
  cp "$config" "$exp/config.yaml"
  echo '{"scores": [{"definition": "pnmi", "value": 0.5}]}' >"$exp/scores/units.json"
}
parse_options "$@"
settle_config
if [[ $ablation == off ]]; then run_stages; else run_ablation "$@"; fi
"""


def test_an_ablation_takes_what_is_of_its_own_settings_only(tmp_path: Path):
    run = tmp_path / "run.sh"
    run.write_text(RECIPE)
    run.chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "made").write_text("of this")

    def table(seeds: str, steps: int) -> tuple[list[str], str]:
        """Return the table's rows, with how many seeds, and what stands under it."""
        (tmp_path / "base.yaml").write_text(f"train: {{steps: {steps}}}\n")
        got = run_recipe(tmp_path, "--ablation", "all", "--seeds", seeds, EGS=str(EGS), **python())
        assert got.returncode == 0, got.stderr
        lines = (tmp_path / "exp/ablation-base/table.md").read_text().splitlines()
        return [" ".join(line.split(" | ")[:2]) for line in lines[2:] if line[:1] == "|"], lines[-1]

    assert table("0 1", steps=5)[0] == ["| + all three 2"]
    rows, left_out = table("0", steps=6)
    assert rows == ["| + all three 1"]
    assert left_out.endswith("trains anew): all with seed 1 (exp/ablation-base/all-1).")
    assert len(list((tmp_path / "exp/ablation-base").glob("all-0.before-*/result.json"))) == 1


def test_scores_of_the_command_become_results(ablation, tmp_path: Path):
    one, many = tmp_path / "one.json", tmp_path / "many.json"
    one.write_text('{"abx": 0.25, "definition": "abx-triphone", "value": 0.25}')
    many.write_text('{"scores": [{"definition": "pnmi", "value": 0.5}, {"definition": "per", "value": null}]}')
    assert ablation.score_value(str(one)) == 0.25
    assert ablation.score_value(f"{many}:pnmi") == 0.5
    for source, message in (
        (f"{many}", "say which"),
        (f"{many}:ami", "no value of 'ami'"),
        (f"{many}:per", "no value"),
    ):
        with pytest.raises(DataError, match=message):
            ablation.score_value(source)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        ablation.score_value(str(tmp_path / "none.json"))
