"""Whole files and locks: no reader sees half a file, no writer disturbs another, no link is followed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import TOP

from unitdisc import files
from unitdisc.errors import DataError
from unitdisc.files import locked, sweep, whole_file

KILLED = """
import os, signal, sys
from pathlib import Path
from unitdisc.files import whole_file
with whole_file(Path(sys.argv[1])) as out:
    out.write("half")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(path: Path) -> Path:
    """Let a process die while it writes; return what it left."""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    code = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment).returncode
    assert code == -signal.SIGKILL
    (left,) = path.parent.glob(".*.partial")
    return left


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as out:
        out.write("é\n")
        out.flush()
        assert not path.exists()
    assert path.read_bytes() == "é\n".encode()
    with pytest.raises(TypeError, match="bytes-like"), whole_file(path, binary=True) as out:
        out.write("half")
    assert path.read_bytes() == "é\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path):
    path = tmp_path / "a.txt"
    with whole_file(path) as one:
        one.write("one " * 10_000)
        with whole_file(path) as two:
            two.write("two")
        assert path.read_text() == "two"
        one.write("end")
    assert path.read_text() == "one " * 10_000 + "end"
    assert list(tmp_path.iterdir()) == [path]


def test_no_planted_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".a.txt.partial").symlink_to(victim)  # what older versions would have written to
    with whole_file(tmp_path / "a.txt") as out:
        out.write("ours")
    assert victim.read_text() == "mine"
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)  # guessed after all
    (tmp_path / f".b.txt.{'0' * 16}.partial").symlink_to(victim)
    with pytest.raises(FileExistsError), whole_file(tmp_path / "b.txt") as out:
        out.write("ours")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(DataError, match=r"\.lock: expected a lock file, got a link"), locked(tmp_path, "busy"):
        pass
    assert victim.read_text() == "mine"
    assert not (tmp_path / "b.txt").exists()


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path):
    left = killed_writer(tmp_path / "a.txt")
    other = tmp_path / ".a.txt.partial"  # not named as ours are
    other.write_text("mine")
    with whole_file(tmp_path / "b.txt") as out:
        assert not left.exists()
        out.write("ours")
        sweep.cache_clear()
        sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.txt.partial", "b.txt"]


def test_a_very_long_name_is_no_obstacle(tmp_path: Path):
    path = tmp_path / ("ü" * 127)
    with whole_file(path) as out:
        out.write("ours")
    assert path.read_text() == "ours"


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.txt'"), whole_file(tmp_path / "a.txt") as out:
        out.write("ours")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_read_meanwhile_keeps_its_name_in_errors(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"input\.txt"), whole_file(tmp_path / "a.txt") as out:
        out.write((tmp_path / "input.txt").read_text())


def test_permissions_are_those_of_any_new_file(tmp_path: Path):
    old = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.txt") as out:
            out.write("ours")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_is_locked_by_one_at_a_time(tmp_path: Path):
    with (
        locked(tmp_path, "busy with it"),
        pytest.raises(DataError, match=rf"process {os.getpid()} on .* is busy with it; wait for it, or stop it"),
        locked(tmp_path, "busy with it"),
    ):
        pass
    with locked(tmp_path, "busy"):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()
