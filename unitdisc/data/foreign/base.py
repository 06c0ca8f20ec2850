"""What all formats of other tools share: a source to look into, and the utterances that it holds.

A format is one module of this folder with a `Format`, which `formats.py` lists: `fits` says by its content whether a
source is of the format, `read` yields its utterances. Periods, names and numbers are checked in one place,
`importing.py`, for all of them.
"""

import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from unitdisc.data.foreign.options import ReadOptions
from unitdisc.data.units import MOST_FRAMES
from unitdisc.errors import DataError, shown
from unitdisc.reading import parse_json, reading

LOOK = 65536  # bytes from the beginning that tell what a file is
GZIP = b"\x1f\x8b"
SAFE = (
    "a pickle can run any code, so none is read; where you trust it, save its units as plain numbers, as by "
    "`numpy.savez('units.npz', **units)`"
)
AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".m4a")


class Utterance(NamedTuple):
    """The units of one utterance as a file of another tool has them: one a frame, or with their times."""

    where: str  # for messages
    utt: str
    units: np.ndarray  # [N] int64
    times: np.ndarray | None = None  # [N, 2] float64: start and end in seconds; None: a unit for each frame
    seconds: float | None = None  # of the audio, where the file says it


@dataclass(frozen=True)
class Format:
    """One format of other tools."""

    name: str  # as --units-format has it
    about: str
    fits: Callable[["Source"], bool]
    read: Callable[["Source", ReadOptions], Iterable[Utterance]]
    like_features: bool = False  # what scores of features take for features, if nobody says otherwise


class Source:
    """A file or a folder to read units from; what tells its kind is read once."""

    def __init__(self, path: Path) -> None:
        """Take a path, and refuse a pickle."""
        self.path = path
        if not path.exists():
            raise DataError(f"{path}: no such file or folder of units")
        if path.suffix.lower() in (".pkl", ".pickle", ".joblib") or (
            self.start[:1] == b"\x80" and path.suffix != ".pt"
        ):
            raise DataError(f"{path}: {SAFE}")

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def start(self) -> bytes:
        """Return the first bytes of a file as they are; of a folder, none."""
        if self.is_folder:
            return b""
        with reading(self.path, "units"), self.path.open("rb") as file:
            return file.read(LOOK)

    @cached_property
    def first(self) -> list[str]:
        """Return the first whole lines of a text file, gzip or not; none if it is no text."""
        if self.is_folder or (b"\0" in self.start[:LOOK] and self.start[:2] != GZIP):
            return []
        try:
            with self.text() as file:
                text = file.read(LOOK)
        except (UnicodeDecodeError, EOFError, OSError):
            return []
        lines = text.split("\n")
        return [line for line in (lines if len(text) < LOOK else lines[:-1] or lines) if line.strip()][:50]

    @cached_property
    def record(self) -> dict[str, Any]:
        """Return the first line of JSON lines; of others, an empty object."""
        try:
            record = parse_json(self.first[0]) if self.first else {}
        except ValueError:
            return {}
        return record if isinstance(record, dict) else {}

    def text(self) -> TextIO:
        """Open a text file, gzip or not."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                if file.read(2) == GZIP:
                    return io.TextIOWrapper(gzip.open(self.path, "rb"), encoding="utf-8-sig", newline="\n")
        return self.path.open(encoding="utf-8-sig", newline="\n")

    def lines(self, empty: bool = False) -> Iterator[tuple[str, str]]:
        """Yield (where, line) of a text file; empty lines only if they count."""
        with reading(self.path, "text"), self.text() as lines:
            for number, line in enumerate(lines, start=1):
                if empty or line.strip():
                    yield f"{self.path}:{number}", line.rstrip("\r\n")

    def all(self, pattern: str) -> bool:
        """Tell whether each of the first lines has a pattern from end to end."""
        return bool(self.first) and all(re.fullmatch(pattern, line.rstrip("\r")) for line in self.first)

    def some(self, pattern: str) -> bool:
        """Tell whether one of the first lines has a pattern from end to end."""
        return any(re.fullmatch(pattern, line.rstrip("\r")) for line in self.first)

    def files(self, *suffixes: str) -> list[Path]:
        """Return the files of a folder, and of what lies in it, that end so."""
        return sorted(path for path in self.path.rglob("*") if path.suffix.lower() in suffixes and path.is_file())

    def only(self, *names: str) -> "Source | None":
        """Return the file to read: of a folder, the only one of these names, which may be patterns."""
        if not self.is_folder:
            return self
        found = sorted({path for name in names for path in self.path.glob(name)})
        return Source(found[0]) if len(found) == 1 else None


def unit_numbers(words: Iterable[str], where: str) -> np.ndarray:
    """Return units [N] of words such as 7 or <7>."""
    words = list(words)

    def wrong() -> str:
        return shown(next((word for word in words if not re.fullmatch(r"<?\d{1,18}>?", word)), words))

    with reading(where, "units as whole numbers", got=wrong):
        return np.array([int(word[1:-1] if word[0] == "<" else word) for word in words], dtype=np.int64)


def numbers_of(values: Any, where: str) -> np.ndarray:
    """Return units [N] of a list of JSON."""
    # By type, since NumPy makes 1 of 1.9 and of true without a word.
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise DataError(f"{where}: expected a list of units as whole numbers, got {shown(values)}")
    with reading(where, "units of at most 64 bits", got="a larger one"):
        return np.array(values, dtype=np.int64)


def check_length(frames: float, where: str) -> None:
    """Refuse an utterance of so many frames that a number must be damaged."""
    if not frames <= MOST_FRAMES:
        raise DataError(f"{where}: expected at most {MOST_FRAMES} frames, got {frames:g}")


def record_of(line: str, where: str) -> dict[str, Any]:
    """Return the object of a line of JSON."""
    with reading(where, "a JSON object", got=partial(shown, line)):
        return dict(parse_json(line))


def name_of(path: str) -> str:
    """Return the name of an utterance: that of its audio file without folders and ending, others as they are."""
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in AUDIO else path
