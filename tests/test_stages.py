"""Stages of a recipe: what runs again, what is skipped, what is made anew."""

import hashlib
import os
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


def in_folder(folder: Path, script: str, **environment: str) -> str:
    """Run a script in a folder, with stages at hand; return what it printed."""
    start = 'cd "$FOLDER"; . "$EGS/common/options.sh"; . "$EGS/common/stages.sh"; '
    got = shell(start + script, FOLDER=str(folder), EGS=str(EGS), **environment)
    assert got.returncode == 0, got.stderr
    return got.stdout


def test_of_two_runs_at_once_one_waits_and_has_nothing_left_to_do(tmp_path: Path):
    slow = STAGES.replace("echo corpus >corpus", "touch on; sleep 1; echo corpus >corpus")
    first = f"( {slow} ) & until [[ -e $FOLDER/on ]]; do sleep 0.05; done; ( {slow} ); wait"
    got = shell(first, "--stop-stage", "corpus", FOLDER=str(tmp_path), EGS=str(EGS))
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout.count("ran\n") == 1
    assert "stage 0 (corpus): another run is at it; waiting for its end" in got.stdout
    assert "stage 0 (corpus): unchanged, skipped" in got.stdout


def test_nothing_is_set_aside_into_what_was_set_aside_before(tmp_path: Path):
    aside = "date() { echo now; }; exp=exp force=(--force); for n in 1 2 3; do mkdir exp; touch exp/$n; set_aside; done"
    in_folder(tmp_path, aside)
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert made == ["exp.before-now++/3", "exp.before-now+/2", "exp.before-now/1"]


def test_a_listing_follows_links(tmp_path: Path):
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "a.wav").write_text("sound")
    (tmp_path / "link").symlink_to("disc")
    assert in_folder(tmp_path, "listing link").split()[:2] == ["link/a.wav", "5"]


# What a file is known by.


def digest(folder: Path, name: str) -> str:
    return in_folder(folder, f'digest "{name}"')


@pytest.mark.parametrize("place", ["data/feats.ark", "elsewhere/all feats.ark"])
def test_an_index_of_features_changes_with_its_archive_wherever_that_is(place: str, tmp_path: Path):
    ark, scp = tmp_path / place, tmp_path / "data" / "feats.scp"
    for path in (ark, scp):
        path.parent.mkdir(exist_ok=True)
    ark.write_bytes(b"features")
    scp.write_text(f"u1 {ark}:0\nu2 {ark}:4\n")
    before = digest(tmp_path, "data/feats.scp")
    ark.write_bytes(b"FEATURES")
    changed = digest(tmp_path, "data/feats.scp")
    assert changed != before
    ark.write_bytes(b"features")  # made again, the same: what was trained on it stays
    os.utime(ark, (1, 1))
    assert digest(tmp_path, "data/feats.scp") == before
    scp.write_text(f"u1 {ark}:0\n")
    assert digest(tmp_path, "data/feats.scp") not in (before, changed)


def test_an_archive_that_moved_with_its_index_is_found(tmp_path: Path):
    (tmp_path / "feats.ark").write_bytes(b"features")
    (tmp_path / "feats.scp").write_text("u1 /before/feats.ark:0\n")
    before = digest(tmp_path, "feats.scp")
    (tmp_path / "feats.ark").write_bytes(b"FEATURES")
    assert digest(tmp_path, "feats.scp") != before
    assert in_folder(tmp_path, "is_whole feats.scp && echo whole") == "whole\n"
    (tmp_path / "feats.ark").unlink()
    assert digest(tmp_path, "feats.scp") not in ("", before)
    assert in_folder(tmp_path, "is_whole feats.scp || echo lost") == "lost\n"


@pytest.mark.parametrize("entry", ["wav/a b.wav", "{tmp}/wav/a b.wav", "sox 'wav/a b.wav' -t wav - |"])
def test_a_list_of_recordings_changes_with_them(entry: str, tmp_path: Path):
    wav = tmp_path / "wav" / "a b.wav"
    wav.parent.mkdir()
    wav.write_text("sound")
    (tmp_path / "wav.scp").write_text(f"r1 {entry.format(tmp=tmp_path)}\nr2 wav/none.wav\n")
    before = digest(tmp_path, "wav.scp")
    assert digest(tmp_path, "wav.scp") == before
    wav.write_text("other")
    os.utime(wav, (1, 1))
    assert digest(tmp_path, "wav.scp") != before


def test_a_large_file_is_read_once(tmp_path: Path):
    large = tmp_path / "large.npy"
    with large.open("wb") as file:
        file.truncate(20_000_001)
    (tmp_path / ".stages").mkdir()
    before = digest(tmp_path, "large.npy")
    known = (tmp_path / ".stages" / "digests").read_text()
    assert known.startswith(hashlib.sha256(bytes(20_000_001)).hexdigest())
    assert digest(tmp_path, "large.npy") == before
    assert (tmp_path / ".stages" / "digests").read_text() == known
    with large.open("r+b") as file:
        file.write(b"x")
    assert digest(tmp_path, "large.npy") != before
    assert len((tmp_path / ".stages" / "digests").read_text().splitlines()) == 2


def test_a_config_is_read_with_what_it_includes(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("model: {jitter: 0.1, features: {kind: mfcc}}\n")
    (tmp_path / "delta.yaml").write_text("include: base.yaml\nmodel: {jitter: 0.2}\n")
    script = '. common/options.sh; . common/stages.sh; section "$1" model.jitter model.features model.none.at.all'
    assert shell(script, str(tmp_path / "delta.yaml")).stdout == '0.2\n{"kind": "mfcc"}\nnull\n'
