"""Write the units of the test images, one line per image, 64 positions of 8 codebooks each.

python local/encode.py EXP DATA OUT    writes OUT/units.jsonl
"""

from pathlib import Path

import numpy as np
import torch
from networks import ImageModel, load
from pictures import batches, test_images
from scripts import Output, run

from unitdisc.data.units import UnitHeader, UnitLine, write_units


@torch.no_grad()
def units_of(model: ImageModel, images: np.ndarray) -> np.ndarray:
    """Return the units [N, 64, G] of images."""
    return np.concatenate([model.quantizer.encode(model.vectors(batch)).numpy() for batch in batches(images)])


def in_mixed_radix(units: np.ndarray, codes: tuple[int, ...]) -> np.ndarray:
    """Write the units of several codebooks [..., G] as one number, the first codebook being the most significant."""
    numbers = np.zeros(units.shape[:-1], np.int64)
    for group, size in enumerate(codes):
        numbers = numbers * size + units[..., group]
    return numbers


def from_mixed_radix(numbers: np.ndarray, codes: tuple[int, ...]) -> np.ndarray:
    """Undo in_mixed_radix."""
    parts = []
    for size in reversed(codes):
        numbers, part = np.divmod(numbers, size)
        parts.append(part)
    return np.stack(parts[::-1], axis=-1)


def encode(exp: Path, data: Path, out: Path) -> list[str]:
    """Write the units of the test images; without a bottleneck there are none."""
    trained = load(exp)
    codes = trained.model.quantizer.codes
    header = UnitHeader(1.0, codes or (1,), origin={"frame": "one position of the 8 x 8 grid, row by row"})
    numbers = np.empty((0, 0), np.int64)
    if codes:
        images = test_images(data, trained.config.test_images)
        numbers = in_mixed_radix(units_of(trained.model, images), codes)
    path = out / "units.jsonl"
    count = write_units(path, header, (UnitLine.of_frames(f"{i:05d}", row) for i, row in enumerate(numbers)))
    return [f"{path}: {count} images"]


if __name__ == "__main__":
    run(encode, "exp", "data", "out", makes=Output("out", ("units.jsonl",), ("exp/checkpoints/*.pt", "data/test.npy")))
