"""Stage convert of the recipes of speech: whose utterances go to whom, from lists or without; scores that are kept."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from recipe_files import AWAIT_SECOND, EGS, STUB, at_once, program, shell
from test_recipes_speech import module, script

from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.errors import DataError

PAIRS = EGS / "common" / "pairs.py"


def put(path: Path, speakers: str, each: int = 3, gender: str = "") -> DataDir:
    """Write a data directory of speakers who say nothing."""
    utt2spk = {f"{speaker}-{path.name}-{n}": speaker for speaker in speakers.split() for n in range(each)}
    genders = dict(zip(speakers.split(), gender, strict=False)) or None
    return write_data_dir(path, [(utt, f"{utt}.wav") for utt in utt2spk], utt2spk, spk2gender=genders)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four women and four men to train on; strangers in dev and test."""
    put(tmp_path / "data/train", "f1 f2 f3 f4 m1 m2 m3 m4", gender="ffffmmmm")
    put(tmp_path / "data/dev", "f8 m8")
    put(tmp_path / "data/test", "f9 m9")
    return tmp_path / "data"


def plan(data: Path, conditioning: str = "table", **options: object) -> dict[str, list[tuple[str, str]]]:
    """Plan; return the pairs of each part."""
    exp, work = data.parent / "exp", data.parent / "work"
    exp.mkdir(exist_ok=True)
    (exp / "config.yaml").write_text(yaml.safe_dump({"model": {"conditioning": {"speaker": conditioning}}}))
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    got = script(PAIRS, exp, data, work, *words)
    if got.returncode:
        raise DataError(got.stderr)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(work.glob("*.voices")):
        for line in path.read_text().splitlines():
            folder, *voices = line.split()
            pairs.setdefault(path.stem, []).extend(
                (utt, voice) for voice in voices for utt in DataDir.read(work / folder).utts
            )
    return pairs


def speakers(pairs: list[tuple[str, str]]) -> set[str]:
    return {utt.split("-")[0] for utt, _ in pairs}


def test_two_women_and_two_men_are_the_targets(data: Path):
    choose = module(PAIRS).choose_targets
    assert choose(DataDir.read(data / "train")) == ["f1", "f4", "m1", "m4"]
    assert choose(put(data.parent / "x", "a b c d e f g h i j k l m")) == ["a", "e", "i", "m"]
    assert choose(put(data.parent / "y", "f1 m1 m2 m3 m4 m5", gender="fmmmmm")) == ["f1", "m1", "m3", "m5"]
    assert choose(put(data.parent / "z", "a b")) == ["a", "b"]


def test_strangers_are_converted_and_known_speakers_resynthesised_too(data: Path):
    parts = plan(data, sentences=8)
    assert speakers(parts["converted"]) == {"f9", "m9"}
    assert len(parts["converted"]) == 4 * 4
    assert {voice for _, voice in parts["converted"]} == {"f1", "f4", "m1", "m4"}
    known = parts["resynthesised"]
    assert len({utt for utt, _ in known}) == 4
    assert {utt for utt, voice in known if voice == "same"} == {utt for utt, _ in known}
    assert len(known) == 4 * 5  # by speakers who are no targets
    assert (data.parent / "work/others").exists()
    assert not (data.parent / "work/labelled").exists()


def test_held_out_sentences_of_known_speakers_come_first(data: Path):
    put(data / "dev", "f2 m8")
    assert {utt for utt, _ in plan(data, sentences=6)["resynthesised"]} == {f"f2-dev-{n}" for n in range(3)}


def test_nobody_is_converted_to_the_own_voice(data: Path):
    known = plan(data, sentences=8, targets="f1 f2 f3 f4 m1 m2 m3 m4")["resynthesised"]
    assert all(utt.split("-")[0] != voice for utt, voice in known)  # that is what "same" is
    assert len(known) == 4 * 8


def test_a_model_that_knows_all_voices_resynthesises_what_it_converts(data: Path):
    parts = plan(data, "reference", sentences=3, targets="m2 f3")
    assert list(parts) == ["converted"]
    assert sorted({voice for _, voice in parts["converted"]}) == ["f3", "m2", "same"]
    assert len(parts["converted"]) == 9
    put(data / "test", "f1 f2 m1 m2 m3")
    assert list(plan(data)) == ["converted"]


def test_a_model_without_voices_resynthesises_only(data: Path):
    parts = plan(data, "none", sentences=4)
    assert {voice for _, voice in parts["converted"]} == {"same"}
    assert not (data.parent / "work/others").exists()


def test_utterances_with_phones_are_preferred(data: Path):
    (data / "test/phones.ctm").write_text("m9-test-1 1 0 1 a\n")
    assert {utt for utt, _ in plan(data, sentences=4)["converted"]} == {"m9-test-1"}


@pytest.mark.parametrize(
    "text",
    [
        "f9-test-0 m1\ntest/f1-train-2.wav same\n\nf9-test-1 m1\nf9-test-0 f2\n",
        '[["english/test/f9-test-0", "m1", "x"], ["f1-train-2", "same"], ["f9-test-1", "m1"], ["f9-test-0.wav", "f2"]]',
    ],
)
def test_a_list_says_what_goes_to_whom(text: str, data: Path):
    (data.parent / "list").write_text(text)
    parts = plan(data, pairs=data.parent / "list", targets="m4")
    assert sorted(parts["converted"]) == [
        ("f1-train-2", "same"), ("f9-test-0", "f2"), ("f9-test-0", "m1"), ("f9-test-1", "m1")
    ]  # fmt: skip
    assert list(parts) == ["converted"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f9-test-0\n", "expected lines '<utterance> <target>'"),
        ("[1]", "or JSON"),
        ("\n", "the list of conversions is empty"),
        ("f9-test-0 m1\nf9-test-0 m1\n", "'f9-test-0 m1' is there twice"),
        ("f9-test-7 m1\n", "'f9-test-7' is to be converted, but is in none of test, dev and train"),
        ("f9-test-0 m9\n", "target m9 is no speaker of"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(text: str, message: str, data: Path):
    (data.parent / "list").write_text(text)
    with pytest.raises(DataError, match=message):
        plan(data, pairs=data.parent / "list")
    assert not (data.parent / "work").exists()


# Jobs side by side, and scores that are kept.

BESIDE = """
cd "$FOLDER"
. "$EGS/common/options.sh"
. "$EGS/common/stages.sh"
. "$EGS/common/jobs.sh"
exp=exp jobs=2 cmd=$EGS/common/cmd.sh version=1 data=data mfcc=data/mfcc
eval "$DO"
"""


def beside(folder: Path, do: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return shell(BESIDE, FOLDER=str(folder), EGS=str(EGS), DO=do, **environment)


def test_jobs_side_by_side_are_two_at_a_time(tmp_path: Path):
    one = f"one() {{ echo +1 >>events; {AWAIT_SECOND} echo -1 >>events; }}; "
    got = beside(tmp_path, one + "for n in 1 2 3 4 5; do beside one; done; joined; echo all")
    assert (got.returncode, got.stdout, got.stderr) == (0, "all\n", "")
    assert at_once(tmp_path / "events") == [5, 2]


def test_threads_are_shared(tmp_path: Path):
    do = "show() { echo ${OMP_NUM_THREADS-}; }; jobs=$(getconf _NPROCESSORS_ONLN); beside show; joined"
    bare = "unset OMP_NUM_THREADS; "
    assert beside(tmp_path, bare + do).stdout == "1\n"
    assert beside(tmp_path, do, OMP_NUM_THREADS="7").stdout == "7\n"


@pytest.mark.parametrize("first", ["bad", "good"])
def test_a_failure_of_one_stops_the_other_and_the_recipe(first: str, tmp_path: Path):
    do = f"""
    bad() {{ sleep 0.2; job bad bash -c 'echo it broke; exit 3'; echo never; }}
    good() {{ job good bash -c 'sleep 20; touch survived'; }}
    beside {first}; beside {"good" if first == "bad" else "bad"}; joined; echo never
    """
    start = time.monotonic()
    got = beside(tmp_path, do)
    assert time.monotonic() - start < 10
    assert (got.returncode, got.stdout) == (1, "")
    assert "it broke" in got.stderr
    assert not (tmp_path / "survived").exists()
    again = beside(tmp_path, "beside true; joined; echo well")
    assert (again.returncode, again.stdout) == (0, "well\n")


def test_a_failure_in_the_foreground_stops_what_runs_beside(tmp_path: Path):
    start = time.monotonic()
    got = beside(tmp_path, "beside job good bash -c 'sleep 20; touch survived'; false; joined")
    assert got.returncode == 1
    assert time.monotonic() - start < 10
    assert not (tmp_path / "survived").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_both(number: signal.Signals, tmp_path: Path):
    do = """
    one() { job $1 bash -c "touch on.$1; sleep 30; touch survived"; }
    beside one a; beside one b; joined
    """
    environment = os.environ | {"FOLDER": str(tmp_path), "EGS": str(EGS), "DO": do}
    command = ["bash", "-euo", "pipefail", "-c", BESIDE]
    running = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    start = time.monotonic()
    while not ((tmp_path / "on.a").exists() and (tmp_path / "on.b").exists()):
        assert time.monotonic() - start < 20
        time.sleep(0.05)
    os.killpg(running.pid, number)  # as a terminal does: of the group of the recipe only
    running.communicate(timeout=10)
    assert running.returncode == 128 + number
    assert [path.read_text().count("sleep 30") for path in sorted(tmp_path.glob("exp/log/?.log"))] == [1, 1]
    assert not (tmp_path / "survived").exists()


KEPT = """
. "$EGS/common/scores.sh"
mkdir -p exp/scores
kept_score input abx feats.scp item --speaker across
"""


def test_what_no_model_changes_is_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def count(do: str = KEPT) -> int:
        """Score; return how often the command was called since the beginning."""
        path = f'PATH="{tmp_path / "bin"}:$PATH"; '
        got = beside(tmp_path, path + do)
        assert got.returncode == 0, got.stderr
        assert json.loads((tmp_path / "exp/scores/input.json").read_text()) == {"value": 0.5}
        (tmp_path / "exp/scores/input.json").unlink()
        return len((tmp_path / "calls").read_text().splitlines())

    for name in ("feats.scp", "feats.json", "item"):
        (tmp_path / name).write_text("one\n")
    assert count() == 1
    assert count() == 1
    for name in ("feats.scp", "feats.json", "item"):
        (tmp_path / name).write_text("two\n")
        before = count()
        assert before == count()
    assert before == 4
    assert count(KEPT.replace("across", "within")) == 5
    assert count("version=2\n" + KEPT.replace("across", "within")) == 6


def test_a_part_that_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    got = beside(tmp_path, f'PATH="{tmp_path / "bin"}:$PATH"; ' + KEPT, FAIL="score")
    assert got.returncode == 1
    assert not list(tmp_path.glob("*/scores/*.json"))
