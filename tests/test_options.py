"""Options of recipes: their two forms, their kinds, where paths are looked for."""

import subprocess

import pytest
from recipe_files import EGS, shell

OPTIONS = """
. common/options.sh
option corpus corpus/full "where"
option stop_stage report "until"
option set "" "changes"
parse_options "$@"
printf '%s|%s|%s' "$corpus" "$stop_stage" "$set"
"""


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], "corpus/full|report|"),
        (["--corpus", "a b", "--stop-stage=3"], "a b|3|"),
        (["--stop_stage", "train"], "corpus/full|train|"),
        (["--set", "train.steps=5 model.jitter=0"], "corpus/full|report|train.steps=5 model.jitter=0"),
        (["--set=x=y", "--corpus="], "|report|x=y"),
        (["--corpus", ""], "|report|"),
        (["--corpus", "-1", "--set=--odd"], "-1|report|--odd"),
    ],
)
def test_options_have_both_forms(arguments: list[str], values: str):
    assert shell(OPTIONS, *arguments).stdout == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stagee", "3"], "unknown option '--stagee'"),
        (["--stagee=3"], "unknown option '--stagee'"),
        (["--PATH", "x"], "unknown option '--PATH'"),
        (["--corpus"], "--corpus: a value must follow"),
        (["--corpus", "--set", "x"], "--corpus: a value must follow"),
        (["train"], "expected options only, got 'train'"),
        (["--"], "unknown option '--'"),
        (["--a]b", "x"], "unknown option '--a]b'"),
    ],
)
def test_wrong_options_are_an_error_at_once(arguments: list[str], message: str):
    got = shell(OPTIONS, *arguments)
    assert (got.returncode, got.stdout) == (2, "")
    assert message in got.stderr
    assert "--help" in got.stderr


@pytest.mark.parametrize("recipe", ["mini", "own"])
def test_help_lists_every_option(recipe: str):
    got = subprocess.run([EGS / recipe / "run.sh", "--help"], text=True, capture_output=True)
    assert got.returncode == 0
    assert "./run.sh" in got.stdout
    for option in ("--stage ", "--stop-stage ", "--config ", "--jobs "):
        assert option in got.stdout
    assert "shellcheck" not in got.stdout
