"""Listen to all recordings of a data directory and say what is odd: nothing is changed, and nothing is an error.

python local/odd.py DATA
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError, counted

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import run

SILENT = -60.0  # dB of full scale; a recording whose loudest tenth of a second stays below holds no speech
LONG = 60.0  # s
EMPTY = 30.0  # dB by which one channel is weaker than another
LITTLE = 600.0  # s of speech in all
SHOWN = 3  # names that a line gives


def loudest(wave: np.ndarray, rate: int) -> float:
    """Return the level of the loudest tenth of a second, dB of full scale."""
    hop = max(rate // 10, 1)
    pieces = [wave[first : first + hop] for first in range(0, len(wave), hop)]
    return 10 * np.log10(max((float(np.mean(np.square(p, dtype=np.float64))) for p in pieces), default=0.0) + 1e-12)


def oddities(data: DataDir) -> list[str]:
    """Return a line for each kind of oddity, with how many recordings have it and some of their names."""
    found: dict[str, list[str]] = {"silent": [], "long": [], "empty": [], "unreadable": []}
    total = 0.0
    for utt in data.utts:
        source = data.source(utt)
        try:
            info = source.info()
            wave = source.load(info.rate)
            level = loudest(wave, info.rate)
            others = [c for c in range(info.channels) if c != source.channel] if source.channel != "mix" else []
            levels = [loudest(replace(source, channel=c).load(info.rate), info.rate) for c in others]
        except DataError as error:
            found["unreadable"].append(f"{utt} ({error})")
            continue
        total += len(wave) / info.rate
        if level < SILENT:
            found["silent"].append(utt)
        if len(wave) / info.rate > LONG:
            found["long"].append(utt)
        if any(abs(level - other) > EMPTY for other in levels):
            found["empty"].append(utt)
    said = {
        "silent": "no sound above -60 dB of full scale; remove what is silent, or look at --channel",
        "long": "longer than a minute; pieces, cut at pauses, train better and are easier to look at",
        "empty": "a channel is nearly empty beside a full one; --channel 1 takes the second of two",
        "unreadable": "cannot be read, so left out",
    }
    lines = [f"{_names(names)}: {said[kind]}" for kind, names in found.items() if names]
    if total < LITTLE:
        lines.append(
            f"only {total / 60:.1f} minutes in all: below ten, units are hardly more than k-means of the sound"
        )
    if len(data.spk2utt) == 1 and len(data.utts) > 1:
        who = next(iter(data.spk2utt))
        lines.append(
            f"all recordings are by one speaker, {who!r}; if there are several, name them by folders or --speaker, "
            "or say --speaker unknown"
        )
    return lines


def _names(names: list[str]) -> str:
    some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{counted(len(names), 'recording')} ({some})"


def odd(data: Path) -> list[str]:
    """Return what is odd, a line each, to print."""
    return [f"  odd: {line}" for line in oddities(DataDir.read(data))] or ["  nothing odd in the recordings"]


def main() -> None:
    """Parse, listen, print."""
    run(odd, "data")


if __name__ == "__main__":
    main()
