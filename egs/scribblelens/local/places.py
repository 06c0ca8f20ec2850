"""Where the characters lie in ScribbleLens' lines, by the forced alignments of its authors.

They come in a zip within the corpus, a file for each line. Its first row is '<image> <columns> ...', each other row
'<column> <column + 1> <character> <score>' of the line scaled to 32 pixels in height; * is a place without a character,
SPACE or _ a blank.
"""

import zipfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from lines import COLUMN, SPACE

from unitdisc.data.alignment import Interval
from unitdisc.errors import DataError
from unitdisc.reading import reading

NOWHERE = "*"
BLANKS = ("SPACE", "_")
UNALIGNED = ".'"  # marks that the authors took out of the transcripts before they aligned them


def read_places(archive: Path, texts: Mapping[str, tuple[str, str]]) -> dict[str, list[Interval]]:
    """Return the characters of lines, utt -> (name in the zip, transcript); lines that are not in it are left out."""
    with reading(archive, "a zip of alignments in UTF-8"), zipfile.ZipFile(archive) as files:
        known = set(files.namelist())
        return {
            utt: placed(columns_of(files.read(name).decode("utf-8"), f"{archive}:{name}"), text)
            for utt, (name, text) in texts.items()
            if name in known
        }


def columns_of(text: str, where: str) -> list[str]:
    """Return the label of each column."""
    first, *rows = text.splitlines() or [""]
    words = first.split()
    if len(words) < 2 or not words[1].isdigit() or len(rows) < int(words[1]):
        raise DataError(f"{where}:1: expected '<image> <columns> ...' and as many rows, got {first!r} and {len(rows)}")
    labels = []
    for number, row in enumerate(rows[: int(words[1])], start=2):
        cells = row.split()
        if len(cells) != 4:
            raise DataError(f"{where}:{number}: expected '<column> <next> <character> <score>', got {row!r}")
        labels.append(SPACE if cells[2] in BLANKS else cells[2])
    return labels


def placed(columns: list[str], text: str) -> list[Interval]:
    """Return the intervals of characters; a run that stands for a doubled letter of the transcript is cut evenly."""
    kept = [SPACE if c.isspace() else c for c in text if c not in UNALIGNED]
    written = [(label, 1 if label == SPACE else len(list(run))) for label, run in groupby(kept)]
    runs, end = [], 0
    for label, run in groupby(columns):
        first, end = end, end + len(list(run))
        if label != NOWHERE:
            runs.append((label, first, end))
    if [label for label, _ in written] != [label for label, _, _ in runs]:  # a character that the aligner did not know
        written = [(label, 1) for label, _, _ in runs]
    intervals = []
    for (label, first, last), (_, times) in zip(runs, written, strict=True):
        step = (last - first) / times * COLUMN
        intervals += [Interval(first * COLUMN + n * step, first * COLUMN + (n + 1) * step, label) for n in range(times)]
    return intervals
