"""Write the frames that a model's encoder reads, normalised as it reads them, so that they are scored as its units are.

python inputs.py CONFIG TRAIN DATA OUT    writes OUT/feats.scp and OUT/feats.json of DATA, for a model trained on TRAIN
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scripts import run

from unitdisc.config import load
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import write_features
from unitdisc.features.cmvn import global_normalisation, load_normalised
from unitdisc.files import whole_file
from unitdisc.train import Config


def write_inputs(config: Path, train: Path, data: Path, out: Path) -> list[str]:
    """Write the frames of each utterance that has features."""
    features = load(config, Config).model.features
    frames = load_normalised(data, features)
    utts = [utt for utt in DataDir.read(data).utts if utt in frames]
    mean, std = global_normalisation([train], features.cmvn_variance) if features.cmvn == "global" else (0.0, 1.0)

    def inputs() -> Iterator[tuple[str, np.ndarray]]:
        for utt in utts:
            yield utt, ((frames[utt] - mean) / std).astype(np.float32)

    out.mkdir(parents=True, exist_ok=True)
    write_features(out / "feats", inputs())
    with whole_file(out / "feats.json") as file:
        json.dump({"period": features.grid.period, "offset": features.grid.offset}, file)
    return [f"{out}: frames of {len(utts)} utterances"]


if __name__ == "__main__":
    run(write_inputs, "config", "train", "data", "out")
