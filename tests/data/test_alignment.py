"""Alignments of every format, as one type, and as labels of frames."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import reference_data
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import put_grid

from unitdisc.data.alignment import Interval, check_end, cut_at, frame_labels, read_alignment, write_ctm
from unitdisc.data.labels import read_xlabel
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.clusters import cluster_scores


def test_ctm_is_read(tmp_path: Path):
    path = tmp_path / "phones.ctm"
    path.write_text(
        ";; a comment\nb 1 0.00 0.10 SIL\nb 1 0.10 0.25 AH 0.98\na A 10.20 0.10 K\na A 9.80 0.40 ÄH\n", "utf-8"
    )
    alignment = read_alignment(path)
    assert list(alignment) == ["b", "a"]
    assert "a" in alignment
    assert alignment.get("c") is None
    assert alignment["b"] == [(0, 0.1, "SIL"), (0.1, 0.35, "AH")]
    # sorted as text, 10.2 stands before 9.8
    assert alignment["a"] == [Interval(9.8, 10.2, "ÄH"), Interval(10.2, pytest.approx(10.3), "K")]


LABELS = st.text("abcÄ!_", min_size=1, max_size=3)
SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400), LABELS), max_size=8)


def intervals_of(spans) -> list[Interval]:
    """Turn (gap, length, label) in steps of 1 ms into intervals."""
    now, intervals = 0, []
    for gap, length, label in spans:
        now += gap
        intervals.append(Interval(now / 1000, (now + length) / 1000, label))
        now += length
    return intervals


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text("abc-1", min_size=1, max_size=4), SPANS.filter(bool), min_size=1, max_size=5))
def test_any_alignment_comes_back_from_ctm(tmp_path_factory, spans):
    path = tmp_path_factory.mktemp("ctm") / "x.ctm"
    written = {utt: intervals_of(spans[utt]) for utt in sorted(spans)}
    write_ctm(path, written.items())
    read = read_alignment(path)
    assert list(read) == list(written)
    for utt, intervals in written.items():
        assert [i.label for i in read[utt]] == [i.label for i in intervals]
        for one, other in zip(read[utt], intervals, strict=True):
            assert one[:2] == pytest.approx(other[:2], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(SPANS, st.integers(0, 60), st.sampled_from([0.01, 0.02, 0.0125, 0.03]), st.sampled_from([0.0, 0.0075, -0.004]))
def test_frames_are_labelled_by_their_centre(spans, frames, period, offset):
    intervals = intervals_of(spans)
    labels = frame_labels(intervals, frames, period, offset, "sil")
    assert labels == reference_data.frame_labels(intervals, frames, period, offset, "sil")
    assert len(labels) == frames


def test_a_centre_on_a_boundary_belongs_to_what_begins():
    intervals = [Interval(0.0, 0.03, "a"), Interval(0.03, 0.05, "b")]
    assert frame_labels(intervals, 4, 0.02) == ["a", "b", "SIL", "SIL"]  # centres 0.01 0.03 0.05 0.07
    assert frame_labels([], 2, 0.02, silence="sil") == ["sil", "sil"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": expected lines '<utt> <channel> <start> <duration> <label> [<confidence>]', got none"),
        (
            "a 1 0.0 K\n",
            ":1: expected '<utt> <channel> <start> <duration> <label> [<confidence>]', got 'a 1 0.0 K'",
        ),
        (
            "a 1 0.0 0.1 K\na 1 x 0.1 K\n",
            ":2: expected '<utt> <channel> <start> <duration> <label> [<confidence>]', got 'a 1 x 0.1 K'",
        ),
        ("a 1 0.0 -0.1 K\n", ":1: a: expected 0 <= start <= end, got 0 to -0.1 s of 'K'"),
        ("a 1 nan 0.1 K\n", ":1: a: expected 0 <= start <= end, got nan to nan s of 'K'"),
        (
            "a 1 0.0 0.5 K\na 1 0.3 0.5 L\n",
            ":2: a: expected intervals without overlap, got 'L' from 0.3 s after 'K' up to 0.5 s; correct the labels",
        ),
        (
            "a 1 0.0 0.5 K\nb 1 0.0 0.5 K\na 1 0.5 0.5 L\n",
            ":3: expected the lines of 'a' one after the other, got more of them here; "
            "sort the file with `LC_ALL=C sort -s -k1,1 -k3,3n`",
        ),
        (
            "a A 0.0 0.5 K\na B 0.5 0.5 L\n",
            ":2: expected one channel for 'a', got 'A' and 'B'; make the channels utterances of their own",
        ),
        (
            "a 1 0.0 0.5 K\r\n",
            r":1: expected a Unix line end, got a Windows one (\r\n); `unitdisc check --fix` mends it",
        ),
    ],
)
def test_bad_ctm_is_refused_with_file_and_line(tmp_path: Path, text, message):
    path = tmp_path / "x.ctm"
    path.write_bytes(text.encode())
    with pytest.raises(DataError) as error:
        read_alignment(path)["a"]
    assert str(error.value) == f"{path}{message}"


def test_overlaps_of_one_rounding_step_are_trimmed(tmp_path: Path):
    (tmp_path / "x.ctm").write_text("a 1 0.00 0.51 K\na 1 0.50 0.10 L\n")
    assert read_alignment(tmp_path / "x.ctm")["a"] == [(0, 0.5, "K"), (0.5, 0.6, "L")]


def test_an_alignment_past_the_end_is_refused_or_cut():
    intervals = [Interval(0.0, 1.0, "a"), Interval(1.0, 1.2, "b")]
    check_end(intervals, 1.16, "x.ctm: u")  # 50 ms of grace
    with pytest.raises(DataError) as error:
        check_end(intervals, 0.9, "x.ctm: u")
    assert str(error.value) == (
        "x.ctm: u: expected labels within 0.900 s of audio, got 'b' at 1 to 1.2 s; "
        "this alignment belongs to other audio, or the audio was cut"
    )
    assert cut_at(intervals, 0.9) == [Interval(0.0, 0.9, "a")]
    assert cut_at(intervals, 1.1) == [Interval(0.0, 1.0, "a"), Interval(1.0, 1.1, "b")]


def test_textgrids_are_read(tmp_path: Path):
    (tmp_path / "spk").mkdir()
    put_grid(tmp_path / "spk" / "u1.TextGrid", words=[(0.1, 0.5, "hé llo")], phones=[(0.1, 0.2, "h"), (0.2, 0.5, "é")])
    put_grid(tmp_path / "u2.TextGrid", anything=[(0.25, 1.0, "x")])
    phones, words = read_alignment(tmp_path), read_alignment(tmp_path / "spk", "words")
    assert dict(phones) == {"u1": [(0.1, 0.2, "h"), (0.2, 0.5, "é")], "u2": [(0.25, 1.0, "x")]}
    assert dict(words) == {"u1": [(0.1, 0.5, "hé llo")]}
    put_grid(tmp_path / "u2.TextGrid", one=[(0.25, 1.0, "x")], two=[(0.25, 1.0, "x")])
    with pytest.raises(DataError, match=r"u2\.TextGrid: expected one interval tier 'phones', got 'one', 'two'"):
        read_alignment(tmp_path)["u2"]
    (tmp_path / "u2.TextGrid").write_text("no grid\n")
    with pytest.raises(DataError, match="expected a Praat TextGrid, got what cannot be read as one"):
        read_alignment(tmp_path)["u2"]


def test_timit_labels_are_read(tmp_path: Path):
    for speaker in ("FAKS0", "MDAB0"):
        (tmp_path / speaker).mkdir()
        (tmp_path / speaker / "SA1.PHN").write_text("0 1600 h#\n1600 2400 sh\n")
        (tmp_path / speaker / "SA1.WRD").write_text("1600 2400 she\n")
    phones = read_alignment(tmp_path)
    assert list(phones) == ["FAKS0_SA1", "MDAB0_SA1"]
    assert phones["MDAB0_SA1"] == [(0.0, 0.1, "h#"), (0.1, 0.15, "sh")]
    assert read_alignment(tmp_path, "words")["MDAB0_SA1"] == [(0.1, 0.15, "she")]
    assert dict(read_alignment(tmp_path / "FAKS0" / "SA1.PHN")) == {"SA1": phones["FAKS0_SA1"]}
    (tmp_path / "FAKS0" / "SA1.PHN").write_text("0 1600 h#\n1600 sh\n")
    with pytest.raises(DataError, match=r"SA1\.PHN:2: expected '<first sample> <end sample> <label>', got '1600 sh'"):
        read_alignment(tmp_path)["FAKS0_SA1"]


def test_timits_words_that_share_a_phone_meet_where_the_second_begins(tmp_path: Path):
    (tmp_path / "SA1.WRD").write_text("3050 5723 she\n5723 10337 had\n9190 11517 your\n11517 16334 dark\n")
    words = read_alignment(tmp_path, "words")["SA1"]
    assert [(round(start * 16000), round(end * 16000), word) for start, end, word in words] == [
        (3050, 5723, "she"), (5723, 9190, "had"), (9190, 11517, "your"), (11517, 16334, "dark")
    ]  # fmt: skip
    (tmp_path / "SA1.PHN").write_text("0 1600 h#\n1200 2400 sh\n")  # phones do not overlap in TIMIT
    with pytest.raises(DataError, match="expected intervals without overlap"):
        read_alignment(tmp_path)["SA1"]


XLABEL = "signal x\ntype 0\nseparator ;\nnfields 1\n#\n    0.10   -1 _d\t-sth\n    0.20   -1 a\t\t3\n"
XLABEL += "    0.30   -1 \t+sth\n    0.35  125 \xe4 +nas\n    0.40   -1 -lar\n    0.50   -1 .\t-eng]\n"


def test_xlabel_times_are_starts_in_emodb_and_ends_elsewhere(tmp_path: Path):
    (tmp_path / "03a01Faxx.lablaut").write_text(XLABEL, "latin-1")
    expected = [(0.1, 0.2, "_d"), (0.2, 0.35, "a"), (0.35, 0.5, "ä")]  # diacritics change nothing
    assert dict(read_alignment(tmp_path)) == {"03a01Fa": expected}
    ends = [row[1:] for row in read_xlabel(tmp_path / "03a01Faxx.lablaut", "end")]
    assert ends == [(0.0, 0.1, "_d"), (0.1, 0.3, "a"), (0.3, 0.4, "ä"), (0.4, 0.5, ".")]


def test_xlabel_needs_its_header_and_its_numbers(tmp_path: Path):
    path = tmp_path / "a.lab"
    path.write_text("0.1 -1 a\n")
    with pytest.raises(DataError, match=r"a\.lab: expected an xlabel header that ends with a line '#', got none"):
        read_alignment(path)["a"]
    path.write_text("#\n0.1 -1 a\nzero -1 b\n")
    with pytest.raises(DataError, match=r"a\.lab:3: expected '<seconds> <colour> <label>', got 'zero -1 b'"):
        read_alignment(path)["a"]


def test_folders_without_labels_and_with_two_for_one_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected label files with phones"):
        read_alignment(tmp_path)
    with pytest.raises(DataError, match="no such alignment; expected a CTM file or a folder of label files"):
        read_alignment(tmp_path / "x")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        put_grid(tmp_path / folder / "u.TextGrid", phones=[(0.1, 0.2, "h")])
    with pytest.raises(DataError, match=r"expected one label file for each utterance, got .* for 'u' too"):
        read_alignment(tmp_path)


@pytest.mark.skipif("UNITDISC_SPEECH" not in os.environ, reason="set UNITDISC_SPEECH to a folder of corpora")
def test_real_alignments_are_taken_as_they_are():
    root = Path(os.environ["UNITDISC_SPEECH"])
    for name, utts in (
        ("LibriSpeech/phones.ctm", 673),
        ("speechocean762/train/phones.ctm", 1339),
        ("emodb/lablaut", 537),
    ):
        alignment = read_alignment(root / name)
        assert len(alignment) == utts
        for intervals in alignment.values():
            for one, other in pairwise(intervals):
                assert one.start <= one.end <= other.start


# Files of ZeroSpeech and DiscoPhon

DISCOPHON = "#file onset offset #phone\nf-1 0.0 0.12 SIL\nf-1 0.12 0.2 a\nf-1 0.2 0.31 b\nf-2 0.0 0.1 a\n"
ZEROSPEECH = "s01 0.3 0.42 ah\ns01 0.42 0.5 b\ns01 0.7 0.81 ah\ns02 0.0 0.1 k\n"  # of 2017: silence is left out


def test_an_alignment_of_discophon_is_read_by_its_first_line(tmp_path: Path):
    (tmp_path / "alignment-deu-dev.txt").write_text(DISCOPHON)
    alignment = read_alignment(tmp_path / "alignment-deu-dev.txt")
    assert dict(alignment) == {
        "f-1": [(0.0, 0.12, "SIL"), (0.12, 0.2, "a"), (0.2, 0.31, "b")],
        "f-2": [(0.0, 0.1, "a")],
    }
    (tmp_path / "more.txt").write_text("#file speaker_id onset offset #phone\nf x 0 0.1 a\n")
    assert read_alignment(tmp_path / "more.txt")["f"] == [(0.0, 0.1, "a")]
    (tmp_path / "other.txt").write_text("#file onset duration #phone\nf 0 0.1 a\n")
    with pytest.raises(DataError, match="expected the columns '#file onset offset #phone', got"):
        read_alignment(tmp_path / "other.txt")


@pytest.mark.parametrize("name", ["english.phn", "english.txt", "english.wrd"])
def test_an_alignment_of_zerospeech_2017_is_read_by_its_times(name: str, tmp_path: Path):
    (tmp_path / name).write_text(ZEROSPEECH)
    alignment = read_alignment(tmp_path / name)
    assert alignment["s01"] == [(0.3, 0.42, "ah"), (0.42, 0.5, "b"), (0.7, 0.81, "ah")]
    assert list(alignment) == ["s01", "s02"]


def test_times_that_may_be_either_are_refused_with_what_to_do(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("u1 0.1 0.3 a\nu2 0.2 0.5 b\n")
    with pytest.raises(DataError, match=r"may be onset and offset, or start and duration; put the line '#file onset"):
        read_alignment(path)
    path.write_text("#file onset offset #phone\n" + path.read_text())
    assert read_alignment(path)["u1"] == [(0.1, 0.3, "a")]
    path.write_text("u1 0.0 0.3 a\nu1 0.3 0.1 b\nu1 0.4 0.2 a\n")
    with pytest.raises(DataError, match=r"start and duration, without a channel; make it a CTM file: awk"):
        read_alignment(path)


def test_an_item_file_is_no_alignment(tmp_path: Path):
    path = tmp_path / "dev-clean.item"
    path.write_text(
        "#file onset offset #phone prev-phone next-phone speaker\n6295-244435-0009 0.2925 0.4725 IH L NG 6295\n"
    )
    with pytest.raises(DataError, match="is an item file, whose rows are stretches to compare"):
        read_alignment(path)


def test_a_wrong_row_of_them_is_said_with_its_line(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text(DISCOPHON + "f-3 0.0 x a\n")
    with pytest.raises(DataError, match=r"a.txt:6: expected '#file onset offset #phone', got 'f-3 0.0 x a'"):
        dict(read_alignment(path))
    path.write_text(DISCOPHON + "f-1 0.4 0.5 a\n")
    with pytest.raises(DataError, match=r"a.txt:6: .* sort -s -k1,1 -k2,2n"):
        read_alignment(path)


@pytest.mark.parametrize("text", [DISCOPHON, ZEROSPEECH])
def test_scores_are_those_of_the_same_alignment_as_ctm(text: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text(text)
    alignment = read_alignment(tmp_path / "a.txt")
    write_ctm(tmp_path / "a.ctm", alignment.items())
    lines = [UnitLine.of_frames(utt, np.arange(round(rows[-1].end / 0.02)) // 4) for utt, rows in alignment.items()]
    write_units(tmp_path / "u.jsonl", UnitHeader(0.02, (20,)), lines)
    one, two = (
        [
            score.value
            for score in cluster_scores(AlignedUnits(tmp_path / "u.jsonl", Labeller(tmp_path / name)), resamples=0)
        ]
        for name in ("a.txt", "a.ctm")
    )
    assert one == two
