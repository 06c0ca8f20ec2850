"""Pauses of a long recording, by its own noise floor, and where to cut it into pieces that are short enough."""

from typing import NamedTuple

import numpy as np

from unitdisc.data.audio import AudioSource

HOP = 0.01  # s of a level
SMOOTH = 5  # levels that are averaged: a click is no speech, the middle of a stop no pause
SHORTEST = 0.2  # s of a pause; closures of stops are shorter
RANGE = 50.0  # dB below the loudest at which levels end: digital silence in a part would hide the noise in the rest
SHARE = 0.3  # of the way from the noise floor up to loud speech, in dB; below it is a pause
LEAST = 1 / 3  # of the longest piece: shorter ones are not made if there is another pause
BLOCK = 10.0  # s that are read at once


class Pieces(NamedTuple):
    """How a recording is cut."""

    spans: list[tuple[float, float]]  # start and end, s; one after the other, from its beginning to its end
    forced: int  # cuts at the quietest place, as there was no pause


def cut_at_pauses(source: AudioSource, longest: float) -> Pieces:
    """Cut audio into pieces of at most so many seconds: in the longest pauses, or where it is quietest."""
    levels, seconds = levels_of(source)
    return cut_levels(levels, seconds, longest)


def levels_of(source: AudioSource) -> tuple[np.ndarray, float]:
    """Return the levels [T] of all HOP seconds, in dB, and the duration; the audio is read once, piece by piece."""
    rate = source.info().rate
    hop = round(HOP * rate)
    parts, rest, count, last = [], np.zeros(0), 0, 0.0
    for block in source.blocks(BLOCK):
        count += len(block)
        change = np.diff(block.astype(np.float64), prepend=last)  # without hum and offset
        last = float(block[-1])
        samples = np.concatenate([rest, change])
        whole = len(samples) // hop * hop
        parts.append(np.square(samples[:whole]).reshape(-1, hop).mean(1))
        rest = samples[whole:]
    return 10 * np.log10(np.concatenate([*parts, np.zeros(0)]) + 1e-12), count / rate


def smoothed(levels: np.ndarray) -> np.ndarray:
    """Return levels [T] without short dips and clicks, and none more than RANGE below the loudest."""
    loudest = np.percentile(levels, 99)
    padded = np.pad(np.maximum(levels, loudest - RANGE), SMOOTH // 2, "edge")
    return np.convolve(padded, np.ones(SMOOTH) / SMOOTH, "valid")


def find_pauses(levels: np.ndarray) -> list[tuple[float, float]]:
    """Return start and end, in seconds, of all pauses of smoothed levels [T]."""
    floor, loud = np.percentile(levels, [10, 95])
    quiet = np.concatenate([[False], levels < floor + max(SHARE * (loud - floor), 1.0), [False]])
    edges = np.flatnonzero(np.diff(quiet)).reshape(-1, 2)
    return [(a * HOP, b * HOP) for a, b in edges.tolist() if (b - a) * HOP >= SHORTEST - 1e-9]


def cut_levels(levels: np.ndarray, seconds: float, longest: float) -> Pieces:
    """Cut as `cut_at_pauses` does, by the levels [T] of all HOP seconds."""
    if seconds <= longest or not len(levels):
        return Pieces([(0.0, seconds)], 0)
    smooth = smoothed(levels)
    pauses, cuts, forced = find_pauses(smooth), [0.0], 0
    while seconds - (start := cuts[-1]) > longest:
        # What is left after the last cut is no scrap either.
        latest = min(start + longest, max(seconds - LEAST * longest, start + LEAST * longest))
        place = best_pause(pauses, start + LEAST * longest, latest) or best_pause(pauses, start + SHORTEST, latest)
        if place is None:
            first, last = round((start + longest / 2) / HOP), max(round(latest / HOP), 1)
            first = min(first, last - 1)
            place = (first + int(np.argmin(smooth[first:last]))) * HOP
            forced += 1
        cuts.append(round(place, 2))
    return Pieces(list(zip(cuts, [*cuts[1:], seconds], strict=True)), forced)


def best_pause(pauses: list[tuple[float, float]], earliest: float, latest: float) -> float | None:
    """Return the middle of the longest pause, as far as it lies between two times, or None if none does."""
    found = [(min(b, latest) - max(a, earliest), max(a, earliest), min(b, latest)) for a, b in pauses]
    length, a, b = max(found, default=(0.0, 0.0, 0.0))
    return (a + b) / 2 if length >= SHORTEST / 2 else None
