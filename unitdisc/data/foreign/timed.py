"""Units with times: CTM, and TextGrids or other label files of one utterance each."""

from collections.abc import Iterator

import numpy as np

from unitdisc.data.alignment import read_alignment
from unitdisc.data.foreign.base import Format, ReadOptions, Source, Utterance, unit_numbers
from unitdisc.errors import clipped


def read_timed(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read labels that are units."""
    labels = read_alignment(source.path, options.tier)
    for utt in labels:
        intervals = labels[utt]
        where = f"{source.path}: {clipped(utt)}"
        times = np.array([(i.start, i.end) for i in intervals], dtype=np.float64).reshape(-1, 2)
        yield Utterance(where, utt.replace("%2F", "/"), unit_numbers([i.label for i in intervals], where), times)


_CTM = r"(;;.*|\S+ \S+\s+-?[\d.eE+-]+\s+[\d.eE+-]+\s+<?\d+>?(\s+\S+)?\s*)"
# Of units, which last parts of a second, no file has whole seconds alone: `a 1 0 4 7` is text, four units long.
_SECONDS = r"\S+ \S+\s+\S*\.\S*\s.*|\S+ \S+\s+\S+\s+\S*\.\S*\s.*"
CTM = Format(
    "ctm", "CTM, `<utt> 1 <start> <duration> 7`",
    lambda source: source.all(_CTM) and source.some(_SECONDS), read_timed,
)  # fmt: skip
TEXTGRID = Format(
    "textgrid", "Praat TextGrids, one for each utterance, with a tier `units`",
    lambda source: bool(source.files(".textgrid")) if source.is_folder else source.path.suffix == ".TextGrid",
    read_timed,
)  # fmt: skip
