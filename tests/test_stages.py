"""Stages of a recipe: what runs again, what is skipped, what is made anew."""

from pathlib import Path

import pytest
from recipe_files import EGS, shell

STAGES = """
cd "$FOLDER"
. "$EGS/common/options.sh"
. "$EGS/common/stages.sh"
option word hello "what to write"
stage_corpus() { kept corpus && return; echo corpus >corpus; echo ran; }
stage_data() { needs corpus corpus; uses "$word"; kept data && return; echo "$word ${force[*]}" >data; echo ran; }
stage_features() { needs data data; kept features && return; [[ ! -e broken ]]; cat data >features; echo ran; }
parse_options "$@"
run_stages
"""


@pytest.fixture
def stages(tmp_path: Path):
    def run(*arguments: str) -> tuple[int, int, str]:
        """Return exit code, how many stages ran, and what went to stderr."""
        got = shell(STAGES, *arguments, FOLDER=str(tmp_path), EGS=str(EGS))
        return got.returncode, got.stdout.count("ran\n"), got.stderr

    return run


def test_stages_run_by_number_or_name_and_only_once(stages):
    assert stages("--stop-stage", "1") == (0, 2, "")
    assert stages("--stop-stage", "features") == (0, 1, "")
    assert stages("--stop-stage", "2") == (0, 0, "")
    assert stages("--stage", "features", "--stop-stage", "2", "--again", "true") == (0, 1, "")


def test_a_change_runs_what_depends_on_it_and_nothing_else(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    assert stages("--stop-stage", "2", "--word", "bye") == (0, 2, "")
    assert (tmp_path / "features").read_text() == "bye --force\n"
    assert stages("--stop-stage", "2", "--word", "bye") == (0, 0, "")


def test_a_result_that_was_lost_is_made_again(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    (tmp_path / "data").unlink()
    assert stages("--stop-stage", "2") == (0, 1, "")


def test_a_failed_stage_stops_the_recipe_and_is_begun_again_without_force(stages, tmp_path: Path):
    (tmp_path / "broken").touch()
    code, ran, _ = stages("--stop-stage", "2")
    assert (code, ran) == (1, 2)
    (tmp_path / "broken").unlink()
    assert stages("--stop-stage", "2") == (0, 1, "")


def test_what_is_made_anew_is_made_anew_to_the_end(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    # The second stage is stopped while it replaces what another word made: half of that may still be there.
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    assert stages("--stop-stage", "1", "--word", "bye")[0] == 1
    (tmp_path / "data").rmdir()
    stages("--stop-stage", "1", "--word", "bye")
    assert (tmp_path / "data").read_text() == "bye --force\n"


def test_a_stage_without_its_input_says_which_stage_to_run(stages):
    code, ran, said = stages("--stage", "data", "--stop-stage", "data")
    assert (code, ran) == (1, 0)
    assert "stage 1 (data) needs corpus, which stage 0 (corpus) makes" in said
    assert "./run.sh --stage corpus --stop-stage corpus" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "9"], "unknown stage '9'"),
        (["--stop-stage", "trian"], "unknown stage 'trian'; expected one of corpus data features train"),
        (["--stage", "2", "--stop-stage", "data"], "comes after"),
    ],
)
def test_wrong_stages_are_refused(stages, arguments: list[str], message: str):
    code, ran, said = stages(*arguments)
    assert (code, ran) == (2, 0)
    assert message in said


def test_a_config_is_read_with_what_it_includes(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("model: {jitter: 0.1, features: {kind: mfcc}}\n")
    (tmp_path / "delta.yaml").write_text("include: base.yaml\nmodel: {jitter: 0.2}\n")
    script = '. common/options.sh; . common/stages.sh; section "$1" model.jitter model.features model.none.at.all'
    assert shell(script, str(tmp_path / "delta.yaml")).stdout == '0.2\n{"kind": "mfcc"}\nnull\n'
