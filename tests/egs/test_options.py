"""Options of recipes: their two forms, their kinds, where paths are looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipe_files import EGS, program

OPTIONS = """#!/usr/bin/env bash
# A recipe.
#
#   ./run.sh     everything

set -euo pipefail
cd "$(dirname "$0")"
corpus=corpus/full # where
stage=corpus # from
stop_stage=report # until
exp= # folder
set= # changes
jobs=2 # at once (a number above 0)
max_failed=0.1 # share that may fail (a share)
flag=false # true or not
model=none # weights (a path)
cmd=env # what runs jobs
. {egs}/common/parse_options.sh
later=1 # no option
printf '%s|%s|%s|%s' "$corpus" "$stop_stage" "$set" "${{changes[*]}}"
[ "$model" = none ] || printf '|%s' "$model"
[ -z "$exp" ] || printf '|%s' "$(whole_path "$exp")"
"""


@pytest.fixture
def recipe(tmp_path: Path):
    script = program(tmp_path / "recipe" / "run.sh", OPTIONS.replace("{egs}", str(EGS)))
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [script, *arguments]
        return subprocess.run(command, cwd=folder, text=True, capture_output=True, env=os.environ | path)

    return run


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], "corpus/full|7||"),
        (["--corpus", "a b", "--stop-stage=3"], "a b|3||"),
        (["--stop_stage", "train"], "corpus/full|3||"),
        (["--set", "a.b=5 c.d=0"], "corpus/full|7|a.b=5 c.d=0|--set a.b=5 c.d=0"),
        (["--set=x=y", "--corpus="], "|7|x=y|--set x=y"),
        (["--corpus", ""], "|7||"),
        (["--set", "a=1 b=2", "--set=c=3", "--corpus=x", "--corpus=y"], "y|7|a=1 b=2 c=3|--set a=1 b=2 c=3"),
        (["--set", "a=1", "--set", "", "--set", "c=3"], "corpus/full|7|c=3|--set c=3"),
        (["--corpus", "-1", "--set=--odd"], "-1|7|--odd|--set --odd"),
    ],
)  # fmt: skip
def test_options_have_both_forms(arguments: list[str], values: str, recipe):
    got = recipe(*arguments)
    assert (got.stdout, got.stderr) == (values, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stagee", "3"], "unknown option '--stagee'; --help"),
        (["--stagee=3"], "unknown option '--stagee'; --help"),
        (["--PATH", "x"], "unknown option '--PATH'; --help"),
        (["--later", "x"], "unknown option '--later'; --help"),
        (["--corpus"], "--corpus: a value must follow"),
        (["--corpus", "--set", "x"], "--corpus: a value must follow"),
        (["train"], "expected options only, got 'train'; --help"),
        (["--"], "unknown option '--'; --help"),
        (["--a]b", "x"], "unknown option '--a]b'; --help"),
        (["--jobs=0"], "--jobs: expected a number above 0, got '0'"),
        (["--jobs=08"], "--jobs: expected a number above 0, got '08'"),
        (["--jobs=two"], "--jobs: expected a number above 0, got 'two'"),
        (["--jobs="], "--jobs: expected a number above 0, got ''"),
        (["--flag=yes"], "--flag: expected true or false, got 'yes'"),
        (["--max-failed=2"], "--max-failed: expected a share, got '2'"),
        (["--max-failed=1e-2"], "--max-failed: expected a share, got '1e-2'"),
        (["--stage", "9"], "unknown stage '9'"),
        (["--stop-stage", "trian"], "unknown stage 'trian'; expected one of corpus data features train"),
        (["--stage", "2", "--stop-stage", "data"], "--stage features comes after --stop-stage data"),
        (["--cmd", "'cmd.sh --backend"], "--cmd: a quote without its other"),
        (["--cmd", "nowhere/cdm.sh"], "--cmd: no such program: nowhere/cdm.sh"),
        (["--cmd="], "--cmd: no such program: "),
    ],
)
def test_wrong_options_are_an_error_at_once(arguments: list[str], message: str, recipe):
    got = recipe(*arguments)
    assert (got.returncode, got.stdout) == (2, "")
    assert message in got.stderr


@pytest.mark.parametrize("value", ["0", "1", "0.25", ".5", "5%", "0.5%"])
def test_a_share_may_be_per_cent(value: str, recipe):
    assert recipe("--max-failed", value).returncode == 0


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("there", "there"),
        ("only here/file", "only here/file"),
        ("only there", "{caller}/only there"),
        ("nowhere", "nowhere"),
        ("", ""),
        ("{caller}/only there", "{caller}/only there"),
    ],
)
def test_what_is_to_be_read_is_looked_for_here_and_then_where_the_recipe_was_called_from(
    path: str, found: str, tmp_path: Path, recipe
):
    caller = tmp_path / "caller"
    for name in ("recipe/there", "recipe/only here/file", "caller/there", "caller/only there"):
        (tmp_path / name).mkdir(parents=True)
    path, found = path.format(caller=caller), found.format(caller=caller)
    assert recipe(f"--corpus={path}", folder=caller).stdout.split("|")[0] == found
    assert recipe(f"--model={path}", folder=caller).stdout.split("|")[-1] == found


def test_where_a_log_is_said_to_be_holds_from_anywhere(tmp_path: Path, recipe):
    assert recipe("--exp=exp/a b").stdout.split("|")[-1] == f"{tmp_path}/recipe/exp/a b"
    assert recipe(f"--exp={tmp_path}/exp").stdout.split("|")[-1] == f"{tmp_path}/exp"


def test_help_is_the_head_and_the_lines_of_the_options(recipe):
    assert recipe("--help").stdout.splitlines()[:10] == [
        "A recipe.", "", "  ./run.sh     everything",
        "  --corpus         where (corpus/full)", "  --stage          from (corpus)",
        "  --stop-stage     until (report)", "  --exp            folder (none)", "  --set            changes (none)",
        "  --jobs           at once (a number above 0) (2)", "  --max-failed     share that may fail (a share) (0.1)",
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", ["mini", "own"])
def test_help_lists_every_option(recipe: str):
    got = subprocess.run([EGS / recipe / "run.sh", "--help"], text=True, capture_output=True)
    assert got.returncode == 0
    assert "./run.sh" in got.stdout
    for option in ("--stage ", "--stop-stage ", "--config ", "--jobs "):
        assert option in got.stdout
    assert "shellcheck" not in got.stdout
    assert f"Paths are relative to {EGS / recipe}." in got.stdout
