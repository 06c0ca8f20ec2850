"""Unit edit distance, by hand and at its bounds."""

import editdistance
import numpy as np
import pytest
from score_files import write_unit_file

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import DataError
from unitdisc.evaluate.robustness import unit_edit_distance


def test_by_hand_and_equal_to_editdistance(tmp_path):
    rng = np.random.default_rng(0)
    clean = {f"u{n}": np.repeat(rng.integers(0, 9, 20), 2) for n in range(10)}
    noisy = {
        u: np.where(rng.random(len(x)) < 0.2, rng.integers(0, 9, len(x)), x)[n:]
        for n, (u, x) in enumerate(clean.items())
    }
    one = write_unit_file(tmp_path / "clean.jsonl", clean, 9)
    other = write_unit_file(tmp_path / "noise-10.jsonl", noisy, 9)
    strings = {u: (UnitLine.of_frames(u, clean[u]).units, UnitLine.of_frames(u, noisy[u]).units) for u in clean}
    wanted = sum(editdistance.eval(a.tolist(), b.tolist()) for a, b in strings.values())
    score = unit_edit_distance(one, other)
    assert score.value == wanted / sum(len(a) for a, _ in strings.values())
    assert score.definition == "unit-edit-distance-noise-10"
    assert score.interval.low < score.value < score.interval.high
    same = unit_edit_distance(one, one, "nothing")
    assert same.value == 0
    assert same.parts["exactly equal utterances"] == 10


def test_every_utterance_counts_in_any_order(tmp_path):
    many = {f"u{n:04}": np.arange(2) for n in range(4200)}
    one = write_unit_file(tmp_path / "many.jsonl", many, 3)
    assert unit_edit_distance(one, one, "x", resamples=2).parts["exactly equal utterances"] == 4200
    clean = write_unit_file(tmp_path / "a.jsonl", {u: np.arange(3) for u in "abc"}, 3)
    head, *lines, last = clean.read_text().splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join([head, *reversed(lines), last]))
    score = unit_edit_distance(clean, tmp_path / "b.jsonl")
    assert (score.value, score.counts.used["utterances"]) == (0, 3)


@pytest.mark.parametrize("key", ["change", "perturbation"])  # as it is called, and as version 0.1.0 called it
def test_the_changed_file_names_its_change(key: str, tmp_path):
    clean = write_unit_file(tmp_path / "a.jsonl", {"a": np.arange(3)}, 3)
    header = UnitHeader(0.02, (3,), codebook="c0", origin={key: "gain-up"})
    write_units(tmp_path / "b.jsonl", header, [UnitLine.of_frames("a", [0, 1, 1, 1])])
    score = unit_edit_distance(clean, tmp_path / "b.jsonl")
    assert (score.definition, score.value) == ("unit-edit-distance-gain-up", 1 / 3)


def test_files_that_do_not_belong_together(tmp_path):
    clean = write_unit_file(tmp_path / "a.jsonl", {"a": np.arange(3), "b": np.arange(3)}, 3)
    with pytest.raises(DataError, match=r"codebook c0.*of c1"):
        unit_edit_distance(clean, write_unit_file(tmp_path / "b.jsonl", {"a": np.arange(3)}, 3, codebook="c1"))
    with pytest.raises(DataError, match="lacks 1 of the 2"):
        unit_edit_distance(clean, write_unit_file(tmp_path / "b.jsonl", {"a": np.arange(3), "c": np.arange(2)}, 3))
    with pytest.raises(DataError, match="no utterance of"):
        unit_edit_distance(clean, write_unit_file(tmp_path / "b.jsonl", {"x": np.arange(3)}, 3))
    with pytest.raises(DataError, match=r"period of 0\.01 s"):
        unit_edit_distance(clean, write_unit_file(tmp_path / "b.jsonl", {"a": np.arange(3)}, 3, period=0.01))
    none = write_unit_file(tmp_path / "n.jsonl", {"a": np.zeros(0, int)}, 3)
    with pytest.raises(DataError, match="no units to compare"):
        unit_edit_distance(none, none)
