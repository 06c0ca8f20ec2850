"""Score a trained image model: bits per dimension, latent cost included, and the use of its codes.

python local/score.py EXP DATA UNITS --row ROW    writes EXP/result.json
"""

from pathlib import Path

import numpy as np
from encode import from_mixed_radix
from networks import DIMS, GRID, latent_bits, load
from pictures import batches, test_images
from pixels import bits_per_pixel, record
from scripts import Output, run

from unitdisc.data.units import read_header, read_units
from unitdisc.evaluate.clusters import entropy


def score(exp: Path, data: Path, units: Path, row: str) -> dict[str, float]:
    """Return the metrics of a training and write them to its result.json."""
    trained = load(exp)
    images = test_images(data, trained.config.test_images)
    reconstruction = bits_per_pixel(trained.model, batches(images))
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
    record(exp, row, trained, metrics, images=len(images))
    return metrics


def usage(units: Path) -> np.ndarray:
    """Return how often each code of each codebook occurs in a unit file, [G, K]."""
    codes = read_header(units).codes
    rows = from_mixed_radix(np.concatenate([line.frames for line in read_units(units)]), codes)
    return np.stack([np.bincount(rows[:, group], minlength=size) for group, size in enumerate(codes)]).astype(float)


if __name__ == "__main__":
    makes = Output("exp", (), ("exp/checkpoints/*.pt", "units/**/*", "data/test.npy"), file="result.json")
    run(score, "exp", "data", "units", row={"required": True}, makes=makes)
