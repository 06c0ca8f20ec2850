"""Alignments: who said which phone (or word) when, from files of rows and folders of label files, in one type."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.data.labels import READERS, Label, Wanted
from unitdisc.data.phones import SILENCE, SILENCES
from unitdisc.data.rows import is_table, read_rows
from unitdisc.errors import DataError, shown
from unitdisc.files import whole_file

# Starts and durations are written with two decimals each, so neighbours may overlap by one step of that grid;
# such an overlap is trimmed, a larger one refused.
ROUNDING = 0.0101  # s
LATE = 0.05  # s by which labels may end after the audio


class Interval(NamedTuple):
    """A labelled stretch of time."""

    start: float  # s
    end: float  # s
    label: str


class Alignment(Mapping[str, list[Interval]]):
    """The intervals of each utterance, sorted and without overlap; read from the file when asked for."""

    def __init__(self, read: Mapping[str, Callable[[], list[Label]]]) -> None:
        self._read = read

    def __getitem__(self, utt: str) -> list[Interval]:
        return _checked(self._read[utt](), utt)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def __contains__(self, utt: object) -> bool:
        return utt in self._read


def read_alignment(path: str | Path, tier: str = "phones") -> Alignment:
    """Open a file of rows, or a folder of .TextGrid, .phn (.wrd), .lablaut or .lab files, or one such file.

    Rows are those of CTM, or of onset and offset as DiscoPhon and ZeroSpeech have them, by the file's content.
    `tier` chooses among the tiers of a TextGrid and between TIMIT's .phn ("phones") and .wrd ("words").
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, tier)
    if not path.exists():
        raise DataError(f"{path}: no such alignment; expected a CTM file or a folder of label files")
    if path.suffix.lower() in READERS and not is_table(path):
        return join_alignments({_utt_of(path, path.parent): path}, Wanted(tier))
    return Alignment(read_rows(path, ROUNDING))


def silences_of(given: str | None, *alignments: Path) -> frozenset[str]:
    """Return the labels that mean silence: the usual ones, or those given as `A,B`, one of which must be there."""
    if given is None:
        return SILENCES
    silences = frozenset(label.strip() for label in given.split(",") if label.strip())
    found: set[str] = set()
    for intervals in (alignment[utt] for alignment in map(read_alignment, alignments) for utt in alignment):
        labels = {interval.label for interval in intervals}
        if not silences or labels & silences:  # the same list may be meant for several corpora
            return silences
        found |= labels
    if alignments and silences:
        raise DataError(
            f"--silences {given}: none of these labels is in {' or '.join(map(str, alignments))}; "
            f"there are {', '.join(sorted(found)[:10])} ..."
        )
    return silences


def join_alignments(files: Mapping[str, Path], wanted: Wanted, rates: Mapping[str, int] | None = None) -> Alignment:
    """Open the label files of utterances whose names do not follow from them; `rates` are those of the audio, in Hz."""
    rates = rates or {}
    return Alignment(
        {utt: _LabelFile(files[utt], wanted._replace(rate=rates.get(utt, wanted.rate))) for utt in sorted(files)}
    )


class _LabelFile:
    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path, self.wanted = path, wanted

    def __call__(self) -> list[Label]:
        return READERS[self.path.suffix.lower()][1](self.path, self.wanted)


def _read_folder(folder: Path, tier: str) -> Alignment:
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        holds = READERS.get(path.suffix.lower())
        if holds is None or holds[0] not in (None, tier):
            continue
        utt = _utt_of(path, folder)
        if utt in files and path.stem != f"{files[utt].stem}xx":  # of Emo-DB's x and xxx, xxx is the finished one
            raise DataError(f"{path}: expected one label file for each utterance, got {files[utt]} for {utt!r} too")
        files[utt] = path
    if not files:
        suffixes = ", ".join(READERS)
        raise DataError(f"{folder}: expected label files with {tier} ({suffixes}), got none")
    return join_alignments(files, Wanted(tier))


def _utt_of(path: Path, folder: Path) -> str:
    """Name the utterance of a label file as the importers of data/corpora.py name it."""
    if path.suffix.lower() in (".phn", ".wrd") and path.parent != folder:
        return f"{path.parent.name}_{path.stem}"  # TIMIT: every speaker has an SA1
    if path.suffix.lower() == ".lablaut":
        return path.stem.removesuffix("xx")
    return path.stem


def _checked(labels: Sequence[Label], utt: str) -> list[Interval]:
    intervals: list[Interval] = []
    # Sorted here, since CTM files are often sorted as text, with 10.2 before 9.8.
    for where, start, end, label in sorted(labels, key=lambda label: label[1:3]):
        if not (math.isfinite(start) and math.isfinite(end) and start >= 0 and end >= start - 1e-9):
            raise DataError(f"{where}: {utt}: expected 0 <= start <= end, got {start:g} to {end:g} s of {shown(label)}")
        if intervals and start < intervals[-1].end:
            before = intervals[-1]
            if before.end - start > ROUNDING:
                raise DataError(
                    f"{where}: {utt}: expected intervals without overlap, got {shown(label)} from {start:g} s "
                    f"after {shown(before.label)} up to {before.end:g} s; correct the labels"
                )
            intervals[-1] = before._replace(end=start)
        intervals.append(Interval(start, max(end, start), label))
    return intervals


def check_end(intervals: Sequence[Interval], seconds: float, where: str, tolerance: float = LATE) -> None:
    """Refuse intervals that end after the audio, beyond a tolerance in seconds."""
    if intervals and intervals[-1].end > seconds + tolerance:
        start, end, label = intervals[-1]
        raise DataError(
            f"{where}: expected labels within {seconds:.3f} s of audio, got {label!r} at {start:g} to {end:g} s; "
            "this alignment belongs to other audio, or the audio was cut"
        )


def cut_at(intervals: Iterable[Interval], seconds: float) -> list[Interval]:
    """Cut intervals at a time, dropping those that begin after it."""
    return [i._replace(end=min(i.end, seconds)) for i in intervals if i.start < seconds]


def cut_out(intervals: Iterable[Interval], start: float, end: float) -> list[Interval]:
    """Return the intervals whose middle lies in a stretch of time, in times of the stretch, cut at its edges."""
    return [
        Interval(round(max(i.start - start, 0.0), 4), round(min(i.end, end) - start, 4), i.label)
        for i in intervals
        if start <= (i.start + i.end) / 2 < end
    ]


def frame_labels(
    intervals: Sequence[Interval], frames: int, period: float, offset: float = 0.0, silence: str = SILENCE
) -> list[str]:
    """Label frames by their centre, which is at offset + (i + 1/2) * period; start <= centre < end.

    Centres in a gap, or before and after all intervals, are silence.
    """
    return [intervals[w].label if w >= 0 else silence for w in frame_places(intervals, frames, period, offset).tolist()]


def frame_places(intervals: Sequence[Interval], frames: int, period: float, offset: float = 0.0) -> np.ndarray:
    """Return [frames], in which interval the centre of each frame lies; -1 where that is none."""
    if not intervals:
        return np.full(frames, -1)
    # 1e-9 s: centres on a boundary go to the interval that begins there, whatever the rounding of the product.
    centres = offset + (np.arange(frames) + 0.5) * period + 1e-9
    starts = np.array([i.start for i in intervals])
    ends = np.array([i.end for i in intervals])
    which = np.searchsorted(starts, centres, side="right") - 1
    return np.where(centres < ends[np.maximum(which, 0)], which, -1)


def write_ctm(path: str | Path, items: Iterable[tuple[str, Sequence[Interval]]]) -> None:
    """Write utterances, sorted by id, as a CTM file on a grid of 0.1 ms."""

    last = ""
    with whole_file(Path(path)) as out:
        for utt, intervals in items:
            if utt <= last:
                raise DataError(f"{path}: expected utterances sorted and unique, got {utt!r} after {last!r}")
            last = utt
            for start, end, label in intervals:
                if not label or label.split() != [label]:
                    raise DataError(f"{path}: {utt}: expected a label without blanks, got {label!r}")
                # Durations between rounded times, so that neighbours still touch.
                print(f"{utt} 1 {start:.4f} {round(end, 4) - round(start, 4):.4f} {label}", file=out)
