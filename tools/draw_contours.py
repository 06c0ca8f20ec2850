"""Draw the pitch of recordings and of what was made of them, one above the other.

    python tools/draw_contours.py OUT.png SOURCE FOLDER... [--count 4]

SOURCE is a data directory, each FOLDER what `unitdisc convert` made of it, for example with `--pitch source` and with
`--pitch predicted`. Utterances are drawn that all folders have in the same voice.
"""

import argparse
from pathlib import Path

import numpy as np

from unitdisc.data.audio import AudioSource
from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.evaluate.converted import read_manifest
from unitdisc.features.pitch import pitch

GRID = FrameGrid(16000, 160, 400)
SECONDS = 6.0  # that are drawn of each


def contour(audio: AudioSource) -> np.ndarray:
    """Return the pitch [T] in Hz, NaN where there is none."""
    hertz = pitch(audio.load(GRID.sample_rate)[: int(SECONDS * GRID.sample_rate)], GRID)
    return np.where(hertz > 0, hertz, np.nan)


def main() -> None:
    """Draw."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("out", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    data = DataDir.read(options.source)
    made = {folder: {(row.source, row.target): row for row in read_manifest(folder)} for folder in options.folder}
    common = sorted(set.intersection(*(set(rows) for rows in made.values())))
    common = common[:: max(1, len(common) // options.count)][: options.count]
    figure, axes = pyplot.subplots(len(common), 1, figsize=(10, 1.9 * len(common)), squeeze=False)
    for (utt, target), axis in zip(common, axes[:, 0], strict=True):
        sounds = {"recording": data.source(utt)}
        sounds |= {folder.name: AudioSource(rows[utt, target].path) for folder, rows in made.items()}
        for (name, audio), style in zip(sounds.items(), ("k.", "C0.", "C1.", "C2.", "C3."), strict=False):
            hertz = contour(audio)
            axis.plot(np.arange(len(hertz)) / GRID.rate, hertz, style, markersize=3, label=name)
        axis.set_yscale("log")
        axis.set_yticks([80, 120, 180, 270], ["80", "120", "180", "270"], minor=False)
        axis.minorticks_off()
        axis.set_ylabel("Hz")
        axis.set_title(f"{utt} as {target}", fontsize=8)
    axes[0, 0].legend(fontsize=7, ncols=len(made) + 1)
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(options.out, dpi=60)


if __name__ == "__main__":
    main()
