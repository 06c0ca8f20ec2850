"""Whatever a library raises about a file becomes one line with the file's name."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from unitdisc.errors import CheckpointError, DataError, UnitdiscError, counted
from unitdisc.reading import json_if_any, json_lines, parse_json, reading


@pytest.mark.parametrize(
    "trip",
    [
        lambda path: parse_json("[" * 100_000),
        lambda path: {}["name"],
        lambda path: np.load(path),
        lambda path: zipfile.ZipFile(path),
        lambda path: "9" * 5000 + str(int("9" * 5000)),
        lambda path: b"\xff\n".decode(),
        lambda path: _raise(RuntimeError("two\nlines")),
        lambda path: _raise(AssertionError()),
    ],
)
def test_what_a_library_raises_is_one_line(trip, tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"\x80\x04 no file of that kind")
    with (
        pytest.raises(CheckpointError, match=r"^\S+/x: expected weights, got others: .+; fetch it again$") as caught,
        reading(path, "weights", got=lambda: "others", advice="fetch it again", error=CheckpointError),
    ):
        trip(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None  # its traceback is not lost


def _raise(error: Exception) -> None:
    raise error


def test_a_file_that_is_not_there_and_one_that_is_a_folder(tmp_path: Path):
    with pytest.raises(DataError, match=r"none: no such file; expected units$"), reading(tmp_path / "none", "units"):
        (tmp_path / "none").read_text()
    with (
        pytest.raises(DataError, match=r"none: no such file; make it$"),
        reading(tmp_path / "none", "units", none="make it"),
    ):
        (tmp_path / "none").read_text()
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"), reading(tmp_path, "units"):
        tmp_path.read_text()


def test_our_own_errors_and_a_stop_pass():
    with pytest.raises(UnitdiscError, match=r"^mine$"), reading("x", "units"):
        raise UnitdiscError("mine")
    with pytest.raises(KeyboardInterrupt), reading("x", "units"):
        raise KeyboardInterrupt


def test_lines_of_json_are_told_with_their_number(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"b": 2}\n')
    rows = json_lines(path, '{"a"}', lambda row: row["a"])
    assert next(rows) == 1
    with pytest.raises(DataError, match=r"x\.jsonl:3: expected \{\"a\"\}, got '\{\"b\": 2\}': no 'a'$"):
        next(rows)


@pytest.mark.parametrize("text", ["[1]", "{", '"a"', "\xff"])
def test_json_that_need_not_be_there_is_empty_where_it_is_no_object(text: str, tmp_path: Path):
    path = tmp_path / "x.json"
    assert json_if_any(path) == {}
    path.write_text(text, "latin-1")
    assert json_if_any(path) == {}
    path.write_text('{"a": 1}')
    assert json_if_any(path) == {"a": 1}


def test_a_number_has_its_noun():
    assert [counted(count, "speaker") for count in (0, 1, 2)] == ["0 speakers", "1 speaker", "2 speakers"]
