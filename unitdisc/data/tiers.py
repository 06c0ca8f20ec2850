"""Units as tiers over time, of utterances or of whole sound files, as Praat and ELAN show them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from unitdisc.data.kaldi import DataDir
from unitdisc.data.spans import spans
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units
from unitdisc.errors import DataError

Rows = list[tuple[float, float, int]]  # start and end, s, and the unit


class Tiered(NamedTuple):
    """What is written to one file."""

    name: str  # of an utterance, or of a sound file
    utt: str  # or one of the utterances of the sound file
    tiers: dict[str, Rows]


def tiers_of(units: Path, longer: Path | None = None, data: DataDir | None = None) -> Iterator[Tiered]:
    """Go through unit files, utterance by utterance; with data, sound file by sound file, in its own times."""
    files = {"units": units} | ({"longer units": longer} if longer else {})
    headers = {name: read_header(path) for name, path in files.items()}
    if data is None:
        more = {line.utt: line for line in read_units(longer)} if longer else {}
        for line in read_units(units):
            lines = {"units": line} | ({"longer units": more[line.utt]} if line.utt in more else {})
            yield Tiered(line.utt, line.utt, {name: list(spans(one, headers[name])) for name, one in lines.items()})
        return
    found = {name: {line.utt: line for line in read_units(path)} for name, path in files.items()}
    for name, utts in recordings_of(data, list(found["units"])).items():
        tiers = {tier: _joined(lines, headers[tier], data, utts) for tier, lines in found.items()}
        yield Tiered(name, utts[0], tiers)


def recordings_of(data: DataDir, utts: list[str]) -> dict[str, list[str]]:
    """Return the utterances of each sound file, in order, by the file's name without ending; such names must differ."""
    by_path: dict[Path, list[str]] = {}
    for utt in utts:
        if utt not in data.utt2spk:
            raise DataError(
                f"{data.path}: does not have utterance {utt!r}; give the directory the units were made from"
            )
        source = data.source(utt)
        by_path.setdefault(source.file(), []).append(utt)
    named: dict[str, list[str]] = {}
    for path, mine in by_path.items():
        # Two files of one name, in two folders: then by the recording's name, which is the only one.
        recording = data.segments[mine[0]].recording if mine[0] in data.segments else mine[0]
        twice = sum(other.stem == path.stem for other in by_path) > 1
        named[recording if twice else path.stem] = sorted(mine, key=lambda utt: data.source(utt).start)
    return named


def _joined(lines: Mapping[str, UnitLine], header: UnitHeader, data: DataDir, utts: list[str]) -> Rows:
    """Return the units of a sound file's utterances, at their times in the file; where two overlap, the later one."""
    rows: Rows = []
    for utt in utts:
        if utt not in lines:
            continue
        begin = data.source(utt).start
        for start, end, unit in spans(lines[utt], header):
            while rows and rows[-1][0] >= begin + start - 1e-6:
                rows.pop()
            if rows and rows[-1][1] > begin + start:
                rows[-1] = (rows[-1][0], begin + start, rows[-1][2])
            rows.append((begin + start, begin + end, unit))
    return rows
