"""fairseq's pair of files: .km with a line of units for each line of .tsv, which names audio files and samples."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from unitdisc.data.foreign.base import Format, ReadOptions, Source, Utterance, name_of, unit_numbers
from unitdisc.errors import DataError, shown


def read_fairseq(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read the units of each audio file."""
    km = source.only("*.km")
    if km is None:
        raise DataError(f"{source.path}: expected one .km file in the folder, got another number; name the file")
    tsv = options.tsv or _beside(km.path)
    if tsv is None:
        raise DataError(
            f"{km.path}: expected {km.path.with_suffix('.tsv').name} beside it, which names the audio files; "
            "`unitdisc import-units --tsv` takes another"
        )
    rows, lines = Source(tsv).lines(), km.lines(empty=True)
    next(rows, None)  # the root of all paths
    for there, here in zip_longest(rows, lines):
        if here is not None and not here[1].strip():
            if there is None:  # behind the last
                continue
            path = there[1].partition("\t")[0]
            raise DataError(
                f"{here[0]}: expected the units of {shown(path)}, got none; remove its line from both files"
            )
        if there is None or here is None:
            longer, shorter = (tsv, km.path) if here is None else (km.path, tsv)
            raise DataError(f"{longer}: has more lines than {shorter}: they are of other audio, or one of them was cut")
        path, _, samples = there[1].rstrip().partition("\t")
        if not re.fullmatch(r"\d{1,18}", samples):
            raise DataError(f"{there[0]}: expected '<path><tab><samples>', got {shown(there[1])}")
        where, line = here
        seconds = int(samples) / options.rate
        yield Utterance(where, name_of(path), unit_numbers(line.split(), where), None, seconds)


def _beside(km: Path) -> Path | None:
    same = km.with_suffix(".tsv")
    others = sorted(km.parent.glob("*.tsv"))
    return same if same.exists() else others[0] if len(others) == 1 else None


def _fits(source: Source) -> bool:
    km = source.only("*.km")
    return km is not None and km.all(r"\s*\d+(\s+\d+)*\s*") and (
        km.path.suffix == ".km" or km.path.with_suffix(".tsv").exists()
    )  # fmt: skip


FAIRSEQ = Format("fairseq", "fairseq, `.km` with the `.tsv` of the same name beside it", _fits, read_fairseq)
