"""Conversion makes sound: as long and as loud as its source, never silent, clipped or NaN, and the same every time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, tiny_model

from unitdisc import checkpoint, config
from unitdisc.cli import main, parser
from unitdisc.cli.convert import making_of_converting
from unitdisc.convert import (
    PEAK,
    ConvertOptions,
    active_level,
    as_loud,
    convert,
    find_targets,
    fit_length,
)
from unitdisc.corpus import fit_normalisation_
from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import subset
from unitdisc.data.timing import FrameGrid
from unitdisc.decoders.configs import NoDecoderConfig, WaveformDecoderConfig
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.pitch import pitch
from unitdisc.files import file_name
from unitdisc.made import is_unchanged, made
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.model_config import LossWeights
from unitdisc.networks.configs import ConditioningConfig, WaveNetConfig
from unitdisc.postfilter import Postfilter
from unitdisc.speaking import Line, SpeakOptions, say
from unitdisc.speech_model import load_speech_model
from unitdisc.voices import MOST, Voices, fit_voices, most_of_each

FAST = ConvertOptions(batch=3)
WHISPER = replace(FAST, pitch="none", iterations=4)
SMALL = WaveNetConfig(layers=3, cycles=1, residual=8, gate=16, skip=8, hidden=8)
MODELS: dict[str, Callable[[], ModelConfig]] = {
    "frame": tiny_model,
    "waveform": lambda: tiny_model(decoder=WaveformDecoderConfig(wavenet=SMALL)),
    "reference": lambda: tiny_model(
        conditioning=ConditioningConfig(channels=8, speaker="reference", speaker_dim=4, reference_channels=8)
    ),
    "nobody": lambda: tiny_model(conditioning=ConditioningConfig(channels=8, speaker="none")),
    "silent": lambda: tiny_model(decoder=NoDecoderConfig(), weights=LossWeights(ctc=1.0)),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    return make_data(tmp_path_factory.mktemp("data") / "d", 5)


@pytest.fixture(scope="module")
def models(data: DataDir, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return checkpoints of models that learned nothing but the data's mean: what comes out is noise, but sound."""
    made: dict[str, Path] = {}

    def model(kind: str) -> Path:
        if kind not in made:
            torch.manual_seed(0)
            model = UnitModel(MODELS[kind](), ["a", "b"], ["A"] if kind == "silent" else [])
            fit_normalisation_(model, data)
            made[kind] = tmp_path_factory.mktemp(kind) / "checkpoints" / "00000001.pt"
            tree = {"config": {"model": config.to_tree(model.config)}, "speakers": ["a", "b"]}
            tree |= {"phones": list(model.phones), "model": model.state_dict(), "average": None, "step": 1}
            tree["voices"] = Voices(torch.tensor([110.0, 220.0]).log(), torch.tensor([0.1, 0.2])).tree()
            checkpoint.save(made[kind], tree)
        return made[kind]

    return model


def rows_of(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text("utf-8").splitlines()]


def check_sound(out: Path, data: DataDir) -> None:
    """Compare every file with its source."""
    for row in rows_of(out):
        wave, rate = soundfile.read(out / row["path"])
        source = data.source(row["source"]).load(16000)
        assert rate == 16000
        assert len(wave) == len(source)
        assert row["seconds"] == len(wave) / 16000
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() <= PEAK + 1e-4
        assert np.abs(wave).max() > 0.01
        assert (np.abs(wave) > 1e-4).mean() > 0.3  # not a click in silence
        loud = 20 * np.log10(active_level(wave) / active_level(source))
        assert loud < 0.5
        assert loud > -0.5 or np.abs(wave).max() > PEAK - 1e-3  # quieter only where it would have clipped


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("frame", FAST), ("frame", WHISPER), ("frame", replace(FAST, pitch="1.5")), ("waveform", FAST),
        ("reference", replace(FAST, format="flac")),
    ],
)  # fmt: skip
def test_a_data_directory_becomes_sound(kind: str, options: ConvertOptions, models, data: DataDir, tmp_path: Path):
    to = [str(data.path / "a-00.wav")] if kind == "reference" else ["b"]
    form = options.format
    made = convert(models(kind), [data.path], tmp_path, to, options)
    assert {row.pitch for row in made} == {"" if kind == "waveform" else options.pitch}
    assert [row.source for row in made] == data.utts
    assert {Path(row.path).suffix for row in made} == {f".{form}"}
    assert [json.loads(json.dumps(row._asdict())) for row in made] == rows_of(tmp_path)
    check_sound(tmp_path, data)


def test_the_output_is_a_data_directory_of_the_targets(models, data: DataDir, tmp_path: Path):
    convert(models("frame"), [data.path], tmp_path, ["same", "b"], FAST)
    made = DataDir.read(tmp_path)
    assert made.utts == sorted([f"b-{utt}" for utt in data.utts] + [f"same-{utt}" for utt in data.utts])
    assert {made.utt2spk[f"b-{utt}"] for utt in data.utts} == {"b"}
    assert all(made.utt2spk[f"same-{utt}"] == data.utt2spk[utt] for utt in data.utts)
    assert made.source(made.utts[0]).samples(16000) == data.source(data.utts[0]).samples(16000)


def test_all_means_every_speaker_and_the_voice_changes_the_sound(models, data: DataDir, tmp_path: Path):
    made = convert(models("frame"), [data.path], tmp_path, ["all"], FAST)
    assert [row.target for row in made] == ["a"] * 5 + ["b"] * 5
    one, other = (soundfile.read(tmp_path / target / "a-00.wav")[0] for target in "ab")
    assert not np.array_equal(one, other)


def test_same_is_the_voice_of_the_source(models, data: DataDir, tmp_path: Path):
    convert(models("frame"), [data.path], tmp_path, ["same", "a"], FAST)
    for utt in data.utts:
        alike = (tmp_path / "same" / f"{utt}.wav").read_bytes() == (tmp_path / "a" / f"{utt}.wav").read_bytes()
        assert alike is (data.utt2spk[utt] == "a")


def test_the_batch_and_the_company_change_nothing(models, data: DataDir, tmp_path: Path):
    alone = subset(data, tmp_path / "alone", ["b-01"])
    for kind in ("frame", "waveform"):
        for name, batch, source in (("one", 1, data), ("four", 4, data), ("alone", 1, alone)):
            convert(models(kind), [source.path], tmp_path / f"{kind}-{name}", ["a"], replace(FAST, batch=batch))
        waves = [soundfile.read(path)[0] for path in sorted(tmp_path.glob(f"{kind}*/a/b-01.wav"))]
        assert len(waves) == 3
        for wave in waves[1:]:
            np.testing.assert_allclose(wave, waves[0], atol=2e-3 if kind == "frame" else 0)


def test_the_seed_decides_and_the_temperature_counts(models, data: DataDir, tmp_path: Path):
    outs = {}
    for name, options in {
        "one": FAST, "again": FAST, "other seed": replace(FAST, seed=1), "cold": replace(FAST, temperature=0.1),
    }.items():  # fmt: skip
        convert(models("waveform"), [data.path / "a-00.wav"], tmp_path / name, ["a"], options)
        outs[name] = soundfile.read(tmp_path / name / "a" / "a-00.wav")[0]
    assert np.array_equal(outs["one"], outs["again"])
    assert not np.array_equal(outs["one"], outs["other seed"])
    assert not np.array_equal(outs["one"], outs["cold"])


def test_files_at_other_rates_keep_their_length(models, tmp_path: Path):
    time = np.arange(22050) / 22050
    soundfile.write(tmp_path / "my voice.flac", 0.2 * np.sin(2 * np.pi * 300 * time), 22050)
    made = convert(models("frame"), [tmp_path / "my voice.flac"], tmp_path / "out", ["a", "b"], FAST)
    assert [row.seconds for row in made] == [1.0, 1.0]
    assert DataDir.read(tmp_path / "out").utts == ["a-my_voice", "b-my_voice"]


def test_names_from_data_stay_inside_the_folder(models, data: DataDir, tmp_path: Path):
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "wav.scp").write_text(f"../../out {data.path}/a-00.wav\n")
    (evil / "utt2spk").write_text("../../out a\n")
    convert(models("frame"), [evil], tmp_path / "x" / "y", ["a"], FAST)
    outside = [path for path in tmp_path.rglob("*.wav") if tmp_path / "x" / "y" not in path.parents]
    assert outside == []
    assert DataDir.read(tmp_path / "x" / "y").source("a-../../out").samples(16000) > 0


def test_names_of_files_are_one_step():
    assert file_name("a-01.x") == "a-01.x"
    assert [file_name(name) for name in ("..", ".", "a/../b", "/etc")] == ["%2E%2E", "%2E", "a%2F..%2Fb", "%2Fetc"]


def test_what_is_shorter_than_a_frame_or_silent_passes(models, tmp_path: Path):
    soundfile.write(tmp_path / "short.wav", np.full(20, 0.1), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 16000)
    convert(models("frame"), [tmp_path / "short.wav", tmp_path / "silent.wav"], tmp_path / "out", ["a"], FAST)
    assert len(soundfile.read(tmp_path / "out" / "a" / "short.wav")[0]) == 20
    assert not soundfile.read(tmp_path / "out" / "a" / "silent.wav")[0].any()


def test_an_unknown_speaker_is_refused_by_name(models, data: DataDir, tmp_path: Path):
    with pytest.raises(DataError, match=r"--to nobody: neither an audio file nor a speaker .*\(a, b\)"):
        convert(models("frame"), [data.path], tmp_path, ["nobody"], FAST)
    with pytest.raises(DataError, match="two targets have the same name"):
        convert(models("frame"), [data.path], tmp_path, ["all", "a"], FAST)
    assert not (tmp_path / "manifest.jsonl").exists()


def harmonic_sound(frequency: np.ndarray) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(frequency / 16000)
    return 0.1 * sum(np.sin(k * phase + k * k) / k for k in range(1, 15))


def heard_pitch(path: Path) -> np.ndarray:
    return pitch(soundfile.read(path)[0], FrameGrid(16000, 160, 400))


def test_the_pitch_of_the_source_is_moved_to_the_range_of_the_target(models, tmp_path: Path):
    time = np.arange(24000) / 16000
    contour = 120 * np.exp(0.1 * np.sqrt(2) * np.sin(2 * np.pi * 2 * time))
    soundfile.write(tmp_path / "low.wav", harmonic_sound(contour), 16000)
    convert(models("frame"), [tmp_path / "low.wav"], tmp_path / "out", ["a", "b"], FAST)
    source = heard_pitch(tmp_path / "low.wav")
    for target, middle, factor in (("a", 110, 0.1), ("b", 220, 0.2)):
        heard = heard_pitch(tmp_path / "out" / target / "low.wav")
        both = (heard > 0) & (source > 0)
        assert both.mean() > 0.8
        logs, wanted = np.log(heard[both]), np.log(source[both])
        assert np.exp(np.median(logs)) == pytest.approx(middle, rel=0.02)
        assert np.corrcoef(logs, wanted)[0, 1] > 0.95
        spread = np.diff(np.quantile(wanted, [0.16, 0.84]))[0] / 2
        assert np.polyfit(wanted, logs, 1)[0] == pytest.approx(np.clip(factor / spread, 1 / MOST, MOST), rel=0.1)


@pytest.mark.parametrize(("wanted", "middle", "moving"), [("flat", 220.0, False), ("1.5", 180.0, True)])
def test_the_pitch_may_be_flat_or_multiplied(wanted: str, middle: float, moving: bool, models, tmp_path: Path):
    contour = 120 * np.exp(0.1 * np.sin(2 * np.pi * 2 * np.arange(24000) / 16000))
    soundfile.write(tmp_path / "low.wav", harmonic_sound(contour), 16000)
    convert(models("frame"), [tmp_path / "low.wav"], tmp_path / "out", ["b"], replace(FAST, pitch=wanted))
    heard = heard_pitch(tmp_path / "out" / "b" / "low.wav")
    voiced = np.log(heard[heard > 0])
    assert np.exp(np.median(voiced)) == pytest.approx(middle, rel=0.02)
    assert bool(np.quantile(voiced, 0.9) - np.quantile(voiced, 0.1) > 0.1) is moving


def test_what_was_not_voiced_is_not_spoken_with_a_pitch(models, tmp_path: Path):
    noise = 0.05 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    soundfile.write(tmp_path / "brief.wav", harmonic_sound(np.full(800, 150.0)), 16000)  # 50 ms
    convert(models("frame"), [tmp_path / "noise.wav", tmp_path / "brief.wav"], tmp_path / "out", ["b"], FAST)
    assert (heard_pitch(tmp_path / "out" / "b" / "noise.wav") > 0).mean() < 0.1
    wave = soundfile.read(tmp_path / "out" / "b" / "brief.wav")[0]
    assert len(wave) == 800
    assert np.abs(wave).max() > 0.01


def test_where_the_tracker_finds_no_pitch_there_is_sound_without_one(models, tmp_path: Path, monkeypatch):
    soundfile.write(tmp_path / "low.wav", harmonic_sound(np.full(16000, 120.0)), 16000)
    for home in ("features.excitation", "voices"):
        monkeypatch.setattr(f"unitdisc.{home}.pitch", lambda wave, grid, *options: np.zeros(grid.frames(len(wave))))
    convert(models("frame"), [tmp_path / "low.wav"], tmp_path / "out", ["b"], FAST)
    wave, source = (soundfile.read(path)[0] for path in (tmp_path / "out" / "b" / "low.wav", tmp_path / "low.wav"))
    assert len(wave) == 16000
    assert active_level(wave) == pytest.approx(active_level(source), rel=0.1)
    assert (pitch(wave, FrameGrid(16000, 160, 400)) > 0).mean() < 0.1


def test_a_checkpoint_without_ranges_keeps_the_pitch_of_the_source(models, tmp_path: Path):
    tree = checkpoint.load(models("frame"))
    del tree["voices"]
    checkpoint.save(tmp_path / "old.pt", tree)
    soundfile.write(tmp_path / "low.wav", harmonic_sound(np.full(16000, 120.0)), 16000)
    convert(tmp_path / "old.pt", [tmp_path / "low.wav"], tmp_path / "out", ["b"], FAST)
    heard = heard_pitch(tmp_path / "out" / "b" / "low.wav")
    assert np.median(heard[heard > 0]) == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("wrong", ["loud", "0", "-1", "9", "nan", ""])
def test_what_is_no_pitch_is_refused(wrong: str):
    with pytest.raises(ConfigError, match="pitch: expected source, predicted, flat, none or a factor"):
        ConvertOptions(pitch=wrong)


def test_ranges_of_voices_are_taken_from_their_speech(tmp_path: Path):
    lines = {"wav.scp": "", "utt2spk": ""}
    for speaker, base in (("x", 100.0), ("y", 200.0), ("z", 0.0)):
        for take in range(3):
            contour = base * np.exp(0.1 * np.sin(2 * np.pi * (2 + take) * np.arange(16000) / 16000))
            wave = harmonic_sound(contour) if base else 0.01 * np.random.default_rng(take).standard_normal(16000)
            soundfile.write(tmp_path / f"{speaker}{take}.wav", wave, 16000)
            lines["wav.scp"] += f"{speaker}{take} {tmp_path}/{speaker}{take}.wav\n"
            lines["utt2spk"] += f"{speaker}{take} {speaker}\n"
    for name, text in lines.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "y1.wav").unlink()  # what cannot be read is left out
    voices = fit_voices(DataDir.read(tmp_path), ["x", "y", "z", "absent"], FrameGrid(16000, 160, 400))
    assert [voices.of(2), voices.of(3)] == [None, None]
    for number, base in enumerate((100.0, 200.0)):
        found = voices.of(number)
        assert found is not None
        assert np.exp(found.mean) == pytest.approx(base, rel=0.02)
        assert found.deviation == pytest.approx(0.085, abs=0.03)
    assert Voices.of_tree(voices.tree()).of(1) == voices.of(1)


def test_voices_with_little_speech_leave_the_others_as_much_as_they_may_have():
    assert most_of_each([40] * 10, 10, 500) == 10
    assert most_of_each([40] * 10 + [1] * 248, 10, 500) == 10  # 348 utterances, not 258
    assert most_of_each([40] * 100, 10, 500) == 5
    assert most_of_each([3] * 1000, 10, 500) == most_of_each([], 1, 0) == 1


def test_a_stranger_cannot_be_resynthesised_by_a_table_of_speakers(models, data: DataDir, tmp_path: Path):
    with pytest.raises(DataError, match="a-00 is no speaker of the training data"):
        convert(models("frame"), [data.path / "a-00.wav"], tmp_path, ["same"], FAST)
    convert(models("reference"), [data.path / "a-00.wav"], tmp_path, ["same"], FAST)
    assert (tmp_path / "same" / "a-00.wav").exists()


def test_a_voice_from_speech_needs_a_model_that_hears_voices(models, data: DataDir, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"takes no voice from speech; train with conditioning\.speaker: reference"):
        convert(models("waveform"), [data.path], tmp_path, [str(data.path / "a-00.wav")], FAST)


def test_a_model_without_speakers_resynthesises_only(models, data: DataDir, tmp_path: Path):
    convert(models("nobody"), [data.path], tmp_path / "same", ["same"], FAST)
    check_sound(tmp_path / "same", data)
    with pytest.raises(ConfigError, match="was trained without speakers"):
        convert(models("nobody"), [data.path], tmp_path / "a", ["a"], FAST)


def test_a_model_without_a_decoder_cannot_speak(models, data: DataDir, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"has no decoder .* train\.units_of trains one for its units"):
        convert(models("silent"), [data.path], tmp_path, ["a"], FAST)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["x.wav"], "x.wav: no such file or data directory"), (["a/u.wav", "b/u.wav"], "have the same name")],
)
def test_sources_that_cannot_be_opened_are_refused(names: list[str], message: str, models, tmp_path: Path):
    for name in names[: 2 if len(names) > 1 else 0]:
        (tmp_path / name).parent.mkdir()
        soundfile.write(tmp_path / name, np.zeros(800), 16000)
    with pytest.raises(DataError, match=message):
        convert(models("frame"), [tmp_path / name for name in names], tmp_path / "out", ["a"], FAST)


def test_conversions_that_are_there_are_kept(models, data: DataDir, tmp_path: Path, capsys):
    arguments = ["convert", str(models("frame")), str(data.path / "a-00.wav"), str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--to", "b"])
    assert stop.value.code == 0
    assert (
        capsys.readouterr().out
        == f"{tmp_path}: 1 utterance, {rows_of(tmp_path)[0]['seconds']:.1f} s, 1 target (manifest.jsonl)\n"
    )
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--to", "a"])
    assert stop.value.code == 1
    assert 'made of something else (to: ["b"] there, ["a"] here)' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--to", "a", "--force"])
    assert [row["target"] for row in rows_of(tmp_path)] == ["a"]


@pytest.mark.parametrize("given", ["--to", "--pairs"])
def test_another_recording_of_a_voice_is_another_conversion(given: str, tmp_path: Path):
    for name in ("model.pt", "source.wav", "voice.wav"):
        (tmp_path / name).write_text(name)
    (tmp_path / "pairs").write_text(f"source {tmp_path}/voice.wav\nsource same\n")
    target = tmp_path / ("voice.wav" if given == "--to" else "pairs")
    words = ["convert", tmp_path / "model.pt", tmp_path / "source.wav", tmp_path / "out", given, target]
    wanted = making_of_converting(parser().parse_args(list(map(str, words))))
    with made(wanted):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "manifest.jsonl").write_text("{}\n")
    assert is_unchanged(wanted)
    (tmp_path / "voice.wav").write_text("of another day")
    assert not is_unchanged(wanted)


def test_the_name_of_a_recording_does_not_change_its_voice(models, data: DataDir, tmp_path: Path):
    speaking = load_speech_model(models("frame"))
    made = torch.arange(1.0, 721.0).reshape(3, 3, 80)
    speaking = speaking._replace(postfilter=Postfilter(made, made + 1, torch.tensor([0.9, 0.9, 0.0])))
    wave, rate = soundfile.read(data.path / "a-00.wav")
    said = []
    for name in ("a", "somebody"):  # `a` is a speaker of the training data, too
        soundfile.write(tmp_path / f"{name}.wav", wave, rate)
        (target,) = find_targets(speaking, [str(tmp_path / f"{name}.wav")])
        said.append(say(speaking, Line("u", np.arange(40) % 4), target, SpeakOptions(iterations=2)))
    assert np.array_equal(*said)
    for name in ("same", "copy"):
        soundfile.write(tmp_path / f"{name}.wav", wave, rate)
        with pytest.raises(DataError, match=f"{name}.wav: the name '{name}' has another meaning .* rename the file"):
            find_targets(speaking, [str(tmp_path / f"{name}.wav")])


def test_loudness_is_that_of_speech_not_of_pauses():
    random = np.random.default_rng(0)
    speech = random.standard_normal(8000) * 0.1
    assert active_level(np.r_[speech, np.zeros(24000)]) == pytest.approx(0.1, rel=0.02)
    quiet, gain = as_loud(0.01 * speech, np.r_[speech, np.zeros(8000)])
    assert gain == pytest.approx(100, rel=0.02)
    np.testing.assert_allclose(quiet, speech, rtol=0.03)


def test_a_loud_result_is_turned_down_as_a_whole():
    wave = np.zeros(4000, np.float32)
    wave[::400] = 1.0
    loud, gain = as_loud(wave, np.full(4000, 0.5))
    assert np.abs(loud).max() == pytest.approx(PEAK)
    np.testing.assert_allclose(loud, wave * gain, rtol=1e-6)


def test_lengths_are_exact():
    assert fit_length(np.arange(5.0), 3).tolist() == [0, 1, 2]
    assert fit_length(np.arange(3.0), 5).tolist() == [0, 1, 2, 0, 0]


def test_copies_are_the_recordings_as_the_synthesiser_hears_them(data: DataDir, tmp_path: Path, capsys):
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(["copy", str(data.path), str(tmp_path), "--force"])
        assert stop.value.code == 0
    assert f"{tmp_path}: {len(data.utts)} utterances" in capsys.readouterr().out
    check_sound(tmp_path, data)
    made = DataDir.read(tmp_path)
    assert made.utt2spk == {f"copy-{utt}": data.utt2spk[utt] for utt in data.utts}
    with pytest.raises(SystemExit) as stop:
        main(["copy", str(data.path), str(tmp_path)])
    assert stop.value.code == 1
    assert "--force replaces them" in capsys.readouterr().err


def test_a_recording_that_cannot_be_copied_is_told_and_the_others_are_copied(tmp_path: Path, capsys):
    data = make_data(tmp_path / "d", 2, features=False)
    soundfile.write(data.path / "a-00.wav", np.zeros(0), 16000)
    assert main_code(["copy", str(data.path), str(tmp_path / "out")]) == 1
    assert "1 of 2 utterances cannot be copied, and --max-failed allows a share of 0.01" in capsys.readouterr().err
    assert main_code(["copy", str(data.path), str(tmp_path / "out"), "--max-failed", "0.5"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("s (manifest.jsonl); 1 failed\n")
    assert "failed: a-00: " in said.err
    assert DataDir.read(tmp_path / "out").utts == ["copy-b-01"]


def main_code(words: list[str]) -> object:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code


@pytest.mark.parametrize(
    ("seconds", "loud", "said"), [(0.01, 1, "0.01 s"), (0.4, 1, "0.40 s"), (2, 0, "2.00 s of silence")]
)
def test_a_voice_takes_some_seconds_of_speech(
    data: DataDir, models: Callable[[str], Path], tmp_path: Path, seconds: float, loud: int, said: str
):
    noise = loud * np.random.default_rng(0).uniform(-0.5, 0.5, int(16000 * seconds))
    soundfile.write(tmp_path / "voice.wav", noise, 16000)
    with pytest.raises(DataError, match=f"voice.wav: {said}; a voice takes some seconds of speech"):
        convert(models("frame"), [data.path / "a-00.wav"], tmp_path / "out", [str(tmp_path / "voice.wav")], FAST)
