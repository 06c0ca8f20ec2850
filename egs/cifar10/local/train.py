"""Train the image model, or go on with its training.

python local/train.py CONFIG EXP DATA [--set train.seed=1 ...] [--check]
"""

from pathlib import Path

import torch
from networks import Config, ImageModel
from pictures import batches, read_split
from pixels import bits_per_pixel
from scripts import run_training
from training import Shuffled, fit


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
        lambda model: {"loss": bits_per_pixel(model, batches(dev))},
    )


if __name__ == "__main__":
    run_training(train, Config, "data/train.npy", "data/dev.npy")
