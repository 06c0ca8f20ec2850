"""Unit files: the one file type by which units leave the model and reach everyone who reads units.

A unit file is JSON lines. The first line is the header (`UnitHeader`), the last one says how many utterances there
are, so that a file that was cut shows it; each other line is one utterance:

    {"format": "unitdisc-units-2", "period": 0.02, "offset": 0.0, "codes": [256], "codebook": "9f..", "model": "1c.."}
    {"utt": "a-1", "frames": 5, "units": [7, 3, 7], "durations": [2, 1, 2]}
    {"utterances": 1}

Files of unitdisc 0.1.0, "unitdisc-units-1", have no last line of that kind; they are read as they are.

Frame i of an utterance is centred at offset + (i + 1/2) * period seconds. Several codebooks are written as one
number in mixed radix, the first codebook being the most significant. Lines are sorted by utterance.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data.names import name_problem
from unitdisc.errors import DataError, shown
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading

FORMAT = "unitdisc-units-2"
UNCOUNTED = "unitdisc-units-1"  # of 0.1.0, and of those who write unit files by hand: without a count at the end
MOST_CODES = 1 << 62  # of all codebooks together: a unit is one number of 64 bits
MOST_FRAMES = 100_000_000  # of an utterance: 23 days at 50 Hz; more come of a damaged number, and fill the memory


@dataclass(frozen=True)
class UnitHeader:
    """What all utterances of a unit file share."""

    period: float  # seconds from frame to frame
    codes: tuple[int, ...]  # codewords of each codebook
    offset: float = 0.0  # seconds; see the time contract in data/timing.py
    codebook: str = ""  # hash of the codebook; empty for units of unknown origin
    model: str = ""  # hash of all weights that the units depend on
    origin: dict[str, str] = field(default_factory=dict)  # free notes: tool, version, source

    @property
    def cardinality(self) -> int:
        """Return how many different units there can be."""
        return math.prod(self.codes)

    @property
    def change(self) -> str:
        """Return how the audio was changed before it was encoded, such as noise-10; empty if it was not."""
        return self.origin.get("change") or self.origin.get("perturbation", "")  # as version 0.1.0 called it


class UnitLine(NamedTuple):
    """The units of one utterance, de-duplicated with durations."""

    utt: str
    units: np.ndarray  # [N] int64, runs of equal frames merged (segmenters may keep equal neighbours)
    durations: np.ndarray  # [N] int64, frames

    @property
    def frames(self) -> np.ndarray:
        """Return one unit per frame, [T]."""
        return np.repeat(self.units, self.durations)

    @classmethod
    def of_frames(cls, utt: str, frames: Sequence[int] | np.ndarray) -> "UnitLine":
        """Merge runs of equal frames."""
        frames = np.asarray(frames, dtype=np.int64)
        starts = np.flatnonzero(np.r_[True, frames[1:] != frames[:-1]]) if len(frames) else np.zeros(0, np.int64)
        return cls(utt, frames[starts], np.diff(np.r_[starts, len(frames)]).astype(np.int64))


def write_units(path: str | Path, header: UnitHeader, lines: Iterable[UnitLine]) -> int:
    """Write a unit file under a temporary name and rename it when whole; return the number of utterances."""
    path, count, last = Path(path), 0, ""
    with whole_file(path) as out:
        out.write(first_line(header))
        for line in lines:
            if problem := name_problem(line.utt):
                raise DataError(f"{path}: expected a name of an utterance, got {problem}")
            if line.utt <= last:
                raise DataError(f"{path}: utterances are not sorted or not unique: {line.utt!r} after {last!r}")
            last = line.utt
            out.write(unit_line(line))
            count += 1
        out.write(last_line(count))
    return count


def first_line(header: UnitHeader) -> str:
    """Return the line at the head of a unit file."""
    return json.dumps({"format": FORMAT, **asdict(header)}) + "\n"


def unit_line(line: UnitLine) -> str:
    """Return the line of an utterance."""
    units, durations = line.units.tolist(), line.durations.tolist()
    record = {"utt": line.utt, "frames": sum(durations), "units": units, "durations": durations}
    return json.dumps(record, ensure_ascii=False) + "\n"


def last_line(utterances: int) -> str:
    """Return the line that ends a unit file."""
    return json.dumps({"utterances": utterances}) + "\n"


def unit_file(path: str | Path) -> Path:
    """Return a unit file, or the one in the folder that `unitdisc encode` wrote."""
    path = Path(path)
    return path / "units.jsonl" if path.is_dir() else path


def vectors_of(folder: Path) -> Path:
    """Return the index of the vectors beside units: vectors.scp, which version 0.1.0 called codes.scp."""
    new, old = folder / "vectors.scp", folder / "codes.scp"
    return old if old.exists() and not new.exists() else new


def read_header(path: str | Path) -> UnitHeader:
    """Read and check the first line of a unit file, or of the one in the folder of an encoding."""
    return _read_first(unit_file(path))[1]


def _read_first(path: Path) -> tuple[str, UnitHeader]:
    """Return the format that a unit file says it has, and its header."""
    none = "`unitdisc encode` makes one"
    if not path.exists() and (near := sorted(path.parent.glob("units/*/units.jsonl"))):  # a run's folder was given
        none = f"did you mean {near[0].parent}?"
    what = f'a unit file, whose first line is {{"format": "{FORMAT}", ...}}'
    with reading(path, what, none=none), path.open(encoding="utf-8") as lines:
        record = parse_json(lines.readline())
        kind = record.pop("format")
        if kind not in (FORMAT, UNCOUNTED):
            raise ValueError(f"format {shown(kind)}")
        header = UnitHeader(**{**record, "codes": tuple(record["codes"])})
    _check_header(header, f"{path}:1")
    return kind, header


def _check_header(header: UnitHeader, where: str) -> None:
    if not (_is_number(header.period) and header.period > 0):
        raise DataError(f"{where}: period must be above 0 s, got {shown(header.period)}")
    if not _is_number(header.offset):
        raise DataError(f"{where}: offset must be seconds, got {shown(header.offset)}")
    codes = header.codes
    if not codes or not all(type(count) is int and count >= 1 for count in codes) or math.prod(codes) > MOST_CODES:
        raise DataError(f"{where}: codes must be the numbers of codewords of each codebook, got {shown(list(codes))}")
    for name in ("codebook", "model"):
        if not isinstance(getattr(header, name), str):
            raise DataError(f"{where}: {name} must be a string, got {shown(getattr(header, name))}")
    if not isinstance(header.origin, dict):
        raise DataError(f"{where}: origin must be notes by name, got {shown(header.origin)}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9  # NaN is not, either


def read_units(path: str | Path) -> Iterator[UnitLine]:
    """Read the utterances of a unit file one by one; a file that was cut, or has lines twice, is refused."""
    path = unit_file(path)
    kind, header = _read_first(path)
    seen: set[str] | None = None  # of a file that is not sorted; of one that is, memory does not grow
    last, total = "", 0
    count: int | None = None
    cardinality = header.cardinality
    with reading(path, "a unit file"), path.open(encoding="utf-8", newline="\n") as lines:
        next(lines)
        for number, text in enumerate(lines, start=2):
            where = f"{path}:{number}"
            if count is not None:
                raise DataError(f"{where}: expected nothing after the count of utterances, got {shown(text)}")
            record = _record(text, where)
            if kind == FORMAT and record.keys() == {"utterances"}:
                count = record["utterances"]
                continue
            line = _unit_line(record, text, cardinality, where)
            if line.utt <= last and seen is None:
                seen = _names(path, total)
            if seen is not None:
                if line.utt in seen:
                    raise DataError(f"{where}: expected each utterance once, got {line.utt!r} again")
                seen.add(line.utt)
            last, total = line.utt, total + 1
            yield line
    if kind == FORMAT and count != total:
        said = "a last line with the number of utterances" if count is None else f"{shown(count)} utterances"
        raise DataError(f"{path}: expected {said}, got {total} utterances; the file was cut: copy or make it again")


def units_of(path: str | Path, utts: Iterable[str]) -> dict[str, UnitLine]:
    """Return the units of those of the utterances that are in a file; other lines are passed by without a check."""
    path, wanted = unit_file(path), set(utts)
    written = sorted(json.dumps(utt, ensure_ascii=False)[1:-1] for utt in wanted)
    mentioned = re.compile("|".join([*map(re.escape, written), r"\\u"])).search  # or any name that is spelt otherwise
    cardinality = _read_first(path)[1].cardinality
    found: dict[str, UnitLine] = {}
    with reading(path, "a unit file"), path.open(encoding="utf-8", newline="\n") as lines:
        for number, text in islice(enumerate(lines, start=1), 1, None):
            if mentioned(text) and (record := _record(text, f"{path}:{number}")).get("utt") in wanted:
                line = _unit_line(record, text, cardinality, f"{path}:{number}")
                found[line.utt] = line
    return found


def _names(path: Path, count: int) -> set[str]:
    """Return the names of the first utterances of a unit file, which were read before."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        return {parse_json(text)["utt"] for text in islice(lines, 1, count + 1)}


def _record(text: str, where: str) -> dict[str, Any]:
    try:
        record = parse_json(text)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(f'{where}: expected {{"utt", "frames", "units", "durations"}}, got {shown(text)}')
    return record


def _unit_line(record: dict[str, Any], text: str, cardinality: int, where: str) -> UnitLine:
    what = '{"utt", "frames", "units", "durations"}, a string, a whole number and two lists of them'
    with reading(where, what, got=partial(shown, text)):
        utt, frames = record["utt"], record["frames"]
        units, durations = record["units"], record["durations"]
        lists = type(utt) is str and type(frames) is int and type(units) is list and type(durations) is list
        # By type, since NumPy makes 1 of 1.9 and of true without a word.
        if not lists or {*map(type, units), *map(type, durations)} - {int}:
            raise TypeError("values of other types")
        line = UnitLine(utt, np.asarray(units, dtype=np.int64), np.asarray(durations, dtype=np.int64))
    if problem := name_problem(utt):
        raise DataError(f"{where}: expected a name of an utterance, got {problem}")
    _check_line(line, frames, cardinality, where)
    return line


def _check_line(line: UnitLine, frames: int, cardinality: int, where: str) -> None:
    durations = line.durations.tolist()
    total = sum(durations)  # of Python's numbers, which do not run over
    if len(line.units) != len(durations) or total != frames or min(durations, default=1) < 1:
        raise DataError(
            f"{where}: {line.utt}: durations do not add up to {shown(frames)} frames of {len(line.units)} units"
        )
    if total > MOST_FRAMES:
        raise DataError(f"{where}: {line.utt}: expected at most {MOST_FRAMES} frames, got {total}")
    if durations and not 0 <= int(line.units.min()) <= int(line.units.max()) < cardinality:
        wrong = line.units[(line.units < 0) | (line.units >= cardinality)][0]
        raise DataError(f"{where}: {line.utt}: units must lie in 0..{cardinality - 1}, got {wrong}")


def check_same_codebook(one: UnitHeader, other: UnitHeader, names: tuple[str, str]) -> None:
    """Refuse to use units of one codebook with another."""
    if one.codebook and other.codebook and one.codebook != other.codebook:
        raise DataError(
            f"{names[0]} has units of codebook {one.codebook}, {names[1]} of {other.codebook}; "
            "encode both with the same checkpoint"
        )
