"""Arrays of whole numbers: a folder of .npy or .pt, one for each utterance, or one .npz or .pt of them all."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.data.foreign.base import SAFE, Format, ReadOptions, Source, Utterance
from unitdisc.errors import DataError, clipped
from unitdisc.reading import reading

SUFFIXES = (".npy", ".pt")


def read_arrays(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read units [T] or [T, 1] by the names of the files, or by the keys of the one file."""
    if source.is_folder:
        for path in source.files(*SUFFIXES):
            name = str(path.relative_to(source.path)).removesuffix(path.suffix)
            yield Utterance(str(path), name, _units(load(path), str(path)))
    else:
        loaded = load(source.path)
        named = loaded if isinstance(loaded, Mapping) else {source.path.stem: loaded}
        for name in named:
            where = f"{source.path}: {clipped(name)}"
            with reading(where, "an array"):  # an .npz is read as its arrays are asked for
                value = named[name]
            yield Utterance(where, str(name), _units(value, where))


def load(path: Path) -> Any:
    """Load an array, or several by name; never a pickle."""
    with reading(path, "an array"):
        try:
            if path.suffix in (".npy", ".npz"):
                return np.load(path, allow_pickle=False)
            import torch

            return torch.load(path, map_location="cpu", weights_only=True)
        except (ValueError, pickle.UnpicklingError) as error:
            if "pickle" in str(error).lower() or "weights_only" in str(error):
                raise DataError(f"{path}: {SAFE}") from None
            raise


def _units(value: Any, where: str) -> np.ndarray:
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(f"{where}: expected whole numbers [T], got {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)


def _fits(source: Source) -> bool:
    if not source.is_folder:
        return source.path.suffix in (*SUFFIXES, ".npz")
    first = next(iter(source.files(*SUFFIXES)), None)
    if first is None:
        return False
    try:
        return len(_units(load(first), str(first))) >= 0
    except DataError as error:
        if SAFE in str(error):
            raise
        return False  # features


ARRAYS = Format("arrays", "whole numbers in `.npy`, `.pt` (weights only) or `.npz`", _fits, read_arrays)
