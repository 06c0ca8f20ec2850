"""Feature archives: Kaldi's ark and scp, read and written by way of kaldiio.

Only matrices and vectors of numbers are read: an archive that holds a pickle is refused, and so is an scp line that
is a command.
"""

import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import kaldiio
import kaldiio.matio
import numpy as np
from numpy.typing import NDArray

from unitdisc.data.names import name_problem
from unitdisc.errors import DataError, clipped, shown
from unitdisc.files import whole_file
from unitdisc.reading import reading

FloatMatrix = NDArray[np.float32]
# Kaldi's binary objects that are numbers: float and double matrices and vectors, compressed matrices.
TWO_BYTES = 3  # Kaldi's kTwoByteAuto
_BINARY = ("FM", "DM", "FV", "DV", "CM", "CM2", "CM3")


class ArchivePlace(NamedTuple):
    """Where an scp line points."""

    path: Path
    offset: int
    scp: Path
    line: int

    @property
    def where(self) -> str:
        """Return the line of the scp, for messages."""
        return f"{self.scp}:{self.line}"


class FeatureReader(Mapping[str, FloatMatrix]):
    """The matrices [T, D] of an scp file by utterance; only the index is in memory."""

    def __init__(self, scp: str | Path) -> None:
        self.path = Path(scp)
        self._places = _read_scp(self.path)
        self._open: tuple[Path, BinaryIO] | None = None
        self._process = os.getpid()

    def __getitem__(self, utt: str) -> FloatMatrix:
        """Read one utterance's features, float32 [T, D]."""
        # kaldiio hands out memory that must not be written to, so this copies.
        return np.array(self._matrix(utt), dtype=np.float32, ndmin=2)

    def exact(self, key: str) -> NDArray[np.float64]:
        """Read a matrix in full precision, as statistics are kept."""
        return np.array(self._matrix(key), dtype=np.float64, ndmin=2)

    def _matrix(self, utt: str) -> NDArray[np.floating]:
        place = self._places[utt]
        stream = self._stream(place)
        kind = _kind(stream, place, utt)
        with _reading(place, utt):
            return _read_text(stream) if kind == "text" else kaldiio.matio.read_kaldi(stream)

    def __iter__(self) -> Iterator[str]:
        """Go through the utterances in the order of the file."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self._places)

    def __contains__(self, utt: object) -> bool:
        """Tell whether there are features of an utterance."""
        return utt in self._places

    def is_whole(self) -> bool:
        """Tell whether all archives that the index names are there."""
        return all(path.exists() for path in {place.path for place in self._places.values()})

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames; from the header alone, except of a text archive."""
        return self.shape(utt)[0]

    def shape(self, utt: str) -> tuple[int, int]:
        """Return an utterance's frames and dimensions; from the header alone, except of a text archive."""
        place = self._places[utt]
        stream = self._stream(place)
        kind = _kind(stream, place, utt)
        if not kind.endswith("M") and not kind.startswith("CM"):
            rows, columns = self[utt].shape
            return rows, columns
        stream.seek(place.offset + len("\0B ") + len(kind))
        # A compressed matrix has its lowest value and its range before the two sizes, another a mark before each.
        header = stream.read(16) if kind.startswith("CM") else stream.read(10)
        with _reading(place, utt):
            rows, columns = struct.unpack("<8xii" if kind.startswith("CM") else "<xixi", header)
            return rows, columns

    def _stream(self, place: ArchivePlace) -> BinaryIO:
        """Return the archive, open and at the place; a process that was forked off opens its own."""
        if self._open is None or self._open[0] != place.path or self._process != os.getpid():
            self.close()
            where, again = f"{place.where}: {clipped(place.path, 1000)}", "make it again"
            with reading(where, "an archive", none=again, advice=again):
                self._open, self._process = (place.path, place.path.open("rb")), os.getpid()
        self._open[1].seek(place.offset)
        return self._open[1]

    def close(self) -> None:
        """Close the archive that was read last."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __getstate__(self) -> dict[str, object]:
        """Leave the open file behind when sent to another process."""
        return {**self.__dict__, "_open": None}


def _read_scp(path: Path) -> dict[str, ArchivePlace]:
    places: dict[str, ArchivePlace] = {}
    resolved: dict[str, Path] = {}
    with reading(path, "an index of an archive, in UTF-8", none="`unitdisc features` makes it"):
        lines = path.read_text("utf-8-sig").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        utt, _, target = line.strip().partition(" ")
        target, where = target.strip(), f"{path}:{number}"
        if not target:
            raise DataError(f"{where}: expected '<utt> <ark>:<byte>', got {shown(line)}")
        if target.endswith("|") or target.startswith("|"):
            raise DataError(
                f"{where}: is a command, which is not run here; copy it into an ark with Kaldi's copy-feats"
            )
        name, colon, offset = target.rpartition(":")
        if not (colon and offset.isdecimal()):
            name, offset = target, "0"
            if target.endswith("]"):
                raise DataError(f"{where}: ranges of rows are not read; copy them into an ark with Kaldi's copy-feats")
        if problem := name_problem(utt) or ("a NUL" if "\0" in target else ""):
            raise DataError(f"{where}: expected '<utt> <ark>:<byte>', got {problem}")
        if len(offset) > 18 or len(name) > 4096:
            raise DataError(f"{where}: expected '<utt> <ark>:<byte>', got {shown(line)}")
        if utt in places:
            raise DataError(f"{where}: {utt} stands there twice (first at {places[utt].where}); remove one")
        if name not in resolved:
            # Whoever moves a data directory moves its archive with it.
            beside = path.parent / Path(name).name
            resolved[name] = beside if not os.path.exists(name) and os.path.exists(beside) else Path(name)
        places[utt] = ArchivePlace(resolved[name], int(offset), path, number)
    return places


def _kind(stream: BinaryIO, place: ArchivePlace, utt: str) -> str:
    """Return the name of what lies at the stream's place, which is kept; refuse what is not numbers."""
    head = stream.read(6)
    stream.seek(place.offset)
    kind = head[2:].split(b" ")[0].decode("latin-1")
    if head[:2] == b"\0B" and kind in _BINARY:
        return kind
    if head and all(byte in b" \t\r\n[+-.0123456789einfa" for byte in head):
        return "text"
    raise DataError(
        f"{place.where}: {utt}: expected a Kaldi matrix at byte {place.offset} of {place.path}, "
        f"got {head!r}; make the features again"
    )


def _read_text(stream: BinaryIO) -> NDArray[np.float64]:
    text = bytearray()
    while b"]" not in text:
        block = stream.read(1 << 16)
        if not block:
            raise ValueError("no closing bracket")
        text += block
    opening, _, numbers = text.partition(b"]")[0].partition(b"[")
    if opening.strip():
        raise ValueError("no opening bracket")
    rows = [[float(number) for number in line.split()] for line in numbers.splitlines() if line.strip()]
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def _reading(place: ArchivePlace, utt: str) -> AbstractContextManager[None]:
    what, got = f"a matrix at byte {place.offset}", "one that is truncated or damaged"
    return reading(f"{place.path}: {utt}", what, got=got, advice="make it again")


def record(utt: str, matrix: NDArray[np.floating], half: bool = False) -> bytes:
    """Return the bytes of one utterance in a binary archive; float64 stays so.

    Half: Kaldi's matrix of 16 bits a value, in even steps from the least to the greatest.
    """
    buffer = io.BytesIO()
    kaldiio.save_ark(buffer, {utt: np.ascontiguousarray(matrix)}, compression_method=TWO_BYTES if half else None)
    return buffer.getvalue()


def parse_record(blob: bytes) -> FloatMatrix:
    """Return the matrix of the bytes that `record` made."""
    return kaldiio.matio.read_kaldi(io.BytesIO(blob[blob.index(b" ") + 1 :]))


def write_features(stem: str | Path, items: Iterable[tuple[str, NDArray[np.floating]]]) -> None:
    """Write STEM.ark and STEM.scp as float32, in the order given; nothing is left of them if anything goes wrong."""
    write_matrices(stem, ((utt, np.asarray(matrix, dtype=np.float32)) for utt, matrix in items))


def write_matrices(
    stem: str | Path, items: Iterable[tuple[str, NDArray[np.floating]]], home: Path | None = None
) -> None:
    """Write matrices in their own precision; the scp says that the ark lies in `home`."""
    stem = Path(stem)
    ark, scp = stem.with_name(stem.name + ".ark"), stem.with_name(stem.name + ".scp")
    named = (home or ark.parent).resolve() / ark.name
    lines: list[str] = []
    seen: set[str] = set()
    try:
        with whole_file(ark, binary=True) as out:
            for utt, matrix in items:
                if utt in seen or not utt or any(c.isspace() for c in utt):
                    raise DataError(f"{ark}: utterance names must be unique and without spaces, got {utt!r}")
                seen.add(utt)
                lines.append(scp_line(utt, named, out.tell()))
                out.write(record(utt, matrix))
            with whole_file(scp) as index:
                index.writelines(lines)
    except OSError as error:
        raise DataError(f"{ark}: cannot be written: {error.strerror or error}; nothing of it was kept") from None


def scp_line(utt: str, ark: Path, start: int) -> str:
    """Return the scp line of a record that starts at a byte; `ark` is the whole path, as Kaldi's tools want it."""
    return f"{utt} {ark}:{start + len(utt.encode()) + 1}\n"
