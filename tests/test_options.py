"""Options of recipes: their two forms, their kinds, where paths are looked for."""

import subprocess
from pathlib import Path

import pytest
from recipe_files import EGS, shell

OPTIONS = """
. common/options.sh
option corpus corpus/full "where"
option stop_stage report "until"
option set "" "changes"
option jobs 2 "at once" "a number above 0"
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
        (["--set", "a=1 b=2", "--set=c=3", "--corpus=x", "--corpus=y"], "y|report|a=1 b=2 c=3"),
        (["--set", "a=1", "--set", "", "--set", "c=3"], "corpus/full|report|c=3"),
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


@pytest.mark.parametrize("value", ["0", "08", "-1", "two", ""])
def test_a_number_of_processes_is_above_0(value: str):
    got = shell(OPTIONS, f"--jobs={value}")
    assert (got.returncode, got.stdout) == (2, "")
    assert f"--jobs: expected a number above 0, got '{value}'" in got.stderr


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
    path: str, found: str, tmp_path: Path
):
    here, caller = tmp_path / "recipe", tmp_path / "caller"
    for name in ("recipe/there", "recipe/only here/file", "caller/there", "caller/only there"):
        (tmp_path / name).mkdir(parents=True)
    path, found = path.format(caller=caller), found.format(caller=caller)
    script = f"cd '{caller}'; cd '{here}'; . {EGS}/common/options.sh; option corpus '' c; option exp '' e;"
    script += 'parse_options "$@"; printf "%s|%s" "$corpus" "$exp"'
    assert shell(script, f"--corpus={path}", "--exp=only there").stdout == f"{found}|only there"  # exp is written to


@pytest.mark.parametrize("recipe", ["mini", "own"])
def test_help_lists_every_option(recipe: str):
    got = subprocess.run([EGS / recipe / "run.sh", "--help"], text=True, capture_output=True)
    assert got.returncode == 0
    assert "./run.sh" in got.stdout
    for option in ("--stage ", "--stop-stage ", "--config ", "--jobs "):
        assert option in got.stdout
    assert "shellcheck" not in got.stdout
    assert f"Paths are relative to {EGS / recipe}." in got.stdout


SHARE = """
. common/options.sh
option max_failed 0.01 "of all recipes" "a share"
option max_failed 0.1 "of this one" "a share"
parse_options "$@"
printf %s "$max_failed"
"""


def test_a_recipe_gives_an_option_of_all_another_default():
    assert shell(SHARE).stdout == "0.1"
    shown = [line for line in shell(SHARE, "--help").stdout.splitlines() if "--max-failed" in line]
    assert shown == [f"  --{'max-failed':<12} of this one (0.1)"]


@pytest.mark.parametrize("value", ["0", "1", "0.25", ".5", "5%", "0.5%"])
def test_a_share_may_be_per_cent(value: str):
    assert shell(SHARE, "--max-failed", value).stdout == value


@pytest.mark.parametrize("value", ["2", "-0.1", "some", "1e-2", ""])
def test_what_is_no_share_is_refused(value: str):
    got = shell(SHARE, f"--max-failed={value}")
    assert got.returncode == 2
    assert f"--max-failed: expected a share, got '{value}'" in got.stderr
