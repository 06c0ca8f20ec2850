"""What people who describe a language look at: each unit in a table, and stretches of units that come back."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.errors import DataError
from unitdisc.report.collect import Experiment
from unitdisc.report.facts import UnitFacts
from unitdisc.report.sounds import PAUSE, RATE, Budget, encode

MOST_UNITS = 1000  # rows of the table: the most frequent
MOST_SPEAKERS = 12  # columns of the file of units: those who say most
MOST_WORDS = 20


def inventory(exp: Experiment, facts: UnitFacts) -> dict[str, Any]:
    """Return rows [unit, times, frames, mean s, speakers], and how many times each of some speakers says each unit."""
    assert exp.header is not None
    period, width = exp.header.period, max(map(len, facts.spoken.values()), default=0)
    said = {name: np.pad(counts, (0, width - len(counts))) for name, counts in facts.spoken.items()}
    times = np.sum([*said.values(), np.zeros(width, np.int64)], axis=0)
    units = [unit for unit, _ in facts.usage.most_common(MOST_UNITS)]
    numbers = facts.numbering(np.array(units, dtype=np.int64)).tolist()
    who = sorted((name for name in said if name), key=lambda name: (-int(said[name].sum()), name))
    rows = []
    for unit, number in zip(units, numbers, strict=True):
        count, frames = int(times[number]), facts.usage[unit]
        people = sum(bool(said[name][number]) for name in who)
        rows.append([unit, count, frames, round(period * frames / max(count, 1), 4), people])
    shares = {name: [int(said[name][number]) for number in numbers] for name in who[:MOST_SPEAKERS]}
    return {"rows": rows, "frames": facts.frames, "speakers": len(who), "shares": shares}


def words(exp: Experiment, budget: Budget) -> list[dict[str, Any]]:
    """Return stretches of units that come back, as `unitdisc words` found them, each with one sound of its places.

    Those of most speakers are first: what one speaker alone says often is often a room or a pause.
    """
    if exp.words is None:
        return []
    places: dict[str, list[dict[str, str]]] = {}
    for row in _rows(exp.words / "occurrences.csv", ("word", "utt", "speaker", "start", "end")):
        places.setdefault(row["word"], []).append(row)
    found: list[dict[str, Any]] = []
    rows = _rows(exp.words / "words.csv", ("word", "units", "occurrences", "utterances", "speakers", "seconds"))
    for row in sorted(rows, key=_speakers, reverse=True)[:MOST_WORDS]:
        word: dict[str, Any] = {**row, "clips": []}
        sound = _sound(exp, places.get(row["word"], []), word["clips"])
        if sound and budget.take(sound + str(word)):
            word["sound"] = sound
        else:
            word["clips"] = []
        found.append(word)
    return found


def _speakers(row: dict[str, str]) -> int:
    told = row["speakers"] or ""  # None in a row that is cut
    return int(told[:9]) if told.isdecimal() else 0


def _rows(path: Path, names: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: row[name] for name in names} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(f"{path}: expected a table as `unitdisc words` writes it, got: {error!r}") from None


def _sound(exp: Experiment, places: list[dict[str, str]], clips: list[dict[str, Any]]) -> str:
    """Return one sound of several places, and fill in where each of them lies in it."""
    if exp.data is None:
        return ""
    parts: list[np.ndarray] = []
    time = 0.0
    for place in places:
        utt = place["utt"]
        if utt not in exp.data.utt2spk:
            continue
        start, end = float(place["start"]), float(place["end"])
        wave = exp.sounds.around(exp.data.source(utt), start, end)
        if wave is None:
            continue
        about = {"utt": utt, "speaker": exp.data.utt2spk[utt], "at": start}
        clips.append({**about, "from": round(time, 4), "to": round(time + len(wave) / RATE, 4)})
        parts += [wave, np.zeros(int(PAUSE * RATE), np.float32)]
        time += (len(wave) + int(PAUSE * RATE)) / RATE
    return encode(np.concatenate(parts)) if parts else ""
