"""Tar archives of recordings, of lhotse (Shar) or webdataset, turned into a data directory that reads them in place.

    FOLDER/recording.000000.tar   x.flac, and beside it x.json or x.txt; in Shar x is a cut
    FOLDER/cuts.000000.jsonl.gz   Shar's cuts: speaker, transcript and where they begin, of each x

Nothing is unpacked: wav.scp names the archive and the byte at which a recording begins.
"""

import gzip
import math
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from unitdisc.data.audio import AudioSource
from unitdisc.data.corpora import AUDIO
from unitdisc.data.kaldi import DataDir, Segment, write_data_dir
from unitdisc.data.names import name_problem
from unitdisc.errors import DataError, shown
from unitdisc.reading import parse_json, reading

MOST = 0.1  # share of the recordings that may be left out as unreadable


class Sample(NamedTuple):
    """One recording of an archive, with what lies beside it."""

    key: str
    archive: Path
    offset: int  # byte
    facts: dict[str, Any]  # of x.json, and "text" of x.txt


def has_shards(folder: Path) -> bool:
    """Tell whether a folder holds tar archives."""
    return next(folder.glob("*.tar"), None) is not None


class ImportedShards(NamedTuple):
    """What became of a folder of archives."""

    data: DataDir
    left_out: list[str]  # one message for each utterance that cannot be used


def check_left_out(folder: Path, left_out: Sequence[str], total: int, most: float) -> None:
    """Stop an import of which more than a share of `most`, or all, cannot be used."""
    if len(left_out) > most * total or 0 < total == len(left_out):
        raise DataError(
            f"{folder}: {len(left_out)} of {total} recordings cannot be used: {'; '.join(left_out[:5])}"
            f"{' ...' if len(left_out) > 5 else ''}; mend or remove them, or raise --max-bad (now {most:g})"
        )


def import_shards(
    folder: Path, out: str | Path, speaker: Callable[[PurePath], str | None], channel: int = 0, most: float = MOST
) -> ImportedShards:
    """Write a data directory of the recordings in the tar archives of a folder.

    `speaker` finds one in `<archive>/<key>` where neither a cut nor a .json says who it is. More than a share of `most`
    that cannot be used stops the import.
    """
    cuts = {cut["id"]: cut for cut in _cuts(folder)}
    recordings: dict[str, str] = {}
    segments: dict[str, Segment] = {}
    utt2spk: dict[str, str] = {}
    text: dict[str, str] = {}
    durations: dict[str, float] = {}
    left_out: list[str] = []
    for sample in _samples(sorted(folder.glob("recording.*.tar" if cuts else "*.tar"))):
        if sample.key in recordings:
            raise DataError(f"{sample.archive}: {sample.key!r} is there twice; name recordings apart")
        said = cuts[sample.key].get("supervisions", []) if sample.key in cuts else [sample.facts]
        said = said or [{}]
        for facts in said:
            spk = _speaker(facts) or speaker(sample.archive.relative_to(folder) / sample.key)
            if spk is None:
                raise DataError(
                    f"{sample.archive}: nothing says who speaks in {sample.key!r}; give --speaker, a pattern that "
                    "finds it in <archive>/<name>, or --unknown-speakers"
                )
            whole = len(said) == 1
            name = sample.key if whole else str(facts.get("id"))
            utt = name if name.startswith(spk) else f"{spk}-{name}"
            if problem := name_problem(utt) or name_problem(spk):
                left_out.append(f"{sample.archive}: {sample.key!r} would get {problem}; rename it")
                continue
            if utt in utt2spk:
                raise DataError(f"{sample.archive}: {utt!r} is there twice; name recordings apart")
            source = AudioSource(sample.archive, channel, offset=sample.offset)
            try:
                start, seconds = (0.0, source.seconds()) if whole else _span(facts, f"{sample.archive}: {sample.key}")
            except DataError as error:
                left_out.append(f"{sample.key}: {error}")
                continue
            segments[utt] = Segment(sample.key, start, None if whole else start + seconds, channel or None)
            utt2spk[utt], durations[utt] = spk, seconds
            if facts.get("text"):
                text[utt] = " ".join(str(facts["text"]).split())
            recordings[sample.key] = f"{sample.archive}:{sample.offset}"
    check_left_out(folder, left_out, len(utt2spk) + len(left_out), most)
    if not recordings:
        raise DataError(f"{folder}: expected recordings ({', '.join(AUDIO)}) in its tar archives, got none")
    plain = not channel and all(utt == part.recording and part.end is None for utt, part in segments.items())
    data = write_data_dir(
        out, recordings.items(), utt2spk, text or None, segments=None if plain else segments, utt2dur=durations
    )
    return ImportedShards(data, left_out)


def _samples(archives: list[Path]) -> Iterator[Sample]:
    """Go through the recordings of all archives, in their order there; what has one name belongs together."""
    for path in archives:
        with reading(path, "a tar archive that is not compressed"), tarfile.open(path, "r:") as archive:
            key, audio = "", None
            facts: dict[str, Any] = {}
            for member in archive:
                if not member.isreg():
                    continue
                here, kind = os.path.splitext(member.name)
                if here != key and audio is not None:
                    yield Sample(key, path, audio, facts)
                if here != key:
                    key, audio, facts = here, None, {}
                if kind.lower() in AUDIO:
                    audio = member.offset_data
                elif kind in (".json", ".txt"):
                    content = archive.extractfile(member)
                    assert content is not None
                    facts |= _facts(content.read(), kind, f"{path}: {member.name}")
            if audio is not None:
                yield Sample(key, path, audio, facts)


def _facts(content: bytes, kind: str, where: str) -> dict[str, Any]:
    with reading(where, "an object in JSON" if kind == ".json" else "UTF-8 text"):
        facts = parse_json(content) if kind == ".json" else {"text": content.decode("utf-8-sig")}
        if not isinstance(facts, dict):
            raise TypeError("no object")
    return facts


def _speaker(facts: dict[str, Any]) -> str | None:
    spk = next((facts[name] for name in ("speaker", "speaker_id", "spk") if facts.get(name) is not None), None)
    return None if spk is None else re.sub(r"\s+", "_", str(spk))


def _span(supervision: dict[str, Any], where: str) -> tuple[float, float]:
    """Return where a supervision starts and how long it is, in seconds."""
    with reading(where, "a start and a duration of each supervision"):
        start, seconds = float(supervision["start"]), float(supervision["duration"])
        if not (0 <= start < math.inf and 0 < seconds < math.inf):
            raise ValueError(f"{start} and {seconds} s")
        return start, seconds


def _is_cut(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return False
    said = value.get("supervisions", [])
    return isinstance(said, list) and all(isinstance(one, dict) for one in said)


def _cuts(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted([*folder.glob("cuts.*.jsonl"), *folder.glob("cuts.*.jsonl.gz")]):
        opened = gzip.open if path.suffix == ".gz" else open
        with reading(path, "cuts of lhotse"), opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                cut = parse_json(line)
                if not _is_cut(cut):
                    raise DataError(f"{path}:{number}: expected a cut of lhotse, got {shown(line)}")
                yield cut
