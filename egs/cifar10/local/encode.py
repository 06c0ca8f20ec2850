"""Write the units of the test images, one line per image, 64 positions of 8 codebooks each.

python local/encode.py EXP DATA OUT    writes OUT/units.jsonl
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from networks import Config, ImageModel
from pictures import read_split
from train import batches
from training import Trained, load_trained

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import UnitdiscError


def load(exp: Path) -> Trained:
    """Load a trained image model."""
    return load_trained(exp, Config, lambda config: ImageModel(config.model))


def test_images(config: Config, data: Path) -> np.ndarray:
    """Return the test images that are scored: all, or so many evenly spread."""
    images = read_split(data, "test")
    count = min(config.test_images or len(images), len(images))
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]


@torch.no_grad()
def units_of(model: ImageModel, images: np.ndarray) -> np.ndarray:
    """Return the units [N, 64, G] of images."""
    return np.concatenate([model.quantizer.encode(model.encode(batch)).numpy() for batch in batches(images)])


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


def encode(exp: Path, data: Path, out: Path) -> int:
    """Write the units of the test images; return how many images that were. Without a bottleneck there are none."""
    trained = load(exp)
    codes = trained.model.quantizer.codes
    if not codes:
        return write_units(out, UnitHeader(1.0, (1,)), [])
    images = test_images(trained.config, data)
    numbers = in_mixed_radix(units_of(trained.model, images), codes)
    header = UnitHeader(1.0, codes, origin={"frame": "one position of the 8 x 8 grid, row by row"})
    return write_units(out, header, (UnitLine.of_frames(f"{i:05d}", row) for i, row in enumerate(numbers)))


def main() -> None:
    """Parse, encode, print."""
    parser = argparse.ArgumentParser(description="Units of the test images.", allow_abbrev=False)
    parser.add_argument("exp", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        print(f"{options.out}: {encode(options.exp, options.data, options.out / 'units.jsonl')} images")
    except UnitdiscError as error:
        sys.exit(f"encode.py: {error}")


if __name__ == "__main__":
    main()
