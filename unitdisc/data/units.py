"""Unit files: the one file type by which units leave the model and reach everyone who reads units.

A unit file is JSON lines. The first line is the header (`UnitHeader`), each other line one utterance:

    {"format": "unitdisc-units-1", "period": 0.02, "offset": 0.0, "codes": [256], "codebook": "9f..", "model": "1c.."}
    {"utt": "a-1", "frames": 5, "units": [7, 3, 7], "durations": [2, 1, 2]}

Frame i of an utterance is centred at offset + (i + 1/2) * period seconds. Several codebooks are written as one
number in mixed radix, the first codebook being the most significant. Lines are sorted by utterance.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.errors import DataError
from unitdisc.files import whole_file

FORMAT = "unitdisc-units-1"


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
        return int(np.prod(self.codes, dtype=np.int64))


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
        out.write(json.dumps({"format": FORMAT, **asdict(header)}) + "\n")
        for line in lines:
            if line.utt <= last:
                raise DataError(f"{path}: utterances are not sorted or not unique: {line.utt!r} after {last!r}")
            last = line.utt
            units, durations = line.units.tolist(), line.durations.tolist()
            record = {"utt": line.utt, "frames": sum(durations), "units": units, "durations": durations}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def unit_file(path: str | Path) -> Path:
    """Return a unit file, or the one in the folder that `unitdisc encode` wrote."""
    path = Path(path)
    return path / "units.jsonl" if path.is_dir() else path


def read_header(path: str | Path) -> UnitHeader:
    """Read and check the first line of a unit file, or of the one in the folder of an encoding."""
    path = unit_file(path)
    try:
        with path.open(encoding="utf-8") as lines:
            record = json.loads(lines.readline())
        if record.pop("format") != FORMAT:
            raise KeyError("format")
        header = UnitHeader(**{**record, "codes": tuple(record["codes"])})
    except FileNotFoundError:
        near = sorted(path.parent.glob("units/*/units.jsonl"))  # a run's folder was given
        hint = f"did you mean {near[0].parent}?" if near else "`unitdisc encode` makes one"
        raise DataError(f"{path}: no such unit file; {hint}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f'{path}:1: expected the header of a unit file, {{"format": "{FORMAT}", ...}}') from None
    if not header.period > 0:
        raise DataError(f"{path}:1: period must be above 0 s, got {header.period}")
    return header


def read_units(path: str | Path) -> Iterator[UnitLine]:
    """Read the utterances of a unit file one by one."""
    path = unit_file(path)
    cardinality = read_header(path).cardinality
    with path.open(encoding="utf-8") as lines:
        next(lines)
        for number, text in enumerate(lines, start=2):
            try:
                record = json.loads(text)
                line = UnitLine(
                    str(record["utt"]),
                    np.asarray(record["units"], dtype=np.int64),
                    np.asarray(record["durations"], dtype=np.int64),
                )
                frames = int(record["frames"])
            except (ValueError, KeyError, TypeError, OverflowError):
                raise DataError(
                    f'{path}:{number}: expected {{"utt", "frames", "units", "durations"}}, got {text[:60]!r}'
                ) from None
            _check_line(line, frames, cardinality, f"{path}:{number}")
            yield line


def _check_line(line: UnitLine, frames: int, cardinality: int, where: str) -> None:
    if len(line.units) != len(line.durations) or line.durations.sum() != frames or (line.durations < 1).any():
        raise DataError(f"{where}: {line.utt}: durations do not add up to {frames} frames of {len(line.units)} units")
    if len(line.units) and (line.units.min() < 0 or line.units.max() >= cardinality):
        raise DataError(f"{where}: {line.utt}: units must lie in 0..{cardinality - 1}, got {line.units.max()}")


def check_same_codebook(one: UnitHeader, other: UnitHeader, names: tuple[str, str]) -> None:
    """Refuse to use units of one codebook with another."""
    if one.codebook and other.codebook and one.codebook != other.codebook:
        raise DataError(
            f"{names[0]} has units of codebook {one.codebook}, {names[1]} of {other.codebook}; "
            "encode both with the same checkpoint"
        )
