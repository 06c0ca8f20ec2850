"""What a file is known by."""

import os
from pathlib import Path

import pytest

from unitdisc import digests
from unitdisc.digests import digest, is_whole


@pytest.mark.parametrize("place", ["data/feats.ark", "elsewhere/all feats.ark"])
def test_an_index_of_features_changes_with_its_archive_wherever_that_is(place: str, tmp_path: Path):
    ark, scp = tmp_path / place, tmp_path / "data" / "feats.scp"
    for path in (ark, scp):
        path.parent.mkdir(exist_ok=True)
    ark.write_bytes(b"features")
    scp.write_text(f"u1 {ark}:0\nu2 {ark}:4\n")
    before = digest(scp)
    ark.write_bytes(b"FEATURES")
    changed = digest(scp)
    assert changed != before
    ark.write_bytes(b"features")  # made again, the same: what was trained on it stays
    os.utime(ark, (1, 1))
    assert digest(scp) == before
    scp.write_text(f"u1 {ark}:0\n")
    assert digest(scp) not in (before, changed)
    moved = ark.rename(tmp_path / "feats.ark")
    scp.write_text(f"u1 {moved}:0\nu2 {moved}:4\n")
    assert digest(scp) == before


def test_an_archive_that_moved_with_its_index_is_found(tmp_path: Path):
    ark, scp = tmp_path / "feats.ark", tmp_path / "feats.scp"
    ark.write_bytes(b"features")
    scp.write_text("u1 /before/feats.ark:0\n")
    before = digest(scp)
    ark.write_bytes(b"FEATURES")
    assert digest(scp) != before
    assert is_whole(scp)
    ark.unlink()
    assert digest(scp) not in (None, before)
    assert not is_whole(scp)


@pytest.mark.parametrize("entry", ["wav/a b.wav", "{tmp}/wav/a b.wav", "sox 'wav/a b.wav' -t wav - |"])
def test_a_list_of_recordings_changes_with_them(entry: str, tmp_path: Path):
    wav = tmp_path / "wav" / "a b.wav"
    wav.parent.mkdir()
    wav.write_text("sound")
    scp = tmp_path / "wav.scp"
    scp.write_text(f"r1 {entry.format(tmp=tmp_path)}\nr2 wav/none.wav\n")
    before = digest(scp)
    assert digest(scp) == before
    wav.write_text("other")
    os.utime(wav, (1, 1))
    assert digest(scp) != before


def test_a_tar_archive_of_recordings_counts_by_its_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tar, scp = tmp_path / "a.tar", tmp_path / "wav.scp"
    tar.write_bytes(b"recordings")
    scp.write_text(f"u1 {tar}:0\nu2 {tar}:4\n")
    monkeypatch.setattr(digests, "content", None)  # it is not read
    before = digest(scp)
    os.utime(tar, (1, 1))
    assert digest(scp) != before


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digests, "LARGE", 1000)
    large = tmp_path / "large.npy"
    large.write_bytes(bytes(1001))
    before, times = digest(large), (large.stat().st_atime_ns, large.stat().st_mtime_ns)
    large.write_bytes(bytes(1000) + b"x")
    os.utime(large, ns=times)
    assert digest(large) == before  # it was not read
    os.utime(large, (1, 1))
    changed = digest(large)
    assert changed != before
    assert digest(large) == changed


def test_a_folder_changes_with_its_files_behind_links_too(tmp_path: Path):
    (tmp_path / "disc").mkdir()
    wav = tmp_path / "disc" / "a.wav"
    wav.write_text("sound")
    (tmp_path / "link").symlink_to("disc")
    before = digest(tmp_path / "link")
    assert before == digest(tmp_path / "disc")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../disc")
    folder = digest(tmp_path / "folder")
    (tmp_path / "disc" / ".hidden").write_text("a record")
    assert digest(tmp_path / "link") == before
    wav.write_text("sounds")
    assert digest(tmp_path / "link") != before
    assert digest(tmp_path / "folder") != folder
    assert digest(tmp_path / "none") is None


def test_links_to_folders_above_are_entered_once(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "loop" / name).mkdir(parents=True)
    (tmp_path / "loop" / "x.wav").write_bytes(b"x")
    (tmp_path / "loop" / "a" / "up").symlink_to("..")
    (tmp_path / "loop" / "b" / "up").symlink_to("../..")
    assert digests.listing(tmp_path / "loop", "**/*.wav") is not None
