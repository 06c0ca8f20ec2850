"""Write the vectors that a model without a codebook passes on, so that they are scored as those of units are.

python vectors.py EXP DATA OUT DEVICE    writes OUT/codes.scp and OUT/codes.json, as `unitdisc encode` does with units
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from unitdisc.checkpoint import load_model
from unitdisc.corpus import open_frames
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import write_features
from unitdisc.data.whole import whole_file
from unitdisc.dist import check_device
from unitdisc.errors import UnitdiscError


def write_vectors(exp: Path, data: DataDir, out: Path, device: str) -> int:
    """Write a vector per unit of time for each utterance; return the number of utterances."""
    model = load_model(exp, device)
    frames = open_frames(model.config.features, data)
    utts = [utt for utt in data.utts if utt in frames]

    def vectors() -> Iterator[tuple[str, np.ndarray]]:
        for utt in utts:
            x = torch.from_numpy(frames[utt]).to(device)
            yield utt, model.encode(x[None], torch.tensor([len(x)], device=device)).values[0].cpu().numpy()

    out.mkdir(parents=True, exist_ok=True)
    write_features(out / "codes", vectors())
    with whole_file(out / "codes.json") as file:
        json.dump({"period": model.unit_grid.period, "offset": model.unit_grid.offset}, file)
    return len(utts)


def main() -> None:
    """Write and print."""
    exp, data, out = (Path(argument) for argument in sys.argv[1:4])
    try:
        check_device(sys.argv[4])
        count = write_vectors(exp, DataDir.read(data), out, sys.argv[4])
        print(f"{out}: vectors of {count} utterances; there is no codebook")
    except UnitdiscError as error:
        sys.exit(f"vectors.py: {error}")


if __name__ == "__main__":
    main()
