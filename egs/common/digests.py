"""Print a hash of a file: of its content and, for an index (.scp), of what it names.

python digests.py FILE     prints the hash; of archives (<ark>:<byte>) the content counts, of recordings size and time
python digests.py --whole INDEX     ends well if all archives that it names are there

What is large is read once: .stages/digests holds its hash for as long as its size and time stay.
"""

import hashlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

KNOWN = Path(".stages/digests")
LARGE = 20_000_000  # bytes


def content(path: str) -> str:
    """Hash what is in a file."""
    about = os.stat(path)
    key = f" {about.st_size} {about.st_mtime_ns} {os.path.realpath(path)}"
    if about.st_size >= LARGE and KNOWN.exists():
        for line in KNOWN.read_text("utf-8", "surrogateescape").splitlines():
            if line.endswith(key) and len(line) == 64 + len(key):
                return line[:64]
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    if about.st_size >= LARGE and KNOWN.parent.is_dir():
        with KNOWN.open("a", encoding="utf-8", errors="surrogateescape") as known:
            known.write(f"{hasher.hexdigest()}{key}\n")
    return hasher.hexdigest()


def entries(scp: Path) -> Iterator[tuple[str, str]]:
    """Give what stands behind each key of an index: a file, and the place in it if it is an archive."""
    for line in scp.read_text("utf-8", "surrogateescape").splitlines():
        entry = "".join(line.split(None, 1)[1:]).strip()
        name, _, byte = entry.rpartition(":")
        yield (name, byte) if name and byte.isdecimal() else (entry, "")


def archives(scp: Path) -> list[list[str]]:
    """Return where each archive of an index is, as it is named or beside the index; [] if it is not there."""
    names = dict.fromkeys(name for name, byte in entries(scp) if byte)
    return [existing(name, str(scp.parent / Path(name).name)) for name in names]


def recordings(scp: Path) -> Iterator[str]:
    """Give size and time of each recording that an index names; what is not there is left to who reads it."""
    for entry, byte in entries(scp):
        for word in words(entry) if entry.endswith("|") else [entry]:
            for path in existing(os.path.join(scp.parent, word), word) if not byte else ():
                about = os.stat(path)
                yield f"{about.st_size} {about.st_mtime_ns}"


def existing(*places: str) -> list[str]:
    """Return the first place where there is a file, the only one that is read."""
    return [place for place in places if os.path.isfile(place)][:1]


def words(command: str) -> list[str]:
    """Return the words of a command that decodes a recording."""
    try:
        return shlex.split(command)
    except ValueError:  # a quote without its other
        return command.split()


def main() -> None:
    """Hash and print, or say whether archives are there."""
    path = Path(sys.argv[-1])
    if sys.argv[1] == "--whole":
        sys.exit(not all(archives(path)))
    lines = [content(str(path))]
    if path.suffix == ".scp":
        lines += [*(content(ark) for places in archives(path) for ark in places), *recordings(path)]
    print(hashlib.sha256("\n".join(lines).encode()).hexdigest())


if __name__ == "__main__":
    main()
