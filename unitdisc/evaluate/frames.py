"""What is scored: one array of frames per file, wherever it comes from.

A folder of <file>.npy, .pt or .txt (subfolders belong to the name), a Kaldi feats.scp or the data directory that
holds it, or a unit file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.data.units import read_header, vectors_of
from unitdisc.errors import DataError
from unitdisc.evaluate.units import AnyUnits, Units
from unitdisc.reading import parse_json, reading

UNITS = "units.jsonl"  # what `unitdisc encode` calls its unit file
FEATURES = "feats.scp"  # what `unitdisc features` leaves in a data directory
SUFFIXES = (".npy", ".pt", ".txt")


class Frames(Mapping[str, np.ndarray]):
    """file -> frames: float32 [T, D], or int64 [T, 1] when `units`; read when asked for, and then checked."""

    path: Path
    units: bool = False
    period: float | None = None  # seconds per frame
    offset: float = 0.0  # seconds; see the time contract in data/timing.py
    codes: tuple[int, ...] = ()  # codewords of each codebook, of a unit file
    hashes: Mapping[str, str] = {}

    def __init__(self, names: Mapping[str, Any], path: Path, period: float | None) -> None:
        self._names = names
        self.path, self.period = path, period

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, file: object) -> bool:
        return file in self._names

    def __getitem__(self, file: str) -> np.ndarray:
        return checked(self._read(self._names[file]), f"{self.path}: {file}")

    def _read(self, source: Any) -> np.ndarray:
        raise NotImplementedError


class ArrayFrames(Frames):
    """Frames in memory."""

    def __init__(self, arrays: Mapping[str, np.ndarray], period: float, path: str | Path = "the features") -> None:
        super().__init__(arrays, Path(path), period)

    def _read(self, source: np.ndarray) -> np.ndarray:
        return source


class FolderFrames(Frames):
    """Frames of a folder with a file each."""

    def _read(self, source: Path) -> np.ndarray:
        return read_array(source)


class ArchiveFrames(Frames):
    """Frames of a Kaldi feats.scp."""

    def _read(self, source: Any) -> np.ndarray:
        return source()


class UnitFrames(Frames):
    """Units, one per frame, as int64 [T, 1]."""

    units = True

    def _read(self, source: np.ndarray) -> np.ndarray:
        return source


def open_frames(path: AnyUnits, frame_shift: float | None = None) -> Frames:
    """Open a folder of arrays, a feats.scp or a unit file, or the folder that `unitdisc features` or `encode` wrote to.

    A feats.scp takes its frame period from feats.json beside it, a vectors.scp from units.jsonl; `frame_shift`, in
    seconds, must agree with what the file says.
    """
    if isinstance(path, Units):
        frames = _of_units(path)
    else:
        path = Path(path)
        frames = _opened(next((path / name for name in (UNITS, FEATURES) if (path / name).exists()), path))
    if frame_shift is not None and not frame_shift > 0:
        raise DataError(f"the frame shift must be above 0 s, got {frame_shift}")
    if frame_shift is not None and frames.period is not None and abs(frame_shift - frames.period) > 1e-6:
        raise DataError(
            f"{path}: has a frame every {frames.period:g} s, but a frame shift of {frame_shift:g} s is asked for; "
            "leave the option out, or give the one that the file has"
        )
    frames.period = frames.period or frame_shift
    return frames


def _opened(path: Path) -> Frames:
    if path.is_dir():
        return _folder(path)
    if path.name == "codes.scp":  # what version 0.1.0 called the vectors of units
        path = vectors_of(path.parent)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder of features")
    if path.suffix == ".scp":
        return _archive(path)
    return _of_units(Units(path))


def _folder(path: Path) -> Frames:
    found: dict[str, Path] = {}
    for file in sorted(path.rglob("*")):
        if file.suffix in SUFFIXES and file.is_file() and not file.name.startswith("."):
            name = str(file.relative_to(path).with_name(file.name.removesuffix(file.suffix)))
            if name in found:
                raise DataError(f"{path}: has both {found[name].name} and {file.name}; keep one of them")
            found[name] = file
    if not found:
        raise DataError(f"{path}: has no file ending in {', '.join(SUFFIXES)}")
    return FolderFrames(found, path, None)


def _archive(path: Path) -> Frames:
    from unitdisc.data.store import FeatureReader

    reader = FeatureReader(path)
    notes, period, offset = path.with_suffix(".json"), None, 0.0
    if not notes.exists() and path.with_name(UNITS).exists():
        header = read_header(path.with_name(UNITS))  # vectors.scp: vectors of those units
        period, offset = header.period, header.offset
    elif notes.exists():
        with reading(notes, f"the period and offset of {path.name}"):
            record = parse_json(notes.read_text("utf-8"))
            period, offset = float(record["period"]), float(record["offset"])
    frames = ArchiveFrames({utt: lambda utt=utt: reader[utt] for utt in reader}, path, period)
    frames.offset = offset
    return frames


def _of_units(units: Units) -> Frames:
    header = units.header
    frames = UnitFrames({line.utt: line.frames[:, None] for line in units}, units.path, header.period)
    frames.offset = header.offset
    frames.codes = header.codes
    frames.hashes = {"codebook": header.codebook, "model": header.model}
    return frames


def read_array(path: Path) -> np.ndarray:
    """Read one .npy, .pt (weights only) or .txt array; never a pickle."""
    with reading(path, "an array"):
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".txt":
            return np.loadtxt(path, dtype=np.float32, ndmin=2)
        import torch

        return torch.load(path, map_location="cpu", weights_only=True).detach().float().numpy()


def checked(array: np.ndarray, where: str) -> np.ndarray:
    """Return frames as float32 (units as int64) [T, D], refusing other shapes and numbers that are not finite."""
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"{where}: expected frames of shape [T, D], got {list(array.shape)}")
    if array.dtype.kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    if array.dtype.kind != "f":
        raise DataError(f"{where}: expected real numbers, got {array.dtype}")
    frames = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(frames).all():
        bad = int(np.flatnonzero(~np.isfinite(frames).all(axis=1))[0])
        raise DataError(f"{where}: frame {bad} is not finite ({frames[bad][~np.isfinite(frames[bad])][0]})")
    return frames
