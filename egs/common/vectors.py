"""Write the vectors that a model without a codebook passes on, so that they are scored as those of units are.

python vectors.py EXP DATA OUT DEVICE    writes OUT/codes.scp and OUT/codes.json, as `unitdisc encode` does with units
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scripts import run

from unitdisc.checkpoint import load_model
from unitdisc.corpus import open_frames
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import write_features
from unitdisc.dist import check_device
from unitdisc.files import whole_file


def write_vectors(exp: Path, data: Path, out: Path, device: str) -> list[str]:
    """Write a vector per unit of time for each utterance; return a line to print."""
    check_device(device)
    model, data_dir = load_model(exp, device), DataDir.read(data)
    frames = open_frames(model.config.features, data_dir)
    utts = [utt for utt in data_dir.utts if utt in frames]

    def vectors() -> Iterator[tuple[str, np.ndarray]]:
        for utt in utts:
            x = torch.from_numpy(frames[utt]).to(device)
            yield utt, model.encode(x[None], torch.tensor([len(x)], device=device)).values[0].cpu().numpy()

    out.mkdir(parents=True, exist_ok=True)
    write_features(out / "codes", vectors())
    with whole_file(out / "codes.json") as file:
        json.dump({"period": model.unit_grid.period, "offset": model.unit_grid.offset}, file)
    return [f"{out}: vectors of {len(utts)} utterances; there is no codebook"]


def main() -> None:
    """Parse, write, print."""
    run(write_vectors, "exp", "data", "out", "device", device={"type": str})


if __name__ == "__main__":
    main()
