"""Scores of conversion on made-up voices: the right voice, the wrong one, the source's; phones kept and phones lost."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from places import TOP
from scipy.fft import dct

from unitdisc.cli import main
from unitdisc.data.store import write_features
from unitdisc.errors import DataError
from unitdisc.evaluate.cepstra import MELS, N_FFT, RATE, mel_cepstra, triangles
from unitdisc.evaluate.conversion import (
    cepstral_distance,
    content_scores,
    frame_distances,
    read_manifest,
    voice_scores,
)
from unitdisc.evaluate.probe import ProbeConfig

VOICES = {"anna": -1.0, "bert": 0.5, "carl": 2.0}  # added to every feature
FAST = ProbeConfig(kind="linear", epochs=40, hidden=16, rate=3e-2, batch=4)


def put_features(folder: Path, items: dict[str, np.ndarray], digest: str = "d1") -> None:
    write_features(folder / "feats", sorted(items.items()))
    (folder / "feats.json").write_text(json.dumps({"digest": digest, "period": 0.01, "offset": 0.0}))


def speech(phones: list[int], voice: float, random: np.random.Generator) -> np.ndarray:
    """Return frames [3 per phone, 6]: a place per phone, the voice on top."""
    frames = 4 * np.eye(6, dtype=np.float32)[np.repeat(phones, 3)]
    return frames + np.float32(voice) + 0.3 * random.standard_normal(frames.shape).astype(np.float32)


def put_speech(folder: Path, speakers: list[str], utterances: int, seed: int) -> dict[str, list[int]]:
    """Write a data directory of made-up speech; return the phones of its utterances."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    said: dict[str, list[int]] = {}
    frames = {}
    for speaker in speakers:
        for number in range(utterances):
            utt = f"{speaker}-{seed}-{number:02d}"
            steps = random.integers(1, 4, 12).cumsum() % 4  # neighbours differ
            said[utt] = steps.tolist()
            frames[utt] = speech(said[utt], VOICES[speaker], random)
    put_features(folder, frames)
    (folder / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt in sorted(said)))
    (folder / "utt2spk").write_text("".join(f"{utt} {utt.split('-')[0]}\n" for utt in sorted(said)))
    (folder / "phones.ctm").write_text(
        "".join(f"{utt} 1 {n * 0.03:.2f} 0.03 {'PQRS'[p]}\n" for utt in sorted(said) for n, p in enumerate(said[utt]))
    )
    return said


def put_converted(folder: Path, said: dict[str, list[int]], voices: dict[str, str], wrong: int = 0) -> None:
    """Write conversions of each utterance, as {target: voice it really has}; `wrong` phones of each are others."""
    folder.mkdir()
    random = np.random.default_rng(9)
    rows, frames = [], {}
    for utt, phones in said.items():
        for target, voice in voices.items():
            name = f"{target}-{utt}"
            spoken = [(p + 2) % 4 if n < wrong else p for n, p in enumerate(phones)]
            frames[name] = speech(spoken, VOICES[voice or utt.split("-")[0]], random)
            rows.append(
                {"utt": name, "source": utt, "speaker": utt.split("-")[0], "target": target, "path": f"{name}.wav"}
            )
    put_features(folder, frames)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    put_speech(root / "train", ["bert", "carl"], 12, 1)
    return root


def test_perfect_failed_and_half_conversions_get_their_shares(real: Path, tmp_path: Path):
    said = put_speech(tmp_path / "test", ["anna"], 8, 2)
    put_converted(tmp_path / "good", said, {"bert": "bert", "carl": "carl"})
    put_converted(tmp_path / "none", said, {"bert": "anna", "carl": "anna"})
    put_converted(tmp_path / "half", said, {"bert": "bert", "carl": "bert", "same": ""})
    shares = {}
    for name in ("good", "none", "half"):
        target, source = voice_scores([tmp_path / name], [real / "train", tmp_path / "test"], resamples=100)
        assert (target.definition, source.definition) == ("conversion-heard-as-target", "conversion-heard-as-source")
        assert target.parts["accuracy on real utterances"] == 1.0
        assert target.parts["chance"] == pytest.approx(1 / 3)
        shares[name] = target.value, source.value
    assert shares == {"good": (1.0, 0.0), "none": (0.0, 1.0), "half": (0.5, 0.0)}
    assert target.parts["by target"] == {"bert": 1.0, "carl": 0.0}
    assert target.counts.dropped == {"resyntheses": 8}
    assert target.interval is not None
    assert target.interval.over == "source utterances"
    assert target.interval.groups == 8


def test_phones_that_are_lost_are_counted(real: Path, tmp_path: Path):
    said = put_speech(tmp_path / "test", ["anna"], 8, 2)
    put_speech(tmp_path / "more", ["bert", "carl"], 3, 5)
    put_converted(tmp_path / "out", said, {"bert": "bert", "same": ""})
    put_converted(tmp_path / "lost", said, {"carl": "carl"}, wrong=6)
    scores = content_scores(
        [tmp_path / "out", tmp_path / "lost"], [tmp_path / "test"], real / "train", config=FAST, resamples=0
    )
    values = {}
    for score in scores:
        values.setdefault(score.definition.removesuffix("per-probe-ctc-linear-nosil"), []).append(score.value)
    assert list(values) == ["source-", "resynthesis-", "conversion-"]
    assert [Path(score.options["scored"]).name for score in scores] == ["test", "out", "out", "lost"]
    good, lost = values["conversion-"]
    assert good < 0.2
    assert lost > good + 0.2
    assert values["resynthesis-"][0] == pytest.approx(values["source-"][0], abs=0.15)


def test_sources_are_left_out_of_the_probes_training(real: Path, tmp_path: Path):
    said = {utt: phones for utt, phones in put_speech(tmp_path / "train", ["bert"], 9, 3).items() if utt < "bert-3-04"}
    put_converted(tmp_path / "out", said, {"same": ""})
    scores = content_scores([tmp_path / "out"], [tmp_path / "train"], tmp_path / "train", config=FAST, resamples=0)
    assert [score.counts.used["training utterances"] for score in scores] == [5, 5]
    assert [score.counts.used["utterances"] for score in scores] == [4, 4]


def test_other_features_other_folders_and_strangers_are_refused(real: Path, tmp_path: Path):
    said = put_speech(tmp_path / "test", ["anna"], 2, 2)
    put_converted(tmp_path / "out", said, {"dora": "anna"})
    with pytest.raises(DataError, match=r"no conversion to a speaker of .* is left"):
        voice_scores([tmp_path / "out"], [real / "train"])
    with pytest.raises(DataError, match="has 1 speaker; at least two"):
        voice_scores([tmp_path / "out"], [tmp_path / "test"])
    with pytest.raises(DataError, match="no such file; expected a folder that `unitdisc convert` wrote"):
        read_manifest(tmp_path)
    (tmp_path / "out" / "feats.json").write_text(json.dumps({"digest": "other"}))
    with pytest.raises(DataError, match="have features of different configs"):
        voice_scores([tmp_path / "out"], [real / "train"])
    (tmp_path / "out" / "feats.json").unlink()
    with pytest.raises(DataError, match="make features with `unitdisc features CONFIG"):
        voice_scores([tmp_path / "out"], [real / "train"])
    with (tmp_path / "out" / "manifest.jsonl").open("a") as file:
        file.write("[1]\n")
    with pytest.raises(DataError, match=r"manifest\.jsonl:3: expected"):
        read_manifest(tmp_path / "out")


def noise(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))


def test_the_distance_is_zero_for_the_same_sound_at_any_level():
    wave = noise()
    assert frame_distances(wave, wave)[0] == 0
    total, frames = frame_distances(0.25 * wave, wave)
    assert total / frames < 1e-6
    assert frame_distances(noise(seed=1), wave)[0] / frames > 2


def test_mel_filters_are_those_of_librosa():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    theirs = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=MELS, norm=None)
    np.testing.assert_allclose(triangles(), theirs.T, atol=1e-6)


def test_the_distance_is_the_formula():
    """(10 / ln 10) sqrt(2 sum (c - c')^2), c one-sided mel cepstra of log magnitudes by their definition."""
    one, other = noise(seed=1), noise(seed=2)
    cepstra, level = mel_cepstra(one)
    bands = np.arange(40)
    basis = np.stack([np.cos(np.pi * m * (bands + 0.5) / 40) for m in range(1, 14)])
    spectrum = dct(np.pad(cepstra, ((0, 0), (1, 26))), type=3, axis=1) / 2  # with c0 = 0
    np.testing.assert_allclose(spectrum @ basis.T * 2 / 40, cepstra, atol=1e-9)
    theirs, _ = mel_cepstra(other)
    by_hand = [10 / math.log(10) * math.sqrt(2 * sum((a - b) ** 2 for a, b in zip(*pair, strict=True)))
               for pair in zip(cepstra, theirs, strict=True)]  # fmt: skip
    assert frame_distances(one, other) == (pytest.approx(sum(by_hand)), len(level))


def test_silence_does_not_count():
    wave = np.r_[noise(), np.zeros(8000)]
    assert frame_distances(wave, wave)[1] < 55


def test_resyntheses_are_measured_against_their_sources(tmp_path: Path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    rows = []
    for name, seed in (("u1", 1), ("u2", 2)):
        soundfile.write(data / f"{name}.wav", noise(seed=seed), 16000)
        soundfile.write(out / f"{name}.wav", noise(seed=seed if name == "u1" else 7), 16000)
        rows.append({"utt": f"same-{name}", "source": name, "speaker": "s", "target": "same", "path": f"{name}.wav"})
    (data / "wav.scp").write_text("u1 u1.wav\nu2 u2.wav\n")
    (data / "utt2spk").write_text("u1 s\nu2 s\n")
    rows.append({**rows[0], "target": "t"})
    (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = cepstral_distance([out], [data], resamples=50)
    assert score.counts.used["utterances"] == 2
    assert score.counts.dropped == {"conversions": 1}
    totals = [
        frame_distances(soundfile.read(out / f"{u}.wav")[0], soundfile.read(data / f"{u}.wav")[0]) for u in ("u1", "u2")
    ]
    assert score.value == pytest.approx(sum(t for t, _ in totals) / sum(n for _, n in totals))
    (out / "manifest.jsonl").write_text(json.dumps(rows[2]) + "\n")
    with pytest.raises(DataError, match="has no resynthesis to measure"):
        cepstral_distance([out], [data])


def test_the_command_scores_what_it_is_given(real: Path, tmp_path: Path, capsys):
    said = put_speech(tmp_path / "test", ["anna"], 12, 2)
    put_converted(tmp_path / "out", said, {"bert": "bert"})

    def run(*arguments: str, folders: tuple[str, ...] = ("out",)) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["score", "conversion", *(str(tmp_path / name) for name in folders), "--resamples", "0", *arguments])
        return int(stop.value.code or 0)

    assert run("--real", str(real / "train"), str(tmp_path / "test"), "--json") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert {score["definition"]: score["value"] for score in scores} == {
        "conversion-heard-as-target": 1.0, "conversion-heard-as-source": 0.0,
    }  # fmt: skip
    assert run("--source", str(tmp_path / "test"), "--train", str(real / "train"), "--epochs", "2") == 0
    assert "conversion-per-probe-ctc-lstm-nosil" in capsys.readouterr().out
    put_converted(tmp_path / "copied", said, {"copy": ""})
    put_speech(tmp_path / "dev", ["anna"], 2, 3)
    sources = ["--source", str(tmp_path / "test"), str(tmp_path / "dev")]
    beside = [*sources, "--real", str(real / "train"), "--train", str(real / "train")]
    assert run(*beside, "--epochs", "2", "--json", folders=("out", "copied")) == 0
    scores = {score["definition"]: score for score in json.loads(capsys.readouterr().out)["scores"]}
    assert {name.removesuffix("-per-probe-ctc-lstm-nosil") for name in scores if "per" in name} == {
        "source", "copy", "conversion",
    }  # fmt: skip
    assert scores["conversion-heard-as-target"]["counts"]["dropped"] == {"copies": 12}
    assert run("--real", str(real / "train"), folders=("copied",)) == 1
    assert "has no conversion for --real" in capsys.readouterr().err
    assert run(*beside, "--epochs", "2", folders=("copied",)) == 0
    assert "copy-per-probe-ctc-lstm-nosil" in capsys.readouterr().out
    assert run() == 1
    assert "nothing to compare with" in capsys.readouterr().err
    assert run("--source", str(tmp_path / "test"), "--rows", str(tmp_path / "rows.jsonl"), "--most", "1") == 1
    assert "give --judges, too" in capsys.readouterr().err
    assert run("--train", str(real / "train")) == 1
    assert "give --source DATA" in capsys.readouterr().err


def put_sounds(folder: Path, speakers: list[str], utterances: int, seed: int) -> None:
    """Write a data directory of noise that each speaker has at a place of their own; all are conversions, too."""
    folder.mkdir()
    rows, random = [], np.random.default_rng(seed)
    for number, speaker in enumerate(speakers):
        for utt in (f"{speaker}-{seed}-{n}" for n in range(utterances)):
            tone = np.sin(np.arange(6400) * (0.2 + 0.5 * number))
            soundfile.write(folder / f"{utt}.wav", 0.2 * tone + 0.02 * random.standard_normal(6400), 16000)
            rows.append({"utt": utt, "source": "s", "speaker": "s", "target": speaker, "path": f"{utt}.wav"})
    (folder / "wav.scp").write_text("".join(f"{row['utt']} {row['utt']}.wav\n" for row in rows))
    (folder / "utt2spk").write_text("".join(f"{row['utt']} {row['target']}\n" for row in rows))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_voices_need_no_features_and_get_the_same_scores_with_them(tmp_path: Path, capsys):
    put_sounds(tmp_path / "real", ["anna", "bert"], 6, 1)
    put_sounds(tmp_path / "out", ["anna", "bert"], 2, 2)
    folders = [str(tmp_path / "out"), str(tmp_path / "real")]

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert not stop.value.code
        return capsys.readouterr().out

    printed = []
    for made in (False, True):
        if made:
            run("features", str(TOP / "egs" / "common" / "conf" / "mfcc.yaml"), *folders)
        out = run("score", "conversion", folders[0], "--real", folders[1], "--resamples", "0", "--json")
        printed.append(json.loads(out)["scores"])
    assert printed[0] == printed[1]
    assert {score["definition"]: score["value"] for score in printed[0]} == {
        "conversion-heard-as-target": 1.0, "conversion-heard-as-source": 0.0,
    }  # fmt: skip
