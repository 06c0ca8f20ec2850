"""One writer for a folder: a lock file that says who it is, and that nobody holds who has died."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from unitdisc.errors import DataError

NAME = ".lock"


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Keep a folder for this process, or say which one has it: `doing` is what that would be at."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    stream = _hold(path, doing)
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
        path.unlink(missing_ok=True)  # while it is still held: nobody else's is deleted
        stream.close()


def _hold(path: Path, doing: str) -> TextIO:
    while True:
        stream = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            who = stream.read().strip() or "another process"
            stream.close()
            raise DataError(f"{path.parent}: {who} is {doing}; wait for it, or stop it") from None
        except OSError:  # a file system without locks: as good as it gets
            return stream
        try:
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        except FileNotFoundError:
            pass
        stream.close()  # that of one who has just finished: it is deleted
