"""PER by mapping: the mapping, the strings and the edits, by hand and against the definition."""

import itertools

import editdistance
import numpy as np
import pytest
from score_files import write_alignment, write_unit_file

from unitdisc.data.units import UnitLine
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import Aligned, AlignedUnits, Labeller, Labels
from unitdisc.evaluate.mapping import NOTHING, UnitMapping, fit_mapping, merged
from unitdisc.evaluate.per import mapping_per

NAMES = ["SIL", "a", "b", "c"]


def frames(text: str) -> np.ndarray:
    return np.array([int(c) for c in text])


def pair(units: str, phones: str) -> Aligned:
    labels = Labels(frames(phones), merged(frames(phones)), np.zeros(1))
    return Aligned(UnitLine.of_frames("u", frames(units)), labels)


def test_mapping_takes_the_majority_and_the_first_on_a_tie():
    mapping = fit_mapping([pair("000112223", "001121110")], 4)
    assert mapping(np.array([0, 1, 2, 3])).tolist() == [0, 1, 1, 0]
    assert mapping(np.array([9])).tolist() == [1]  # never seen: the most frequent phone


def test_one_to_one_matches_the_most_frames():
    rng = np.random.default_rng(0)
    for _ in range(20):
        units, phones = rng.integers(0, 5, 30), rng.integers(0, 3, 30)
        labels = Labels(phones, phones, np.zeros(1))
        mapping = fit_mapping([Aligned(UnitLine.of_frames("u", units), labels)], 3, "one-to-one")
        best = max(
            sum(int(((units == u) & (phones == p)).sum()) for p, u in enumerate(choice))
            for choice in itertools.permutations(range(5), 3)
        )
        mapped = mapping(units)
        assert (mapped == phones).sum() == best
        used = mapped[mapped != NOTHING]
        assert len(np.unique(used)) == len({u for u in units if mapping(np.array([u]))[0] != NOTHING})


def corpus(tmp_path, phones: dict[str, str], units: dict[str, str], stem: str = "a", **options) -> AlignedUnits:
    alignment = write_alignment(tmp_path / f"{stem}.ctm", {u: frames(p) for u, p in phones.items()}, NAMES)
    path = write_unit_file(tmp_path / f"{stem}.jsonl", {u: frames(s) for u, s in units.items()}, codes=10, **options)
    return AlignedUnits(path, Labeller(alignment))


def test_per_by_hand(tmp_path):
    train = corpus(tmp_path, {"t": "00112233"}, {"t": "88112233"}, "train")
    test = corpus(tmp_path, {"x": "0011220033", "y": "11110000"}, {"x": "8811338833", "y": "11221188"})
    score = mapping_per(test, train)
    # x: a b . c is read as a c . c; y: a is read as a b a
    assert score.parts == {"substitutions": 1, "insertions": 2, "deletions": 0, "phones": 4}
    assert score.value == 0.75
    assert score.definition == "per-mapping-many-to-one-nosil"
    kept = mapping_per(test, train, silence="keep")
    assert kept.definition == "per-mapping-many-to-one-sil"
    assert kept.value == 3 / 7  # SIL a b SIL c, a SIL
    assert score.hashes["train-alignment"] != score.hashes["alignment"]


def test_oracle_names_itself_and_is_never_worse_on_frames(tmp_path):
    test = corpus(tmp_path, {"x": "111222333"}, {"x": "555666777"})
    score = mapping_per(test, None)
    assert score.value == 0
    assert score.definition == "per-mapping-many-to-one-oracle-nosil"
    assert score.options["oracle"] is True


def test_random_corpora_equal_editdistance(tmp_path):
    rng = np.random.default_rng(3)
    phones = {f"u{n}": np.repeat(rng.integers(0, 4, 15), 2) for n in range(8)}
    units = {u: np.where(rng.random(len(p)) < 0.7, p, rng.integers(0, 6, len(p))) for u, p in phones.items()}
    path = write_unit_file(tmp_path / "u.jsonl", units, codes=6)
    labeller = Labeller(write_alignment(tmp_path / "a.ctm", phones, ["a", "b", "c", "d"]))
    pairs = AlignedUnits(path, labeller)
    mapping = fit_mapping(pairs, 5)
    errors = total = 0
    for u in phones:
        wanted = merged(phones[u])  # the alignment's file has the runs of equal phones as one
        errors += editdistance.eval(wanted.tolist(), merged(mapping(units[u])).tolist())
        total += len(wanted)
    assert mapping_per(pairs, None, silence="keep").value == errors / total


def test_phones_are_matched_by_name_across_alignments(tmp_path):
    train = corpus(tmp_path, {"t": "1122"}, {"t": "5566"}, "train")  # knows a and b only: other numbers
    write_alignment(tmp_path / "a.ctm", {"x": frames("332211")}, NAMES)
    test = AlignedUnits(
        write_unit_file(tmp_path / "a.jsonl", {"x": frames("776655")}, codes=10), Labeller(tmp_path / "a.ctm")
    )
    score = mapping_per(test, train)
    assert score.parts["substitutions"] + score.parts["deletions"] == 1  # c alone is lost
    assert score.counts.used["frames of units unseen in fitting"] == 2


def test_repeated_phones_of_the_alignment_stay_two(tmp_path):
    (tmp_path / "p.ctm").write_text("x 1 0.00 0.04 a\nx 1 0.04 0.04 a\nx 1 0.08 0.04 b\n")
    path = write_unit_file(tmp_path / "u.jsonl", {"x": frames("111122")}, codes=3)
    score = mapping_per(AlignedUnits(path, Labeller(tmp_path / "p.ctm")), None)
    assert score.parts == {"substitutions": 0, "insertions": 0, "deletions": 1, "phones": 3}


def test_units_of_two_codebooks_are_refused(tmp_path):
    train = corpus(tmp_path, {"t": "11"}, {"t": "11"}, "train", codebook="other")
    test = corpus(tmp_path, {"x": "11"}, {"x": "11"})
    with pytest.raises(DataError, match=r"codebook other.*of c0"):
        mapping_per(test, train)


def test_other_mistakes_say_what_is_wrong(tmp_path):
    test = corpus(tmp_path, {"x": "00"}, {"x": "11"})
    with pytest.raises(DataError, match="all silence"):
        mapping_per(test, None)
    with pytest.raises(DataError, match="many-to-one or one-to-one"):
        mapping_per(test, None, kind="some")
    with pytest.raises(DataError, match="kept or dropped"):
        mapping_per(test, None, silence="no")
    alignment = write_alignment(tmp_path / "other.ctm", {"t": frames("11")}, ["x", "y"])
    path = write_unit_file(tmp_path / "other.jsonl", {"t": frames("11")}, codes=10)
    other = corpus(tmp_path, {"x": "12"}, {"x": "11"}, "b")
    with pytest.raises(DataError, match="no phone in common"):
        mapping_per(other, AlignedUnits(path, Labeller(alignment)))


def test_mapping_of_nothing_is_an_error():
    with pytest.raises(DataError, match="no frames to fit"):
        fit_mapping([], 3)


def test_units_between_seen_ones_count_as_unseen():
    mapping = UnitMapping("many-to-one", np.array([1, 5]), np.array([7, 8]), 0)
    assert mapping(np.array([0, 1, 3, 5, 9])).tolist() == [0, 7, 0, 8, 0]
