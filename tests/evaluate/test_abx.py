"""ABX: equal to the oracle for any input, to fastabx's golden values, and right at its ends."""

import json
import os
import subprocess

import numpy as np
import pytest
import reference_abx as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import FIXTURES

from unitdisc import evaluate
from unitdisc.errors import DataError
from unitdisc.evaluate import abx_distance, abx_plain, abx_space
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.frames import ArrayFrames
from unitdisc.evaluate.items import Items

Rows = list[tuple[str, float, float, str, str, str, str]]
MODES = [(speaker, context) for speaker in ("within", "across") for context in ("within", "any")]
DISTANCES = ["angular", "euclidean", "kl", "identical", "edit"]


def made_up(seed: int, distance: str, files: int = 6, frames: int = 40) -> tuple[Rows, dict[str, np.ndarray]]:
    """Items that tile files of three speakers, with frames without meaning."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    features = {}
    for place in range(files):
        file, end = f"f{place}", 0
        while end < frames:
            start, end = end, min(end + int(rng.integers(1, 9)), frames)
            phone, before = f"p{rng.integers(3)}", f"c{rng.integers(2)}"
            rows.append((file, start / 100, end / 100, phone, before, "d", f"s{place % 3}"))
        features[file] = rng.standard_normal((frames, 5)).astype(np.float32)
        if distance == "kl":
            features[file] = np.abs(features[file]) / np.abs(features[file]).sum(1, keepdims=True)
        if distance in ("identical", "edit"):
            features[file] = rng.integers(0, 5, (frames, 1))
    return rows, features


def abx(rows: Rows, features: dict[str, np.ndarray], *options: object, workers: int = 1) -> float:
    return score(rows, features, *options, workers=workers).value


def score(rows: Rows, features: dict[str, np.ndarray], *options: object, workers: int = 1):
    frames = ArrayFrames(features, 0.01)
    return score_abx(frames, Items.of_rows(rows), options=AbxOptions(*options), workers=workers)  # type: ignore[arg-type]


@pytest.fixture(params=["pair by pair", "in lanes", "by NumPy"])
def way(request, monkeypatch) -> None:
    """Score all tiles by the way for small ones, by that for large ones, or by that for few items."""
    monkeypatch.setattr(evaluate.abx, "LITTLE", np.inf if request.param == "by NumPy" else -1)
    monkeypatch.setattr(abx_distance, "SMALL", np.inf if request.param == "pair by pair" else 0)


@pytest.mark.parametrize(("speaker", "context"), MODES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_abx_is_its_definition(way, distance, speaker, context):
    rows, features = made_up(1, distance)
    expected = reference.abx(rows, features, 0.01, speaker, context, distance)
    assert abx(rows, features, speaker, context, distance, None, None) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from(MODES), st.sampled_from(["identical", "edit"]), st.integers(1, 12))
def test_ties_are_halves_for_any_units(way, seed, mode, distance, frames):
    rows, features = made_up(seed, distance, 5, frames)
    expected = reference.abx(rows, features, 0.01, *mode, distance)
    if np.isnan(expected):
        with pytest.raises(DataError, match="no A, B and X"):
            abx(rows, features, *mode, distance, None, None)
    else:
        assert abx(rows, features, *mode, distance, None, None) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["angular", "euclidean", "kl"]), st.integers(1, 70), st.integers(1, 50))
def test_distances_of_items_are_the_oracles(seed, distance, lengths, items):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, lengths + 1, items + 3)
    edges = np.r_[0, np.cumsum(count)]
    frames = (np.abs(rng.standard_normal((edges[-1], 4))) + 1e-3).astype(np.float32)
    frames /= frames.sum(1, keepdims=True)
    space = abx_space.make_space(distance, frames, edges[:-1], count)
    columns = np.arange(3, items + 3)
    packs = abx_distance.make_packs(space.first[columns], space.count[columns])
    found = abx_distance.distances(space, np.arange(3), packs, items)
    pieces = np.split(frames, edges[1:-1])
    rows = np.repeat(np.arange(3), items)
    np.testing.assert_allclose(
        found, abx_plain.distances(space, rows, np.tile(columns, 3)).reshape(3, -1), atol=3e-6, rtol=1e-4
    )
    some = rng.choice(items, min(items, 5), replace=False)
    wanted = [[reference.sequence_distance(pieces[x], pieces[3 + y], distance) for y in some] for x in range(3)]
    np.testing.assert_allclose(found[:, some], wanted, atol=3e-6, rtol=1e-4)


def test_equal_and_close_frames_far_from_the_mean_have_exact_euclidean_distances():
    """Items that overlap share frames: a distance of 0 must not come out as the rounding of long vectors' squares."""
    rng = np.random.default_rng(0)
    frames = (1000 * rng.standard_normal((400, 39))).astype(np.float32)
    frames[200:] = frames[:200] + (0.01 * rng.standard_normal((200, 39))).astype(np.float32)
    first, count = np.array([0, 200]), np.array([1, 1])
    for start in range(0, 200, 7):
        space = abx_space.make_space("euclidean", frames, first + start, count)
        packs = abx_distance.make_packs(space.first, space.count)
        found = abx_distance.distances(space, np.arange(2), packs, 2)
        wanted = [[reference.euclidean(frames[x], frames[y]) for y in first + start] for x in first + start]
        np.testing.assert_allclose(found, wanted, rtol=3e-3, atol=0)  # frames of 1000 are stored to 6e-5
        plain = abx_plain.distances(space, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
        np.testing.assert_allclose(plain.reshape(2, 2), wanted, rtol=3e-3, atol=0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from(MODES), st.sampled_from([*DISTANCES, "quantised"]))
def test_numpy_and_the_compiled_loops_count_the_same_errors(monkeypatch, seed, mode, distance):
    rows, features = made_up(seed, distance, 4, 30)
    if distance == "quantised":  # many distances are equal
        codewords = np.random.default_rng(seed).integers(0, 3, (4, 3)).astype(np.float32)
        features = {name: codewords[(frames[:, 0] > 0) * 2 + (frames[:, 1] > 0)] for name, frames in features.items()}
    options = (*mode, "angular" if distance == "quantised" else distance, None, None)
    found = []
    for little in (np.inf, -1):
        monkeypatch.setattr(evaluate.abx, "LITTLE", little)
        try:
            found.append(score(rows, features, *options).to_json())
        except DataError as error:
            found.append({"error": str(error)})
    assert found[0] == found[1]


def golden() -> tuple[Rows, dict[str, dict[str, np.ndarray]], list[dict]]:
    record = json.loads((FIXTURES / "abx_golden.json").read_text())
    rows: Rows = [(f[0], float(f[1]), float(f[2]), *f[3:]) for f in map(str.split, record["items"][1:])]  # type: ignore[misc]
    features: dict[str, dict[str, np.ndarray]] = {}
    with np.load(FIXTURES / "abx_golden.npz") as arrays:
        for name in arrays:
            distance, file = name.split("/")
            features.setdefault(distance, {})[file] = arrays[name]
    positive = {file: np.abs(frames) for file, frames in features["euclidean"].items()}
    features["kl"] = {file: frames / frames.sum(1, keepdims=True) for file, frames in positive.items()}
    return rows, features, record["golden"]


def test_abx_equals_fastabx(way):
    rows, features, values = golden()
    values = [value for value in values if value["distance"] in features and value["distance"] != "codewords"]
    assert len(values) == 16
    for value in values:
        mode = value["speaker"], value["context"], value["distance"]
        assert abx(rows, features[value["distance"]], *mode, None, None) == pytest.approx(value["abx"], abs=1e-6), mode


def test_abx_of_codewords_is_fastabxs_where_equal_paths_tie_and_near_it_where_they_do_not(way):
    """Given the codewords' distances as a table, fastabx ties as we do; given vectors, it breaks ties by rounding."""
    rows, features, values = golden()
    straight = np.vstack([np.eye(3), -np.eye(3)]).astype(np.float32)
    codewords = {"codewords": straight, "ties at random": features["turned"]["codewords"]}
    apart = []
    for value in values:
        if value["distance"] in codewords:
            vectors = {file: codewords[value["distance"]][unit[:, 0]] for file, unit in features["codewords"].items()}
            mine = abx(rows, vectors, value["speaker"], value["context"], "angular", None, None)
            apart.append((value["distance"], abs(mine - value["abx"])))
    assert [name for name, _ in apart] == 4 * ["codewords"] + 4 * ["ties at random"]
    assert max(difference for _, difference in apart[:4]) < 1e-6
    assert 1e-5 < max(difference for _, difference in apart[4:]) < 0.02


@pytest.mark.slow
@pytest.mark.skipif("UNITDISC_FASTABX" not in os.environ, reason="UNITDISC_FASTABX names no Python that has fastabx")
def test_the_golden_values_can_be_made_again(tmp_path):
    script = [os.environ["UNITDISC_FASTABX"], str(FIXTURES / "make_abx_golden.py"), str(tmp_path)]
    subprocess.run(script, check=True)
    made, kept = (json.loads((folder / "abx_golden.json").read_text()) for folder in (tmp_path, FIXTURES))
    assert made["items"] == kept["items"]
    for one, two in zip(made["golden"], kept["golden"], strict=True):
        same = 0.02 if one["distance"] == "ties at random" else 1e-7  # the former by another machine's rounding
        assert one.pop("abx") == pytest.approx(two.pop("abx"), abs=same)
        assert one == two


@pytest.mark.parametrize(("speaker", "context"), MODES)
def test_perfect_features_make_no_error_and_constant_ones_tie(way, speaker, context):
    rows, _ = made_up(3, "angular")
    spoken = {file: np.zeros((40, 3), np.float32) for file in {row[0] for row in rows}}
    for file, onset, offset, phone, *_ in rows:
        spoken[file][round(onset * 100) : round(offset * 100), int(phone[1:])] = 1
    assert abx(rows, spoken, speaker, context) == 0
    assert abx(rows, spoken, speaker, context, "euclidean") == 0
    same = {file: np.ones((40, 3), np.float32) for file in spoken}
    assert abx(rows, same, speaker, context) == 0.5


def test_random_features_are_at_chance_within_the_interval():
    inside = 0
    for seed in range(10):
        rows, features = made_up(seed, "angular", 24, 100)
        rows = [(*row[:6], f"s{int(row[0][1:]) % 8}") for row in rows]
        one = score(rows, features, "across", "any")
        assert one.value == pytest.approx(0.5, abs=0.03)
        assert one.interval is not None
        inside += one.interval.low - 0.005 <= 0.5 <= one.interval.high + 0.005
    assert inside >= 8


def test_workers_item_order_and_block_sizes_change_nothing(monkeypatch):
    rows, features = made_up(5, "angular")
    mode = ("across", "any", "angular", None, None)
    monkeypatch.setattr(evaluate.abx, "LITTLE", -1)
    monkeypatch.setattr(abx_distance, "SMALL", 0)
    expected = abx(rows, features, *mode)
    assert abx(rows, features, *mode, workers=3) == expected
    assert abx(rows[::-1], features, *mode) == pytest.approx(expected, abs=1e-12)
    for name, size in (("BLOCK_ROWS", 1), ("BLOCK_COLUMNS", 16), ("TILE_DISTANCES", 1)):
        monkeypatch.setattr(abx_distance, name, size)
    assert abx(rows, features, *mode) == pytest.approx(expected, abs=1e-12)


def test_drawing_is_bounded_seeded_and_reported():
    rows, features = made_up(6, "angular", 30, 60)
    rows = [(*row[:6], f"s{int(row[0][1:]) % 10}") for row in rows]
    drawn = score(rows, features, "across", "any", "angular", 2, 3, 1)
    assert drawn.counts.used["cells"] == 10 * 3 * 2 * 3  # speakers, ordered pairs of phones, speakers of X
    assert drawn.counts.used["triplets"] == 180 * 2**3
    assert drawn.options["max_group"] == 2
    assert drawn.options["max_x_across"] == 3
    assert drawn.options["seed"] == 1
    again, other = (score(rows, features, "across", "any", "angular", 2, 3, seed).value for seed in (1, 2))
    assert again == drawn.value != other
    whole = score(rows, features, "across", "any", "angular", None, None).value
    many = [abx(rows, features, "across", "any", "angular", 5, 3, seed) for seed in range(20)]
    assert np.mean(many) == pytest.approx(whole, abs=4 * np.std(many) / np.sqrt(20) + 1e-3)


def test_options_large_enough_change_nothing():
    rows, features = made_up(8, "angular")
    for mode in MODES:
        whole = abx(rows, features, *mode, "angular", None, None)
        assert abx(rows, features, *mode, "angular", 999, 999, 5) == pytest.approx(whole, abs=1e-12)


def test_a_phone_of_one_speaker_does_not_count_across_speakers_and_is_still_a_b():
    rows, features = made_up(9, "angular")
    rows += [("f0", 0.0, 0.04, "only", "c0", "d", "s0"), ("f0", 0.1, 0.14, "only", "c0", "d", "s0")]
    expected = reference.abx(rows, features, 0.01, "across", "any", "angular")
    one = score(rows, features, "across", "any", "angular", None, None)
    assert one.value == pytest.approx(expected, abs=1e-12)
    assert one.value != abx(rows[:-2], features, "across", "any", "angular", None, None)


def test_quantised_frames_tie_exactly(way):
    """Products of equal vectors differ from 1 by rounding, whose arccos is 1e-4: a table has no such noise."""
    rng = np.random.default_rng(0)
    codewords = rng.standard_normal((7, 16)).astype(np.float32)
    rows, units = made_up(2, "identical")
    vectors = {file: codewords[frames[:, 0]] for file, frames in units.items()}
    for mode in MODES:
        expected = reference.abx(rows, vectors, 0.01, *mode, "angular")
        assert abx(rows, vectors, *mode, "angular", None, None) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "options", "cause"),
    [
        ([("p", "s"), ("p", "s")], ("within", "any"), "all are of the phone 'p'"),
        ([("p", "s"), ("q", "s")], ("across", "any"), "all are of the speaker 's'; use --speaker within"),
        ([("p", "s"), ("q", "s")], ("within", "any"), "no phone occurs twice"),
        ([("p", "s"), ("q", "t")], ("across", "any"), "no two phones share speaker and context"),
        ([("p", "s"), ("q", "s"), ("r", "t")], ("across", "any"), "no phone has a second speaker"),
        (
            [("p", "s"), ("p", "s"), ("q", "s")],
            ("within", "any", "angular", 1),
            "--max-group must be none or at least 2",
        ),
        ([("p", "s"), ("p", "s"), ("q", "s")], ("within", "any", "angular", 2, 0), "--max-x-across must be"),
    ],
)
def test_what_cannot_be_scored_says_why(rows, options, cause):
    items: Rows = [("f", 0.0, 0.04, phone, "c", "d", speaker) for phone, speaker in rows]
    with pytest.raises(DataError, match=cause):
        abx(items, {"f": np.ones((4, 2), np.float32)}, *options)


def test_few_items_are_warned_of_and_many_are_not():
    rows, features = made_up(1, "angular")
    few = score(rows, features, "within", "any")
    assert few.counts.used["items in cells"] < 200
    [warning] = few.parts["warnings"]
    assert f"only {few.counts.used['items in cells']} of {len(rows)} items can be A, B or X" in warning
    rows, features = made_up(1, "angular", files=60)
    many = score(rows, features, "within", "any", "angular", None)
    assert many.counts.used["items in cells"] >= 200
    assert many.parts["warnings"] == []


def test_the_hash_of_features_is_of_the_frames_not_of_what_holds_them(tmp_path):
    rows, features = made_up(1, "angular")
    score = score_abx(ArrayFrames(features, 0.01), Items.of_rows(rows))
    for file, frames in features.items():
        np.save(tmp_path / f"{file}.npy", frames)
    np.save(tmp_path / "another.npy", features["f0"] + 1)  # no item names it
    stored = score_abx(tmp_path, Items.of_rows(rows), 0.01)
    assert stored.hashes["features"] == score.hashes["features"]
    features["f0"][3, 2] += 1e-3
    other = score_abx(ArrayFrames(features, 0.01), Items.of_rows(rows))
    assert other.hashes["features"] != score.hashes["features"]


def test_distances_refuse_frames_that_are_not_theirs():
    rows, vectors = made_up(1, "angular")
    _, units = made_up(1, "identical")
    with pytest.raises(DataError, match="kl compares probabilities: expected frames of numbers >= 0 that sum to 1"):
        abx(rows, vectors, "within", "any", "kl")
    with pytest.raises(DataError, match="identical compares units, one number a frame; these have 5"):
        abx(rows, vectors, "within", "any", "identical")
    with pytest.raises(DataError, match="angular needs vectors, and these are units"):
        abx(rows, units, "within", "any", "angular")
    with pytest.raises(DataError, match="codebook needs a unit file"):
        abx(rows, vectors, "within", "any", "codebook")
