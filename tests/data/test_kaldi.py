"""Data directories: read strictly, written, read back."""

import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import put_audio, put_data, put_tables

from unitdisc.data.kaldi import DataDir, Segment, spk2utt_of, write_data_dir
from unitdisc.data.tables import read_table, write_table
from unitdisc.errors import DataError

FIX = "`unitdisc check --fix` mends it"


def test_a_data_dir_is_read(tmp_path: Path):
    data = DataDir.read(put_data(tmp_path / "d"))
    assert data.utts == ["s0-u0", "s0-u2", "s1-u1", "s1-u3"]
    assert data.spk2utt == {"s0": ["s0-u0", "s0-u2"], "s1": ["s1-u1", "s1-u3"]}  # there is no spk2utt
    assert data.text["s1-u1"] == "WORDS OF s1-u1"
    assert data.spk2gender == {"s0": "m", "s1": "f"}
    assert [data.source(utt).samples(16000) for utt in data.utts] == [4000, 4100, 4200, 4300]
    assert data.source("s0-u2").samples(8000) == len(data.source("s0-u2").load(8000)) == 2050


def test_python_looks_for_cycles_again_after_a_directory_was_read_or_refused(tmp_path: Path):
    put_data(tmp_path / "good", 2)
    DataDir.read(tmp_path / "good")
    assert gc.isenabled()
    with pytest.raises(DataError):
        DataDir.read(tmp_path / "none")
    assert gc.isenabled()
    gc.disable()
    try:
        DataDir.read(tmp_path / "good")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_paths_are_looked_for_beside_the_table_and_then_from_the_working_directory(tmp_path: Path, monkeypatch):
    here = put_audio(tmp_path / "here" / "a.wav", seed=1)
    beside = put_audio(tmp_path / "d" / "b.wav", seed=2)
    put_audio(tmp_path / "here" / "b.wav", seed=3)
    put_tables(tmp_path / "d", {"wav.scp": "a a.wav\nb b.wav\n", "utt2spk": "a a\nb b\n"})
    monkeypatch.chdir(tmp_path / "here")
    data = DataDir.read(Path("..") / "d")
    np.testing.assert_array_equal(data.source("a").load(16000), here)
    np.testing.assert_array_equal(data.source("b").load(16000), beside)


def test_paths_with_blanks_are_paths(tmp_path: Path):
    wave = put_audio(tmp_path / "my own  recordings" / "Ä 1.wav")
    put_tables(tmp_path, {"wav.scp": "a\tmy own  recordings/Ä 1.wav \n", "utt2spk": "a  a\n"})
    np.testing.assert_array_equal(DataDir.read(tmp_path).source("a").load(16000), wave)


def test_segments_cut_recordings(tmp_path: Path):
    wave = put_audio(tmp_path / "r.wav", 16000)
    put_tables(
        tmp_path,
        {
            "wav.scp": "r r.wav\n",
            "segments": "a r 0.1 0.25\nb r 0.25 -1\nc r 0.9 1.2\n",
            "utt2spk": "a a\nb b\nc c\n",
        },
    )
    data = DataDir.read(tmp_path)
    assert data.utts == ["a", "b", "c"]
    np.testing.assert_array_equal(data.source("a").load(16000), wave[1600:4000])
    np.testing.assert_array_equal(data.source("b").load(16000), wave[4000:])
    np.testing.assert_array_equal(data.source("c").load(16000), wave[14400:])  # ends up to 0.5 s late, as in Kaldi
    np.testing.assert_array_equal(data.source("a").load(16000, 10, 20), wave[1610:1630])


def test_speakers_come_from_spk2utt_when_that_is_what_there_is(tmp_path: Path):
    put_tables(tmp_path, {"wav.scp": "a a.wav\nb b.wav\n", "spk2utt": "x b\ny a\n"})
    assert DataDir.read(tmp_path).utt2spk == {"a": "y", "b": "x"}


def test_images_have_no_audio(tmp_path: Path):
    put_tables(tmp_path, {"images.scp": "a a.png\nb /b.png\n", "utt2spk": "a x\nb x\n"})
    data = DataDir.read(tmp_path)
    assert data.images == {"a": tmp_path / "a.png", "b": Path("/b.png")}
    with pytest.raises(DataError, match=r"expected an utterance of wav\.scp or segments, got 'a'"):
        data.source("a")


GOOD = {"wav.scp": "a a.wav\nb b.wav\n", "utt2spk": "a s\nb s\n"}
BAD = {
    "duplicate utterance": (
        {"wav.scp": "a a.wav\na b.wav\n"},
        "wav.scp:2: expected one line for each key, got 'a' again; FIX",
    ),
    "unsorted": (
        {"wav.scp": "b b.wav\na a.wav\n"},
        "wav.scp:2: expected lines sorted as by `LC_ALL=C sort`, got 'a' after 'b'; FIX",
    ),
    "sorted by another locale": (
        {"wav.scp": "a a.wav\nB b.wav\n"},
        "wav.scp:2: expected lines sorted as by `LC_ALL=C sort`, got 'B' after 'a'; FIX",
    ),
    "Windows line ends": (
        {"utt2spk": "a s\r\nb s\r\n"},
        r"utt2spk:1: expected a Unix line end, got a Windows one (\r\n); FIX",
    ),
    "not UTF-8": (
        {"text": b"a x\nb caf\xe9\n"},
        "text:2: expected UTF-8 text, got byte 0xe9 at column 6; convert it, as with `iconv -f latin1 -t utf-8`; "
        "FIX if it is Latin-1",
    ),
    "a byte-order mark": (
        {"wav.scp": b"\xef\xbb\xbfa a.wav\n"},
        "wav.scp:1: expected a key, got a byte-order mark before it; FIX",
    ),
    "an empty line": (
        {"wav.scp": "a a.wav\n\nb b.wav\n"},
        "wav.scp:2: expected '<recording> <path or command |>', got ''; FIX",
    ),
    "a line that begins with a blank": ({"utt2spk": " a s\n"}, "utt2spk:1: expected '<utt> <spk>', got ' a s'; FIX"),
    "no path": (
        {"wav.scp": "a\nb b.wav\n"},
        "wav.scp:1: expected '<recording> <path or command |>', got 'a' alone; FIX",
    ),
    "no speaker": ({"utt2spk": "a s\nb\n"}, "utt2spk:2: expected '<utt> <spk>', got 'b '"),
    "two speakers": ({"utt2spk": "a s t\nb s\n"}, "utt2spk:1: expected '<utt> <spk>', got 'a s t'"),
    "empty": (
        {"wav.scp": ""},
        "wav.scp: expected at least one line '<recording> <path or command |>', got an empty file",
    ),
    "a speaker missing": (
        {"utt2spk": "a s\n"},
        "utt2spk: expected every utterance of wav.scp, got none for 'b' and 0 more; FIX",
    ),
    "a speaker of nothing": (
        {"utt2spk": "a s\nb s\nc s\n"},
        "utt2spk:3: expected an utterance of wav.scp, got 'c'; FIX",
    ),
    "spk2utt of others": (
        {"spk2utt": "s a\n"},
        "spk2utt: expected the utterances of 's' as in utt2spk (2), got others (1); FIX",
    ),
    "text of nothing": ({"text": "a A\nc C\n"}, "text:2: expected an utterance of this directory, got 'c'; FIX"),
    "a gender": ({"spk2gender": "s female\n"}, "spk2gender:1: expected '<spk> m|f', got 's female'"),
    "a duration": (
        {"utt2dur": "a 1.5\nb -1\n"},
        "utt2dur:2: expected '<utt> <seconds>', got '-1' where seconds are expected",
    ),
    "a segment of nothing": ({"segments": "a r 0 1\n"}, "segments:1: expected a recording of wav.scp, got 'r'; FIX"),
    "a segment that ends before it starts": (
        {"segments": "a a 2 1\n"},
        "segments:1: expected an end after the start, got 2.0 to 1.0 s; FIX",
    ),
    "half a segment": (
        {"segments": "a a 2\n"},
        "segments:1: expected '<utt> <recording> <start> <end> [<channel>]', got 'a 2' behind the utterance",
    ),
    "a segment's channel": ({"segments": "a a 1 2 left\n"}, "segments:1: expected a channel (0, 1, ...), got 'left'"),
    "a shell command": (
        {"wav.scp": "a a.wav\nb rm -rf / |\n"},
        "wav.scp:2: expected a path or a command that only decodes a file (flac, sph2pipe, sox, ffmpeg), "
        "got 'rm -rf / |', "
        "in which 'rm' is not understood; write the path instead, or use --allow-pipes to run it",
    ),
}


@pytest.mark.parametrize(("tables", "message"), BAD.values(), ids=BAD)
def test_bad_tables_are_refused_with_file_and_line(tmp_path: Path, tables, message):
    put_tables(tmp_path, {**GOOD, **tables})
    with pytest.raises(DataError) as error:
        DataDir.read(tmp_path)
    assert str(error.value) == f"{tmp_path}/{message.replace('FIX', FIX)}"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, ": expected wav.scp (or images.scp), got neither; `unitdisc import` makes one"),
        (
            {"wav.scp": "a a.wav\n"},
            ": expected utt2spk or spk2utt, got neither; write one line '<utt> <spk>' for each utterance, with the "
            "utterance as its own speaker where nobody is known",
        ),
    ],
)
def test_what_lacks_is_said(tmp_path: Path, tables, message):
    put_tables(tmp_path, tables)
    with pytest.raises(DataError) as error:
        DataDir.read(tmp_path)
    assert str(error.value) == f"{tmp_path}{message}"
    with pytest.raises(DataError, match="no such data directory; `unitdisc import` makes one of a folder"):
        DataDir.read(tmp_path / "nowhere")


def test_a_missing_wav_is_named_with_the_line_that_named_it(tmp_path: Path):
    put_tables(tmp_path, GOOD)
    with pytest.raises(DataError) as error:
        DataDir.read(tmp_path).source("b").load(16000)
    assert str(error.value) == f"{tmp_path}/wav.scp:2: {tmp_path}/b.wav: no such audio file"


WORD = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="\ufeff"),
    min_size=1,
    max_size=8,
)
REST = (
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\n\r\0"), min_size=1, max_size=20
    )
    .map(lambda text: text.strip(" \t"))
    .filter(bool)
)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(WORD, REST, min_size=1))
def test_any_table_comes_back(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("t") / "table"
    write_table(path, table.items())
    assert read_table(path, "<key> <rest>") == table
    lines = path.read_bytes().split(b"\n")[:-1]
    assert lines == sorted(lines, key=lambda line: line.split(b" ")[0])  # bytewise, as LC_ALL=C


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(WORD, st.tuples(WORD, REST, st.floats(0.01, 1e4), st.sampled_from("mf")), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_data_dir_comes_back(tmp_path_factory, rows, has_segments):
    folder = tmp_path_factory.mktemp("d")
    utt2spk = {utt: row[0] for utt, row in rows.items()}
    text = {utt: row[1] for utt, row in rows.items()}
    gender = {row[0]: row[3] for row in rows.values()}
    dur = {utt: row[2] for utt, row in rows.items()}
    segments = {utt: Segment(utt, 0.0, row[2], 1) for utt, row in rows.items()} if has_segments else None
    data = write_data_dir(
        folder, [(utt, f"{n}.wav") for n, utt in enumerate(rows)], utt2spk, text, gender, segments, dur
    )
    assert data.utts == sorted(rows)
    assert (data.utt2spk, data.text, data.spk2gender, data.utt2dur) == (utt2spk, text, gender, dur)
    assert data.segments == (segments or {})
    assert data.spk2utt == spk2utt_of(utt2spk)
    assert {utt: r.entry for utt, r in data.recordings.items()} == {utt: f"{n}.wav" for n, utt in enumerate(rows)}


def test_writing_refuses_what_a_table_cannot_hold(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"expected a name without blanks as the key, got a name with U\+0020 in it, 'a b'"
    ):
        write_data_dir(tmp_path, [("a b", "x.wav")], {"a b": "s"})
    with pytest.raises(DataError, match="expected one line for each key, got 'a' twice"):
        write_data_dir(tmp_path, [("a", "x.wav"), ("a", "y.wav")], {"a": "s"})
    assert not (tmp_path / "wav.scp").exists()


def test_writing_again_leaves_no_table_of_before(tmp_path: Path):
    write_data_dir(tmp_path, [("a", "x.wav")], {"a": "s"}, {"a": "A"}, segments={"a": Segment("a", 0.0, None)})
    data = write_data_dir(tmp_path, [("b", "x.wav")], {"b": "s"})
    assert data.utts == ["b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spk2utt", "utt2spk", "wav.scp"]
