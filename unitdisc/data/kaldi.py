"""Kaldi data directories: an index of utterances, read strictly, and written.

In memory are ids, paths and transcripts, never audio. Relative paths of wav.scp and images.scp are looked for
in the data directory first, then in the working directory.
"""

import gc
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from unitdisc.data.audio import AudioSource
from unitdisc.data.members import split_place
from unitdisc.data.pipes import Decode, parse_command, pipes_allowed
from unitdisc.data.tables import BLANKS, FIX, read_pairs, read_rows, read_table, read_words, write_table
from unitdisc.errors import DataError

FORMS = {
    "wav.scp": "<recording> <path or command |>",
    "segments": "<utt> <recording> <start> <end> [<channel>]",
    "utt2spk": "<utt> <spk>",
    "spk2utt": "<spk> <utt> <utt> ...",
    "spk2gender": "<spk> m|f",
    "text": "<utt> <words>",
    "utt2dur": "<utt> <seconds>",
    "images.scp": "<utt> <path>",
}


class Recording(NamedTuple):
    """One line of wav.scp."""

    line: int
    entry: str  # a path, a place in a tar archive (<path>.tar:<byte>), or a command that ends in |
    decode: Decode | None = None  # of an understood command

    @property
    def is_command(self) -> bool:
        """Tell commands from paths."""
        return self.entry.endswith("|")


class Segment(NamedTuple):
    """One line of segments."""

    recording: str
    start: float  # s
    end: float | None  # s; None: up to the end
    channel: int | None = None  # from 0


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the garbage collector off: it would look at millions of lines again and again, and none is in a cycle."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@dataclass
class DataDir:
    """The utterances of a data directory."""

    path: Path
    utts: list[str] = field(default_factory=list)  # sorted
    utt2spk: dict[str, str] = field(default_factory=dict)
    spk2utt: dict[str, list[str]] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    spk2gender: dict[str, str] = field(default_factory=dict)
    utt2dur: dict[str, float] = field(default_factory=dict)  # s
    recordings: dict[str, Recording] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)

    @classmethod
    @_without_collector()
    def read(cls, path: str | Path, allow_pipes: bool | None = None) -> "DataDir":
        """Read and check a data directory; no audio file is touched. `allow_pipes` None: as `pipes_allowed` says."""
        path = Path(path)
        if path.is_file():
            raise DataError(f"{path}: expected a data directory, got a file")
        if not path.is_dir():
            raise DataError(f"{path}: no such data directory; `unitdisc import` makes one of a folder of recordings")
        if not is_data_dir(path):
            raise DataError(f"{path}: expected wav.scp (or images.scp), got neither; `unitdisc import` makes one")
        data = cls(path)
        if (path / "wav.scp").exists():
            data.recordings = _read_recordings(path / "wav.scp", allow_pipes)
        if (path / "segments").exists():
            data.segments = _read_segments(path / "segments", data.recordings)
        if (path / "images.scp").exists():
            images = read_table(path / "images.scp", FORMS["images.scp"])
            data.images = {utt: resolve(path, name) for utt, name in images.items()}
        data.utts = list(data.segments or data.recordings or data.images)
        data._read_speakers()
        data._read_extras()
        return data

    def source(self, utt: str) -> AudioSource:
        """Return where the audio of an utterance is."""
        segment = self.segments.get(utt, Segment(utt, 0.0, None))
        recording = self.recordings.get(segment.recording)
        if recording is None:
            raise DataError(f"{self.path}: expected an utterance of wav.scp or segments, got {utt!r}")
        where = f"{self.path / 'wav.scp'}:{recording.line}" if recording.line else ""
        start, end = segment.start, segment.end
        if recording.is_command and recording.decode is None:
            return AudioSource(Path(), segment.channel or 0, start, end, command=recording.entry, where=where)
        if recording.decode is None:
            name, offset = split_place(recording.entry)
            path = resolve(self.path, name)
            return AudioSource(path, segment.channel or 0, start, end, where=where, offset=offset)
        decode = recording.decode
        channel = segment.channel or 0 if decode.channel is None else decode.channel
        path = resolve(self.path, decode.path)
        return AudioSource(path, channel, start, end, decode.rate, program=decode.program, where=where)

    def _read_speakers(self) -> None:
        self.utt2spk, given = read_speakers(self.path)
        self._check_same(self.utt2spk, given)
        self.spk2utt = spk2utt_of(self.utt2spk)
        if given.name == "utt2spk" and (self.path / "spk2utt").exists():
            stated = read_words(self.path / "spk2utt", FORMS["spk2utt"])
            for spk in sorted(stated.keys() | self.spk2utt.keys()):
                if sorted(stated.get(spk, [])) != self.spk2utt.get(spk, []):
                    raise DataError(
                        f"{self.path / 'spk2utt'}: expected the utterances of {spk!r} as in utt2spk "
                        f"({len(self.spk2utt.get(spk, []))}), got others ({len(stated.get(spk, []))}); {FIX}"
                    )

    def _read_extras(self) -> None:
        if (path := self.path / "text").exists():
            self.text = {row.key: row.rest for row in read_rows(path, FORMS["text"])}
            self._check_known(self.text, path)
        if (path := self.path / "spk2gender").exists():
            self.spk2gender = read_pairs(path, FORMS["spk2gender"])
            for number, (spk, gender) in enumerate(self.spk2gender.items(), start=1):
                if gender not in ("m", "f"):
                    raise DataError(f"{path}:{number}: expected '{FORMS['spk2gender']}', got {f'{spk} {gender}'!r}")
        if (path := self.path / "utt2dur").exists():
            for number, (utt, seconds) in enumerate(read_pairs(path, FORMS["utt2dur"]).items(), start=1):
                self.utt2dur[utt] = _seconds(seconds, f"{path}:{number}", FORMS["utt2dur"])
            self._check_known(self.utt2dur, path)

    def _check_known(self, table: Mapping[str, object], path: Path) -> None:
        for number, utt in enumerate(table, start=1):
            if utt not in self.utt2spk:
                raise DataError(f"{path}:{number}: expected an utterance of this directory, got {utt!r}; {FIX}")

    def _check_same(self, table: Mapping[str, object], path: Path) -> None:
        known = "segments" if self.segments else "wav.scp" if self.recordings else "images.scp"
        missing = [utt for utt in self.utts if utt not in table]
        if missing:
            raise DataError(
                f"{path}: expected every utterance of {known}, got none for {missing[0]!r}"
                f" and {len(missing) - 1} more; {FIX}"
            )
        if len(table) != len(self.utts):
            utts = set(self.utts)
            number, extra = next((n, utt) for n, utt in enumerate(table, start=1) if utt not in utts)
            line = f":{number}" if path.name == "utt2spk" else ""
            raise DataError(f"{path}{line}: expected an utterance of {known}, got {extra!r}; {FIX}")


def is_data_dir(path: Path) -> bool:
    """Tell whether a folder has the table that makes it a data directory."""
    return any((path / name).exists() for name in ("wav.scp", "images.scp"))


def data_digest(path: Path) -> str:
    """Hash the lists that name a directory's audio and speakers to 12 hexadecimal digits."""
    hasher = hashlib.sha256()
    speakers = "utt2spk" if (path / "utt2spk").exists() else "spk2utt"  # the other follows from it
    for name in ("wav.scp", "segments", speakers):
        table = path / name
        hasher.update(name.encode() + b"\0" + (table.read_bytes() if table.exists() else b"") + b"\0")
    return hasher.hexdigest()[:12]


def read_speakers(path: Path) -> tuple[dict[str, str], Path]:
    """Return the speaker of each utterance of a directory, and the table that says it: utt2spk, else spk2utt."""
    if (table := path / "utt2spk").exists():
        return read_pairs(table, FORMS["utt2spk"]), table
    if (table := path / "spk2utt").exists():
        return _inverted(read_words(table, FORMS["spk2utt"]), table), table
    raise DataError(
        f"{path}: expected utt2spk or spk2utt, got neither; write one line '<utt> <spk>' for each "
        "utterance, with the utterance as its own speaker where nobody is known"
    )


def resolve(folder: Path, name: str) -> Path:
    """Find a path of wav.scp or images.scp: beside the table first, then from the working directory."""
    if os.path.isabs(name):
        return Path(name)
    beside = folder / name
    # By os.path, which takes what no file can be called for what is not there.
    return Path(name) if not os.path.exists(beside) and os.path.exists(name) else beside


def spk2utt_of(utt2spk: Mapping[str, str]) -> dict[str, list[str]]:
    """Group utterances by speaker, both sorted."""
    groups: dict[str, list[str]] = {spk: [] for spk in sorted(set(utt2spk.values()))}
    for utt in sorted(utt2spk):
        groups[utt2spk[utt]].append(utt)
    return groups


def _inverted(spk2utt: Mapping[str, list[str]], path: Path) -> dict[str, str]:
    utt2spk: dict[str, str] = {}
    for number, (spk, utts) in enumerate(spk2utt.items(), start=1):
        for utt in utts:
            if utt in utt2spk:
                raise DataError(f"{path}:{number}: expected each utterance once, got {utt!r} of {utt2spk[utt]!r} again")
            utt2spk[utt] = spk
    return dict(sorted(utt2spk.items()))


def _read_recordings(path: Path, allow_pipes: bool | None) -> dict[str, Recording]:
    recordings = {}
    for number, key, entry in read_rows(path, FORMS["wav.scp"]):
        if not entry:
            raise DataError(f"{path}:{number}: expected '{FORMS['wav.scp']}', got {key!r} alone; {FIX}")
        recordings[key] = parse_recording(entry, number, f"{path}:{number}", allow_pipes)
    if not recordings:
        raise DataError(f"{path}: expected at least one line '{FORMS['wav.scp']}', got an empty file")
    return recordings


def _read_segments(path: Path, recordings: Mapping[str, Recording]) -> dict[str, Segment]:
    segments = {}
    for number, utt, rest in read_rows(path, FORMS["segments"]):
        segments[utt] = parse_segment(rest, f"{path}:{number}")
        if segments[utt].recording not in recordings:
            raise DataError(f"{path}:{number}: expected a recording of wav.scp, got {segments[utt].recording!r}; {FIX}")
    if not segments:
        raise DataError(f"{path}: expected at least one line '{FORMS['segments']}', got an empty file; remove it")
    return segments


def parse_recording(entry: str, line: int, where: str, allow_pipes: bool | None = None) -> Recording:
    """Read what stands behind the key in wav.scp; other commands than those that decode need allow_pipes."""
    if not entry.endswith("|"):
        return Recording(line, entry)
    try:
        return Recording(line, entry, parse_command(entry, where))
    except DataError:
        if not (pipes_allowed() if allow_pipes is None else allow_pipes):
            raise
        return Recording(line, entry)


def parse_segment(rest: str, where: str) -> Segment:
    """Read what stands behind the utterance in segments."""
    words = BLANKS.split(rest)
    if len(words) not in (3, 4):
        raise DataError(f"{where}: expected '{FORMS['segments']}', got {rest[:80]!r} behind the utterance")
    start = _seconds(words[1], where, FORMS["segments"])
    end = None if words[2] in ("-1", "-1.0") else _seconds(words[2], where, FORMS["segments"])
    if end is not None and end <= start:
        raise DataError(f"{where}: expected an end after the start, got {start} to {end} s; {FIX}")
    return Segment(words[0], start, end, None if len(words) == 3 else _channel(words[3], where))


def _seconds(text: str, where: str, form: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: expected '{form}', got {text!r} where seconds are expected")
    return seconds


def _channel(text: str, where: str) -> int:
    named = {"A": 0, "B": 1}  # Kaldi takes both notations
    if text in named:
        return named[text]
    if not text.isdecimal():
        raise DataError(f"{where}: expected a channel (0, 1, ...), got {text!r}")
    return int(text)


def write_data_dir(
    path: str | Path,
    recordings: Iterable[tuple[str, str | Path]],
    utt2spk: Mapping[str, str],
    text: Mapping[str, str] | None = None,
    spk2gender: Mapping[str, str] | None = None,
    segments: Mapping[str, Segment] | None = None,
    utt2dur: Mapping[str, float] | None = None,
    images: Mapping[str, str | Path] | None = None,
) -> DataDir:
    """Write a data directory, sorted and with spk2utt, and read it back; paths are written as they are given."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Iterable[tuple[str, str]] | None] = {
        "images.scp": None if images is None else [(utt, str(entry)) for utt, entry in images.items()],
        "segments": None if segments is None else [(utt, format_segment(s)) for utt, s in segments.items()],
        "utt2spk": utt2spk.items(),
        "spk2utt": [(spk, " ".join(utts)) for spk, utts in spk2utt_of(utt2spk).items()],
        "text": None if text is None else text.items(),
        "spk2gender": None if spk2gender is None else spk2gender.items(),
        "utt2dur": None if utt2dur is None else [(utt, repr(s)) for utt, s in utt2dur.items()],
        "wav.scp": [(key, str(entry)) for key, entry in recordings] or None,
    }
    (path / "wav.scp").unlink(missing_ok=True)  # gone first and written last: when it is there, all is
    for name, rows in tables.items():
        if rows is None:  # of an older directory of this name; it would not fit
            (path / name).unlink(missing_ok=True)
        else:
            write_table(path / name, rows)
    return DataDir.read(path, allow_pipes=True)


def format_segment(segment: Segment) -> str:
    """Write a segment as its line, without the utterance."""
    end = "-1" if segment.end is None else repr(segment.end)
    channel = "" if segment.channel is None else f" {segment.channel}"
    return f"{segment.recording} {segment.start!r} {end}{channel}"
