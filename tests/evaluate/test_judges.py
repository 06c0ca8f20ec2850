"""Judges from outside: what they are asked, what is made of their answers, and that a missing one is named."""

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from unitdisc.cli import main
from unitdisc.errors import DataError
from unitdisc.evaluate import judges as panel
from unitdisc.evaluate.judged import SIDES, beside, judge
from unitdisc.evaluate.judges import Judge, arpabet, find_judges, prepared, words_of

SECOND = 16000


def tone(frequency: float, level: float = 0.1, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(seconds * SECOND)) / SECOND
    return level * np.sin(2 * np.pi * frequency * (1 + 0.1 * np.sin(2 * np.pi * 2 * time)) * time)


def strongest(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * SECOND / len(wave))


class FakeVoice(Judge):
    """Hears low and high voices."""

    name = "fake"
    packages: ClassVar[dict[str, str]] = {}

    def hear(self, wave: np.ndarray) -> Any:
        return np.array([1.0, 0.0]) if strongest(wave) < 300 else np.array([0.6, 0.8])


class FakeWords(Judge):
    """Hears one word less in what is quiet noise."""

    name = "fake"
    packages: ClassVar[dict[str, str]] = {}

    def hear(self, wave: np.ndarray) -> Any:
        return ["ONE", "TWO", "THREE", "FOUR"][: 4 if strongest(wave) < 300 else 3]


class FakePitch(Judge):
    """Finds a pitch in the first half of everything."""

    name = "fake"
    packages: ClassVar[dict[str, str]] = {}

    def hear(self, wave: np.ndarray) -> Any:
        frames = len(wave) // 160
        contour = strongest(wave) * np.exp(0.1 * np.sin(np.arange(frames) / 7))
        return np.where(np.arange(frames) < frames // 2, contour, 0.0)


def test_the_judge_of_pitch_hears_a_tone_and_silence():
    pytest.importorskip("swift_f0")
    time = np.arange(SECOND) / SECOND
    tones = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12))
    heard = panel.Contour().hear(prepared(np.concatenate([tones, np.zeros(SECOND)])))
    assert len(heard) == 200
    np.testing.assert_allclose(heard[5:95], 130, rtol=0.01)
    assert not heard[105:].any()


FAKES = {"voice": FakeVoice(), "words": FakeWords(), "pitch": FakePitch()}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return a low voice (lo), a high one (hi), and conversions of lo: one that succeeds and one that does not."""
    real, source, out = (tmp_path / name for name in ("real", "source", "out"))
    lists: dict[Path, list[tuple[str, str, np.ndarray]]] = {
        real: [("lo-9", "lo", tone(200)), ("hi-9", "hi", tone(400)), ("lo-1", "lo", tone(900))],
        source: [("lo-1", "lo", tone(200)), ("lo-2", "lo", tone(210))],
    }
    for folder, rows in lists.items():
        folder.mkdir()
        for utt, _, wave in rows:
            soundfile.write(folder / f"{utt}.wav", wave, SECOND)
        (folder / "wav.scp").write_text("".join(f"{utt} {folder}/{utt}.wav\n" for utt, _, _ in sorted(rows)))
        (folder / "utt2spk").write_text("".join(f"{utt} {speaker}\n" for utt, speaker, _ in sorted(rows)))
    (source / "text").write_text("lo-1 One, two three: four!\nlo-2 one two three four\n")
    out.mkdir()
    made = [
        ("hi-lo-1", "lo-1", "hi", 0.2 * tone(400)), ("hi-lo-2", "lo-2", "hi", tone(210)),
        ("copy-lo-1", "lo-1", "copy", tone(200)), ("same-lo-2", "lo-2", "same", 1.01 * np.sign(tone(200))),
    ]  # fmt: skip
    with (out / "manifest.jsonl").open("w") as file:
        for utt, origin, target, wave in made:
            soundfile.write(out / f"{utt}.wav", wave.clip(-1, 1), SECOND)
            row = {"utt": utt, "source": origin, "speaker": "lo", "target": target, "path": f"{utt}.wav"}
            file.write(json.dumps(row) + "\n")
    return {"real": real, "source": source, "out": out}


def test_each_figure_stands_beside_that_of_recordings_and_copies(folders: dict[str, Path], tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    scores = judge(
        [folders["out"]], [folders["source"]], [folders["real"]], judges=FAKES, rows=rows, resamples=10
    )  # fmt: skip
    values = {score.name: score.value for score in scores}
    assert values["wer-recording"] == 0
    assert values["wer-conversion"] == pytest.approx(1 / 8)  # FOUR is missing once, of two times four words
    assert values["cer-conversion"] == pytest.approx(5 / 36)
    assert values["nearest-is-target-conversion"] == 0.5
    assert values["nearest-is-source-conversion"] == 0.5
    assert values["nearest-is-target-recording"] == 1
    assert values["alike-target-conversion"] == pytest.approx((1.0 + 0.6) / 2)
    assert values["f0-correlation-conversion"] == pytest.approx(1.0)
    assert values["voicing-error-conversion"] == 0
    assert values["loudness-conversion"] == pytest.approx(20 * np.log10(0.2) / 2, abs=0.1)
    assert values["loudness-copy"] == pytest.approx(0, abs=0.01)
    assert values["clipping-resynthesis"] > 0.9
    assert values["clipping-recording"] == 0
    assert "f0-correlation-recording" not in values
    by_name = {score.name: score for score in scores}
    assert by_name["wer-conversion"].definition == "judged-wer-conversion-fake"
    assert by_name["loudness-conversion"].definition == "judged-loudness-conversion"
    table = list(beside(scores))
    assert table[0] == ("judged", *SIDES)
    assert ("wer", "0.000", "0.000", "0.000", "0.125") in table
    heard = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["side"] for row in heard] == ["recording"] * 2 + ["copy", "resynthesis"] + ["conversion"] * 2
    assert {row["utt"]: row["wer"] for row in heard}["hi-lo-1"] == 0.25


def test_what_was_converted_does_not_teach_the_judge_of_voices(folders: dict[str, Path]):
    scores = judge([folders["out"]], [folders["source"]], [folders["real"]], judges=FAKES, resamples=0)
    # lo-1 of the real speech is a false one at 900 Hz: as an utterance that was converted it is left out.
    values = {score.name: score.value for score in scores}
    assert values["alike-target-recording"] == pytest.approx(1.0)


def test_two_folders_may_have_conversions_of_the_same_name(folders: dict[str, Path], tmp_path: Path):
    shutil.copytree(folders["out"], tmp_path / "again")
    scores = judge([folders["out"], tmp_path / "again"], [folders["source"]], judges=FAKES, resamples=0)
    values = {score.name: score.value for score in scores}
    assert values["wer-conversion"] == pytest.approx(1 / 8)
    assert {score.name: score.counts.used["sounds"] for score in scores}["wer-conversion"] == 4


def test_fewer_of_each_kind_may_be_judged(folders: dict[str, Path]):
    scores = judge([folders["out"]], [folders["source"]], judges={}, most=1, resamples=0)
    assert {score.counts.used["sounds"] for score in scores} == {1}
    assert {score.name for score in scores if score.name.startswith(("wer", "alike", "f0"))} == set()
    row = {"utt": "x", "source": "stranger", "speaker": "lo", "target": "hi", "path": "x.wav"}
    (folders["out"] / "manifest.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="none of its sounds was made of"):
        judge([folders["out"]], [folders["source"]], judges={})


def test_a_judge_that_is_not_installed_or_another_is_named(monkeypatch: pytest.MonkeyPatch):
    def version(package: str) -> str:
        if package == "hama":
            return "9.9"
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(panel.importlib.metadata, "version", version)
    judges, missing = find_judges()
    assert judges == {}
    assert {one.judge: one.why for one in missing}["phones"].startswith("hama 9.9 is installed, and 1.7.0 is asked for")
    assert {one.judge: one.why for one in missing}["words"].startswith("moonshine-voice 0.0.49 is not installed")
    with pytest.raises(DataError, match="no judge is called 'taste'"):
        find_judges(["taste"])


def test_the_command_names_missing_judges(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(panel, "_lacking", lambda packages: "is not installed")
    arguments = ["score", "conversion", str(folders["out"]), "--source", str(folders["source"]), "--resamples", "0"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--judges"])
    said = capsys.readouterr()
    assert stop.value.code == 0
    assert "judge words: not asked: is not installed" in said.err
    assert "judged-loudness-conversion" in said.out
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--judges", "words"])
    assert stop.value.code == 1


def test_words_and_phones_are_written_one_way():
    assert words_of("He said: \u201cdon\u2019t!\u201d, twice - at 5.") == ["HE", "SAID", "DON'T", "TWICE", "AT", "5"]
    assert arpabet(["j", "ju", "t\u0361\u0283", "a\u026a", "\u02d0", "\u0279", "?"]) == [
        "Y",
        "Y",
        "UW",
        "CH",
        "AY",
        "R",
    ]


def test_judges_hear_one_level_and_no_fragments():
    loud = prepared(np.full(SECOND, 0.01))
    assert np.abs(loud).max() == pytest.approx(0.9)
    assert len(prepared(np.zeros(10))) == int(0.4 * SECOND)
    assert not prepared(np.zeros(10)).any()


@pytest.mark.parametrize("name", list(panel.JUDGES))
def test_installed_judges_bear_silence_noise_and_fragments(name: str):
    found, missing = find_judges([name])
    if missing:
        pytest.skip(f"{name}: {missing[0].why}")
    random = np.random.default_rng(0)
    for wave in (np.zeros(SECOND), 0.1 * random.standard_normal(SECOND), tone(200, seconds=0.05)):
        heard = found[name].hear(prepared(wave))
        values = list(heard.values()) if isinstance(heard, dict) else heard
        if name in ("words", "phones"):
            assert all(isinstance(word, str) for word in values)
        else:
            assert np.isfinite(np.asarray(values, dtype=float)).all()
