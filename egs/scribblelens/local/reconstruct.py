"""Draw test lines, each above a line that the decoder draws from its units alone, column by column.

python local/reconstruct.py EXP DATA OUT.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from encode import load
from lines import CHUNK, Lines, padded
from networks import LEVELS

from unitdisc.data.whole import whole_file
from unitdisc.errors import UnitdiscError

COUNT = 6


@torch.no_grad()
def reconstruct(exp: Path, data: Path, out: Path) -> None:
    """Write the picture: the first 128 columns of six lines."""
    from PIL import Image

    trained, lines = load(exp), Lines.read(data / "test")
    chosen = list(lines)[:: max(len(lines) // COUNT, 1)][:COUNT]
    grey = np.stack([padded(lines[utt], CHUNK)[:, :CHUNK] for utt in chosen])
    values = trained.model.quantizer(trained.model.encoder(torch.from_numpy(grey))).values
    generator = torch.Generator().manual_seed(0)
    drawn = (trained.model.decoder.generate(values, generator) * (255 // (LEVELS - 1))).byte().numpy()
    rows = np.stack([grey, drawn], axis=1).reshape(-1, CHUNK)  # each line, and below it the drawn one
    with whole_file(out, binary=True) as file:
        Image.fromarray(rows).save(file, "PNG")


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(description="Test lines and their reconstructions.", allow_abbrev=False)
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
