"""Units beside alignments: phones per frame and in order, and every way in which the two do not belong together."""

import numpy as np
import pytest
from score_files import write_alignment, write_unit_file

from unitdisc.data.alignment import Interval, silences_of
from unitdisc.data.phones import SILENCES, plain
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.items import make_items

NAMES = ["SIL", "a", "b"]


def labels(intervals, frames, **options):
    labeller = Labeller({"x": [Interval(*i) for i in intervals]}, **options)
    return labeller, labeller.labels(labeller.alignment["x"], frames, 0.02)


def test_gaps_and_silences_are_one_silence():
    labeller, got = labels([(0.04, 0.08, "b"), (0.08, 0.1, "sil"), (0.14, 0.2, "a")], 12)
    sil = labeller.silence
    assert labeller.names == ["a", "b", "SIL"]
    assert got.frames.tolist() == [sil, sil, 1, 1, sil, sil, sil, 0, 0, 0, sil, sil]
    assert got.phones.tolist() == [sil, 1, sil, 0, sil]
    assert got.edges == pytest.approx([0, 0.04, 0.08, 0.14, 0.2, 0.24])


def test_a_phone_that_is_called_like_silence_stays_apart_from_it():
    spans = [(0.0, 0.04, "SIL"), (0.04, 0.08, "pau"), (0.08, 0.12, "b")]
    labeller, got = labels(spans, 7, silences=["pau"])
    assert labeller.phones == ["SIL", "b"]
    assert got.frames.tolist() == [0, 0, 2, 2, 1, 1, 2]
    assert got.phones.tolist() == [0, 2, 1, 2]
    other, _ = labels([(0.0, 0.04, "a"), (0.04, 0.08, "b"), (0.08, 0.1, "pau")], 5, silences=["pau"])
    assert labeller.numbers_of(other).tolist() == [3, 1, 2]  # a is unknown, silence is silence


def test_silences_are_given_as_a_list_of_labels_that_occur(tmp_path):
    alignment = write_alignment(tmp_path / "a.ctm", {"x": np.arange(3)}, NAMES)
    assert silences_of(None, alignment) == SILENCES
    assert silences_of("a, b", alignment) == {"a", "b"}
    assert silences_of("a,pau", alignment) == {"a", "pau"}  # of another corpus
    assert silences_of("", alignment) == frozenset()
    with pytest.raises(DataError, match=r"--silences pau,sp: none of these labels is in .*a\.ctm; there are SIL, a, b"):
        silences_of("pau,sp", alignment)


def test_silence_is_the_same_for_abx_and_for_the_scores_of_units():
    for label in ("SIL", "sil", "sp", "spn", "+NSN+", "h#", "<eps>", "<p:>", "-"):  # Kaldi, MFA, TIMIT, BAS
        labeller, got = labels([(0.0, 0.04, "a"), (0.04, 0.08, label), (0.08, 0.12, "b")], 6)
        assert labeller.phones == ["a", "b"]
        assert got.phones.tolist() == [0, labeller.silence, 1]
        with pytest.raises(DataError, match="no phone stands between two others"):
            make_items(labeller.alignment, {"x": "speaker"})
    assert {plain(label) for label in SILENCES} == {"SIL"}


def test_plain_phones_have_neither_stress_nor_position():
    names = ("AH0", "IY1", "ER2_E", "AH0_B", "S_I", "SIL_S", "SPN_S", "K", "a2", "ə", "t_w")
    assert [plain(n) for n in names] == ["AH", "IY", "ER", "AH", "S", "SIL", "SIL", "K", "a2", "ə", "t_w"]


def test_gaps_below_a_frame_are_none():
    _, got = labels([(0.01, 0.05, "a"), (0.06, 0.1, "b")], 5)
    assert got.phones.tolist() == [0, 1]


def test_what_lies_past_the_end_is_cut():
    _, got = labels([(0.0, 0.05, "a"), (0.05, 0.5, "b"), (0.5, 0.6, "a")], 5)
    assert got.phones.tolist() == [0, 1]
    assert got.edges[-1] == pytest.approx(0.1)


def files(tmp_path, phones, units, period=0.02, **options):
    alignment = write_alignment(tmp_path / "phones.ctm", phones, NAMES)
    path = write_unit_file(tmp_path / "units.jsonl", units, codes=3, period=period)
    return AlignedUnits(path, Labeller(alignment, **options))


ONES = np.ones(50, int)


def test_utterances_that_lack_something_are_counted(tmp_path):
    pairs = files(tmp_path, {"a": ONES, "d": ONES}, {"a": ONES, "b": ONES, "c": ONES, "d": ONES[:0]})
    assert [p.line.utt for p in pairs] == ["a"]
    assert pairs.counts.used == {"utterances": 1, "frames": 50}
    assert pairs.counts.dropped == {"utterances without alignment": 2, "utterances without frames": 1}
    assert [p.line.utt for p in AlignedUnits(pairs.path, pairs.labeller, {"a"})] == ["a"]
    assert set(pairs.hashes) == {"units", "codebook", "alignment"}


def test_an_empty_alignment(tmp_path):
    with pytest.raises(DataError, match="empty"):
        Labeller({})
    (tmp_path / "a.ctm").write_text("")
    with pytest.raises(DataError, match=r"a\.ctm"):
        Labeller(tmp_path / "a.ctm")


def test_the_alignment_of_another_corpus(tmp_path):
    pairs = files(tmp_path, {"theirs-1": ONES}, {"ours-1": ONES})
    with pytest.raises(DataError, match=r"names like 'theirs-1', got 'ours-1'; is it the alignment of another corpus"):
        list(pairs)
    with pytest.raises(DataError, match="nothing to score: the utterances have no frames"):
        list(files(tmp_path, {"a": ONES}, {"a": ONES[:0]}))
    with pytest.raises(DataError, match="nothing to score: the utterances are none"):
        list(files(tmp_path, {"a": ONES}, {}))


def test_a_wrong_period_or_other_audio(tmp_path):
    half = files(tmp_path, {"a": ONES}, {"a": ONES[:25]})
    with pytest.raises(DataError, match=r"1 of 1 utterances end more than 0\.1 s before.*frame period"):
        list(half)
    assert len(list(AlignedUnits(half.path, Labeller(tmp_path / "phones.ctm", clip=True)))) == 1
    double = files(tmp_path, {"a": ONES}, {"a": ONES}, period=0.04)
    with pytest.raises(DataError, match=r"covers only 1\.0 of the 2\.0 s"):
        list(double)


def test_a_few_longer_alignments_are_counted_not_fatal(tmp_path):
    phones = {f"u{n:03}": ONES for n in range(200)}
    units = dict(phones) | {"u000": ONES[:30]}
    pairs = files(tmp_path, phones, units)
    assert len(list(pairs)) == 199
    assert pairs.counts.dropped == {"utterances shorter than their alignment": 1}


def test_no_such_files(tmp_path):
    with pytest.raises(DataError, match="no such alignment"):
        Labeller(tmp_path / "none.ctm")
    with pytest.raises(DataError, match="no such file; `unitdisc encode` makes one"):
        AlignedUnits(tmp_path / "none.jsonl", Labeller({"a": [Interval(0, 1, "a")]}))
