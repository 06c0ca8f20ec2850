"""Stage convert of the recipes of speech: whose utterances go to whom, from lists or without."""

from pathlib import Path

import pytest
import yaml
from recipe_files import EGS
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
    got = script(PAIRS, exp, data, work, *words, "--renew")
    if got.returncode:
        raise DataError(got.stderr)
    parts = (work / "parts").read_text().split()
    return {
        part: [(utt, target) for utt, target in map(str.split, (work / f"{part}.pairs").read_text().splitlines())]
        for part in sorted(parts)
    }


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


def test_known_speakers_may_be_resynthesised_only(data: Path):
    parts = plan(data, sentences=4, targets="same")
    assert {voice for _, voice in parts["resynthesised"]} == {"same"}
    assert list(parts) == ["resynthesised"]


@pytest.mark.parametrize(
    ("conditioning", "options"),
    [("table", {"sentences": 0}), ("reference", {"sentences": 0}), ("table", {"sentences": 1, "targets": "same"})],
)
def test_without_sentences_or_voices_there_is_nothing_to_convert(
    conditioning: str, options: dict[str, object], data: Path
):
    assert plan(data, conditioning, **options) == {}
    assert (data.parent / "work" / "parts").read_text() == "\n"


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
    assert not list((data.parent / "work").glob("*"))


def test_a_model_without_a_decoder_converts_nothing(data: Path):
    exp, work = data.parent / "exp", data.parent / "work"
    exp.mkdir()
    (exp / "config.yaml").write_text("model: {decoder: {kind: none}}\n")
    assert "has no decoder" in script(PAIRS, exp, data, work).stdout
    assert (work / "parts").read_text() == "\n"
