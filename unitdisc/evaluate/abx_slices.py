"""Items to frames: which rows of the features each item is made of, and which items have to go."""

import hashlib
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from unitdisc.data.timing import frames_between
from unitdisc.errors import DataError
from unitdisc.evaluate.abx_options import Slicing
from unitdisc.evaluate.frames import Frames
from unitdisc.evaluate.items import Items

PAST_END = "past the end of the features"
TOO_SHORT = "shorter than a frame"
MISSING = "without features"


@dataclass(frozen=True)
class Slices:
    """The items that are left, and their frames."""

    items: Items  # [N], without those dropped
    frames: np.ndarray  # [F, D] of all files, one after the other
    first: np.ndarray  # [N] int64, row of an item's first frame
    count: np.ndarray  # [N] int64, its frames, at least 1
    dropped: dict[str, int]  # reason -> items
    hash: str  # of the names and frames of all files that the items name, whatever they are stored in


def slice_items(
    items: Items, features: Frames, slicing: Slicing = "fastabx", max_dropped: float = 0.01, where: str = "items"
) -> Slices:
    """Read the features of all files named by the items and find the frames of each item.

    Frame i is centred at offset + (i + 1/2) * period; an item has those with onset <= centre <= end ("librilight": one
    fewer at its end). More than `max_dropped` of the items without frames are an error.
    """
    if features.period is None:
        raise DataError(f"{features.path}: does not say its frame period; give --frame-shift in seconds")
    names, file_of = np.unique(items.files, return_inverse=True)
    bounds = _bounds(items, features.period, features.offset, slicing)
    pieces: list[np.ndarray] = []
    whole = hashlib.sha256()
    starts, lengths = np.zeros(len(names), np.int64), np.full(len(names), -1, np.int64)
    total = 0
    for place, name in enumerate(names.tolist()):
        if name in features:
            piece = features[name]
            _check_alike(piece, pieces, name, features)
            starts[place], lengths[place] = total, len(piece)
            total += len(piece)
            pieces.append(piece)
            whole.update(f"{name} {piece.dtype} {piece.shape}\n".encode())
            whole.update(piece.data)
    if not pieces:
        raise DataError(
            f"{features.path}: has none of the {len(names)} files of {where} (wanted {str(names[0])!r}, has "
            f"{next(iter(features), 'nothing')!r}): is the item file of another corpus?"
        )
    length = lengths[file_of]
    reasons = np.where(length < 0, 3, np.where(bounds[:, 1] > length, 2, np.where(bounds[:, 1] <= bounds[:, 0], 1, 0)))
    dropped = Counter({MISSING: int((reasons == 3).sum())})
    dropped.update({PAST_END: int((reasons == 2).sum()), TOO_SHORT: int((reasons == 1).sum())})
    _check_dropped(items, reasons, length, features, dropped, max_dropped, where)
    kept = np.flatnonzero(reasons == 0)
    return Slices(
        items[kept],
        np.concatenate(pieces),
        starts[file_of[kept]] + bounds[kept, 0],
        bounds[kept, 1] - bounds[kept, 0],
        dict(dropped),
        whole.hexdigest()[:12],
    )


def _bounds(items: Items, period: float, offset: float, slicing: Slicing) -> np.ndarray:
    """Return [N, 2]: the first frame of each item and the one after its last."""
    pairs = zip(items.onsets.tolist(), items.offsets.tolist(), strict=True)
    bounds = np.asarray([frames_between(onset, end, period, offset) for onset, end in pairs], dtype=np.int64)
    bounds[:, 1] -= slicing == "librilight"
    return bounds


def _check_alike(piece: np.ndarray, pieces: list[np.ndarray], name: str, features: Frames) -> None:
    if pieces and (piece.shape[1] != pieces[0].shape[1] or piece.dtype != pieces[0].dtype):
        raise DataError(
            f"{features.path}: {name} has frames of {piece.shape[1]} x {piece.dtype}, the files before it of "
            f"{pieces[0].shape[1]} x {pieces[0].dtype}; all files must come from one feature extractor"
        )


def _check_dropped(
    items: Items,
    reasons: np.ndarray,
    length: np.ndarray,
    features: Frames,
    dropped: Counter[str],
    max_dropped: float,
    where: str,
) -> None:
    gone = sum(dropped.values())
    if gone <= max_dropped * len(items) and gone < len(items):
        return
    period = features.period or math.nan
    worst = int(np.argmax(reasons == {MISSING: 3, PAST_END: 2, TOO_SHORT: 1}[dropped.most_common(1)[0][0]]))
    item = f"{items.files[worst]} {items.onsets[worst]:g}..{items.offsets[worst]:g} s"
    causes = {
        MISSING: f"{item}: some features are missing, or {where} is of another corpus",
        PAST_END: f"{item} lies in a file of {length[worst]} frames ({length[worst] * period:.3f} s at "
        f"{period:g} s): a wrong --frame-shift, features of other audio, or an encoder that loses frames at the end",
        TOO_SHORT: f"{item} has no frame at a period of {period:g} s: a wrong --frame-shift, or units too long for it",
    }
    told = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common() if count)
    raise DataError(
        f"{where}: {gone} of {len(items)} items cannot be used ({told}), above --max-dropped {max_dropped:.2%}; "
        f"for instance {causes[dropped.most_common(1)[0][0]]}"
    )
