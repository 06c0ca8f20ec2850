"""What is made once and kept, under a name that says what it was made of: who compares with the same finds it there."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from unitdisc import __version__
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.files import lock_file, whole_file

WHOLE = "whole"  # a file in a folder that was made to its end


def key_of(*parts: object) -> str:
    """Hash plain values, and the version of unitdisc, to 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps([__version__, *parts], sort_keys=True, default=str).encode()).hexdigest()[:12]


def data_key(data: DataDir) -> str:
    """Hash what a data directory's sound depends on: its lists, and the size and time of each recording."""
    paths = sorted({str(data.source(utt).path) for utt in data.utts})
    facts = []
    for path in paths:
        with suppress(OSError):  # a command, or what is missed where it is read
            about = Path(path).stat()
            facts.append((path, about.st_size, about.st_mtime_ns))
    return key_of(data_digest(data.path), facts)


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills; what was made to its end is kept, and two who want it do not meet."""
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / ".making", "", wait=lambda who: None):
        if not (folder / WHOLE).exists():
            make(folder)
            with whole_file(folder / WHOLE):
                pass
    return folder
