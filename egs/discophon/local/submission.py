"""The folder that DiscoPhon takes: units and scores of a run, in its layout; and the run's table.

python local/submission.py EXP DATA OUT --languages "deu wol" [--track many_to_one] [--hours 10h] [--layer 0]

Of EXP/deu/units/test and EXP/deu/scores, OUT gets

    ft-deu-10h/many_to_one/0/units-deu-test.jsonl   and scores.jsonl: of a model trained on 10 hours of German
    ft-deu-10h/continuous/0/scores.jsonl            ABX, if it was scored
    info.json                                       which layer is to be shown of each track and condition

or zero-shot/ in place of ft-deu-10h/ with --hours 0. What OUT has of other tracks, conditions and languages stays.
EXP/table.md has the scores of all languages and their means.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unitdisc.data.alignment import read_alignment
from unitdisc.data.benchmarks import write_discophon
from unitdisc.data.units import read_header, read_units
from unitdisc.errors import DataError, shown
from unitdisc.evaluate.scores import read_scores
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "common")]
from languages import read_languages
from scripts import run

SCORED = ("dev", "test")
MOST = 256  # units of the track many_to_one
DISCOVERY = {"pnmi": "pnmi", "per": "per", "f1": "f1", "r-value": "r_val"}  # our names and the benchmark's
ABX = "triphone_abx_continuous_{}_speaker"
TITLES = {"pnmi": "PNMI ↑", "per": "PER ↓", "f1": "F1 ↑", "r_val": "R-value ↑", "abx": "ABX ↓"}
SHOWN = ("0", "10h")  # on the leaderboard


class Row(NamedTuple):
    """A line of scores.jsonl."""

    language: str
    split: str
    metric: str
    score: float


def rows_of(scores: Path, language: str) -> list[Row]:
    """Return a language's scores, of units and of their vectors."""
    rows = []
    for split in SCORED:
        found = {score.name: score.value for score in read_scores(scores / f"discophon-{split}.json")}
        rows += [Row(language, split, theirs, found[ours]) for ours, theirs in DISCOVERY.items()]
        for speaker in ("within", "across"):
            path = scores / f"abx-{speaker}-{split}.json"
            if path.is_file():
                rows.append(Row(language, split, ABX.format(speaker), read_scores(path)[0].value))
    return rows


def check_units(units: Path, data: Path, track: str, phonemes: int) -> int:
    """Refuse units that the benchmark would refuse; return the milliseconds from unit to unit."""
    header, most = read_header(units), MOST if track == "many_to_one" else phonemes + 1
    if header.cardinality > most:
        raise DataError(f"{units}: has {header.cardinality} units; the track {track} allows {most} of this language")
    odd = sorted({line.utt for line in read_units(units)} ^ set(read_alignment(data / "alignment.txt")))
    if odd:
        raise DataError(f"{units}: expected the recordings of {data}; {shown(odd[0])} is in one of both only")
    return round(1000 * header.period)


def write_scores(path: Path, rows: list[Row]) -> None:
    """Write scores beside those of other languages that are there already."""
    new = {(row.language, row.split, row.metric): row for row in rows}
    kept = [row for row in _lines(path) if (row.language, row.split, row.metric) not in new]
    with whole_file(path) as out:
        for row in sorted([*kept, *rows]):
            print(json.dumps(row._asdict()), file=out)


def _lines(path: Path) -> Iterator[Row]:
    if path.is_file():
        with reading(path, "DiscoPhon's lines of scores"):
            yield from (Row(**parse_json(line)) for line in path.read_text("utf-8").splitlines())


def write_info(path: Path, step: int, track: str, hours: str, layer: int) -> None:
    """Say which layer is to be shown, beside what is said of other tracks and conditions."""
    info: dict[str, Any] = {"step_units": step, "layers": {}}
    if path.is_file():
        with reading(path, "DiscoPhon's info.json"):
            info = parse_json(path.read_text("utf-8"))
            if info["step_units"] != step:
                raise DataError(f"{path}: is of units every {info['step_units']} ms, these are every {step} ms")
    info["layers"].setdefault(track, {})[hours] = layer
    with whole_file(path) as out:
        json.dump(info, out, indent=2)


def table(rows: list[Row]) -> list[str]:
    """Return the scores of each language in %, and the means of the languages to develop on and of those to test on."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for language, split, metric, score in rows:
        cells.setdefault((language, split), {})[metric] = 100 * score
    for values in cells.values():
        both = [values.pop(ABX.format(speaker)) for speaker in ("within", "across") if ABX.format(speaker) in values]
        values |= {"abx": float(np.mean(both))} if both else {}
    names = [name for name in TITLES if any(name in values for values in cells.values())]
    lines = [f"| language | split | {' | '.join(TITLES[name] for name in names)} |", "|---" * (len(names) + 2) + "|"]
    known = read_languages()
    for split in SCORED:
        of_split = {language: values for (language, this), values in cells.items() if this == split}
        lines += [
            _line(known[language].name, split, [values.get(n) for n in names]) for language, values in of_split.items()
        ]
        for half in ("dev", "test"):
            some = [values for language, values in of_split.items() if known[language].half == half]
            if len(some) > 1:
                means = [float(np.mean([v[n] for v in some])) if all(n in v for v in some) else None for n in names]
                lines.append(_line(f"mean of {len(some)} {half} languages", split, means))
    return lines


def _line(name: str, split: str, values: list[float | None]) -> str:
    return f"| {name} | {split} | {' | '.join('' if value is None else f'{value:.1f}' for value in values)} |"


def submit(exp: Path, data: Path, out: Path, languages: str, track: str, hours: str, layer: int) -> list[str]:
    """Write the submission and the table; return lines to print."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", out.name):
        raise DataError(f"{out}: its name is that of the system: expected small letters, digits and single hyphens")
    known, rows, steps = read_languages(), [], set()
    for language in languages.split():
        condition = out / ("zero-shot" if hours == "0" else f"ft-{language}-{hours}")
        units = {split: exp / language / "units" / split / "units.jsonl" for split in SCORED}
        for split, path in units.items():
            steps.add(check_units(path, data / language / split, track, known[language].phonemes))
        of_language = rows_of(exp / language / "scores", language)
        folder = condition / track / str(layer)
        for split, path in units.items():
            write_discophon(path, folder)
            (folder / "discophon.jsonl").replace(folder / f"units-{language}-{split}.jsonl")
        write_scores(folder / "scores.jsonl", [row for row in of_language if row.metric in DISCOVERY.values()])
        abx = [row for row in of_language if row.metric not in DISCOVERY.values()]
        if abx and track == "many_to_one":
            write_scores(condition / "continuous" / str(layer) / "scores.jsonl", abx)
        rows += of_language
    if len(steps) > 1:
        raise DataError(f"{exp}: expected units at one rate, got some every {' and every '.join(map(str, steps))} ms")
    if hours in SHOWN:
        write_info(out / "info.json", steps.pop(), track, hours, layer)
    with whole_file(exp / "table.md") as file:
        print(*table(rows), sep="\n", file=file)
    said = [f"{out}: {track}, {len(languages.split())} languages"]
    missing = [code for code in known if code not in languages.split()]
    if missing:
        said.append(
            f"  the leaderboard shows what has all twelve languages, or is called partial: no {' '.join(missing)}"
        )
    return said


def main() -> None:
    """Parse, write, print."""
    tracks = {"choices": ("many_to_one", "one_to_one"), "default": "many_to_one"}
    hours = {"choices": ("0", "10h", "1h", "10min"), "default": "10h"}
    run(submit, "exp", "data", "out", languages={"required": True}, track=tracks, hours=hours,
        layer={"type": int, "default": 0})  # fmt: skip


if __name__ == "__main__":
    main()
