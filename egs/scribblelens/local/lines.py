"""Lines of handwriting: from images of any size to uint8 [32, W], kept in one file for each data directory."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unitdisc.data.alignment import Interval, read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError
from unitdisc.files import whole_file
from unitdisc.reading import reading

HEIGHT = 32  # pixels
COLUMN = 0.01  # alignments give a column of a line, scaled to 32 pixels, as so many seconds
STRIDE = 4  # columns of a token
CHUNK = 128  # columns of a training example
SPACE = "<space>"  # the label of a blank in alignments, whose labels have none
STORE = "lines.npz"


class Lines(Mapping[str, np.ndarray]):
    """utt -> uint8 [32, W], W a multiple of 4, all in memory."""

    def __init__(self, utts: list[str], ends: np.ndarray, pixels: np.ndarray) -> None:
        self._places = {utt: n for n, utt in enumerate(utts)}
        self._ends = np.concatenate([[0], ends])
        self._pixels = pixels  # [32, all columns]

    def __getitem__(self, utt: str) -> np.ndarray:
        n = self._places[utt]
        return self._pixels[:, self._ends[n] : self._ends[n + 1]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @classmethod
    def read(cls, data: Path) -> "Lines":
        """Read what write_lines wrote."""
        path = data / STORE
        if not path.exists():
            raise DataError(f"{path}: no such file; make it first (./run.sh --stage features --stop-stage features)")
        with np.load(path, allow_pickle=False) as store:
            return cls(store["utts"].tolist(), store["ends"], store["pixels"])


def write_lines(data: DataDir) -> int:
    """Read all images of a data directory and keep them beside it; return their number."""
    if not data.images:
        raise DataError(f"{data.path}: expected images.scp, got none; is it a directory of sound?")
    lines = [padded(read_line(data.images[utt])) for utt in data.utts]
    ends = np.cumsum([line.shape[1] for line in lines])
    with whole_file(data.path / STORE, binary=True) as out:
        np.savez(out, utts=np.array(data.utts), ends=ends, pixels=np.concatenate(lines, axis=1))
    return len(lines)


def read_line(path: Path) -> np.ndarray:
    """Read an image in grey, scaled to 32 pixels in height, as uint8 [32, W]."""
    from PIL import Image

    with reading(path, "an image"), Image.open(path) as image:
        grey = image.convert("L")
    if grey.height != HEIGHT:
        grey = grey.resize((max(1, round(grey.width * HEIGHT / grey.height)), HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(grey)


def padded(line: np.ndarray, least: int = 0) -> np.ndarray:
    """Add paper on the right up to a whole number of tokens, and to `least` columns."""
    width = max(math.ceil(line.shape[1] / STRIDE) * STRIDE, least)
    paper = int(np.percentile(line, 90))
    return np.pad(line, ((0, 0), (0, width - line.shape[1])), constant_values=paper)


def whole_lines(lines: Lines, most: int = 0) -> Iterator[Tensor]:
    """Yield lines one at a time as [1, 32, W], so that nothing depends on others; the first `most` if that is not 0."""
    for utt in list(lines)[: most or None]:
        yield torch.from_numpy(lines[utt])[None]


def characters(data: DataDir, lines: Lines) -> Mapping[str, list[Interval]]:
    """Return where each character of each line lies: from chars.ctm, or, with text alone, evenly spaced.

    Evenly spaced intervals say only what is written and in which order, which is all that CTC needs.
    """
    if (data.path / "chars.ctm").exists():
        return read_alignment(data.path / "chars.ctm")
    if not data.text:
        raise DataError(f"{data.path}: expected text (or chars.ctm) to score with, got neither")
    return {utt: _spread(text, lines[utt].shape[1] * COLUMN) for utt, text in data.text.items()}


def _spread(text: str, length: float) -> list[Interval]:
    step = length / max(len(text), 1)
    labels = [SPACE if character.isspace() else character for character in text]
    return [Interval(n * step, (n + 1) * step, label) for n, label in enumerate(labels)]
