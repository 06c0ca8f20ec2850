"""Score a trained image model: bits per dimension, latent cost included, and the use of its codes.

python local/score.py EXP DATA UNITS --row ROW    writes EXP/result.json
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from ablation import write_result
from encode import from_mixed_radix, load, test_images
from networks import DIMS, GRID, latent_bits
from train import mean_bits

from unitdisc.data.units import read_header, read_units
from unitdisc.errors import UnitdiscError
from unitdisc.evaluate.clusters import entropy


def score(exp: Path, data: Path, units: Path, row: str) -> dict[str, float]:
    """Return the metrics of a training and write them to its result.json."""
    trained = load(exp)
    images = test_images(trained.config, data)
    reconstruction = mean_bits(trained.model, images)
    metrics = {}
    codes = trained.model.quantizer.codes
    if codes:  # continuous latents cost infinitely many bits: no sum is given for them
        counts = usage(units / "units.jsonl")
        in_bits = entropy(counts) / np.log(2)
        metrics = {
            "bits per dim": reconstruction + latent_bits(codes) / DIMS,
            "codes in use": float((counts > 0).mean()),
            "perplexity": float(np.exp2(in_bits).mean()),
            "latent bits": latent_bits(codes) / DIMS,
            "latent bits by entropy": float(in_bits.sum()) * GRID / DIMS,
        }
    metrics = {"reconstruction bits": reconstruction, **metrics}
    about = {"steps": trained.step, "seconds": trained.seconds, "test images": len(images)}
    write_result(exp, row, trained.config.train.seed, metrics, about)
    return metrics


def usage(units: Path) -> np.ndarray:
    """Return how often each code of each codebook occurs in a unit file, [G, K]."""
    codes = read_header(units).codes
    rows = from_mixed_radix(np.concatenate([line.frames for line in read_units(units)]), codes)
    return np.stack([np.bincount(rows[:, group], minlength=size) for group, size in enumerate(codes)]).astype(float)


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(description="Scores of an image model.", allow_abbrev=False)
    parser.add_argument("exp", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("units", type=Path)
    parser.add_argument("--row", required=True)
    options = parser.parse_args()
    try:
        metrics = score(options.exp, options.data, options.units, options.row)
    except UnitdiscError as error:
        sys.exit(f"score.py: {error}")
    print("\n".join(f"{name}: {value:.4g}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
