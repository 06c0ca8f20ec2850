"""Bitrates equal their closed forms."""

import math

import numpy as np
import pytest
from score_files import write_unit_file

from unitdisc.errors import DataError
from unitdisc.evaluate.bitrate import bitrate_scores, bits_per_second


def values_of(path, **options) -> dict[str, float]:
    return {s.definition: s.value for s in bitrate_scores(path, **options)}


def test_uniform_units_in_closed_form(tmp_path):
    frames = np.repeat(np.arange(8), 5)  # 8 codes of 16, five frames of 20 ms each
    got = values_of(write_unit_file(tmp_path / "u.jsonl", {"a": frames, "b": frames[::-1]}, codes=16))
    assert got["bitrate-zr2020"] == pytest.approx(50 * 3)
    assert got["bitrate-zr2020-dedup"] == pytest.approx(10 * 3)
    assert got["bitrate-with-durations"] == pytest.approx(10 * 3)  # all last equally long: durations tell nothing
    assert got["bitrate-nominal"] == pytest.approx(50 * 4)
    assert got["bitrate-nominal-dedup"] == pytest.approx(10 * 4)
    assert got["frames-per-second"] == 50
    assert got["units-per-second"] == pytest.approx(10)


def test_durations_cost_their_entropy(tmp_path):
    units = {"a": np.repeat([0, 1, 0, 1], [1, 2, 2, 1]), "b": np.repeat([1, 0, 1, 0], [1, 1, 2, 2])}
    got = values_of(write_unit_file(tmp_path / "u.jsonl", units, codes=2))
    seconds = 12 * 0.02
    assert got["bitrate-zr2020-dedup"] == pytest.approx(8 / seconds * 1)
    assert got["bitrate-with-durations"] == pytest.approx(8 / seconds * 2)  # four pairs, equally often


def test_random_units_equal_the_formula(tmp_path):
    rng = np.random.default_rng(0)
    units = {f"u{n}": rng.geometric(0.2, 50) % 9 for n in range(20)}
    path = write_unit_file(tmp_path / "u.jsonl", units, codes=9)
    whole = np.concatenate(list(units.values()))
    p = np.bincount(whole) / len(whole)
    p = p[p > 0]
    got = values_of(path)
    assert got["bitrate-zr2020"] == pytest.approx(-50 * (p * np.log2(p)).sum())
    for score in bitrate_scores(path, resamples=200):
        if score.interval:
            assert score.interval.low <= score.value <= score.interval.high
    assert got["bitrate-nominal"] == pytest.approx(50 * math.log2(9))


def test_one_symbol_carries_nothing():
    assert bits_per_second(np.array([[7.0, 0.0]]), 2.0).tolist() == [0.0]


def test_an_empty_unit_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="has no units"):
        bitrate_scores(write_unit_file(tmp_path / "u.jsonl", {"a": np.zeros(0, int)}, codes=2))
