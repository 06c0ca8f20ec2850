"""Small unit files and alignments for the tests of the scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unitdisc.data.units import UnitHeader, UnitLine, write_units

PERIOD = 0.02


def write_unit_file(
    path: Path, units: Mapping[str, np.ndarray], codes: int, codebook: str = "c0", period: float = PERIOD
) -> Path:
    """Write units per frame, {utt: [T]}."""
    header = UnitHeader(period, (codes,), codebook=codebook)
    write_units(path, header, [UnitLine.of_frames(utt, units[utt]) for utt in sorted(units)])
    return path


def write_alignment(path: Path, phones: Mapping[str, np.ndarray], names: Sequence[str], period: float = PERIOD) -> Path:
    """Write phones per frame, {utt: [T]}, as a CTM of their runs."""
    lines = []
    for utt in sorted(phones):
        line, start = UnitLine.of_frames(utt, phones[utt]), 0
        for phone, frames in zip(line.units.tolist(), line.durations.tolist(), strict=True):
            lines.append(f"{utt} 1 {start * period:.3f} {frames * period:.3f} {names[phone]}\n")
            start += frames
    path.write_text("".join(lines), "utf-8")
    return path
