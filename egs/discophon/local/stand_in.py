"""Write Emo-DB as if it were DiscoPhon's German, to try the recipe where the benchmark's corpus is not at hand.

python local/stand_in.py EMODB OUT

OUT gets audio, manifest, alignment and item of deu: six speakers in train-10min (nine minutes), two in dev, two
in test. All of Emo-DB's speakers say the same ten sentences, so its scores are easier than, and no substitute for,
the benchmark's. Narrow labels are folded: closures and aspirations to their stop, what is rare to its first letter.
"""

import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile

from unitdisc.data.alignment import Interval, frame_labels, read_alignment
from unitdisc.data.audio import load_audio
from unitdisc.data.corpora import emodb
from unitdisc.data.kaldi import DataDir
from unitdisc.data.phones import SILENCE
from unitdisc.evaluate.items import make_items, write_items
from unitdisc.files import whole_file

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import run

PARTS = {"train-10min": "03 08 09 10 11 12", "dev": "13 14", "test": "15 16"}
RATE = 16000
STEP = 0.01  # s of the benchmark's labels
RARE = 30  # times; seldomer labels count as their first letter, or as silence


def fold(label: str) -> str:
    """Return a stop for its closure or aspiration; pauses are silence."""
    return SILENCE if label.startswith("(") else label.lstrip("!_").removesuffix("asp") or SILENCE


def on_the_grid(intervals: list[Interval], seconds: float, names: dict[str, str]) -> list[Interval]:
    """Return phones of whole steps that follow each other from 0 to the end of the audio, equal neighbours as one."""
    labels = [names[fold(label)] for label in frame_labels(intervals, int(seconds / STEP), STEP)]
    ends = np.cumsum([len(list(group)) for _, group in groupby(labels)])
    return [
        Interval(start * STEP, end * STEP, label)
        for start, end, (label, _) in zip([0, *ends[:-1]], ends, groupby(labels), strict=True)
    ]


def names_of(data: DataDir) -> dict[str, str]:
    """Return the name of each folded label."""
    phones = read_alignment(data.path / "phones.ctm")
    counts = Counter(fold(interval.label) for utt in phones for interval in phones[utt])
    kept = {label for label, count in counts.items() if count >= RARE}
    names = {label: label if label in kept else label[0] if label[0] in kept else SILENCE for label in counts}
    return names | {SILENCE: SILENCE}


def write_part(data: DataDir, out: Path, split: str, speakers: list[str], names: dict[str, str]) -> str:
    """Write a split; return a line to print."""
    phones = read_alignment(data.path / "phones.ctm")
    utts = [utt for speaker in speakers for utt in data.spk2utt[speaker] if utt in phones]
    audio, grid = out / "audio" / "deu" / split, {}
    audio.mkdir(parents=True, exist_ok=True)
    with whole_file(out / f"manifest/manifest-deu-{split}.csv") as manifest:
        print("fileid,speaker,num_samples", file=manifest)
        for utt in sorted(utts):
            samples = load_audio(data.source(utt).file(), RATE)
            soundfile.write(audio / f"{utt}.wav", samples, RATE)
            print(utt, data.utt2spk[utt], len(samples), sep=",", file=manifest)
            grid[utt] = on_the_grid(phones[utt], len(samples) / RATE, names)
    if not split.startswith("train"):
        with whole_file(out / f"alignment/alignment-deu-{split}.txt") as file:
            print("#file onset offset #phone", file=file)
            for utt, intervals in grid.items():
                for start, end, label in intervals:
                    print(f"{utt} {start:.2f} {end:.2f} {label}", file=file)
        write_items(out / f"item/triphone-deu-{split}.item", make_items(grid, data.utt2spk, "triphone"))
    return f"{out}: {split}, {len(utts)} recordings of {len(speakers)} speakers"


def stand_in(emo: Path, out: Path) -> list[str]:
    """Write the tree; return lines to print."""
    data = emodb(emo, out / "emodb")
    names = names_of(data)
    said = [write_part(data, out, split, speakers.split(), names) for split, speakers in PARTS.items()]
    return [*said, f"{out}: {len(set(names.values()) - {SILENCE})} phones, and silence"]


if __name__ == "__main__":
    run(stand_in, "emo", "out")
