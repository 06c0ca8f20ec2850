"""The files of shards, each encoded by one process, and the whole that they are put together to.

A shard is a fixed run of utterances. Its files are written whole, so that a killed encoding goes on where it was.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data.units import UnitHeader, first_line, last_line
from unitdisc.errors import DataError
from unitdisc.features.archives import POOL
from unitdisc.files import whole_file
from unitdisc.reading import parse_json

SHARD = POOL  # utterances


class Shard(NamedTuple):
    """A run of utterances, encoded by one process."""

    number: int
    utts: list[str]


def make_shards(utts: list[str]) -> Iterator[Shard]:
    """Cut a sorted list of utterances into shards."""
    for number, first in enumerate(range(0, len(utts), SHARD)):
        yield Shard(number, utts[first : first + SHARD])


def shard_path(work: Path, shard: Shard) -> Path:
    """Return the file that says of a shard that it is done."""
    return work / f"{shard.number:05d}.done"


def missing_shards(work: Path, shards: Sequence[Shard]) -> list[Shard]:
    """Return the shards that are not done yet."""
    return [shard for shard in shards if not shard_path(work, shard).exists()]


def begin_shards(work: Path, stamp: str) -> None:
    """Keep the shards of an interrupted encoding of the same model and data, and drop any others."""
    mark, stamp = work / "stamp", f"{stamp} vectors"  # shards of version 0.1.0 have their vectors elsewhere
    if mark.is_file() and mark.read_text("utf-8") == stamp:
        return
    if work.exists():
        rmtree(work)
    with whole_file(mark) as out:
        out.write(stamp)


def join_shards(
    out: Path,
    header: UnitHeader,
    shards: list[Shard],
    stamp: str,
    *,
    vectors: Sequence[str],
    codewords: np.ndarray | None,
    max_failed: float,
) -> None:
    """Put all shards together, with these archives of vectors; codewords [K, D]: None of a model without units."""
    work = out / ".shards"
    records = records_of(work, shards)
    failed = failures_of(records)
    total = sum(len(shard.utts) for shard in shards)
    if len(failed) > max_failed * total:
        for shard in shards:  # so that the next start tries them again
            if not failed.keys().isdisjoint(shard.utts):
                shard_path(work, shard).unlink()
        first = ": ".join(next(iter(failed.items())))
        raise DataError(
            f"{out}: {len(failed)} of {total} utterances could not be encoded, more than --max-failed "
            f"{max_failed:g}; mend or remove them, then start again to go on. The first is {first}"
        )
    for name in vectors:
        _join_indexes(out, name, shards)
    with whole_file(out / "failed.txt") as file:
        file.writelines(f"{utt} {reason}\n" for utt, reason in failed.items())
    record = {"stamp": stamp, "model": header.model, "utterances": total - len(failed), "failed": failed}
    record["frames"] = sum(done["frames"] for done in records)
    if codewords is not None:
        with whole_file(out / "codebook.npy", binary=True) as file:
            np.save(file, codewords, allow_pickle=False)
        for name in ("units.txt", "units.ctm"):
            with whole_file(out / name, binary=True) as file:
                file.writelines(_parts(work, shards, Path(name).suffix))
        with whole_file(work / "units.jsonl", binary=True) as file:
            file.write(first_line(header).encode())
            file.writelines(_parts(work, shards, ".jsonl"))
            file.write(last_line(total - len(failed)).encode())
    with whole_file(out / "encode.json") as file:
        json.dump(record, file, ensure_ascii=False)
    if codewords is not None:
        (work / "units.jsonl").replace(out / "units.jsonl")  # last: where it is, all is
    else:
        with whole_file(out / "vectors.json") as file:
            json.dump({"period": header.period, "offset": header.offset}, file)
    rmtree(work)


def _join_indexes(out: Path, name: str, shards: list[Shard]) -> None:
    """Write the index of all shards' vectors, which lie here wherever they were made, and drop those of no shard."""
    home = (out / name).resolve()
    stems = [f"{shard.number:05d}" for shard in shards]
    with whole_file(out / f"{name}.scp") as scp:
        for stem in stems:
            if not (home / f"{stem}.scp").exists():  # none of its utterances could be encoded
                continue
            text = (home / f"{stem}.scp").read_text("utf-8")
            lines = text.removesuffix("\n").split("\n")
            here = "".join(f"{line.split(' ')[0]} {home / stem}.ark:{line.rpartition(':')[2]}\n" for line in lines)
            if here != text:
                with whole_file(home / f"{stem}.scp") as part:
                    part.write(here)
            scp.write(here)
    ours = set(stems)
    for path in home.glob("*.*"):
        if path.stem not in ours:
            path.unlink()


def _parts(work: Path, shards: list[Shard], ending: str) -> Iterator[bytes]:
    return (shard_path(work, shard).with_suffix(ending).read_bytes() for shard in shards)


def records_of(work: Path, shards: list[Shard]) -> list[dict[str, Any]]:
    """Return what each shard says of itself."""
    return [parse_json(shard_path(work, shard).read_text("utf-8")) for shard in shards]


def failures_of(records: list[dict[str, Any]]) -> dict[str, str]:
    """Return the utterances that could not be encoded, and why."""
    return {utt: reason for record in records for utt, reason in record["failed"].items()}
