"""Units of other tools as a unit file: names, numbers, lengths and the period of frames are checked here for all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.data.foreign.base import ReadOptions, Source, Utterance
from unitdisc.data.foreign.fairseq import FAIRSEQ
from unitdisc.data.foreign.formats import format_of, not_units
from unitdisc.data.foreign.grid import frames_of, offset_of, period_of
from unitdisc.data.names import name_problem
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import DataError, clipped, counted, shown

PERIODS = (0.005, 0.01, 0.0125, 0.016, 0.02, 0.025, 0.03, 0.04, 0.06, 0.08, 0.1)  # s, looked for in lengths of audio
ENOUGH = 100  # frames in which equal neighbours are to be expected


@dataclass(frozen=True)
class ImportOptions:
    """What is known of the units beside their file."""

    format: str = ""  # a name of formats.FORMATS; empty: by content
    period: float | None = None  # s; None: by times or by the length of the audio
    offset: float | None = None  # s; None: by times, else 0
    codes: int | None = None  # how many units there can be; None: as many as occur
    seconds: Mapping[str, float] = field(default_factory=dict)  # length of the audio by utterance
    read: ReadOptions = field(default_factory=ReadOptions)
    option: str = "--format"  # what the user names a format by
    period_option: str = "--period"


class ImportedUnits(NamedTuple):
    """What came of an import."""

    format: str
    header: UnitHeader
    utterances: int
    notes: list[str]  # for the user: what was found out, what may be wrong

    def __str__(self) -> str:
        codes, period = self.header.cardinality, self.header.period
        many = counted(self.utterances, "utterance")
        return f"{self.format}: {many}, {counted(codes, 'code')}, a frame every {1000 * period:g} ms"


def import_units(path: str | Path, out: str | Path, options: ImportOptions | None = None) -> ImportedUnits:
    """Read units of another tool and write a unit file."""
    options = options or ImportOptions()
    source = Source(Path(path))
    chosen = format_of(source, options.format, options.option)
    if chosen is None:
        raise not_units(source, options.option)
    if options.read.tsv and chosen is not FAIRSEQ:
        raise DataError(f"{options.read.tsv}: --tsv is of fairseq's .km files, and {path} is read as {chosen.name}")
    utterances = sorted(_checked(chosen.read(source, options.read), options), key=lambda each: each.utt)
    if not utterances:
        raise DataError(f"{path}: has no utterances")
    notes: list[str] = []
    period, offset = _grid(utterances, str(path), options, notes)
    lines = [UnitLine.of_frames(each.utt, frames_of(each, period, offset)) for each in utterances]
    _check_lengths(utterances, lines, period, offset, options)
    most = max((int(line.units.max(initial=-1)) for line in lines), default=-1) + 1
    if sum(int(line.durations.sum()) for line in lines) >= ENOUGH and all((x.durations == 1).all() for x in lines):
        notes.append("no unit follows itself anywhere: if equal neighbours were merged, all times and rates are wrong")
    origin = {"format": chosen.name, "source": source.path.name}
    header = UnitHeader(period, (options.codes or max(most, 1),), offset, origin=origin)
    return ImportedUnits(chosen.name, header, write_units(out, header, lines), notes)


def _checked(utterances: Iterable[Utterance], options: ImportOptions) -> Iterable[Utterance]:
    places: dict[str, str] = {}
    for each in utterances:
        if problem := name_problem(each.utt):
            raise DataError(f"{each.where}: expected a name of an utterance, got {problem}")
        if each.utt in places:
            raise DataError(
                f"{each.where}: expected each utterance once, got {shown(each.utt)} again after {places[each.utt]}"
            )
        places[each.utt] = each.where
        wrong = each.units[(each.units < 0) | (each.units >= (options.codes or 1 << 62))]
        if len(wrong):
            most = f"0..{options.codes - 1}" if options.codes else "0 or more"
            raise DataError(f"{each.where}: expected units of {most}, got {wrong[0]}")
        yield each._replace(seconds=options.seconds.get(each.utt, each.seconds))


def _grid(utterances: Sequence[Utterance], path: str, options: ImportOptions, notes: list[str]) -> tuple[float, float]:
    """Return period and offset of the frames: as given, else by times, else by the length of the audio."""
    timed = [each for each in utterances if each.times is not None]
    period, how = options.period, ""
    if period is None and timed:
        period, how = period_of(timed), "of the times"
    elif period is None:
        period, how = _period_by_audio(utterances), "of the length of the audio"
    if period is None:
        raise DataError(
            f"{path}: does not say how long a frame is; give {options.period_option} SECONDS "
            "(0.02 for units of HuBERT and its like)"
        )
    if how:
        notes.append(f"the period, {period:g} s, is that {how}; {options.period_option} gives another")
    return period, offset_of(timed, period) if options.offset is None else options.offset


def _period_by_audio(utterances: Sequence[Utterance]) -> float | None:
    known = [(each.seconds, len(each.units)) for each in utterances if each.seconds and len(each.units)]
    if not known:
        return None
    seconds, frames = np.array(known).T
    # A frame or two may be missing at the end, where a network's window does not fit any more.
    fitting = [p for p in PERIODS if np.median(np.abs(seconds / p - frames)) <= 2]
    return min(fitting, key=lambda p: abs(float(np.median(seconds / p - frames))), default=None)


def _check_lengths(
    utterances: Sequence[Utterance], lines: Sequence[UnitLine], period: float, offset: float, options: ImportOptions
) -> None:
    """Refuse units of another length than their audio, and such of audio that is not there."""
    wrong = []
    for each, line in zip(utterances, lines, strict=True):
        length = offset + int(line.durations.sum()) * period
        if options.seconds and each.utt not in options.seconds:
            raise DataError(f"{each.where}: {shown(each.utt)} is not in the data directory")
        if each.seconds is not None and abs(length - each.seconds) > max(2 * period, 0.04) + 1e-6:
            wrong.append((each, int(line.durations.sum()), length))
    if wrong:
        each, frames, length = wrong[0]
        raise DataError(
            f"{each.where}: {clipped(each.utt)}: {frames} frames of {period:g} s make {length:.2f} s, its audio has "
            f"{each.seconds:.2f} s ({len(wrong)} of {len(lines)} utterances are so); are the units of this audio, is "
            "the period right, and the same for all?"
        )
