"""Cut a data directory into train, dev and test: by speakers where there are enough of them, else by utterances.

python local/split.py DATA OUT [--seed S]    writes OUT/train, OUT/dev and OUT/test
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import subset, utts_of
from unitdisc.errors import DataError, UnitdiscError

SHARE = 0.1  # of dev, and of test
LEAST = 8  # speakers; of fewer, everybody is in all parts


def cut(names: list[str], seed: int) -> dict[str, list[str]]:
    """Cut a list of names at random into three parts, none of them empty."""
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    few = max(1, round(SHARE * len(names)))
    return {"dev": shuffled[:few], "test": shuffled[few : 2 * few], "train": shuffled[2 * few :]}


def split(data: DataDir, out: Path, seed: int) -> list[str]:
    """Write the three directories; return a line to print for each."""
    if len(data.utts) < 3:
        raise DataError(
            f"{data.path}: expected at least 3 recordings to train, validate and test, got {len(data.utts)}"
        )
    by_speaker = len(data.spk2utt) >= LEAST
    parts = cut(list(data.spk2utt) if by_speaker else data.utts, seed)
    what = "other speakers" if by_speaker else f"the same speakers ({len(data.spk2utt)} in all, fewer than {LEAST})"
    report = []
    for name, names in parts.items():
        made = subset(data, out / name, utts_of(data, names) if by_speaker else names)
        report.append(f"{made.path}: {len(made.utts)} utterances, {len(made.spk2utt)} speakers; {what} in each part")
    return report


def main() -> None:
    """Parse, split, print."""
    parser = argparse.ArgumentParser(description="Cut a data directory into train, dev and test.", allow_abbrev=False)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        print("\n".join(split(DataDir.read(options.data), options.out, options.seed)))
    except UnitdiscError as error:
        sys.exit(f"split.py: {error}")


if __name__ == "__main__":
    main()
