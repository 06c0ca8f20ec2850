"""Train the image model, or go on with its training.

python local/train.py CONFIG EXP DATA [--set train.seed=1 ...]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from networks import DIMS, Config, ImageModel
from pictures import read_split
from training import Shuffled, fit

from unitdisc import config as configs
from unitdisc.errors import UnitdiscError


def batches(images: np.ndarray, size: int = 100) -> list[torch.Tensor]:
    """Cut images [N, 3, 32, 32] into batches."""
    return [torch.from_numpy(images[first : first + size]) for first in range(0, len(images), size)]


def mean_bits(model: ImageModel, images: np.ndarray) -> float:
    """Return the bits per dimension of images given their codes."""
    device = next(model.parameters()).device
    total = sum(float(model.reconstruction_bits(batch.to(device)).sum()) for batch in batches(images))
    return total / (len(images) * DIMS)


def train(config: Config, exp: Path, data: Path) -> None:
    """Train on DATA/train.npy, validate on up to 500 images of DATA/dev.npy."""
    torch.manual_seed(config.train.seed)
    images, dev = read_split(data, "train"), read_split(data, "dev")[:500]
    order = Shuffled(len(images), config.train.batch, config.train.seed)
    fit(
        ImageModel(config.model),
        config,
        exp,
        lambda step: torch.from_numpy(images[order.places(step)]),
        lambda model: {"loss": mean_bits(model, dev)},
    )


def main() -> None:
    """Parse and train."""
    parser = argparse.ArgumentParser(description="Train the image model.", allow_abbrev=False)
    parser.add_argument("config", type=Path)
    parser.add_argument("exp", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE")
    options = parser.parse_args()
    try:
        train(configs.load(options.config, Config, options.set), options.exp, options.data)
    except UnitdiscError as error:
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    main()
