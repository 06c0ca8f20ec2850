"""A plain folder of recordings becomes a data directory."""

import json
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_data import noise, put_audio, put_grid

from unitdisc.cli import main
from unitdisc.data.alignment import read_alignment
from unitdisc.data.audio import save_audio
from unitdisc.data.check import check_data_dir
from unitdisc.data.folder import data_of, import_folder
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError
from unitdisc.files import lock_file


def test_folders_are_speakers(tmp_path: Path):
    put_audio(tmp_path / "rec" / "Anna Ä" / "first tape.wav", 3000)
    put_audio(tmp_path / "rec" / "ben" / "ben_2.flac", 4000)
    put_audio(tmp_path / "rec" / "loose.WAV", 5000, format="WAV")
    (tmp_path / "rec" / "notes.doc").write_text("x")
    (tmp_path / "rec" / "ben" / "._ben_2.flac").write_bytes(b"\0\x05\x16\x07")  # what macOS puts beside files
    (tmp_path / "rec" / "ben" / "ben_2.txt").write_text("\ufeffhello\n there\n", "utf-8")
    data, left_out, aligned, notes = import_folder(tmp_path / "rec", tmp_path / "data")
    assert data.utt2spk == {"Anna_Ä-first_tape": "Anna_Ä", "ben_2": "ben", "rec-loose": "rec"}
    assert data.text == {"ben_2": "hello there"}
    assert (left_out, aligned, notes) == ([], {}, [])
    assert data.utt2dur == {"Anna_Ä-first_tape": 3000 / 16000, "ben_2": 0.25, "rec-loose": 5000 / 16000}
    report = check_data_dir(data.path, decode=True)
    assert report.errors == []
    assert not any("do not begin with their speaker" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("pattern", "speaker"), [(r"^\d+", "12"), (r"_([a-z]+)_", "kim"), (r"(?P<s>kim)_x", "kim"), (r"_(kim|lee)", "kim")]
)
def test_speakers_are_found_by_an_expression(tmp_path: Path, pattern, speaker):
    put_audio(tmp_path / "rec" / "12_kim_x.wav")
    data = import_folder(tmp_path / "rec", tmp_path / "data", pattern).data
    assert data.utt2spk == {("12_kim_x" if speaker == "12" else f"{speaker}-12_kim_x"): speaker}


def test_expressions_that_find_nothing_are_refused(tmp_path: Path):
    put_audio(tmp_path / "rec" / "a.wav")
    for pattern in ("x", "(x)?a"):
        with pytest.raises(DataError, match=r"finds nothing in 1 paths, as 'a\.wav'; change it"):
            import_folder(tmp_path / "rec", tmp_path / "data", pattern)
    with pytest.raises(DataError, match=r"--speaker '\(': expected a regular expression, got: missing \)"):
        import_folder(tmp_path / "rec", tmp_path / "data", "(")


def test_an_empty_folder_and_two_names_for_one_are_refused(tmp_path: Path):
    (tmp_path / "rec").mkdir()
    with pytest.raises(
        DataError, match=r"rec: expected recordings \(\.wav, .*\), got none; convert other formats first"
    ):
        import_folder(tmp_path / "rec", tmp_path / "data")
    with pytest.raises(DataError, match="no such folder of recordings"):
        import_folder(tmp_path / "no", tmp_path / "data")
    put_audio(tmp_path / "rec" / "a.wav")
    put_audio(tmp_path / "rec" / "a.flac")
    with pytest.raises(DataError, match=r"a\.wav: would be named 'rec-a', as .*a\.flac is; rename or remove one"):
        import_folder(tmp_path / "rec", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_bad_recordings_are_listed_and_many_stop_the_import(tmp_path: Path):
    for n in range(9):
        put_audio(tmp_path / "rec" / f"a{n}.wav")
    (tmp_path / "rec" / "bad.wav").write_bytes(b"abc")
    data, left_out, _, _ = import_folder(tmp_path / "rec", tmp_path / "data")
    assert len(data.utts) == 9
    assert len(left_out) == 1
    assert "bad.wav: expected audio (wav, flac, ogg, mp3, sph), got 3 bytes" in left_out[0]
    put_audio(tmp_path / "rec" / "odd .wav |.wav")
    (tmp_path / "rec" / "worse.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"rec: 2 of 12 recordings cannot be used: .*bad\.wav"):
        import_folder(tmp_path / "rec", tmp_path / "data")


def test_alignments_beside_the_recordings_are_taken(tmp_path: Path):
    for speaker in ("x", "y"):
        put_audio(tmp_path / "rec" / speaker / "a.wav", 16000)
        put_grid(tmp_path / "rec" / speaker / "a.TextGrid", phones=[(0.1, 0.2, "h")], words=[(0.1, 0.5, "he")])
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    assert imported.aligned == {"phones": 2, "words": 2}
    assert dict(read_alignment(tmp_path / "data" / "phones.ctm")) == {
        "x-a": [(0.1, 0.2, "h")],
        "y-a": [(0.1, 0.2, "h")],
    }
    put_grid(tmp_path / "rec" / "x" / "a.TextGrid", one=[(0.1, 0.2, "h")], words=[(0.1, 0.5, "he")])
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    assert imported.aligned == {"words": 2}
    assert len(imported.notes) == 1
    assert "no phones.ctm, since" in imported.notes[0]
    assert not (tmp_path / "data" / "phones.ctm").exists()


@pytest.mark.parametrize(("name", "tier"), [("Mary", "phones"), ("ORT - word", "words")])
def test_the_only_tier_of_a_textgrid_is_phones_unless_it_is_named_like_words(tmp_path: Path, name: str, tier: str):
    put_audio(tmp_path / "rec" / "a.wav", 16000)
    put_grid(tmp_path / "rec" / "a.TextGrid", **{name: [(0.1, 0.2, "h")]})
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    assert imported.aligned == {tier: 1}
    assert imported.notes == [f"taken for {tier}, as the only tier of a TextGrid: '{name}'"]
    assert [path.name for path in (tmp_path / "data").glob("*.ctm")] == [f"{tier}.ctm"]


def test_a_textgrid_without_words_takes_them_from_no_other(tmp_path: Path):
    for name in "ab":
        put_audio(tmp_path / "rec" / f"{name}.wav", 16000)
    put_grid(tmp_path / "rec" / "a.TextGrid", phones=[(0.1, 0.2, "h")], words=[(0.1, 0.5, "he")])
    put_grid(tmp_path / "rec" / "b.TextGrid", phones=[(0.1, 0.2, "h")])
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    assert (imported.aligned, imported.notes) == ({"phones": 2, "words": 1}, [])


def test_labels_of_timit_count_samples_of_their_recording_and_what_is_cut_is_told(tmp_path: Path):
    put_audio(tmp_path / "rec" / "a.wav", 8000, rate=8000)
    put_audio(tmp_path / "rec" / "b.wav", 8000, rate=8000)
    (tmp_path / "rec" / "a.phn").write_text("0 4000 h#\n4000 8200 iy\n")  # 25 ms too long: of no account
    (tmp_path / "rec" / "b.phn").write_text("0 4000 h#\n4000 9000 iy\n")
    imported = import_folder(tmp_path / "rec", tmp_path / "data")
    whole = [(0.0, 0.5, "h#"), (0.5, 1.0, "iy")]
    assert dict(read_alignment(tmp_path / "data" / "phones.ctm")) == {"rec-a": whole, "rec-b": whole}
    assert imported.notes == ["phones that end after their recording, cut there: those of 1, as rec-b"]


def test_a_channel_of_stereo_recordings_is_chosen(tmp_path: Path):
    (tmp_path / "rec").mkdir()
    stereo = np.stack([noise(1000, 1), noise(1000, 2)], axis=1)
    save_audio(tmp_path / "rec" / "s.wav", stereo, 16000)
    data = import_folder(tmp_path / "rec", tmp_path / "data", channel=1).data
    np.testing.assert_array_equal(data.source("rec-s").load(16000), stereo[:, 1])
    np.testing.assert_array_equal(DataDir.read(tmp_path / "data").source("rec-s").load(16000), stereo[:, 1])


def test_names_that_begin_with_their_speaker_are_kept_where_they_are_the_only_ones(tmp_path: Path):
    names = ["1272/128104/1272-128104-0000", "1272/9/10", "12/a/12_x", "12/b/12_x", "12/1272-1", "ben/ben"]
    for name in names:
        put_audio(tmp_path / "rec" / f"{name}.flac")
    data = import_folder(tmp_path / "rec", tmp_path / "data", "^[^/]+").data
    assert data.utt2spk == {
        "1272-128104-0000": "1272", "1272-9-10": "1272", "12-a-12_x": "12", "12-b-12_x": "12", "12-1272-1": "12",
        "ben": "ben",
    }  # fmt: skip


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_audio(tmp_path / "rec" / "a.wav")
    (tmp_path / "rec" / "locked").mkdir()
    scandir = os.scandir

    def refused(path):  # as for somebody without the right, whoever runs the test
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match="rec/locked: cannot be read: Permission denied"):
        import_folder(tmp_path / "rec", tmp_path / "data")


def test_links_are_followed_once_and_hidden_folders_are_not_entered(tmp_path: Path):
    for place in ("rec/ann/a.wav", "elsewhere/b.wav", "rec/.Trash/c.wav"):
        put_audio(tmp_path / place)
    (tmp_path / "rec" / "ben").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "rec" / "ann" / "above").symlink_to(tmp_path / "rec")
    (tmp_path / "rec" / "aaa").symlink_to(tmp_path / "rec" / "ann")
    data = import_folder(tmp_path / "rec", tmp_path / "data").data
    assert data.utt2spk == {"ann-a": "ann", "ben-b": "ben"}


def test_a_folder_is_imported_once_for_all_jobs_and_again_when_it_changes(tmp_path: Path):
    put_audio(tmp_path / "rec" / "a.wav")
    home = tmp_path / "out" / "data"
    assert data_of(tmp_path / "rec", home).utts == ["rec-a"]
    before = (home / "wav.scp").stat().st_mtime_ns
    assert data_of(tmp_path / "rec", home).utts == ["rec-a"]
    assert (home / "wav.scp").stat().st_mtime_ns == before
    put_audio(tmp_path / "rec" / "b.wav")
    assert data_of(tmp_path / "rec", home).utts == ["rec-a", "rec-b"]
    put_audio(tmp_path / "rec" / "c.wav")
    with ThreadPoolExecutor() as others, lock_file(tmp_path / "out" / ".data.lock", ""):
        waiting = others.submit(data_of, tmp_path / "rec", home)
        assert wait([waiting], 0.2).not_done
    assert waiting.result().utts == ["rec-a", "rec-b", "rec-c"]


def test_what_was_imported_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "in" / "s").mkdir(parents=True)
    for name in ("a", "b"):
        soundfile.write(tmp_path / "in" / "s" / f"{name}.wav", np.zeros(8000), 16000)
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "in"), str(tmp_path / "data"), "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["utts"], said["speakers"], said["seconds"], said["left_out"]) == (2, 1, 1.0, [])


def test_a_recording_whose_name_would_break_a_table_is_left_out(tmp_path: Path):
    (tmp_path / "in" / "s").mkdir(parents=True)
    for name in ("a", "b\x7f"):
        soundfile.write(tmp_path / "in" / "s" / f"{name}.wav", np.zeros(8000), 16000)
    imported = import_folder(tmp_path / "in", tmp_path / "data", most=0.5)
    assert list(imported.data.utts) == ["s-a"]
    assert "a name with U+007F in it" in imported.left_out[0]
