"""Train the handwriting model, or go on with its training.

python local/train.py CONFIG EXP DATA [--set train.seed=1 ...] [--check]
"""

from pathlib import Path

import numpy as np
import torch
from lines import CHUNK, Lines, padded, whole_lines
from networks import Config, LineModel
from pixels import bits_per_pixel
from scripts import run_training
from training import Shuffled, fit


class Chunks:
    """Batches of 128 columns from lines, in a new order each epoch; a function of (seed, step) alone."""

    def __init__(self, lines: Lines, batch: int, seed: int) -> None:
        self.lines, self.seed = lines, seed
        # A line is met as often as it has chunks; where in it a chunk begins is drawn each time.
        self.utts = [utt for utt in lines for _ in range(max(1, lines[utt].shape[1] // CHUNK))]
        self.order = Shuffled(len(self.utts), batch, seed)

    def batch(self, step: int) -> torch.Tensor:
        """Return lines [B, 32, 128] of grey."""
        random = np.random.default_rng([self.seed, step])
        parts = []
        for place in self.order.places(step):
            line = padded(self.lines[self.utts[place]], CHUNK)
            first = int(random.integers(line.shape[1] - CHUNK + 1))
            parts.append(line[:, first : first + CHUNK])
        return torch.from_numpy(np.stack(parts))


def train(config: Config, exp: Path, data: Path) -> None:
    """Train on DATA/train, validate on up to 30 lines of DATA/dev."""
    torch.manual_seed(config.train.seed)
    chunks = Chunks(Lines.read(data / "train"), config.train.batch, config.train.seed)
    dev = Lines.read(data / "dev")
    fit(
        LineModel(config.model),
        config,
        exp,
        chunks.batch,
        lambda model: {"loss": bits_per_pixel(model, whole_lines(dev, most=30))},
    )


if __name__ == "__main__":
    run_training(train, Config, "data/train/lines.npz", "data/dev/lines.npz")
