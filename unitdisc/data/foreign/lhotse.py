"""lhotse's supervisions and cuts: units as an alignment, or as the words of the text."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from unitdisc.data.foreign.base import Format, ReadOptions, Source, Utterance, record_of, unit_numbers
from unitdisc.reading import reading

FILES = ("supervisions.jsonl", "supervisions.jsonl.gz", "cuts.jsonl", "cuts.jsonl.gz")


def read_lhotse(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read the supervisions of a manifest, or those of its cuts."""
    for where, line in _file(source).lines():
        record = record_of(line, where)
        with reading(where, "a supervision of lhotse"):
            cut = float(record["start"]) if "supervisions" in record else 0.0
            found = [_utterance(one, options.tier, where, cut) for one in record.get("supervisions", [record])]
        yield from found


def _utterance(supervision: dict[str, Any], tier: str, where: str, cut: float) -> Utterance:
    utt, seconds = str(supervision["id"]), float(supervision["duration"])
    tiers = supervision.get("alignment") or {}
    chosen = tiers.get(tier, tiers.get("unit", next(iter(tiers.values())) if len(tiers) == 1 else None))
    if chosen is None:
        words = str(supervision.get("text") or "").split()
        return Utterance(where, utt, unit_numbers(words, where), None, seconds)
    items = [item if isinstance(item, list) else list(item.values()) for item in chosen]
    # Times of an alignment count from the start of the recording, also in a cut, where the segment's own do not.
    start = float(supervision["start"])
    start += cut if items and float(items[0][1]) >= start + cut - 1e-3 else 0.0
    times = np.array([(float(i[1]) - start, float(i[1]) + float(i[2]) - start) for i in items]).reshape(-1, 2)
    return Utterance(where, utt, unit_numbers([str(i[0]) for i in items], where), times, seconds)


def _file(source: Source) -> Source:
    # Cuts hold the supervisions, so one of the two files is enough.
    return next((found for name in FILES if (found := source.only(name))), source)


def _fits(source: Source) -> bool:
    record = _file(source).record
    return "supervisions" in record or {"id", "recording_id", "start", "duration"} <= record.keys()


LHOTSE = Format("lhotse", "lhotse's supervisions or cuts (.jsonl or .jsonl.gz)", _fits, read_lhotse)
