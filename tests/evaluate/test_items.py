"""Item files: what is made of an alignment, what is read, and what is refused."""

import subprocess
import sys
from typing import NamedTuple

import pytest
from places import TOP

from unitdisc.errors import DataError
from unitdisc.evaluate.items import COLUMNS, Items, make_items, read_items, write_items

HEAD = " ".join(COLUMNS)


class Interval(NamedTuple):
    start: float
    end: float
    label: str


def spoken(*labels: str, at: float = 0.0) -> list[Interval]:
    """Labels of 0.1 s each."""
    return [Interval(at + n / 10, at + (n + 1) / 10, label) for n, label in enumerate(labels)]


def test_an_item_for_each_phone_between_two():
    alignment = {"u1": spoken("SIL", "a", "b", "c", "d", "SIL", "a", "b"), "u2": spoken("a", "a", "a")}
    triphones = make_items(alignment, {"u1": "s", "u2": "t"})
    assert [tuple(row) for row in zip(*(c.tolist() for c in triphones.columns), strict=True)] == [
        ("u1", pytest.approx(0.1), pytest.approx(0.4), "b", "a", "c", "s"),
        ("u1", pytest.approx(0.2), pytest.approx(0.5), "c", "b", "d", "s"),
        ("u2", pytest.approx(0.0), pytest.approx(0.3), "a", "a", "a", "t"),
    ]
    phones = make_items(alignment, {"u1": "s"}, "phone")
    assert phones.onsets.tolist() == pytest.approx([0.2, 0.3])
    assert phones.offsets.tolist() == pytest.approx([0.3, 0.4])


def test_no_item_over_a_gap_and_own_silences():
    apart = [*spoken("a", "b"), *spoken("c", "d", "e", at=0.25)]
    assert make_items({"u": apart}, {"u": "s"}).phones.tolist() == ["d"]
    assert make_items({"u": spoken("a", "b", "xx", "c", "d")}, {"u": "s"}).phones.tolist() == ["b", "xx", "c"]
    with pytest.raises(DataError, match="no phone stands between two others"):
        make_items({"u": spoken("a", "b", "xx", "c", "d")}, {"u": "s"}, silences=frozenset({"xx"}))


def test_an_empty_alignment_and_one_of_other_utterances():
    with pytest.raises(DataError, match=r"a\.ctm: makes no item of 1 utterances: no utterance of the data is in it"):
        make_items({}, {"u": "s"}, where="a.ctm")
    with pytest.raises(DataError, match="no utterance of the data is in it; are the names the same"):
        make_items({"v": spoken("a", "b", "c")}, {"u": "s"})


def test_items_come_back_as_they_were(tmp_path):
    items = Items.of_rows([("f/1", 0.0125, 1.5, "ə", "b", "c", "s"), ("f/2", 0.0, 123.456789, "a", "b", "c", "t")])
    write_items(tmp_path / "x.item", items)
    assert (tmp_path / "x.item").read_text("utf-8").splitlines()[:2] == [HEAD, "f/1 0.0125 1.5 ə b c s"]
    back = read_items(tmp_path / "x.item")
    assert all((one == two).all() for one, two in zip(items.columns, back.columns, strict=True))
    assert len(back[[1]]) == 1


def test_columns_may_be_more_and_in_any_order(tmp_path):
    (tmp_path / "x.item").write_text("speaker onset offset #file #phone prev-phone next-phone note\ns 0 1 f p a b n\n")
    items = read_items(tmp_path / "x.item")
    assert (items.files[0], items.speakers[0], items.phones[0], items.offsets[0]) == ("f", "s", "p", 1.0)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "x.item:1: expected the columns"),
        ("#file onset offset speaker\n", "no #phone"),
        (HEAD + "\n", "has a header and no item; was the alignment empty"),
        (HEAD + "\nf 0 1 p a b\n", "x.item:2: expected 7 columns, got 6"),
        (HEAD + "\nf 0 1 p a b s\nf 0 x p a b s\n", "x.item:3: expected onset and offset in seconds, got '0' 'x'"),
        (HEAD + "\nf 1 1 p a b s\n", "x.item:2: expected 0 <= onset < offset, got 1 1"),
        (HEAD + "\nf -1 1 p a b s\n", "expected 0 <= onset"),
        (HEAD + "\nf 0 nan p a b s\n", "expected 0 <= onset"),
    ],
)
def test_broken_item_files(tmp_path, text, cause):
    (tmp_path / "x.item").write_text(text)
    with pytest.raises(DataError, match=cause):
        read_items(tmp_path / "x.item")


def test_no_item_file(tmp_path):
    with pytest.raises(DataError, match="no such file; `unitdisc items` makes one"):
        read_items(tmp_path / "x.item")


def test_the_verb(tmp_path):
    import numpy as np
    import soundfile

    data = tmp_path / "data"
    data.mkdir()
    soundfile.write(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    (data / "wav.scp").write_text(f"s-a {tmp_path / 'a.wav'}\n")
    (data / "utt2spk").write_text("s-a s\n")
    (data / "spk2utt").write_text("s s-a\n")
    (tmp_path / "a.ctm").write_text("".join(f"s-a 1 {n / 10:.2f} 0.10 {p}\n" for n, p in enumerate("abcd")))

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unitdisc", "items", str(data), str(tmp_path / "x.item")]
        command += ["--alignment", str(tmp_path / "a.ctm"), *more]
        return subprocess.run(command, capture_output=True, text=True, cwd=TOP)

    done = run("--unit", "phone")
    assert (done.returncode, done.stdout.split(": ")[1]) == (0, "2 items of 2 phones, 1 speaker\n"), done.stderr
    assert (tmp_path / "x.item").read_text().splitlines()[1] == "s-a 0.1 0.2 b a c s"
    assert run().returncode == 1
    assert "exists; --force replaces it" in run().stderr
    assert run("--force").returncode == 0
    assert read_items(tmp_path / "x.item").onsets[0] == 0
