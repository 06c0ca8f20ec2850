"""Centres of somebody's k-means: NumPy's .npy, or tensors of torch. No pickle is run."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unitdisc.errors import CheckpointError
from unitdisc.reading import reading

NAMES = ("cluster_centers_", "centroids", "centers", "codebook")  # of the centres, in a file that holds more
# What its owner runs, who knows whether to trust the file.
CONVERT = "python -c 'import joblib, numpy, sys; numpy.save(sys.argv[2], joblib.load(sys.argv[1]).cluster_centers_)'"
NUMPY, ZIP = b"\x93NUMPY", b"PK"


def read_centroids(path: Path) -> Tensor:
    """Return the centres [K, D] of a file."""
    with reading(path, "centres as plain numbers", error=CheckpointError):
        with path.open("rb") as content:
            head = content.read(len(NUMPY))
        if head == NUMPY:
            found: Any = np.load(path, allow_pickle=False)
        elif head.startswith(ZIP):
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise CheckpointError(
                f"{path}: expected centres as .npy, or as a tensor of torch, got another file. A pickle (km.bin, of "
                f"joblib or scikit-learn) can run code, so it is not read; if you trust it: {CONVERT} "
                f"{shlex.join(map(str, (path, path.with_suffix('.npy'))))}"
            )
    if isinstance(found, dict):
        found = next((found[name] for name in NAMES if name in found), None)
    if isinstance(found, np.ndarray) and found.dtype.kind == "f":
        found = torch.from_numpy(found)
    if not isinstance(found, Tensor) or found.ndim != 2 or not found.is_floating_point() or not len(found):
        what = f"an array of shape {list(found.shape)}" if hasattr(found, "shape") else "none"
        raise CheckpointError(f"{path}: expected floating point centres [K, D], got {what}")
    if not torch.isfinite(found).all():
        raise CheckpointError(f"{path}: expected centres, got values that are not finite")
    return found.float()
