"""Draw test images above what the model makes of them: a level drawn from each pixel's softmax would be noise,
so the picture shows the mean level.

python local/reconstruct.py EXP DATA OUT.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from encode import load, test_images
from networks import LEVELS

from unitdisc.data.whole import whole_file
from unitdisc.errors import UnitdiscError

COUNT = 12


@torch.no_grad()
def reconstruct(exp: Path, data: Path, out: Path) -> None:
    """Write the picture."""
    from PIL import Image

    trained = load(exp)
    images = test_images(trained.config, data)
    images = images[:: max(len(images) // COUNT, 1)][:COUNT]
    levels = torch.from_numpy(images)
    odds = trained.model.decode(trained.model.quantizer(trained.model.encode(levels)).values)
    means = (odds.softmax(1) * torch.arange(LEVELS).view(1, -1, 1, 1, 1)).sum(1).round().byte().numpy()
    rows = [np.concatenate(list(part.transpose(0, 2, 3, 1)), axis=1) for part in (images, means)]
    with whole_file(out, binary=True) as file:
        Image.fromarray(np.concatenate(rows)).save(file, "PNG")


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description="Test images and their reconstructions.", allow_abbrev=False)
    parser.add_argument("exp", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        reconstruct(options.exp, options.data, options.out)
    except UnitdiscError as error:
        sys.exit(f"reconstruct.py: {error}")


if __name__ == "__main__":
    main()
