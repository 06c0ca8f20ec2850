"""Edit distances equal an independent package's and the definition's."""

import editdistance
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_scores import levenshtein

from unitdisc.evaluate.edits import edits

STRINGS = st.lists(st.integers(0, 3), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(STRINGS, STRINGS), max_size=4))
def test_edits_equal_the_definition_and_add_up(pairs):
    references, hypotheses = [np.array(a, int) for a, _ in pairs], [np.array(b, int) for _, b in pairs]
    result = edits(references, hypotheses)
    assert result.total.tolist() == [levenshtein(a, b) for a, b in pairs]
    assert result.lengths.tolist() == [len(a) for a, _ in pairs]
    _, insertions, deletions = result.counts.T
    assert (result.counts >= 0).all()
    assert (insertions - deletions).tolist() == [len(b) - len(a) for a, b in pairs]


def test_long_strings_equal_editdistance():
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 40, rng.integers(1, 400)), rng.integers(0, 40, rng.integers(1, 400))) for _ in range(20)]
    got = edits([a for a, _ in pairs], [b for _, b in pairs]).total
    assert got.tolist() == [editdistance.eval(a.tolist(), b.tolist()) for a, b in pairs]


def test_kinds_of_edits_by_hand():
    a = np.array([1, 2, 3, 4])
    assert edits([a], [np.array([1, 9, 3, 4])]).counts.tolist() == [[1, 0, 0]]
    assert edits([a], [np.array([1, 2, 3, 4, 5, 6])]).counts.tolist() == [[0, 2, 0]]
    assert edits([a], [np.array([1, 4])]).counts.tolist() == [[0, 0, 2]]
    assert edits([np.array([1, 2])], [np.array([2, 1])]).counts.tolist() == [[2, 0, 0]]  # not one in, one out
    assert edits([np.array([], int)], [a]).counts.tolist() == [[0, 4, 0]]


def test_no_utterances_no_edits():
    assert edits([], []).counts.shape == (0, 3)
