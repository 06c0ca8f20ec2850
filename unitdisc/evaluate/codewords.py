"""The vectors that units stand for, as ABX compares them: a codebook as it is, or balanced."""

from pathlib import Path

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.frames import Frames, read_array

FLOOR = 1e-4  # of the largest variance along an axis: below it an axis is noise


def read_codewords(frames: Frames, codebook: Path | None, distance: str) -> np.ndarray:
    """Read the codewords [K, D] of a unit file, from a file or from codebook.npy beside it."""
    if not frames.units:
        raise DataError(f"{frames.path}: --distance {distance} needs a unit file; for vectors use angular")
    if len(frames.codes) != 1:
        raise DataError(f"{frames.path}: has {len(frames.codes)} codebooks; score vectors.scp by --distance angular")
    path = codebook or frames.path.with_name("codebook.npy")
    if not path.exists():
        raise DataError(f"{path}: no such codebook; give --codebook FILE, an array [K, D] (.npy, .pt, .txt)")
    codewords = read_array(path)
    if codewords.ndim != 2 or len(codewords) != frames.codes[0]:
        raise DataError(f"{path}: expected {frames.codes[0]} codewords, got an array of {list(codewords.shape)}")
    return balanced(codewords) if distance == "balanced" else codewords


def balanced(codewords: np.ndarray) -> np.ndarray:
    """Centre codewords [K, D] and replace their deviation along each principal axis by its square root.

    What reads a codeword begins with a linear layer, so that origin and axes of the space are anybody's choice, and
    angles in it mean nothing before they are chosen. This choice is a function of the codebook alone: it is the same
    for the codebook moved and turned, and, apart from a factor, for one scaled.
    """
    centred = codewords.astype(np.float64) - codewords.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / max(len(centred), 1))
    largest = float(variances[-1])
    if largest <= 0:  # all codewords are one
        return centred
    return centred @ axes * np.maximum(variances, FLOOR * largest) ** -0.25
