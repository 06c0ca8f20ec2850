"""When the units of an utterance begin and end."""

from collections.abc import Iterator

from unitdisc.data.units import UnitHeader, UnitLine


def spans(line: UnitLine, header: UnitHeader) -> Iterator[tuple[float, float, int]]:
    """Yield (start, end, unit) in seconds; a run of frames reaches from edge to edge of its frames."""
    frame = 0
    for unit, duration in zip(line.units.tolist(), line.durations.tolist(), strict=True):
        yield header.offset + frame * header.period, header.offset + (frame + duration) * header.period, unit
        frame += duration
