"""Files that are there whole or not at all, folders that one process writes at a time, and names that stay inside.

A file is written under a temporary name that nobody can guess, flushed and renamed. Two writers of one file do not
disturb each other: the last one to end gives the content. What a killed writer left behind is swept away by the next.
"""

import errno
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TextIO

from unitdisc.errors import DataError

LOCK = ".lock"
_PARTIAL = re.compile(r"\..*\.[0-9a-f]{16}\.partial")
_OLD = 24 * 3600  # s without a change, where the file system has no locks to tell whether the writer lives
_LONGEST = 200  # bytes of a file's name that its temporary name takes over; file systems allow 255 in all


@contextmanager
def whole_file(path: Path, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing that gets its name when the with block ends well; nothing is left when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    partial: Path | None = None
    try:
        partial, descriptor = _open_partial(path)
        text: dict[str, Any] = {} if binary else {"encoding": "utf-8", "newline": "\n"}
        with os.fdopen(descriptor, "wb" if binary else "w", **text) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
            partial.replace(path)  # while it is still locked, so that nobody sweeps it
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(".partial"):  # that of a full disk names no file
            error.filename = str(path)
        raise
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _open_partial(path: Path) -> tuple[Path, int]:
    """Create a file beside another under a new name, and lock it: the lock says that its writer lives."""
    name = path.name.encode()[:_LONGEST].decode("utf-8", "ignore")
    while True:
        partial = path.with_name(f".{name}.{secrets.token_hex(8)}.partial")
        # Neither a file nor a link that somebody put there is written to.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        _lock(descriptor, wait=True)
        if _is_there(descriptor, partial):
            return partial, descriptor
        os.close(descriptor)  # swept away in between


@lru_cache(maxsize=4096)
def sweep(folder: Path) -> None:
    """Delete what killed writers left in a folder; looks once for each process, since big folders take a while."""
    try:
        partials = [entry.path for entry in os.scandir(folder) if _PARTIAL.fullmatch(entry.name)]
    except OSError:
        return
    for path in map(Path, partials):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # another sweeper was here, or it is none of ours
            continue
        try:
            free = _lock(descriptor)
            if free or (free is None and time.time() - os.fstat(descriptor).st_mtime > _OLD):
                path.unlink(missing_ok=True)
        except OSError:
            pass
        finally:
            os.close(descriptor)


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Keep a folder for this process, or say which one has it: `doing` is what that would be at."""
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / LOCK, f"{folder}: {{who}} is {doing}; wait for it, or stop it"):
        yield


@contextmanager
def lock_file(path: Path, refusal: str, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Keep a lock file for this process; if another has it, refuse ({who} stands for it), or tell `wait` and wait."""
    stream = _hold(path, refusal, wait)
    try:
        try:
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
        except OSError as error:
            error.filename = str(path)
            raise
        yield
    finally:
        if _is_there(stream.fileno(), path):
            path.unlink(missing_ok=True)  # while it is still held: nobody else's is deleted
        stream.close()


def _hold(path: Path, refusal: str, wait: Callable[[str], object] | None) -> TextIO:
    while True:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            stream = os.fdopen(os.open(path, flags, 0o666), "a+", encoding="utf-8")
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise DataError(f"{path}: expected a lock file, got a link to elsewhere; remove it") from None
        free = _lock(stream.fileno())
        if free is None:  # as good as it gets
            return stream
        if not free:
            stream.seek(0)
            who = stream.read().strip() or "another process"
            if wait is None:
                stream.close()
                raise DataError(refusal.replace("{who}", who))
            wait(who)
            _lock(stream.fileno(), wait=True)
        if _is_there(stream.fileno(), path):
            return stream
        stream.close()  # that of one who has just finished: it is deleted


def _lock(descriptor: int, wait: bool = False) -> bool | None:
    """Take the lock of an open file; return False if another has it, None if the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still stands under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def file_name(name: str) -> str:
    """Return a name from data as one of a file, which must not lead out of its folder."""
    return name.replace("/", "%2F") if name.strip(".") else name.replace(".", "%2E")
