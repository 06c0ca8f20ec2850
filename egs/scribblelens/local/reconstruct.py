"""Draw test lines, each above a line that the decoder draws from its units alone, column by column.

python local/reconstruct.py EXP DATA OUT.png
"""

from pathlib import Path

import numpy as np
import torch
from lines import CHUNK, Lines, padded
from networks import LEVELS, load
from pixels import evenly, write_picture
from scripts import Output, run

COUNT = 6


@torch.no_grad()
def reconstruct(exp: Path, data: Path, out: Path) -> None:
    """Write the picture: the first 128 columns of six lines."""
    model, lines = load(exp).model, Lines.read(data / "test")
    grey = np.stack([padded(lines[utt], CHUNK)[:, :CHUNK] for utt in evenly(list(lines), COUNT)])
    values = model.quantizer(model.vectors(torch.from_numpy(grey))).values
    drawn = model.decoder.generate(values, torch.Generator().manual_seed(0)) * (255 // (LEVELS - 1))
    # Each line, and below it the drawn one.
    write_picture(out, np.stack([grey, drawn.byte().numpy()], axis=1).reshape(-1, CHUNK))


if __name__ == "__main__":
    run(
        reconstruct,
        "exp",
        "data",
        "out",
        makes=Output("out", (), ("exp/checkpoints/*.pt", "data/train/*", "data/test/*")),
    )
