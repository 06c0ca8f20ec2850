"""Probes learn what is there, cannot learn what is not, and give the same number again."""

import dataclasses

import numpy as np
import pytest
import torch
from score_files import write_alignment, write_unit_file

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import Labeller
from unitdisc.evaluate.probe import ProbeConfig, frame_probes, frames_needed, probe_ctc
from unitdisc.evaluate.sides import Side, split_speakers, stretches

NAMES = ["SIL", "a", "b", "c", "d"]
FAST = ProbeConfig(kind="linear", epochs=30, hidden=16, rate=2e-2, frames=256)


def corpus(seed: int, utterances: int = 24) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Make phones per frame, and units that are one of two per phone."""
    rng = np.random.default_rng(seed)
    phones = {}
    for n in range(utterances):
        string = rng.integers(0, 5, 8)
        string[1:] += (string[1:] == string[:-1]) * np.where(string[1:] == 4, -1, 1)
        phones[f"s{n % 4}-{n:02}"] = np.repeat(string, rng.integers(2, 5, 8))
    return phones, {u: 2 * p + rng.integers(0, 2, len(p)) for u, p in phones.items()}


@pytest.fixture
def sides(tmp_path):
    phones, units = corpus(0)
    labeller = Labeller(write_alignment(tmp_path / "p.ctm", phones, NAMES))
    path = write_unit_file(tmp_path / "u.jsonl", units, 10)
    test = {u for u in units if u.startswith("s0")}
    return Side(path, labeller, set(units) - test), Side(path, labeller, test)


def test_linear_ctc_reads_units_that_are_phones(sides):
    score = probe_ctc(*sides, FAST, resamples=100)
    assert score.definition == "per-probe-ctc-linear-nosil"
    assert score.value < 0.25
    assert score.counts.used["training utterances"] == 18
    assert score.counts.used["utterances"] == 6
    assert score.value == probe_ctc(*sides, FAST, resamples=0).value
    assert probe_ctc(*sides, FAST, "keep", resamples=0).definition == "per-probe-ctc-linear-sil"


def test_lstm_ctc_learns(sides):
    config = dataclasses.replace(FAST, kind="lstm", epochs=50, rate=2e-2)
    assert probe_ctc(*sides, config, resamples=0).value < 0.35


def test_shuffled_units_cannot_be_read(tmp_path):
    phones, units = corpus(1)
    rng = np.random.default_rng(0)
    labeller = Labeller(write_alignment(tmp_path / "p.ctm", phones, NAMES))
    path = write_unit_file(tmp_path / "u.jsonl", {u: rng.integers(0, 10, len(x)) for u, x in units.items()}, 10)
    test = {u for u in units if u.startswith("s0")}
    sides = Side(path, labeller, set(units) - test), Side(path, labeller, test)
    assert probe_ctc(*sides, FAST, resamples=0).value > 0.6
    assert all(s.value < 0.45 for s in frame_probes(*sides, FAST, resamples=0))


def test_frame_probes_reach_what_units_and_features_allow(sides, tmp_path):
    by_units = {s.definition: s.value for s in frame_probes(*sides, FAST, resamples=0)}
    assert by_units == {"frame-accuracy-linear-sil": 1.0, "frame-accuracy-two-layer-sil": 1.0}
    # Features on a circle of three rings: a line cannot part them, a hidden layer can.
    phones, _ = corpus(2)
    rng = np.random.default_rng(0)
    (tmp_path / "f").mkdir()
    for utt, p in phones.items():
        angle = rng.uniform(0, 2 * np.pi, len(p))
        radius = p + 0.1 * rng.standard_normal(len(p))
        np.save(
            tmp_path / "f" / f"{utt}.npy", np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype("f4")
        )
    labeller = Labeller(write_alignment(tmp_path / "q.ctm", phones, NAMES))
    test = {u for u in phones if u.startswith("s0")}
    two = [Side(tmp_path / "f", labeller, chosen, frame_shift=0.02) for chosen in (set(phones) - test, test)]
    config = dataclasses.replace(FAST, hidden=64, epochs=60)
    linear, deep = (s.value for s in frame_probes(*two, config, resamples=0))
    assert linear < 0.5
    assert deep > 0.8


def test_batches_and_padding_do_not_change_what_is_read(sides):
    from unitdisc.evaluate.probe import Reader, _decoded

    torch.manual_seed(0)
    reader = Reader(sides[0], "lstm", 8, 6)
    one, many = ({u.utt: x for u, x in _decoded(reader, sides[1].utterances, size)} for size in (1, 5))
    assert all(np.array_equal(one[utt], many[utt]) for utt in one)


def test_training_leaves_the_random_state_alone(sides):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    probe_ctc(*sides, dataclasses.replace(FAST, epochs=1), resamples=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_stretches_hold_all_frames_and_phones_once(sides):
    for seconds in (0.01, 0.15, 9.0):
        parts = stretches(sides[0], seconds)
        for u in sides[0].utterances:
            own = [p for p in parts if p.utt == u.utt]
            assert np.array_equal(np.concatenate([p.x for p in own]), u.x)
            assert np.array_equal(np.concatenate([p.labels.phones for p in own]), u.labels.phones)
            assert np.array_equal(np.concatenate([p.labels.frames for p in own]), u.labels.frames)
            assert all(len(p.x) * 0.02 >= seconds - 1e-9 for p in own[:-1])


def test_frames_needed_counts_blanks():
    assert frames_needed(np.array([1, 1, 2, 2, 2])) == 8
    assert frames_needed(np.array([1, 2])) == 2


def test_utterances_too_short_for_their_phones_are_counted(tmp_path):
    (tmp_path / "p.ctm").write_text(
        "a 1 0.00 0.005 a\na 1 0.005 0.005 a\na 1 0.01 0.01 b\nb 1 0.00 0.02 a\nc 1 0.00 0.02 b\n"
    )
    path = write_unit_file(tmp_path / "u.jsonl", {u: np.array([1]) for u in "abc"}, 3)
    labeller = Labeller(tmp_path / "p.ctm")
    score = probe_ctc(Side(path, labeller, {"a", "b"}), Side(path, labeller, {"c"}), FAST, resamples=0)
    assert score.counts.dropped["training stretches with too few frames for their phones"] == 1
    with pytest.raises(DataError, match="nothing to train on"):
        probe_ctc(Side(path, labeller, {"a"}), Side(path, labeller, {"c"}), FAST)


def test_speakers_are_split_without_overlap():
    utt2spk = {f"s{s}-{n}": f"s{s}" for s in range(8) for n in range(3)}
    split = split_speakers(utt2spk, seed=1)
    assert len(split.test_speakers) == 2
    assert not split.train & split.test
    assert split == split_speakers(utt2spk, seed=1)
    assert split_speakers(utt2spk, ["s3"]).test == {"s3-0", "s3-1", "s3-2"}
    with pytest.raises(DataError, match="unknown speakers to score on: nobody"):
        split_speakers(utt2spk, ["nobody"])
    with pytest.raises(DataError, match="none is left to train on"):
        split_speakers(utt2spk, [f"s{s}" for s in range(8)])


def test_sides_that_do_not_belong_together(sides, tmp_path):
    train, test = sides
    with pytest.raises(DataError, match="both trained and scored on"):
        probe_ctc(train, train, FAST)
    labeller = train.labeller
    units = {u.utt: u.x for u in test.utterances}
    with pytest.raises(DataError, match="codebook c0"):
        probe_ctc(train, Side(write_unit_file(tmp_path / "x.jsonl", units, 10, "c9"), labeller), FAST)
    with pytest.raises(DataError, match=r"units of 10 codes.*units of 11 codes"):
        probe_ctc(train, Side(write_unit_file(tmp_path / "x.jsonl", units, 11), labeller), FAST)
    (tmp_path / "f").mkdir()
    for n, u in enumerate(test.utterances[:2]):
        np.save(tmp_path / "f" / f"{u.utt}.npy", np.zeros((len(u.x), 2 + n), "f4"))
    with pytest.raises(DataError, match="give --frame-shift"):
        Side(tmp_path / "f", labeller)
    with pytest.raises(DataError, match="has 3 dimensions"):
        Side(tmp_path / "f", labeller, frame_shift=0.02)
    with pytest.raises(DataError, match="a probe is linear"):
        probe_ctc(train, test, dataclasses.replace(FAST, kind="deep"))
