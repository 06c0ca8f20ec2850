"""Words of units: what comes back elsewhere is found, with its times, as an exhaustive search finds it."""

import csv
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.cli import main
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.evaluate.word_options import WordOptions
from unitdisc.evaluate.words import Text, find_words, write_words


def by_hand(strings: list[list[int]], shortest: int, longest: int) -> dict[tuple[int, ...], int]:
    """Count all stretches, and leave out those that never occur without a longer one."""
    counts: Counter[tuple[int, ...]] = Counter()
    owners: dict[tuple[int, ...], set[int]] = {}
    for number, string in enumerate(strings):
        for length in range(shortest, longest + 2):
            for start in range(len(string) - length + 1):
                part = tuple(string[start : start + length])
                counts[part] += 1
                owners.setdefault(part, set()).add(number)
    kept = {part for part in counts if len(owners[part]) >= 2}
    longer = {(inner, counts[part]) for part in kept if len(part) <= longest for inner in (part[1:], part[:-1])}
    return {part: counts[part] for part in kept if len(part) <= longest and (part, counts[part]) not in longer}


@settings(max_examples=60, deadline=None)
@given(strings=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=14), min_size=1, max_size=5))
def test_words_are_those_of_an_exhaustive_search(tmp_path_factory, strings: list[list[int]]):
    path = tmp_path_factory.mktemp("words") / "units.jsonl"
    lines = [UnitLine.of_frames(f"u{n}", string) for n, string in enumerate(strings)]
    write_units(path, UnitHeader(0.02, (4,)), lines)
    found = find_words(Text(path), WordOptions(shortest=2, longest=6, top=10**6))
    expected = by_hand([line.units.tolist() for line in lines], 2, 6)
    assert {word.units: len(word.places) for word in found} == expected


def test_tables_say_where_to_hear_words_and_units(tmp_path: Path):
    lines = [
        UnitLine("a-1", np.array([9, 1, 2, 3, 4, 5]), np.array([1, 2, 1, 1, 1, 1])),
        UnitLine("b-1", np.array([1, 2, 3, 4, 5, 8]), np.array([3, 1, 1, 1, 1, 5])),
    ]
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (10,)), lines)
    assert write_words(tmp_path / "units.jsonl", tmp_path / "out", {"a-1": "a", "b-1": "b"}) == (1, 7)
    tables = {path.stem: list(csv.DictReader(path.open())) for path in (tmp_path / "out").glob("*.csv")}
    assert tables["words"] == [
        {"word": "1", "units": "1 2 3 4 5", "occurrences": "2", "utterances": "2", "speakers": "2", "seconds": "0.130"}
    ]
    assert [(row["utt"], row["start"], row["end"]) for row in tables["occurrences"]] == [
        ("a-1", "0.020", "0.140"), ("b-1", "0.000", "0.140"),
    ]  # fmt: skip
    assert [row for row in tables["units"] if row["unit"] == "1"] == [
        {"unit": "1", "occurrences": "2", "frames": "5", "seconds": "0.050", "speaker": speaker, "examples": where}
        for speaker, where in (("a", "a-1:0.020-0.060"), ("b", "b-1:0.000-0.060"))
    ]


def test_long_lists_take_little_memory(tmp_path: Path):
    random = np.random.default_rng(0)
    words = random.integers(50, size=(200, 7))
    lines = (UnitLine.of_frames(f"u{n:04d}", words[random.integers(200, size=10)].ravel()) for n in range(3000))
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (50,)), lines)
    tracemalloc.start()
    try:
        assert write_words(tmp_path / "units.jsonl", tmp_path / "out")[0] == 500
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / (3000 * 70) < 80  # bytes a unit: no array of 64-bit numbers where 32 bits do, few at once


def test_the_verb_knows_what_its_tables_were_made_of(tmp_path: Path, capsys: pytest.CaptureFixture):
    lines = [UnitLine.of_frames(utt, [1, 2, 3, 4, 5]) for utt in ("a", "b")]
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (10,)), lines)

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["words", str(tmp_path / "units.jsonl"), str(tmp_path / "out"), *more])
        return int(end.value.code)

    assert run("--shortest", "10", "--longest", "5") == 1
    assert "--shortest 10: expected at most --longest, which is 5" in capsys.readouterr().err
    assert [run(), run(), run("--shortest", "6"), run("--shortest", "6", "--renew")] == [0, 0, 1, 0]
    out = f"{tmp_path / 'out'}: "
    assert capsys.readouterr().out.splitlines() == [
        f"{out}1 word, 5 units", f"{out}unchanged", f"{out}0 words, 5 units"
    ]  # fmt: skip
