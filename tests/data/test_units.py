"""Unit files: what is written is read, and what is wrong is refused with its line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unitdisc.data.timing import FrameGrid, centre, frames_between
from unitdisc.data.units import (
    UnitHeader,
    UnitLine,
    check_same_codebook,
    read_header,
    read_units,
    units_of,
    write_units,
)
from unitdisc.errors import DataError

HEADER = UnitHeader(period=0.02, codes=(8,), codebook="aa", model="bb")


@given(st.lists(st.integers(0, 7), max_size=40))
def test_deduplication_keeps_every_frame(frames: list[int]):
    line = UnitLine.of_frames("u", frames)
    assert line.frames.tolist() == frames
    assert (np.diff(line.units) != 0).all()


def test_what_is_written_is_read(tmp_path: Path):
    lines = [UnitLine.of_frames("a-ü", [1, 1, 2]), UnitLine.of_frames("b", []), UnitLine.of_frames("c", [7])]
    assert write_units(tmp_path / "units.jsonl", HEADER, lines) == 3
    assert read_header(tmp_path / "units.jsonl") == HEADER
    read = list(read_units(tmp_path / "units.jsonl"))
    assert [line.utt for line in read] == ["a-ü", "b", "c"]
    assert [line.frames.tolist() for line in read] == [[1, 1, 2], [], [7]]


@pytest.mark.parametrize("spelling", ["as it is", "escaped"])
def test_some_utterances_are_found_without_reading_the_others(tmp_path: Path, spelling: str):
    path = tmp_path / "units.jsonl"
    names = ["a", 'a"b', "a-ü", "ab", "units"]
    write_units(path, HEADER, [UnitLine.of_frames(name, [n, n, 2]) for n, name in enumerate(names)])
    if spelling == "escaped":
        path.write_text(path.read_text().replace("ü", "\\u00fc"))
    for wanted in (["a"], ["a-ü", "units"], ['a"b', "nobody"], []):
        assert {u: line.frames.tolist() for u, line in units_of(path, wanted).items()} == {
            line.utt: line.frames.tolist() for line in read_units(path) if line.utt in wanted
        }


def test_a_failed_write_leaves_nothing_and_keeps_the_old(tmp_path: Path):
    path = tmp_path / "units.jsonl"
    write_units(path, HEADER, [UnitLine.of_frames("a", [1])])
    before = path.read_bytes()
    with pytest.raises(DataError, match="not sorted"):
        write_units(path, HEADER, [UnitLine.of_frames("b", [1]), UnitLine.of_frames("a", [1])])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["units.jsonl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"utt": "a", "frames": 3, "units": [1], "durations": [2]}', ":2: a: durations do not add up to 3"),
        ('{"utt": "a", "frames": 2, "units": [9], "durations": [2]}', ":2: a: units must lie in 0..7, got 9"),
        ('{"utt": "a", "frames": 2, "units": [1.9], "durations": [2]}', ":2: expected"),
        ('{"utt": "a", "frames": 1, "units": [true], "durations": [1]}', ":2: expected"),
        ('{"utt": "a", "frames": 1.0, "units": [1], "durations": [1]}', ":2: expected"),
        ('{"utt": null, "frames": 1, "units": [1], "durations": [1]}', ":2: expected"),
        ('{"utt": "a\\u2028b", "frames": 1, "units": [1], "durations": [1]}', ":2: expected a name of an utterance"),
        ('{"utt": "a\\ud800", "frames": 1, "units": [1], "durations": [1]}', ":2: expected a name of an utterance"),
        ('{"utt": "a", "frames": 1e99, "units": [1], "durations": [1]}', ":2: expected"),
        (
            '{"utt": "a", "frames": 9223372036854775807, "units": [1], "durations": [9223372036854775807]}',
            "expected at most 100000000 frames",
        ),
        ('{"utt": "a"}', ":2: expected"),
        ("[1", ":2: expected"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(tmp_path: Path, text: str, message: str):
    path = tmp_path / "units.jsonl"
    write_units(path, HEADER, [])
    path.write_text(path.read_text().splitlines()[0] + f"\n{text}\n")
    with pytest.raises(DataError) as caught:
        list(read_units(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "a 1 2 3\n", '{"format": "other"}\n', "[]\n"])
def test_another_file_is_no_unit_file(tmp_path: Path, text: str):
    (tmp_path / "u").write_text(text)
    with pytest.raises(DataError, match="expected a unit file, whose first line is"):
        read_header(tmp_path / "u")
    with pytest.raises(DataError, match="no such file; `unitdisc encode` makes one"):
        read_header(tmp_path / "none")


def test_units_of_two_codebooks_do_not_meet():
    other = UnitHeader(period=0.02, codes=(8,), codebook="cc")
    check_same_codebook(HEADER, HEADER, ("x", "y"))
    with pytest.raises(DataError, match="x has units of codebook aa, y of cc"):
        check_same_codebook(HEADER, other, ("x", "y"))


@given(st.integers(1, 50_000), st.integers(1, 4), st.booleans())
def test_frames_of_samples_as_kaldi_counts_them(samples: int, stride: int, snip: bool):
    grid = FrameGrid(16000, 160, 400, snip_edges=snip).strided(stride)
    frames = (1 + (samples - 400) // 160 if samples >= 400 else 0) if snip else (samples + 80) // 160
    assert grid.frames(samples) == -(-frames // stride)


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.01, 0.02, 0.03]), st.sampled_from([0.0, 0.0075]))
def test_frames_between_are_those_whose_centre_lies_inside(first: int, length: int, period: float, offset: float):
    onset, end = first * 0.01, (first + length) * 0.01
    got = range(*frames_between(onset, end, period, offset))
    wanted = [i for i in range(1200) if onset - 1e-9 <= centre(i, period, offset) <= end + 1e-9]
    assert list(got) == wanted


def test_strided_units_sit_in_the_middle_of_their_frames():
    grid = FrameGrid(16000, 160, 400).strided(2)
    assert (grid.period, grid.rate, grid.offset) == (0.02, 50.0, 0.0)
    assert centre(0, grid.period) == pytest.approx((centre(0, 0.01) + centre(1, 0.01)) / 2)
    assert FrameGrid(16000, 160, 400, snip_edges=True).offset == 0.0075


def test_the_folder_of_an_encoding_stands_for_its_unit_file(tmp_path: Path):
    write_units(tmp_path / "units.jsonl", HEADER, [UnitLine.of_frames("a", [1, 1])])
    assert read_header(tmp_path) == HEADER
    assert [line.utt for line in read_units(tmp_path)] == ["a"]


def test_a_file_that_cannot_be_opened_is_not_called_a_wrong_one(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop: cannot be read: Too many levels of symbolic links"):
        read_header(tmp_path / "loop")


def test_the_folder_of_a_run_is_told_from_that_of_its_units(tmp_path: Path):
    with pytest.raises(DataError, match="`unitdisc encode` makes one"):
        read_header(tmp_path)
    write_units(tmp_path / "units/test/units.jsonl", UnitHeader(0.02, (4,)), [])
    with pytest.raises(DataError, match=f"did you mean {tmp_path}/units/test[?]"):
        read_header(tmp_path)


LINE = '{"utt": "a", "frames": 2, "units": [1], "durations": [2]}'


def test_a_file_that_was_cut_is_refused_wherever_it_was_cut(tmp_path: Path):
    path = tmp_path / "units.jsonl"
    write_units(path, HEADER, [UnitLine.of_frames("a", [1, 1]), UnitLine.of_frames("b", [2])])
    whole = path.read_bytes()
    for cut in range(len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            list(read_units(path))
    path.write_bytes(whole[:-1])  # the last line's end is no loss
    assert len(list(read_units(path))) == 2
    lines = whole.decode().splitlines()
    for text in ("\n".join([lines[0], lines[1], lines[3]]), "\n".join([*lines, LINE])):
        path.write_text(text + "\n")
        with pytest.raises(DataError, match=r"expected 2 utterances, got 1|expected nothing after the count"):
            list(read_units(path))


def test_a_file_of_0_1_0_has_no_count_and_is_read(tmp_path: Path):
    path = tmp_path / "units.jsonl"
    path.write_text(f'{{"format": "unitdisc-units-1", "period": 0.02, "codes": [8]}}\n{LINE}\n')
    assert [line.frames.tolist() for line in read_units(path)] == [[1, 1]]
    path.write_text(path.read_text() + LINE + "\n")
    with pytest.raises(DataError, match=r":3: expected each utterance once, got 'a' again"):
        list(read_units(path))


@pytest.mark.parametrize(
    "header",
    [
        '"period": NaN, "codes": [8]',
        '"period": "0.02", "codes": [8]',
        '"period": 0.02, "codes": []',
        '"period": 0.02, "codes": [8.5]',
        '"period": 0.02, "codes": [99999999999, 99999999999]',
        '"period": 0.02, "codes": [8], "offset": Infinity',
        '"period": 0.02, "codes": [8], "codebook": 7',
        '"period": 0.02, "codes": [8], "origin": []',
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, header: str):
    (tmp_path / "u").write_text(f'{{"format": "unitdisc-units-1", {header}}}\n')
    with pytest.raises(DataError, match=r"u:1: (period|offset|codes|codebook|origin) must be"):
        read_header(tmp_path / "u")


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "a\0b", "a\ud800", "a b", ""])
def test_a_name_that_would_wreck_a_file_is_never_written(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="expected a name of an utterance, got"):
        write_units(tmp_path / "units.jsonl", HEADER, [UnitLine.of_frames(name, [1])])
    assert not list(tmp_path.iterdir())
