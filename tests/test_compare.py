"""A model beside its baselines: the numbers of `unitdisc score`, made once, and what is left where it is missing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from made_up import make_data, tiny_model
from test_train import TRAIN

from unitdisc.cli import main
from unitdisc.compare import kept, scoring
from unitdisc.compare.comparison import compare
from unitdisc.compare.options import NAMES, CompareOptions, ScoreOptions
from unitdisc.compare.table import cell, markdown, read_comparison, terminal
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader, write_features
from unitdisc.data.subsets import subset
from unitdisc.data.units import read_header, read_units, write_units
from unitdisc.encode import EncodeOptions, encode
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.definitions import define
from unitdisc.evaluate.scores import Score, read_scores
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.configs import MfccConfig
from unitdisc.model_config import LossWeights
from unitdisc.pack import pack
from unitdisc.quantizers.configs import IdentityConfig
from unitdisc.train import train
from unitdisc.train_config import Config

FEW = ScoreOptions(resamples=20)


class Files(NamedTuple):
    """What a column is of: of the test speech, and of the training speech."""

    vectors: Path
    train_vectors: Path
    units: Path | None = None
    train_units: Path | None = None


def files_of(name: str, data: Path, exp: Path) -> Files:
    if name == "mfcc":  # which the data have
        return Files(data / "test" / "feats.scp", data / "train" / "feats.scp")
    if name in ("mfcc-floor", "input"):
        (folder,) = (data / "kept").glob(f"{name.split('-')[0]}-*")
        return Files(folder / "test" / "feats.scp", folder / "train" / "feats.scp")
    (folder,) = [exp] if name == "units" else (data / "kept").glob(f"{name}-*")
    parts = [folder / "units" / part for part in ("test", "train")]
    return Files(*(p / "vectors.scp" for p in parts), *(p / "units.jsonl" for p in parts))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("speech")
    whole = make_data(root / "whole", 40)
    subset(whole, root / "train", whole.utts[::2])
    subset(whole, root / "test", whole.utts[1::2])
    return root


@pytest.fixture(scope="module")
def exp(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exp = tmp_path_factory.mktemp("run") / "exp"
    train(Config(tiny_model(), replace(TRAIN, steps=6)), exp, data / "train", data / "train")
    return exp


def scored(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Score]:
    """Return what `unitdisc score` prints, by definition."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["score", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    record = json.loads(out)
    scores = map(Score.from_json, record.get("scores", [record]))
    return {score.definition: score for score in scores}


def test_the_numbers_are_those_of_the_score_verbs(
    data: Path, exp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scoring, "EPOCHS", 3)
    monkeypatch.setattr(scoring, "STEPS", 0)
    options = CompareOptions(data / "train", data / "test", cache=data / "kept")
    wanted = replace(FEW, downstream=("units", "mfcc-floor"), changes=("noise-0",))
    found = compare([exp], options, wanted)
    assert [column.name for column in found.columns] == [
        "units", "mfcc", "mfcc-floor", "input", "lda-8", "kmeans-8",
    ]  # fmt: skip
    items = data / "kept" / "x.item"
    with pytest.raises(SystemExit):
        main(["items", str(data / "test"), str(items), "--alignment", str(data / "test" / "phones.ctm")])
    sides = ["--alignment", data / "test/phones.ctm", "--train-alignment", data / "train/phones.ctm"]
    few = ["--resamples", "20"]
    for name in found.scores:
        subject, got = files_of(name, data, exp), found.scores[name]
        for speaker in ("across", "within"):
            (score,) = scored(capsys, "abx", subject.vectors, items, "--speaker", speaker, *few).values()
            assert got[score.definition].value == score.value, name
            assert got[score.definition].interval == score.interval
        if subject.units is not None:
            beside = [*sides, "--train", subject.train_units, "--data", data / "test", "--items", items, *few]
            every = scored(capsys, "all", subject.units, *beside, "--out", data / "scores.json")
            assert len(every) > 25
            assert {d: got[d] for d in every} == {d: replace(s, hashes=got[d].hashes) for d, s in every.items()}
        assert ("per-probe-ctc-lstm-nosil" in got) == (name in ("units", "mfcc-floor"))
    for name in ("units", "lda-8"):
        model = exp if name == "units" else next((data / "kept").glob(f"{name}-*"))
        encode(model, data / "test", data / f"noisy-{name}", EncodeOptions(change="noise-0"))
        words = ["robustness", files_of(name, data, exp).units, data / f"noisy-{name}", *few]
        (score,) = scored(capsys, *words).values()
        assert found.scores[name]["unit-edit-distance-noise-0"].value == score.value > 0
    epochs = ["--method", "probe-ctc", "--epochs", 3, *few]
    for name in ("units", "mfcc-floor"):
        subject = files_of(name, data, exp)
        test, fit = (subject.units, subject.train_units) if subject.units else (subject.vectors, subject.train_vectors)
        (score,) = scored(capsys, "per", test, *sides, "--train", fit, *epochs).values()
        assert found.scores[name][score.definition].value == score.value


def test_baselines_have_the_codes_and_the_rate_of_the_model(data: Path, exp: Path):
    compare([exp], CompareOptions(data / "train", data / "test", cache=data / "kept"), FEW)
    for name in ("units", "lda-8", "kmeans-8"):
        header = read_header(files_of(name, data, exp).units)
        assert (header.codes, header.period) == ((8,), 0.02)
    frames = {name: FeatureReader(files_of(name, data, exp).vectors) for name in ("mfcc", "mfcc-floor", "input")}
    ready = load_normalised(data / "test", MfccConfig())
    every = load_normalised(data / "whole", MfccConfig())  # whose speakers' statistics its parts keep
    whole = np.concatenate([every[utt] for utt in every]).astype(np.float64)
    for utt in ready:
        np.testing.assert_allclose(frames["mfcc"][utt], ready[utt], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(frames["input"][utt], (ready[utt] - whole.mean(0)) / whole.std(0), atol=1e-3)
        assert (frames["mfcc-floor"][utt] != ready[utt]).any()


def test_a_second_time_nothing_is_made_and_another_model_shares_what_is_not_its_own(
    data: Path, exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = CompareOptions(data / "train", data / "test", cache=tmp_path / "kept", out=tmp_path)
    exp = Path(shutil.copytree(exp, tmp_path / "exp", ignore=shutil.ignore_patterns("scores", "units")))
    said: list[str] = []
    first = compare([exp], options, FEW, said.append)
    assert sum(line.startswith("making ") for line in said) == 4  # MFCC with a floor, input, LDA, k-means
    assert said.index("scored units: units") < min(n for n, line in enumerate(said) if line.startswith("making "))
    assert {path.name for path in (exp / "scores").glob("*.json")} >= {"units.json", "mfcc.json", "lda-8.json"}
    assert {s.definition: s for s in read_scores(exp / "scores" / "lda-8.json")} == first.scores["lda-8"]
    said.clear()
    assert compare([exp], options, FEW, said.append).scores == first.scores
    assert said == []
    train(Config(tiny_model(), replace(TRAIN, steps=4, seed=3)), tmp_path / "b", data / "train", data / "train")
    both = compare([exp, tmp_path / "b"], options, FEW, said.append)
    assert not any("mfcc" in line for line in said)
    assert not any(line.startswith("making ") and "input" not in line and "kmeans" not in line for line in said)
    assert [column.name for column in both.columns][:2] == ["exp", "mfcc"]
    assert both.scores["exp"] == first.scores["units"]
    assert (tmp_path / "table.json").exists()


def test_the_table_says_the_same_in_markdown_json_and_on_a_terminal(
    data: Path, exp: Path, capsys: pytest.CaptureFixture[str]
):
    found = compare([exp], CompareOptions(data / "train", data / "test", cache=data / "kept"), FEW)
    text = (exp / "compare" / "table.md").read_text("utf-8")
    assert text == markdown(found)
    score = found.scores["lda-8"]["abx-across-within-angular"]
    low, high = score.interval.low, score.interval.high
    value = f"{100 * score.value:.1f} ({100 * low:.1f}..{100 * high:.1f})"
    (row,) = [line for line in text.splitlines() if line.startswith("| ABX across speakers, % ↓ |")]
    assert row.split(" | ")[5] == value
    assert value in terminal(found)
    assert "AMI" in text
    assert "AMI" not in terminal(found)
    words = [exp, "--train", data / "train", "--test", data / "test", "--cache", data / "kept", "--resamples", "20"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["compare", *map(str, words), "--json"])
    assert end.value.code == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((exp / "compare" / "table.json").read_text("utf-8"))
    columns = {s["name"]: {x["definition"]: Score.from_json(x) for x in s["scores"]} for s in record["columns"]}
    assert columns == found.scores
    assert read_comparison(exp / "compare" / "table.json") == found
    with pytest.raises(SystemExit):  # again: the same table, and nothing is made
        main(["compare", *map(str, words), "--renew"])
    out = capsys.readouterr().out
    assert out == f"{exp}/compare: unchanged\n{terminal(found)}\n"


def test_without_phones_what_needs_none_is_scored(data: Path, exp: Path, tmp_path: Path):
    for part in ("train", "test"):
        folder = DataDir.read(data / part)
        subset(folder, tmp_path / part, folder.utts)
        (tmp_path / part / "phones.ctm").unlink()
    found = compare([exp], CompareOptions(tmp_path / "train", tmp_path / "test", out=tmp_path), FEW)
    assert set(found.scores["units"]) == {
        "active-codes", "perplexity", "share-of-codes-that-carry-90-percent", "bitrate-zr2020", "bitrate-zr2020-dedup",
        "bitrate-with-durations", "bitrate-nominal", "bitrate-nominal-dedup", "frames-per-second", "units-per-second",
        "speaker-accuracy-histogram", "speaker-accuracy-mean-code", "speaker-eer-histogram-cosine",
        "speaker-eer-mean-code-cosine",
    }  # fmt: skip
    assert found.scores["mfcc"] == {}
    head, *rest = [line for line in markdown(found).splitlines() if line.startswith(("|", "Without"))]
    assert "| units | " in head
    assert "mfcc" not in head
    assert rest[-1] == "Without a score, since there are no phones: mfcc, mfcc-floor, input."
    assert "mfcc" not in terminal(found)
    assert (tmp_path / "compared").is_dir()


def test_outside_units_stand_beside_with_or_without_a_side_to_fit_on(data: Path, exp: Path, tmp_path: Path):
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", baselines=(), out=tmp_path)
    ours = compare([exp], options, FEW).scores["units"]
    (tmp_path / "them").mkdir()
    for part in ("test", "train"):
        (tmp_path / "them" / part).symlink_to(exp / "units" / part)
    (tmp_path / "theirs.jsonl").write_bytes((exp / "units" / "test" / "units.jsonl").read_bytes())
    beside = replace(options, beside=(tmp_path / "them", tmp_path / "theirs.jsonl"))
    found = compare([exp], beside, FEW)
    assert [column.name for column in found.columns] == ["units", "them", "theirs"]
    assert {name: score.value for name, score in found.scores["them"].items()} == {
        name: score.value for name, score in ours.items()
    }
    alone = found.scores["theirs"]
    assert "per-mapping-many-to-one-nosil" not in alone
    assert "per-mapping-many-to-one-oracle-nosil" in alone
    assert alone["pnmi"].value == ours["pnmi"].value
    assert "abx-across-within-angular" not in alone  # no vectors
    assert alone["abx-across-within-identical"].value == ours["abx-across-within-identical"].value
    only = compare([], replace(beside, baselines=NAMES), FEW)
    assert [column.name for column in only.columns] == ["them", "theirs", "mfcc", "mfcc-floor", "lda-8"]


def test_codebooks_and_vectors_of_outside_units_count(data: Path, exp: Path, tmp_path: Path):
    options = CompareOptions(data / "train", data / "test", cache=tmp_path / "kept", baselines=(), out=tmp_path)
    compare([exp], options, FEW)
    lines = [line for part in ("test", "train") for line in read_units(exp / "units" / part)]
    for name in ("one", "other"):
        shutil.copytree(exp / "units" / "test", tmp_path / name)
    write_units(tmp_path / "one" / "units.jsonl", read_header(exp / "units" / "test"), sorted(lines))
    other, codebook = tmp_path / "other", np.random.default_rng(1).standard_normal((8, 4)).astype("f4")
    np.save(other / "codebook.npy", codebook)
    beside = replace(options, beside=tuple(tmp_path / name for name in ("one", "other")))
    said: list[str] = []

    def balanced(name: str) -> float:
        return compare([], beside, FEW, said.append).scores[name]["abx-across-within-balanced"].value

    ours, theirs = balanced("one"), balanced("other")
    assert ours != theirs
    np.save(tmp_path / "one" / "codebook.npy", codebook)
    assert balanced("one") == theirs
    angular = compare([], beside, FEW).scores["one"]["abx-across-within-angular"].value
    features = FeatureReader(other / "vectors.scp")
    moved = [(utt, np.tanh(features[utt])[:, :2]) for utt in features]
    write_features(other / "vectors", moved)
    assert compare([], beside, FEW).scores["other"]["abx-across-within-angular"].value != angular
    shutil.copytree(other, tmp_path / "copy")
    twice = replace(beside, beside=(other, tmp_path / "copy"))
    assert list(compare([], twice, FEW, said.append).scores) == ["other"]
    assert "copy: the same as other, and shown once" in said


def test_whatever_is_compared_is_a_change(data: Path, exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pack(exp, tmp_path / "packed")
    whole = DataDir.read(data / "test")
    subset(whole, tmp_path / "test", whole.utts)
    encode(exp, data / "test", tmp_path / "theirs")
    words = ["compare", tmp_path / "packed", "--train", data / "train", "--test", tmp_path / "test", "--no-baselines"]
    words += ["--beside", tmp_path / "theirs" / "units.jsonl", "--resamples", "2", "--out", tmp_path / "out", "--renew"]

    def code(*more: str) -> int:
        with pytest.raises(SystemExit) as end:
            main([*map(str, words), *more])
        return int(end.value.code or 0)

    assert code() == 0, capsys.readouterr().err
    assert code("--unchanged") == 0
    for place in ("packed/model.safetensors", "test/triphone.item", "theirs/codebook.npy"):
        path, kept = tmp_path / place, tmp_path / "kept"
        if path.exists():
            path.rename(kept)
        path.write_bytes(b"another")
        assert code("--unchanged") == 3, place
        path.unlink()
        if kept.exists():
            kept.rename(path)
        assert code("--unchanged") == 0


def test_outside_units_are_scored_on_the_test_speech_alone(data: Path, exp: Path, tmp_path: Path):
    said: list[str] = []
    options = CompareOptions(data / "train", data / "test", cache=tmp_path / "kept", baselines=(), out=tmp_path)
    ours = compare([exp], options, FEW).scores["units"]
    lines = [line for part in ("test", "train") for line in read_units(exp / "units" / part)]
    header = replace(read_header(exp / "units" / "test"), origin={"source": "theirs.km"})
    write_units(tmp_path / "theirs.jsonl", header, sorted(lines, key=lambda line: line.utt))
    found = compare([exp], replace(options, beside=(tmp_path / "theirs.jsonl",)), FEW, say=said.append)
    theirs = found.scores["theirs"]
    for name in ("pnmi", "bitrate-zr2020", "active-codes", "abx-across-within-identical"):
        assert (theirs[name].value, theirs[name].interval) == (ours[name].value, ours[name].interval), name
    left_out = len(lines) - len(DataDir.read(data / "test").utts)
    assert f"theirs: {left_out} utterances that are not in {data / 'test'} are left out" in said
    assert "- theirs: units of theirs.km, 8 codes" in markdown(found)
    assert "ABX across speakers (same unit or not), % ↓" in terminal(found)  # what they have of ABX
    assert "ABX across speakers (same unit or not), % ↓" not in terminal(compare([exp], options, FEW))
    write_units(tmp_path / "others.jsonl", header, [lines[0]._replace(utt="elsewhere")])
    with pytest.raises(DataError, match=r"others: has no utterance of .*: its first is 'elsewhere'"):
        compare([exp], replace(options, beside=(tmp_path / "others.jsonl",)), FEW)


def test_some_baselines_and_other_silences(data: Path, exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", out=tmp_path)
    options = replace(options, baselines=("kmeans", "mfcc"), silences=frozenset("A"))
    found = compare([exp], options, FEW)
    assert [column.name for column in found.columns] == ["units", "mfcc", "kmeans-8"]
    sides = ["--alignment", data / "test/phones.ctm", "--train", exp / "units" / "train", "--silences", "A"]
    sides += ["--train-alignment", data / "train/phones.ctm", "--resamples", "20"]
    (score,) = scored(capsys, "per", exp / "units" / "test", *sides).values()
    assert found.scores["units"]["per-mapping-many-to-one-nosil"].value == score.value
    assert found.scores["mfcc"]["abx-across-within-angular"].counts.used["phones"] == 3


def test_with_other_phones_in_training_the_mapping_is_fitted_on_other_speakers_of_the_test_speech(
    data: Path, exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    phones = (data / "train" / "phones.ctm").read_text()
    (tmp_path / "phones.ctm").write_text("".join(f"{line}_x\n" for line in phones.splitlines()))
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", baselines=(), out=tmp_path)
    found = compare([exp], replace(options, train_alignment=tmp_path / "phones.ctm"), FEW).scores["units"]
    sides = ["--alignment", data / "test/phones.ctm", "--data", data / "test"]
    (score,) = scored(capsys, "per", exp / "units" / "test", *sides, "--resamples", "20").values()
    assert found["per-mapping-many-to-one-nosil"].value == score.value


def test_with_one_speaker_to_score_on_the_scores_that_need_none_stand(
    data: Path, exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scoring, "EPOCHS", 1)
    whole = DataDir.read(data / "test")
    subset(whole, tmp_path / "one", [utt for utt in whole.utts if utt.startswith("b")])
    (tmp_path / "none.ctm").write_text("".join(f"{utt} 1 0 0.1 another\n" for utt in DataDir.read(data / "train").utts))
    exp = Path(shutil.copytree(exp, tmp_path / "exp", ignore=shutil.ignore_patterns("scores", "units")))
    options = CompareOptions(data / "train", tmp_path / "one", baselines=("mfcc",), cache=tmp_path / "kept")
    said: list[str] = []
    found = compare([exp], options, FEW, said.append).scores
    assert {"pnmi", "per-mapping-many-to-one-nosil", "abx-within-within-balanced"} <= found["units"].keys()
    assert set(found["mfcc"]) == {"abx-within-within-angular"}
    assert any(line.startswith("units: nothing of ABX across speakers: no A, B and X can be formed") for line in said)
    other = replace(options, train_alignment=tmp_path / "none.ctm")  # of other phones: nothing to fit on
    found = compare([exp], other, replace(FEW, downstream=("all",)), said.append).scores
    assert not any("probe" in name for name in found["units"])
    assert any(line.startswith("units: nothing of a small ASR: ") for line in said)


def test_a_head_and_vectors_without_a_codebook(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = tiny_model(quantizer=IdentityConfig(), weights=LossWeights(ctc=1.0))
    train(Config(model, replace(TRAIN, steps=6)), tmp_path / "exp", data / "train", data / "train")
    options = CompareOptions(data / "train", data / "test", dev=data / "train", cache=data / "kept")
    found = compare([tmp_path / "exp"], options, FEW).scores["units"]
    assert set(found) == {"abx-across-within-angular", "abx-within-within-angular", "per-ctc-head-nosil"}
    (score,) = scored(capsys, "head", tmp_path / "exp", data / "test", "--resamples", "20").values()
    assert found["per-ctc-head-nosil"] == score
    (on_dev,) = read_scores(tmp_path / "exp" / "scores" / "head-dev.json")
    assert on_dev.parts["phones"] != score.parts["phones"]


def test_a_baseline_that_is_left_out_is_no_column_to_train_on(data: Path, exp: Path, tmp_path: Path):
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", baselines=(), out=tmp_path)
    found = compare([exp], options, replace(FEW, downstream=("units", "mfcc"))).scores
    assert list(found) == ["units"]
    assert any("probe-ctc" in name for name in found["units"])


def test_the_table_of_a_checkpoint_is_written_beside_it(data: Path, exp: Path, tmp_path: Path):
    shutil.copy(max(exp.glob("**/*.pt")), tmp_path / "last.pt")
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", baselines=())
    compare([tmp_path / "last.pt"], options, FEW)
    assert (tmp_path / "compare" / "table.md").exists()


def test_what_is_asked_for_wrongly_is_said(data: Path, exp: Path, tmp_path: Path):
    options = CompareOptions(data / "train", data / "test", cache=data / "kept")
    with pytest.raises(ConfigError, match=r"--downstream nought: expected all, or some of units, mfcc"):
        compare([exp], replace(options, cache=tmp_path), ScoreOptions(downstream=("nought",)))
    assert not list(tmp_path.glob("lda-*"))  # it is said before anything is made
    with pytest.raises(DataError, match=r"is in .*, too; score on other utterances"):
        compare([exp], replace(options, test=data / "train"), FEW)
    with pytest.raises(ConfigError, match=r"--baselines hmm: expected some of mfcc, mfcc-floor"):
        compare([exp], replace(options, baselines=("hmm",)), FEW)
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare([], options, FEW)
    with pytest.raises(DataError, match="no such file or folder"):
        compare([exp], replace(options, items=tmp_path / "none"), FEW)
    train(Config(tiny_model(), replace(TRAIN, steps=4, seed=5)), tmp_path / "b", data / "train", data / "train")
    (tmp_path / "b" / "units").symlink_to(exp / "units")
    with pytest.raises(DataError, match="units of another model, or of other data; --renew"):
        compare([tmp_path / "b"], options, FEW)


def test_units_of_another_model_or_other_data_are_made_anew_when_asked(data: Path, exp: Path, tmp_path: Path):
    train(Config(tiny_model(), replace(TRAIN, steps=4, seed=5)), tmp_path / "b", data / "train", data / "train")
    shutil.copytree(exp / "units", tmp_path / "b" / "units")
    options = CompareOptions(data / "train", data / "test", cache=data / "kept", baselines=(), renew=True)
    said: list[str] = []
    compare([tmp_path / "b"], options, FEW, said.append)
    assert [line.split()[0] for line in said if "encoding" in line] == ["encoding"] * 2
    said.clear()
    compare([tmp_path / "b"], options, FEW, said.append)
    assert said == []
    half = DataDir.read(data / "test")
    subset(half, tmp_path / "half", half.utts[:12])
    with pytest.raises(DataError, match="or of other data; --renew"):
        compare([tmp_path / "b"], replace(options, test=tmp_path / "half", renew=False), FEW)


def test_what_is_made_once_is_made_again_after_a_failure(tmp_path: Path):
    made: list[int] = []

    def make(folder: Path) -> None:
        made.append(1)
        if len(made) == 1:
            raise DataError("in the middle")

    with pytest.raises(DataError):
        kept.once(tmp_path / "x", make)
    assert kept.once(tmp_path / "x", make) == kept.once(tmp_path / "x", make)
    assert len(made) == 2


def test_a_changed_recording_is_other_data(data: Path, tmp_path: Path):
    make_data(tmp_path / "x", 4, features=False)
    before = kept.data_key(DataDir.read(tmp_path / "x"))
    assert kept.data_key(DataDir.read(tmp_path / "x")) == before
    path = tmp_path / "x" / "a-00.wav"
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert kept.data_key(DataDir.read(tmp_path / "x")) != before


def test_a_cell_has_the_digits_of_its_unit():
    assert cell(None) == ""
    assert cell(Score("abx", 0.1234, "abx-across-within-angular")) == "12.3"
    assert define("bitrate-zr2020").text(388.44) == "388.4"
    assert define("pnmi").text(0.41872) == "0.419"
    assert define("pnmi").text(float("nan")) == "undefined"
