"""Segmentation finds the least cost, whatever the costs; penalties follow from rates and from the knee."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_scores import best_segmentation, segmentation_by_segments
from score_files import write_unit_file

import unitdisc.segment
from unitdisc.cli import main
from unitdisc.data.units import UnitLine, read_header, read_units
from unitdisc.errors import DataError
from unitdisc.segment import UnitCorpus, UtteranceCosts, penalty_of_knee, penalty_of_rate, point_at, sample, segment


def utterance(vectors: np.ndarray, codebook: np.ndarray) -> UtteranceCosts:
    nearest = ((vectors[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1)
    return UtteranceCosts(UnitLine.of_frames("u", nearest), codebook.astype(np.float32), vectors.astype(np.float32))


def made_up(seed: int, frames: int, codes: int) -> UtteranceCosts:
    rng = np.random.default_rng(seed)
    return utterance(rng.standard_normal((frames, 3)), rng.standard_normal((codes, 3)))


def cost_of(u: UtteranceCosts, segments, penalty: float) -> float:
    """Return what a segmentation costs by the definition, checking its own account of it."""
    distances = np.concatenate(list(u.costs()))
    edges = np.r_[0, np.cumsum(segments.durations)]
    assert edges[-1] == len(distances)
    places = np.searchsorted(u.codes, segments.codes)
    distance = sum(distances[a:b, k].sum() for (a, b), k in zip(itertools.pairwise(edges), places, strict=True))
    assert segments.distance == pytest.approx(distance, abs=1e-4)
    return distance + penalty * len(segments.codes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.floats(0, 6))
def test_cost_is_the_least_of_all_segmentations(seed, frames, codes, penalty):
    u = made_up(seed, frames, codes)
    distances = np.concatenate(list(u.costs())).astype(float)
    best = best_segmentation(distances, penalty)
    assert cost_of(u, u.segments(penalty), penalty) == pytest.approx(best, abs=1e-4)
    assert segmentation_by_segments(distances, penalty)[0] == pytest.approx(best, abs=1e-9)


def test_long_utterances_equal_dynamic_programming_over_segments_in_any_blocks(monkeypatch):
    for seed, penalty in itertools.product(range(3), (0.0, 0.7, 5.0, 40.0)):
        u = made_up(seed, 120, 8)
        distances = np.concatenate(list(u.costs())).astype(float)
        whole = u.segments(penalty)
        assert cost_of(u, whole, penalty) == pytest.approx(segmentation_by_segments(distances, penalty)[0], rel=1e-5)
        monkeypatch.setattr(unitdisc.segment, "BLOCK", 7)
        blocks = u.segments(penalty)
        assert np.array_equal(whole.codes, blocks.codes)
        assert np.array_equal(whole.durations, blocks.durations)
        monkeypatch.undo()


def test_no_penalty_gives_back_the_units_and_an_infinite_one_a_single_unit():
    u = made_up(0, 50, 6)
    plain = u.segments(0.0)
    assert np.array_equal(np.repeat(plain.codes, plain.durations), u.line.frames)
    assert np.array_equal(plain.codes, u.line.units)
    one = u.segments(np.inf)
    assert one.durations.tolist() == [50]
    assert one.codes[0] == np.concatenate(list(u.costs())).sum(axis=0).argmin()


def test_equal_neighbours_never_stand_apart_and_rate_falls_with_the_penalty():
    u = made_up(4, 200, 10)
    counts = []
    for penalty in np.linspace(0, 12, 30):
        segments = u.segments(penalty)
        assert (segments.codes[1:] != segments.codes[:-1]).all()
        counts.append(len(segments.codes))
    assert counts == sorted(counts, reverse=True)


def test_identity_costs_mend_blips():
    line = UnitLine.of_frames("u", [5, 5, 5, 9, 5, 5, 7, 7, 7])
    got = UtteranceCosts(line).segments(1.0)
    assert got.codes.tolist() == [5, 7]
    assert got.durations.tolist() == [6, 3]
    assert got.distance == 1.0


def test_codebook_alone_measures_codewords_against_each_other():
    codebook = np.array([[0.0], [0.1], [5.0]], np.float32)
    line = UnitLine.of_frames("u", [0, 1, 0, 0, 2, 2])
    got = UtteranceCosts(line, codebook, codebook[line.frames]).segments(1.0)
    assert (got.codes.tolist(), got.durations.tolist()) == ([0, 2], [4, 2])


def test_a_long_utterance_is_fast_enough_and_exact_in_its_sums():
    u = made_up(1, 20000, 64)
    segments = u.segments(3.0)
    assert segments.durations.sum() == 20000
    cost_of_all = np.concatenate(list(u.costs()))[np.arange(20000), np.repeat(segments.codes, segments.durations)]
    assert segments.distance == pytest.approx(float(cost_of_all.sum(dtype=np.float64)), rel=1e-6)


def speech(seed: int, utterances: int = 12) -> list[UtteranceCosts]:
    """Make vectors that stay near a codeword for a while."""
    rng = np.random.default_rng(seed)
    codebook = rng.standard_normal((20, 8)) * 2
    made = []
    for _ in range(utterances):
        states = np.repeat(rng.integers(0, 20, 30), rng.integers(3, 8, 30))
        made.append(utterance(codebook[states] + rng.standard_normal((len(states), 8)) * 2.0, codebook))
    return made


def test_a_wanted_rate_is_met():
    utterances = speech(0)
    for rate in (5.0, 9.0, 12.0):
        point = point_at(utterances, penalty_of_rate(utterances, 0.02, rate), 0.02)
        assert point.rate == pytest.approx(rate, rel=0.02)
    with pytest.raises(DataError, match="cannot be had"):
        penalty_of_rate(utterances, 0.02, 49.9)
    with pytest.raises(DataError, match="cannot be had"):
        penalty_of_rate(utterances, 0.02, 0.01)


def test_the_knee_is_farthest_below_the_chord_and_is_near_the_planted_rate():
    utterances = speech(1)
    knee = point_at(utterances, penalty_of_knee(utterances, 0.02), 0.02)
    many, few = (point_at(utterances, p, 0.02) for p in (0.0, np.inf))

    def below_chord(point):
        share = (many.units - point.units) / (many.units - few.units)
        return many.distance + share * (few.distance - many.distance) - point.distance

    curve = [point_at(utterances, p, 0.02) for p in np.geomspace(0.01, 1000, 60)]
    assert below_chord(knee) >= max(map(below_chord, curve)) - 1e-6 * few.distance
    planted = sum(30 for _ in utterances) / knee.seconds
    assert planted / 1.5 < knee.rate < 1.5 * planted
    assert many.rate > 2 * planted


def files(tmp_path, codes=20):
    utterances = speech(2, 5)
    units = {f"u{n}": u.line.frames for n, u in enumerate(utterances)}
    frames = {f"u{n}": u.vectors for n, u in enumerate(utterances)}
    path = write_unit_file(tmp_path / "units.jsonl", units, codes=codes)
    return path, utterances[0].codebook, frames


def test_segmented_files_keep_frames_and_codebook(tmp_path):
    path, codebook, frames = files(tmp_path)
    corpus = UnitCorpus(path, codebook, frames)
    point = segment(corpus, tmp_path / "out.jsonl", 5.0)
    before, after = list(read_units(path)), list(read_units(tmp_path / "out.jsonl"))
    assert [line.durations.sum() for line in before] == [line.durations.sum() for line in after]
    assert sum(len(line.units) for line in after) == point.units < sum(len(line.units) for line in before)
    header = read_header(tmp_path / "out.jsonl")
    assert header.codebook == "c0"
    assert header.origin == {"segmented": "penalty 5"}
    assert point == point_at(sample(corpus), 5.0, 0.02)
    with pytest.raises(DataError, match="exists"):
        segment(corpus, tmp_path / "out.jsonl", 5.0)
    with pytest.raises(DataError, match="0 or more"):
        segment(corpus, tmp_path / "out.jsonl", float("nan"), force=True)


def test_a_sample_thins_evenly(tmp_path):
    path, codebook, frames = files(tmp_path)
    some = sample(UnitCorpus(path, codebook, frames), most=400)
    assert [u.line.utt for u in some] in (["u0", "u2", "u4"], ["u0", "u4"])
    assert sum(u.length for u in some) <= 400


def test_frames_and_codebooks_that_do_not_fit(tmp_path):
    path, codebook, frames = files(tmp_path)
    with pytest.raises(DataError, match="20 codes, the codebook 19"):
        UnitCorpus(path, codebook[1:])
    with pytest.raises(DataError, match=r"finite array of real numbers"):
        UnitCorpus(path, codebook * np.nan)
    with pytest.raises(DataError, match="give the codebook too"):
        UnitCorpus(path, None, frames)
    with pytest.raises(DataError, match="belong to another model"):
        list(UnitCorpus(path, codebook[::-1], frames))
    with pytest.raises(DataError, match="u1 has no frames"):
        list(UnitCorpus(path, codebook, {"u0": frames["u0"]}))
    with pytest.raises(DataError, match="units but 3 frames"):
        list(UnitCorpus(path, codebook, {"u0": frames["u0"][:3]}))
    with pytest.raises(DataError, match="frames have 7 dimensions, codewords 8"):
        list(UnitCorpus(path, codebook, {"u0": frames["u0"][:, 1:]}))
    with pytest.raises(DataError, match="no units to segment"):
        sample(UnitCorpus(write_unit_file(tmp_path / "e.jsonl", {}, codes=20)))


def test_an_empty_utterance_stays_empty():
    got = UtteranceCosts(UnitLine.of_frames("u", [])).segments(1.0)
    assert (len(got.codes), got.distance) == (0, 0.0)


@pytest.mark.parametrize("name", ["codebook", "frames"])
def test_identity_takes_neither_codebook_nor_frames(name, tmp_path, capsys):
    files(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(
            [
                "segment",
                str(next(tmp_path.glob("*.jsonl"))),
                str(tmp_path / "long"),
                "--identity",
                f"--{name}",
                "no.npy",
            ]
        )
    assert end.value.code == 1
    assert f"--identity uses neither codebook nor frames; leave out --{name}" in capsys.readouterr().err


def test_the_verb_knows_what_its_units_were_made_of(tmp_path, monkeypatch, capsys):
    files(tmp_path)  # units.jsonl
    monkeypatch.chdir(tmp_path)

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["segment", str(next(tmp_path.glob("*.jsonl"))), "out/long.jsonl", "--identity", *more])
        return int(end.value.code)

    assert run("--penalty", "2") == 0
    before = (tmp_path / "out" / "long.jsonl").read_bytes()
    assert run("--penalty", "2") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "out/long.jsonl: unchanged"
    assert run("--penalty", "3") == 1
    assert "made of something else (penalty: 2.0 there, 3.0 here); --renew makes it anew" in capsys.readouterr().err
    assert (tmp_path / "out" / "long.jsonl").read_bytes() == before
    assert run("--penalty", "0.1", "--renew") == 0
    assert (tmp_path / "out" / "long.jsonl").read_bytes() != before
