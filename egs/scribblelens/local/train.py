"""Train the handwriting model, or go on with its training.

python local/train.py CONFIG EXP DATA [--set train.seed=1 ...]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from lines import CHUNK, HEIGHT, Lines, padded
from networks import Config, LineModel
from training import Shuffled, fit

from unitdisc import config as configs
from unitdisc.errors import UnitdiscError


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


def mean_bits(model: LineModel, lines: Lines, most: int = 0) -> float:
    """Return the bits per pixel of whole lines given their units; of the first `most` if that is not 0."""
    device = next(model.parameters()).device
    chosen = [lines[utt] for utt in list(lines)[: most or None]]
    total = sum(float(model.reconstruction_bits(torch.from_numpy(x).to(device)[None])) for x in chosen)
    return total / (HEIGHT * sum(x.shape[1] for x in chosen))


def train(config: Config, exp: Path, data: Path) -> None:
    """Train on DATA/train, validate on up to 30 lines of DATA/dev."""
    torch.manual_seed(config.train.seed)
    chunks = Chunks(Lines.read(data / "train"), config.train.batch, config.train.seed)
    dev = Lines.read(data / "dev")
    fit(LineModel(config.model), config, exp, chunks.batch, lambda model: {"loss": mean_bits(model, dev, most=30)})


def main() -> None:
    """Parse and train."""
    parser = argparse.ArgumentParser(description="Train the handwriting model.", allow_abbrev=False)
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
