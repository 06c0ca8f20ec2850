"""Fetch one file: checked by its hash, continued where a broken download stopped.

python ../common/download.py URL FILE --hash md5:c32a1d4a...
"""

import argparse
import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from pathlib import Path

from unitdisc.errors import DataError, UnitdiscError

BLOCK = 1 << 20


def download(url: str, path: Path, expected: str) -> None:
    """Fetch `url` into `path` unless it is there; `expected` is "md5:<hex>" or "sha256:<hex>"."""
    if path.exists() and digest(path, expected) == expected:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    if not (partial.exists() and digest(partial, expected) == expected):
        fetch(url, partial)
    got = digest(partial, expected)
    if got != expected:
        partial.unlink()
        raise DataError(f"{url}: expected a file of {expected}, got {got}; it was removed: start again")
    partial.replace(path)


def fetch(url: str, partial: Path) -> None:
    """Append to `partial` what it lacks, or write it anew if the server cannot go on in the middle."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            with partial.open("ab" if answer.status == 206 else "wb") as out:
                while block := answer.read(BLOCK):
                    out.write(block)
            size = answer.headers.get("Content-Length")
            begun = have if answer.status == 206 else 0
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch: whole, or too long; the hash will tell
            return
        raise DataError(f"{url}: the server answers {error.code} {error.reason}; is the address still right?") from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: {error}; what has come is kept: start again to go on") from None
    if size is not None and partial.stat().st_size < begun + int(size):
        raise DataError(f"{url}: broke off at {partial.stat().st_size} bytes; start again to go on")


def digest(path: Path, like: str) -> str:
    """Hash a file in the way that `like` ("md5:..." or "sha256:...") names."""
    name = like.partition(":")[0]
    if name not in ("md5", "sha256"):
        raise DataError(f"--hash: expected md5:<hex> or sha256:<hex>, got {like!r}")
    whole = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as data:
        while block := data.read(BLOCK):
            whole.update(block)
    return f"{name}:{whole.hexdigest()}"


def main() -> None:
    """Parse and fetch."""
    parser = argparse.ArgumentParser(description="Fetch one file, checked and resumable.", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--hash", required=True, help="md5:<hex> or sha256:<hex>")
    options = parser.parse_args()
    try:
        download(options.url, options.file, options.hash)
    except UnitdiscError as error:
        sys.exit(f"download.py: {error}")


if __name__ == "__main__":
    main()
