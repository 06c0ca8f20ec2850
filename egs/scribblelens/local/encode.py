"""Write the units of the lines and the vectors that the decoder sees, one for each four columns.

python local/encode.py EXP DATA OUT    writes vectors.scp, and units.jsonl if there are units, into OUT/{train,test}
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from lines import COLUMN, STRIDE, Lines
from networks import LineModel, load
from scripts import Output, run

from unitdisc.data.store import write_features
from unitdisc.data.units import UnitHeader, UnitLine, write_units

PERIOD = STRIDE * COLUMN


@torch.no_grad()
def encode(exp: Path, data: Path, out: Path) -> list[str]:
    """Encode DATA/train and DATA/test; return a line to print for each."""
    model = load(exp).model
    report = []
    for split in ("train", "test"):
        lines = Lines.read(data / split)
        # Whole lines, one at a time: nothing depends on what else is in a batch.
        found = {utt: model.quantizer(model.encoder(torch.from_numpy(lines[utt])[None])) for utt in lines}
        write_features(out / split / "vectors", ((utt, q.values[0].numpy()) for utt, q in found.items()))
        if model.quantizer.codes:
            header = UnitHeader(PERIOD, model.quantizer.codes, codebook=codebook_hash(model))
            rows = (UnitLine.of_frames(utt, q.units[0, :, 0].numpy()) for utt, q in found.items())
            write_units(out / split / "units.jsonl", header, rows)
        report.append(f"{out / split}: {len(found)} lines")
    return report


def codebook_hash(model: LineModel) -> str:
    """Hash the codebook to 12 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(model.quantizer.codebook.detach().numpy()).tobytes()).hexdigest()[:12]


if __name__ == "__main__":
    run(
        encode,
        "exp",
        "data",
        "out",
        makes=Output("out", ("test/vectors.scp",), ("exp/checkpoints/*.pt", "data/train/*", "data/test/*")),
    )
