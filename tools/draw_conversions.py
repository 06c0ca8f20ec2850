"""Draw conversions beside their sources: spectrograms, with the pitch on top.

python tools/draw_conversions.py FOLDER SOURCE OUT.png [--count 5]

FOLDER is what `unitdisc convert` wrote, SOURCE the data directory that it converted.
"""

import argparse
from pathlib import Path

import numpy as np

from unitdisc.data.audio import AudioSource
from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.evaluate.converted import read_manifest
from unitdisc.features.pitch import pitch

RATE, SIZE, HOP, RANGE = 16000, 512, 160, 70.0  # Hz, samples, samples, dB
SECONDS = 4.0  # that are drawn of each


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """Return dB [SIZE / 2 + 1, T], the loudest at 0."""
    padded = np.pad(wave, SIZE // 2)
    starts = np.arange(0, len(padded) - SIZE, HOP)
    frames = padded[starts[:, None] + np.arange(SIZE)] * np.hanning(SIZE)
    power = np.square(np.abs(np.fft.rfft(frames))).T
    return 10 * np.log10(np.maximum(power / max(power.max(), 1e-12), 1e-12))


def main() -> None:
    """Draw."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=5)
    options = parser.parse_args()
    data, rows = DataDir.read(options.source), read_manifest(options.folder)
    rows = rows[:: max(1, len(rows) // options.count)][: options.count]
    figure, axes = pyplot.subplots(len(rows), 2, figsize=(14, 2.4 * len(rows)), squeeze=False)
    for row, pair in zip(rows, axes, strict=True):
        sounds = (data.source(row.source), f"{row.source}"), (AudioSource(row.path), f"{row.source} as {row.target}")
        for axis, (audio, title) in zip(pair, sounds, strict=True):
            wave = audio.load(RATE)[: int(SECONDS * RATE)]
            extent = (0.0, len(wave) / RATE, 0.0, RATE / 2)
            axis.imshow(spectrogram(wave), origin="lower", aspect="auto", extent=extent, vmin=-RANGE, vmax=0)
            contour = pitch(wave, FrameGrid(RATE, HOP, 400))
            at = (np.arange(len(contour)) + 0.5) * HOP / RATE
            # A tenth of the height stands for 100 Hz: the pitch would be a line at the bottom otherwise.
            axis.plot(at, np.where(contour > 0, contour * RATE / 2 / 1000, np.nan), "w.", markersize=3)
            axis.set_title(f"{title} (dots: pitch, 0 to 1 kHz)", fontsize=8)
    figure.tight_layout()
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
