"""JSON lines with a name and a list of units: DiscoPhon, SpidR, fastabx, and what unitdisc exports to datasets."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from unitdisc.data.foreign.base import (
    Format,
    ReadOptions,
    Source,
    Utterance,
    check_length,
    name_of,
    numbers_of,
    record_of,
)
from unitdisc.errors import DataError, clipped, shown

NAMES = ("file", "name", "audio", "id", "utt", "path", "fileid", "utterance")  # the first that is there
UNITS = ("units", "codes", "tokens")


def read_jsonl(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read `{"file": "a-1", "units": [7, 7, 3]}`; with durations, each unit lasts so many frames."""
    file = source.only("*.jsonl", "*.jsonl.gz")
    for where, line in (file or source).lines():
        record = record_of(line, where)
        name, units = _field(record, NAMES, where), numbers_of(_field(record, UNITS, where), where)
        if not isinstance(name, str):
            raise DataError(f"{where}: expected a name of an utterance, got {shown(name)}")
        if "durations" in record:
            durations = numbers_of(record["durations"], where)
            if len(durations) != len(units) or (durations < 1).any():
                raise DataError(f"{where}: expected a duration of 1 or more frames for each unit")
            check_length(sum(map(float, durations)), where)
            units = np.repeat(units, durations)
        yield Utterance(where, name_of(name), units)


def _field(record: dict[str, Any], names: tuple[str, ...], where: str) -> Any:
    found = next((name for name in names if name in record), None)
    if found is None:
        fields = clipped(", ".join(record)) or "none"
        raise DataError(f"{where}: expected one of the fields {', '.join(names)}, got {fields}")
    return record[found]


def _fits(source: Source) -> bool:
    file = source.only("*.jsonl", "*.jsonl.gz")
    if file is None or "format" in file.record:
        return False
    return any(name in file.record for name in NAMES) and any(isinstance(file.record.get(u), list) for u in UNITS)


JSONL = Format("jsonl", 'JSON lines of DiscoPhon, SpidR and fastabx, `{"file": "a", "units": [7, 7, 3]}`',
               _fits, read_jsonl)  # fmt: skip
