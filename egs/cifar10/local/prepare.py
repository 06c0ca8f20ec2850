"""Turn CIFAR-10 into three arrays of uint8 [N, 3, 32, 32].

python local/prepare.py CORPUS DATA    writes DATA/train.npy, DATA/dev.npy and DATA/test.npy
"""

from pathlib import Path

import numpy as np
from pictures import read_corpus
from scripts import Output, run

from unitdisc.files import whole_file

DEV = 50  # every 50th training image is for validation


def prepare(corpus: Path, data: Path) -> list[str]:
    """Write the arrays; return a line to print for each."""
    found = read_corpus(corpus)
    chosen = np.arange(len(found["train"])) % DEV == DEV - 1
    splits = {"train": found["train"][~chosen], "dev": found["train"][chosen], "test": found["test"]}
    for split, images in splits.items():
        with whole_file(data / f"{split}.npy", binary=True) as out:
            np.save(out, images)
    return [f"{data / split}.npy: {len(images)} images" for split, images in splits.items()]


if __name__ == "__main__":
    arrays = ("train.npy", "dev.npy", "test.npy")
    run(prepare, "corpus", "data", makes=Output("data", arrays, ("corpus", "local/pictures.py")))
