"""Archives in the making: a killed run goes on where it was, and nothing has a final name before it is whole.

All of it lies in one folder, DATA/features.partial. The journal has one line for each utterance, written after its
matrices, with their sizes and checksums; what does not agree with it is made again.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unitdisc.data.store import parse_record, scp_line, write_matrices
from unitdisc.errors import DataError
from unitdisc.features.cmvn import frame_sums, stats_name
from unitdisc.processes import Part
from unitdisc.reading import parse_json

FOLDER = "features.partial"


class MadeFeatures(NamedTuple):
    """What was made of one utterance: a record and its statistics for each archive, or a reason why not."""

    utt: str
    records: tuple[bytes, ...]
    stats: tuple[NDArray[np.float64], ...]  # each [2, D + 1]
    error: str | None = None
    short: float = 0.0  # s by which the recording ended before its header says


class PartialArchives:
    """Archives of the same utterances, in the same order, that grow together."""

    def __init__(
        self, data_dir: Path, names: Sequence[str], key: str, speakers: Mapping[str, str], part: Part | None = None
    ) -> None:
        """Open or begin the archives of a data directory, or of one job's part of them.

        What was begun with another key is begun anew.
        """
        self.data_dir, self.names, self.speakers = data_dir, tuple(names), speakers
        self.folder = data_dir / (FOLDER if part is None else f"{FOLDER}-{part.number}-of-{part.of}")
        self._header = json.dumps({"key": key, "names": self.names})
        self._homes = [data_dir.resolve() / f"{name}.ark" for name in names]
        self._begin()
        try:
            self.folder.mkdir(exist_ok=True)
            self._journal = FileIO(self.folder / "journal.jsonl", "a+")
            _lock(self._journal)
            self._arks = [FileIO(self.folder / f"{name}.ark", "a+") for name in self.names]
            self._resume()
        except OSError as error:
            raise self._failure(error) from None

    @property
    def done(self) -> int:
        """Return the number of utterances that are made or failed."""
        return len(self.lines)

    @property
    def frames(self) -> int:
        """Return the number of frames of the first archive."""
        return int(sum(stats[0, -1] for stats in self._stats[0].values()))

    def _begin(self) -> None:
        self.lines: list[str] = []
        self.failed: dict[str, str] = {}
        self.short: dict[str, float] = {}
        self._ends = [0 for _ in self.names]
        self._index: list[list[str]] = [[] for _ in self.names]
        self._stats: list[dict[str, NDArray[np.float64]]] = [{} for _ in self.names]

    def _resume(self, limit: int | None = None) -> None:
        """Take in what is whole, up to a number of utterances, and cut off the rest."""
        self._begin()
        for stream in (self._journal, *self._arks):
            stream.seek(0)
        # What stands behind the last line end is a line that was being written when the run was killed.
        header, *lines = self._journal.readall().decode("utf-8", "replace").split("\n")[:-1] or [""]
        for line in lines[:limit] if header == self._header else []:
            made = self._read(line)
            if made is None:
                break
            self._account(made, line)
        for ark, end in zip(self._arks, self._ends, strict=True):
            ark.truncate(end)
        kept = "".join(f"{line}\n" for line in (self._header, *self.lines)).encode()
        # Cut, not written anew: on a full disk that could fail, and all would be lost.
        self._journal.truncate(len(kept) if header == self._header else 0)
        if header != self._header:
            _write(self._journal, kept)

    def _read(self, line: str) -> MadeFeatures | None:
        """Return what a line of the journal announces, if the archives have it."""
        try:
            entry = parse_json(line)
            records = tuple(ark.read(size) for ark, size in zip(self._arks, entry["sizes"], strict=True))
            if [zlib.crc32(blob) for blob in records] != entry["crcs"]:
                return None
            stats = tuple(frame_sums(parse_record(blob)) for blob in records if blob)
            return MadeFeatures(entry["utt"], records, stats, entry["error"], entry.get("short", 0.0))
        except (ValueError, KeyError, TypeError, OverflowError, MemoryError):
            return None

    def _account(self, made: MadeFeatures, line: str) -> None:
        self.lines.append(line)
        if made.error is not None:
            self.failed[made.utt] = made.error
            return
        if made.short:
            self.short[made.utt] = made.short
        speaker = self.speakers[made.utt]
        for n, (blob, stats) in enumerate(zip(made.records, made.stats, strict=True)):
            self._index[n].append(scp_line(made.utt, self._homes[n], self._ends[n]))
            self._ends[n] += len(blob)
            self._stats[n][speaker] = self._stats[n].get(speaker, 0) + stats

    def made(self) -> Iterator[MadeFeatures]:
        """Read again what was made of each utterance, in order."""
        for ark in self._arks:
            ark.seek(0)
        for line in self.lines:
            made = self._read(line)
            assert made is not None, "it was whole when it was opened"
            yield made

    def append(self, made: MadeFeatures) -> None:
        """Write what was made of the next utterance; it counts once its line stands in the journal."""
        entry: dict[str, Any] = {"utt": made.utt, "error": made.error, **({"short": made.short} if made.short else {})}
        records = made.records or tuple(b"" for _ in self.names)
        entry["sizes"] = [len(blob) for blob in records]
        entry["crcs"] = [zlib.crc32(blob) for blob in records]
        line = json.dumps(entry, ensure_ascii=False)
        try:
            for ark, blob in zip(self._arks, records, strict=True):
                _write(ark, blob)
            _write(self._journal, f"{line}\n".encode())
        except OSError as error:
            raise self._failure(error) from None
        self._account(made, line)

    def forget_failures(self) -> None:
        """Go back to before the first failed utterance, so that the next run tries it again."""
        first = next((n for n, line in enumerate(self.lines) if parse_json(line)["error"] is not None), None)
        if first is not None:
            self._resume(first)

    def finish(self, manifests: Mapping[str, str]) -> None:
        """Give everything its final name: archive, index, statistics by speaker and manifest of each name."""
        try:
            self._finish(manifests)
        except OSError as error:
            raise self._failure(error) from None

    def _finish(self, manifests: Mapping[str, str]) -> None:
        moves: list[tuple[str, str]] = []
        for n, name in enumerate(self.names):
            os.fsync(self._arks[n].fileno())
            stats_scp = stats_name(name)
            stem = stats_scp.removesuffix(".scp")
            write_matrices(self.folder / stem, sorted(self._stats[n].items()), self.data_dir)
            for file, text in ((f"{name}.scp", "".join(self._index[n])), (f"{name}.json", manifests[name])):
                with (self.folder / file).open("w", encoding="utf-8") as out:
                    out.write(text)
                    out.flush()
                    os.fsync(out.fileno())
            moves += [(file, file) for file in (f"{name}.ark", f"{stem}.ark", stats_scp, f"{name}.scp")]
        # The manifest is what says that an archive is whole: it goes first and comes last.
        for name in self.names:
            (self.data_dir / f"{name}.json").unlink(missing_ok=True)
        for source, target in [*moves, *((f"{name}.json", f"{name}.json") for name in self.names)]:
            (self.folder / source).replace(self.data_dir / target)
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Close the files and leave them for the next run."""
        for stream in (*self._arks, self._journal):
            stream.close()

    def _failure(self, error: OSError) -> DataError:
        if error.errno in (errno.EAGAIN, errno.EACCES) and isinstance(error, BlockingIOError):
            return DataError(f"{self.folder}: another run is making these features; wait for it, or stop it")
        what = "no space left on the device" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        return DataError(
            f"{self.folder}: cannot write: {what}; {self.done} utterances are whole: free some space and start again "
            "to go on with the next, or remove the folder"
        )


def parts_of(data_dir: Path) -> list[Part]:
    """Return the parts that jobs have left beside a data directory's tables, of the division that was done furthest."""
    sizes: dict[int, int] = {}
    parts = sorted(_parts(data_dir).items())
    for part, folder in parts:
        size = sum(path.stat().st_size for path in folder.glob("*.ark"))
        sizes[part.of] = sizes.get(part.of, 0) + size
    furthest = max(sizes, key=lambda of: (sizes[of], of), default=0)
    return [part for part, _ in parts if part.of == furthest]


def remove_parts(data_dir: Path) -> None:
    """Remove all that jobs have left, whatever number of jobs it was."""
    for folder in _parts(data_dir).values():
        shutil.rmtree(folder, ignore_errors=True)


def _parts(data_dir: Path) -> dict[Part, Path]:
    form = re.compile(rf"{re.escape(FOLDER)}-(\d+)-of-(\d+)")
    found = ((path, form.fullmatch(path.name)) for path in data_dir.glob(f"{FOLDER}-*"))
    return {Part(int(match[1]), int(match[2])): path for path, match in found if match}


def _write(stream: FileIO, blob: bytes) -> None:
    """Write all of it; a full disk first takes less than it is given."""
    view = memoryview(blob)
    while view:
        view = view[stream.write(view) :]


def _lock(stream: FileIO) -> None:
    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
