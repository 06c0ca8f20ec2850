"""Draw test images above what the model makes of them: a level drawn from each pixel's softmax would be noise,
so the picture shows the mean level.

python local/reconstruct.py EXP DATA OUT.png
"""

from pathlib import Path

import numpy as np
import torch
from networks import LEVELS, load
from pictures import test_images
from pixels import evenly, write_picture
from scripts import Output, run

COUNT = 12


@torch.no_grad()
def reconstruct(exp: Path, data: Path, out: Path) -> None:
    """Write the picture."""
    trained = load(exp)
    images = evenly(test_images(data, trained.config.test_images), COUNT)
    odds = trained.model.decode(trained.model.quantizer(trained.model.vectors(torch.from_numpy(images))).values)
    means = (odds.softmax(1) * torch.arange(LEVELS).view(1, -1, 1, 1, 1)).sum(1).round().byte().numpy()
    rows = [np.concatenate(list(part.transpose(0, 2, 3, 1)), axis=1) for part in (images, means)]
    write_picture(out, np.concatenate(rows))


if __name__ == "__main__":
    run(reconstruct, "exp", "data", "out", makes=Output("out", (), ("exp/checkpoints/*.pt", "data/test.npy")))
