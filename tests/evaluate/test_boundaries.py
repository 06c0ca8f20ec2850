"""Boundary matching equals brute force; its measures equal their closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_scores import maximum_matching as slow_matching
from score_files import write_alignment, write_unit_file

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.boundaries import (
    MATCHINGS,
    MEASURES,
    boundary_scores,
    greedy_matching,
    maximum_matching,
    measures,
    rasanen_matching,
)
from unitdisc.evaluate.mapping import fit_mapping

# Points on a grid of 5 ms, so that distances of exactly the tolerance are common.
POINTS = st.lists(st.integers(0, 60), max_size=12).map(lambda p: np.array(sorted(p)) * 0.005)


@settings(deadline=None, max_examples=300)
@given(POINTS, POINTS)
def test_maximum_matching_equals_brute_force(found, true):
    hits = maximum_matching(found, true).true
    assert hits == slow_matching(found, true, 0.02)
    assert hits == maximum_matching(true, found).true
    assert hits <= min(len(found), len(true))
    assert greedy_matching(found, true).true <= hits
    assert rasanen_matching(found, np.unique(true)).true <= len(true)


def test_a_tight_pair_that_greedy_loses():
    found, true = np.array([0.02, 0.03]), np.array([0.0, 0.02])
    assert maximum_matching(found, true).true == 2
    assert greedy_matching(found, true).true == 1


def test_rasanen_regions_end_in_the_middle():
    true = np.array([0.10, 0.12])
    assert rasanen_matching(np.array([0.105]), true).true == 1
    assert rasanen_matching(np.array([0.085, 0.09]), true).true == 1  # two in one region count once
    assert rasanen_matching(np.array([0.11]), true).true == 1  # right on the middle: one of the two
    assert rasanen_matching(np.array([0.105, 0.115]), true).true == 2
    assert rasanen_matching(np.array([]), true).true == 0


def test_measures_in_closed_form():
    got = dict(zip(MEASURES, measures(np.array([[6.0, 6, 8, 10]]))[0], strict=True))
    assert got["precision"] == 0.75
    assert got["recall"] == 0.6
    assert got["f1"] == pytest.approx(2 / 3)
    assert got["os"] == pytest.approx(-0.2)
    r1, r2 = math.hypot(0.4, -0.2), (0.6 - 1 + 0.2) / math.sqrt(2)
    assert got["r-value"] == pytest.approx(1 - (abs(r1) + abs(r2)) / 2)
    perfect = measures(np.array([[5.0, 5, 5, 5]]))[0]
    assert perfect.tolist() == [1, 1, 1, 0, 1]
    assert measures(np.array([[0.0, 0, 0, 5]]))[0, :4].tolist() == [0, 0, 0, -1]  # nothing found
    assert measures(np.array([[0.0, 0, 5, 5]]))[0, :4].tolist() == [0, 0, 0, 0]  # nothing right


def files(tmp_path, phones, units, codes=9, names="abcd"):
    labeller = Labeller(write_alignment(tmp_path / "phones.ctm", phones, list(names)))
    return AlignedUnits(write_unit_file(tmp_path / "units.jsonl", units, codes), labeller)


def test_units_that_are_phones_have_their_boundaries(tmp_path):
    rng = np.random.default_rng(0)
    phones = {f"u{n}": np.repeat(rng.permutation(4), rng.integers(3, 6, 4)) for n in range(6)}
    pairs = files(tmp_path, phones, phones)
    assert [s.value for s in boundary_scores(pairs, tolerance=0.0)] == pytest.approx([1, 1, 1, 0, 1])
    score = boundary_scores(pairs)[-1]
    assert score.definition == "boundary-r-value-units-20ms"
    assert score.parts == {"matched": 18, "matched true": 18, "found": 18, "true": 18}
    assert score.interval.low <= 1 <= score.interval.high


def test_two_units_per_phone_split_units_but_not_mapped_phones(tmp_path):
    phones = {f"u{n}": np.repeat([0, 1, 2], 8) for n in range(3)}
    units = {u: 2 * p + np.tile([0, 0, 0, 0, 1, 1, 1, 1], 3) for u, p in phones.items()}
    pairs = files(tmp_path, phones, units)
    mapping = fit_mapping(pairs, len(pairs.labeller.names))
    by_unit = {s.name: s.value for s in boundary_scores(pairs)}
    assert (by_unit["recall"], by_unit["precision"]) == (1.0, 0.4)
    assert {s.name: s.value for s in boundary_scores(pairs, mapping, name="mapped")}["f1"] == 1.0


def test_ends_are_left_out(tmp_path):
    # The only changes lie one frame (20 ms) from the ends, on both sides.
    phones = {"a": np.repeat([0, 1, 2, 0], [1, 5, 5, 1])}
    pairs = files(tmp_path, phones, phones)
    assert boundary_scores(pairs)[0].parts == {"matched": 1, "matched true": 1, "found": 1, "true": 1}


def test_bad_options_and_no_boundaries_are_errors(tmp_path):
    phones = {"a": np.zeros(10, int)}
    pairs = files(tmp_path, phones, phones)
    with pytest.raises(DataError, match="no boundary"):
        boundary_scores(pairs)
    with pytest.raises(DataError, match="matched by maximum, rasanen, greedy"):
        boundary_scores(pairs, match="best")
    with pytest.raises(DataError, match="0 s or more"):
        boundary_scores(pairs, tolerance=-1)
    assert set(MATCHINGS) == {"maximum", "rasanen", "greedy"}
