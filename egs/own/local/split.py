"""Cut a data directory into train, dev and test: by speakers where there are enough of them, else by utterances.

python local/split.py DATA OUT [--seed S]    writes OUT/train, OUT/dev and OUT/test

By utterances, everybody who has enough of them is in all three parts.
"""

import sys
from pathlib import Path

import numpy as np

from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import subset, utts_of
from unitdisc.errors import DataError

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run

SHARE = 0.1  # of dev, and of test
LEAST = 8  # speakers; of fewer, everybody is in all parts
TESTED = 2  # speakers at least, where parts have speakers of their own: one alone says nothing of the others
PARTS = 3


def cut(names: list[str], rng: np.random.Generator, tested: int = 1) -> dict[str, list[str]]:
    """Cut a list of names at random into three parts, none of them empty."""
    shuffled = [names[i] for i in rng.permutation(len(names))]
    few = max(1, round(SHARE * len(names)))
    last = few + max(few, tested)
    return {"dev": shuffled[:few], "test": shuffled[few:last], "train": shuffled[last:]}


def cut_by_utterance(data: DataDir, rng: np.random.Generator) -> dict[str, list[str]]:
    """Cut each speaker's utterances; who has too few to be in all parts is trained on."""
    enough = [utts for utts in data.spk2utt.values() if len(utts) >= PARTS]
    parts: dict[str, list[str]] = {"dev": [], "test": [], "train": []}
    for utts in enough:
        for name, chosen in cut(utts, rng).items():
            parts[name] += chosen
    chosen = {utt for utts in enough for utt in utts}
    parts["train"] += [utt for utt in data.utts if utt not in chosen]
    return parts


def split(data: Path, out: Path, seed: int) -> list[str]:
    """Write the three directories; return a line to print for each."""
    whole = DataDir.read(data)
    if len(whole.utts) < PARTS:
        raise DataError(f"{data}: expected at least 3 recordings to train, validate and test, got {len(whole.utts)}")
    rng, speakers = np.random.default_rng(seed), list(whole.spk2utt)
    if len(speakers) >= LEAST:
        parts = {name: utts_of(whole, chosen) for name, chosen in cut(speakers, rng, TESTED).items()}
        how = "each part has speakers of its own"
    elif any(len(utts) >= PARTS for utts in whole.spk2utt.values()):
        parts = cut_by_utterance(whole, rng)
        how = f"everybody with {PARTS} recordings or more is in all parts, as there are fewer than {LEAST} speakers"
    else:
        parts = cut(whole.utts, rng)
        how = f"dealt at random, as nobody has {PARTS} recordings"
    made = [subset(whole, out / name, utts) for name, utts in parts.items()]
    return [f"{part.path}: {len(part.utts)} utterances, {len(part.spk2utt)} speakers; {how}" for part in made]


def main() -> None:
    """Parse, split, print."""
    makes = Output(
        "out",
        WAVS,
        ("data/wav.scp", "data/segments", "data/utt2spk", "data/phones.ctm"),
    )
    run(split, "data", "out", makes=makes, seed={"type": int, "default": 0})


if __name__ == "__main__":
    main()
