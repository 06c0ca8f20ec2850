"""The verbs score and segment: every sub-verb, its table, its JSON, and its errors in one line."""

import json
import shutil
import time

import numpy as np
import pytest
from score_files import write_alignment, write_unit_file

from unitdisc.cli import main
from unitdisc.data.store import write_features
from unitdisc.data.units import read_header, read_units
from unitdisc.evaluate.scores import Score, read_scores

CODES = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Make what encode writes (with projections), phones, speakers, and units of changed audio."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    codebook = rng.standard_normal((CODES, 6)).astype("f4") * 2
    phones, units, frames, noisy = {}, {}, {}, {}
    for n in range(32):
        utt = f"s{n % 4}-{n:02}"
        phones[utt] = np.repeat(rng.integers(0, 5, 10), rng.integers(3, 7, 10))
        x = codebook[2 * phones[utt]] + rng.standard_normal((len(phones[utt]), 6)).astype("f4") * 1.5
        frames[utt] = x.astype("f4")
        units[utt] = ((x[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1)
        noisy[utt] = np.where(rng.random(len(x)) < 0.3, rng.integers(0, CODES, len(x)), units[utt])
    for name, what in (("units", units), ("noise-10", noisy)):
        (folder / name).mkdir()
        write_unit_file(folder / name / "units.jsonl", what, CODES)
    np.save(folder / "units" / "codebook.npy", codebook)
    write_features(folder / "units" / "projection", sorted(frames.items()))
    write_alignment(folder / "phones.ctm", phones, ["SIL", "a", "b", "c", "d"])
    (folder / "utt2spk").write_text("".join(f"{u} {u[:2]}\n" for u in sorted(units)))
    return folder


def run(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, err
    return out


def run_json(capsys, *arguments) -> list[Score]:
    record = json.loads(run(capsys, *arguments, "--json"))
    return [Score.from_json(score) for score in record["scores"]]


def error(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    assert exit_.value.code == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    return err


def test_each_score_has_a_table_and_json(corpus, capsys):
    units, alignment = corpus / "units", ("--alignment", corpus / "phones.ctm")
    calls = {
        "clusters": [units, *alignment],
        "per": [units, *alignment, "--data", corpus / "utt2spk"],
        "boundaries": [units, *alignment, "--match", "greedy", "--tolerance", "0.04"],
        "usage": [units],
        "bitrate": [units],
        "speaker": [units, "--data", corpus],
        "robustness": [units, corpus / "noise-10"],
    }
    for name, arguments in calls.items():
        scores = run_json(capsys, "score", name, *arguments, "--resamples", "50")
        text = run(capsys, "score", name, *arguments, "--resamples", "50")
        assert len(text.splitlines()) == len(scores) + 1 <= 24
        for score in scores:
            assert score.definition in text
            assert score.hashes["units"]
            assert score.period == 0.02
    assert "unit-edit-distance-noise-10" in text


def test_per_methods_and_sides(corpus, capsys):
    base = ["score", "per", corpus / "units", "--alignment", corpus / "phones.ctm", "--resamples", "0"]
    oracle = run_json(capsys, *base, "--oracle")[0]
    assert oracle.definition == "per-mapping-many-to-one-oracle-nosil"
    split = run_json(capsys, *base, "--data", corpus, "--test-speakers", "s1", "--method", "one-to-one")[0]
    assert split.definition == "per-mapping-one-to-one-nosil"
    assert split.counts.used["utterances"] == 8
    trained = run_json(capsys, *base, "--train", corpus / "units", "--train-alignment", corpus / "phones.ctm")[0]
    assert trained.value == oracle.value
    assert trained.definition == "per-mapping-many-to-one-nosil"
    probe = ["--data", corpus, "--test-speakers", "s1,s2", "--epochs", "2"]
    assert run_json(capsys, *base, *probe, "--method", "probe-ctc")[0].definition == "per-probe-ctc-lstm-nosil"
    assert len(run_json(capsys, *base, *probe, "--method", "frame-probe", "--silence", "drop")) == 2
    assert "give --train, or --data" in error(capsys, *base)
    assert "give --data with utt2spk" in error(capsys, *base, "--method", "probe-ctc")
    assert "unknown speakers" in error(capsys, *base, "--data", corpus, "--test-speakers", "s9")


def test_speakers_to_score_on_are_drawn_from_those_who_have_units(corpus, capsys, tmp_path):
    known = (corpus / "utt2spk").read_text()
    (tmp_path / "larger").write_text(known + "".join(f"x{n:03}-00 x{n:03}\n" for n in range(200)))
    (tmp_path / "other").write_text("x-1 x\ny-1 y\n")
    base = ["score", "per", corpus / "units", "--alignment", corpus / "phones.ctm", "--resamples", "0"]
    probe = ["--method", "frame-probe", "--epochs", "1"]
    for more in ([], probe):
        scores = [run_json(capsys, *base, *more, "--data", data) for data in (corpus, tmp_path / "larger")]
        assert scores[0] == scores[1]
        said = error(capsys, *base, *more, "--data", tmp_path / "other")
        assert "has no speaker of an utterance of" in said


def test_options_that_would_be_ignored_are_refused(corpus, capsys):
    base = ["score", "per", corpus / "units", "--alignment", corpus / "phones.ctm"]
    train = ["--train", corpus / "units"]
    assert "--test-speakers says which of the speakers of --data" in error(capsys, *base, "--test-speakers", "s1")
    assert "--train and --data both say" in error(capsys, *base, *train, "--data", corpus / "nowhere")
    assert "--train on other units; give one" in error(capsys, *base, *train, "--oracle")
    assert "give --train UNITS, too" in error(capsys, *base, "--train-alignment", "/nonexistent", "--oracle")
    everything = ["score", "all", *base[2:]]
    assert "nowhere: no such file" in error(capsys, *everything, *train, "--data", corpus / "nowhere")
    speakers = ["--data", corpus, "--test-speakers", "nobody"]
    assert "give --data, and no --train" in error(capsys, *everything, *train, *speakers)


def test_features_are_probed_too(corpus, capsys, tmp_path):
    shutil.copy(corpus / "units" / "projection.scp", tmp_path / "feats.scp")  # beside no units: of unknown period
    base = ["score", "per", tmp_path / "feats.scp", "--alignment", corpus / "phones.ctm"]
    probe = ["--method", "frame-probe", "--data", corpus, "--epochs", "10", "--resamples", "0"]
    assert "give --frame-shift" in error(capsys, *base, *probe)
    scores = run_json(capsys, *base, *probe, "--frame-shift", "0.02")
    assert all(score.value > 0.6 for score in scores)


def test_all_writes_what_it_prints(corpus, capsys):
    units, items = corpus / "units", corpus / "phones.item"
    run(capsys, "items", _data_dir(corpus), items, "--alignment", corpus / "phones.ctm", "--unit", "phone", "--force")
    arguments = ["--alignment", corpus / "phones.ctm", "--data", corpus, "--items", items, "--changed"]
    scores = run_json(capsys, "score", "all", units, *arguments, corpus / "noise-10", "--resamples", "20")
    assert read_scores(units / "scores.json") == scores
    names = {score.name for score in scores}
    assert {"pnmi", "per", "f1", "bitrate", "abx", "speaker-accuracy", "ued", "perplexity"} <= names
    definitions = [score.definition for score in scores]
    assert len(set(definitions)) == len(definitions)
    assert {f"abx-{s}-within-{d}" for s in ("within", "across") for d in ("identical", "balanced")} <= set(definitions)
    (units / "scores.json").unlink()
    assert len(scores) > len(run_json(capsys, "score", "all", units, *arguments[:2], "--out", corpus / "less.json"))
    assert (corpus / "less.json").exists()
    assert not (units / "scores.json").exists()
    said = error(capsys, "score", "all", units, *arguments[:2], "--out", units)
    assert "expected a file to write, got a folder" in said


def exit_code(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    return exit_.value.code


def test_unchanged_makes_nothing_and_a_new_codebook_is_a_change(corpus, capsys, tmp_path):
    units = shutil.copytree(corpus / "units", tmp_path / "units", ignore=shutil.ignore_patterns("*scores*"))
    everything = ["score", "all", units, "--alignment", corpus / "phones.ctm", "--resamples", "2"]
    assert exit_code(*everything, "--unchanged") == 3
    assert not (units / "scores.json").exists()
    assert "give --out FILE" in error(capsys, "score", "bitrate", units, "--unchanged")
    items = tmp_path / "phones.item"
    run(capsys, "items", _data_dir(corpus), items, "--alignment", corpus / "phones.ctm", "--unit", "phone")
    abx = ["score", "abx", units / "units.jsonl", items, "--resamples", "0", "--out", tmp_path / "abx.json"]
    calls = [everything, [*abx, "--distance", "codebook"]]
    for call in calls:
        run(capsys, *call, "--renew")
        assert "unchanged" in run(capsys, *call, "--renew")
    before = read_scores(tmp_path / "abx.json")[0].value
    np.save(units / "codebook.npy", np.random.default_rng(5).standard_normal((CODES, 6)))
    assert [exit_code(*call, "--unchanged") for call in calls] == [3, 3]
    run(capsys, *calls[1], "--renew")
    assert read_scores(tmp_path / "abx.json")[0].value != before


def test_one_speaker_leaves_out_what_needs_two_and_options_count_for_every_score(corpus, capsys, tmp_path):
    lines = {line.utt: line.frames for line in read_units(corpus / "units") if line.utt.startswith("s0")}
    one = write_unit_file(tmp_path / "units.jsonl", lines, CODES)
    items = tmp_path / "phones.item"
    run(capsys, "items", _data_dir(corpus), items, "--alignment", corpus / "phones.ctm", "--unit", "phone")
    kept = [line for line in items.read_text().splitlines() if line.startswith(("#", "s0"))]
    items.write_text("\n".join(kept) + "\n")
    arguments = ["--alignment", corpus / "phones.ctm", "--items", items, "--seed", "7", "--resamples", "0"]
    found = {score.definition: score for score in run_json(capsys, "score", "all", one, *arguments)}
    assert "abx-across-within-identical" not in found
    assert found["abx-within-within-identical"].options["seed"] == 7
    assert all(score.interval is None for score in found.values())
    assert "--resamples" in run(capsys, "score", "abx", "--help")


def _data_dir(corpus):
    folder = corpus / "data"
    folder.mkdir(exist_ok=True)
    shutil.copy(corpus / "utt2spk", folder)
    utts = [line.split()[0] for line in (corpus / "utt2spk").read_text().splitlines()]
    (folder / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt in utts))
    by_speaker = {s: [u for u in utts if u[:2] == s] for s in sorted({u[:2] for u in utts})}
    (folder / "spk2utt").write_text("".join(f"{s} {' '.join(u)}\n" for s, u in by_speaker.items()))
    return folder


def test_segment_by_penalty_rate_and_knee(corpus, capsys, tmp_path):
    units = corpus / "units"
    before = sum(len(line.units) for line in read_units(units / "units.jsonl"))
    knee = json.loads(run(capsys, "segment", units, tmp_path / "knee.jsonl", "--json"))
    assert knee["by"] == "frames and codewords"
    assert knee["units"] < before
    rate = json.loads(run(capsys, "segment", units, tmp_path / "rate.jsonl", "--rate", "11", "--json"))
    assert rate["rate"] == pytest.approx(11, rel=0.05)
    by_hand = ["segment", units, tmp_path / "hand.jsonl", "--penalty", "1", "--identity", "--json"]
    assert json.loads(run(capsys, *by_hand))["by"] == "equality"
    assert "unchanged" in run(capsys, *by_hand)
    assert "made of something else" in error(capsys, *by_hand, "--penalty", "2")
    run(capsys, *by_hand, "--force")
    assert read_header(tmp_path / "hand.jsonl").origin == {"segmented": "penalty 1"}
    codewords = ["segment", units / "units.jsonl", tmp_path / "c.jsonl", "--codebook", units / "codebook.npy"]
    assert "per second" in run(capsys, *codewords, "--penalty", "2")
    scores = [run_json(capsys, "score", "boundaries", path, "--alignment", corpus / "phones.ctm", "--resamples", "0")[4]
              for path in (units, tmp_path / "knee.jsonl")]  # fmt: skip
    assert scores[0].definition == "boundary-r-value-units-20ms"
    assert scores[1].value > scores[0].value


def test_errors_are_one_line(corpus, capsys, tmp_path):
    (tmp_path / "empty.ctm").write_text("")
    assert "empty.ctm" in error(capsys, "score", "clusters", corpus / "units", "--alignment", tmp_path / "empty.ctm")
    assert "no such file; `unitdisc encode` makes one" in error(capsys, "score", "bitrate", tmp_path / "none.jsonl")
    other = write_unit_file(tmp_path / "o.jsonl", {"s0-00": np.zeros(4, int)}, CODES, codebook="c9")
    assert "codebook c0" in error(capsys, "score", "robustness", corpus / "units", other)
    with pytest.raises(SystemExit) as usage:
        main(["score", "bitrate", "x", "--resamples", "-1"])
    assert usage.value.code == 2


def test_help_of_every_score_is_instant(capsys):
    start = time.process_time()
    for name in ("abx", "per", "clusters", "boundaries", "usage", "bitrate", "speaker", "robustness", "all"):
        assert "--json" in run(capsys, "score", name, "--help")
    assert time.process_time() - start < 2
