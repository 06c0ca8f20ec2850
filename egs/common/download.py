"""Fetch one file: checked by its hash, continued where a broken download stopped.

python ../common/download.py URL FILE --hash md5:c32a1d4a...
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from scripts import run
from tqdm import tqdm

from unitdisc.errors import DataError

BLOCK = 1 << 18
SECONDS = 2  # between looks at the progress; what takes less has none


def download(url: str, file: Path, hash: str) -> None:
    """Fetch `url` into `file` unless it is there; `hash` is "md5:<hex>" or "sha256:<hex>"."""
    if file.exists() and digest(file, hash) == hash:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    if not (partial.exists() and digest(partial, hash) == hash):
        fetch(url, partial)
    got = digest(partial, hash)
    if got != hash:
        partial.unlink()
        raise DataError(f"{url}: expected a file of {hash}, got {got}; it was removed: start again")
    partial.replace(file)


def fetch(url: str, partial: Path) -> None:
    """Append to `partial` what it lacks, or write it anew if the server cannot go on in the middle."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            begun = have if answer.status == 206 else 0
            left = answer.headers.get("Content-Length")
            size = None if left is None else begun + int(left)
            with partial.open("ab" if begun else "wb") as out, progress(url, size, begun) as bar:
                while block := answer.read(BLOCK):
                    out.write(block)
                    bar.update(len(block))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch: whole, or too long; the hash will tell
            return
        raise DataError(f"{url}: the server answers {error.code} {error.reason}; is the address still right?") from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: {error}; what has come is kept: start again to go on") from None
    if size is not None and partial.stat().st_size < size:
        raise DataError(f"{url}: broke off at {partial.stat().st_size} bytes; start again to go on")


def digest(path: Path, like: str) -> str:
    """Hash a file in the way that `like` ("md5:..." or "sha256:...") names."""
    name = like.partition(":")[0]
    if name not in ("md5", "sha256"):
        raise DataError(f"--hash: expected md5:<hex> or sha256:<hex>, got {like!r}")
    whole = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as data, progress(f"checking {path}", path.stat().st_size) as bar:
        while block := data.read(BLOCK):
            whole.update(block)
            bar.update(len(block))
    return f"{name}:{whole.hexdigest()}"


def progress(what: str, size: int | None, begun: int = 0) -> tqdm:
    """Return a bar on stderr, in bytes and per cent."""
    return tqdm(desc=what, total=size, initial=begun, unit="B", unit_scale=True, mininterval=SECONDS, delay=SECONDS)


def main() -> None:
    """Parse and fetch."""
    run(download, "url", "file", url={"type": str}, hash={"required": True, "help": "md5:<hex> or sha256:<hex>"})


if __name__ == "__main__":
    main()
