"""Files that are there whole or not at all: written under a temporary name, flushed, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def whole_file(path: Path, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing that gets its name when the with block ends well; nothing is left when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") if binary else partial.open("w", encoding="utf-8", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:  # that of a full disk names no file by itself
        error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """Return a name from data as one of a file, which must not lead out of its folder."""
    return name.replace("/", "%2F") if name.strip(".") else name.replace(".", "%2E")
