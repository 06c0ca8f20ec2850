"""Hashes of files and folders: of what is in them, whatever they are called and wherever they are.

A file counts by its content. An index (.scp) counts by its keys and by what it names: of archives the content, of
recordings the path, size and time, as there may be hundreds of hours of them. A folder counts by the names, sizes and
times of its files. The hash of a large file is kept beside it for as long as its size and time stay.
"""

import fnmatch
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from unitdisc.files import whole_file

LARGE = 20_000_000  # bytes
DIGITS = 16
_ENDING = ".sha256"
_TAR = re.compile(r"(.+\.tar):\d+")  # a recording in a tar archive


def digest(path: Path) -> str | None:
    """Return a hash of a file, an index or a folder; None if there is nothing."""
    if path.is_dir():
        return listing(path)
    if not path.is_file():
        return None
    if path.suffix != ".scp":
        return content(path)[:DIGITS]
    entries = list(_entries(path))
    names = {name: str(number) for number, name in enumerate(_archive_names(entries))}
    lines = [f"{key} {names[name] if byte else name}:{byte}" for key, name, byte in entries]
    lines += [content(ark) for ark in archives(path) if ark is not None]
    return _hash("\n".join([*lines, *_recordings(path)]))


def listing(root: Path, pattern: str = "**/*") -> str | None:
    """Return a hash of the files of a folder by their names, sizes and times; hidden ones do not count.

    The pattern is one of pathlib; behind "**/" links are followed.
    """
    lines = []
    for path in sorted(_matching(root, pattern)):
        name = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            about = path.stat()
            lines.append(f"{name} {about.st_size} {about.st_mtime_ns}")
    return _hash("\n".join(lines)) if lines else None


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    if not pattern.startswith("**/"):
        yield from root.glob(pattern)
        return
    entered: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in entered:  # by a link, perhaps to a folder above it
            below.clear()
            continue
        entered.add(real)
        yield from (Path(folder, name) for name in fnmatch.filter(names, pattern.removeprefix("**/")))


def content(path: Path) -> str:
    """Return a hash of what is in a file."""
    about = path.stat()
    known, key = path.with_name(f".{path.name}{_ENDING}"), f"{about.st_size} {about.st_mtime_ns}"
    if about.st_size >= LARGE and known.is_file():
        found, _, of = known.read_text("utf-8", "replace").strip().partition(" ")
        if of == key:
            return found
    hasher = hashlib.sha256()
    add_file(hasher, path)
    if about.st_size >= LARGE and os.access(path.parent, os.W_OK):
        with whole_file(known) as out:
            out.write(f"{hasher.hexdigest()} {key}\n")
    return hasher.hexdigest()


def add_file(hasher: "hashlib._Hash", path: Path) -> None:
    """Add what is in a file to a hash."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)


def is_whole(path: Path) -> bool:
    """Tell whether a file or a folder is there and not empty and, of an index (.scp), the archives that it names."""
    if path.is_dir():
        return True
    if not path.is_file() or not path.stat().st_size:
        return False
    return path.suffix != ".scp" or None not in archives(path)


def archives(scp: Path) -> list[Path | None]:
    """Return where each archive of an index is, as it is named or beside the index; None for one that is not there."""
    places = map(Path, _archive_names(_entries(scp)))
    return [next(_existing(place, scp.parent / place.name), None) for place in places]


def _recordings(scp: Path) -> Iterator[str]:
    """Give size and time of each recording that an index names; what is not there is left to who reads it."""
    tars: set[str] = set()
    for _, entry, byte in _entries(scp):
        if place := _TAR.fullmatch(entry):
            entry = place[1]
            if entry in tars:
                continue
            tars.add(entry)
        for word in _words(entry) if entry.endswith("|") else [entry]:
            for path in _existing(scp.parent / word, Path(word)) if not byte else ():
                about = path.stat()
                yield f"{about.st_size} {about.st_mtime_ns}"
                break


def _entries(scp: Path) -> Iterator[tuple[str, str, str]]:
    """Give each key of an index and what stands behind it: a file, and the place in it if it is one of matrices."""
    for line in scp.read_text("utf-8", "surrogateescape").splitlines():
        key, _, entry = line.strip().partition(" ")
        name, _, byte = entry.strip().rpartition(":")
        is_place = name and byte.isdecimal() and not _TAR.fullmatch(entry.strip())
        yield (key, name, byte) if is_place else (key, entry.strip(), "")


def _archive_names(entries: Iterable[tuple[str, str, str]]) -> list[str]:
    return list(dict.fromkeys(name for _, name, byte in entries if byte))


def _existing(*places: Path) -> Iterator[Path]:
    return (place for place in places if place.is_file())


def _words(command: str) -> list[str]:
    """Return the words of a command that decodes a recording."""
    try:
        return shlex.split(command)
    except ValueError:  # a quote without its other
        return command.split()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
