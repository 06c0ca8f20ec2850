"""Compare the scores of a run with golden ones: what must come out of the short demo on any machine.

python local/golden.py GOLDEN.json EXP...            prints a line for each score; fails if one is out of its tolerance
python local/golden.py GOLDEN.json EXP... --write    keeps the tolerances and takes the means over these runs as golden
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from unitdisc.errors import DataError, UnitdiscError
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading
from unitdisc.runlog import read_metrics

METRICS = "metrics"  # stands for the log of the training, in place of a file of scores


class Wanted(NamedTuple):
    """A line of the golden file."""

    file: str
    definition: str
    value: float
    tolerance: float


def read_golden(path: Path) -> list[Wanted]:
    """Read the golden file: a list of [file, definition, value, tolerance]."""
    with reading(path, '{"scores": [[file, definition, value, tolerance], ...]}'):
        rows = [Wanted(*row) for row in parse_json(path.read_text("utf-8"))["scores"]]
        if not rows or not all(row.tolerance > 0 for row in rows):
            raise ValueError("none, or a tolerance of 0")
        return rows


def found(exp: Path, row: Wanted) -> float:
    """Return a run's value of a score, or of the last validation."""
    if row.file == METRICS:
        last = [line for line in read_metrics(exp) if line.get("kind") == "dev"][-1:]
        if not last or row.definition not in last[0]:
            raise DataError(f"{exp / 'metrics.jsonl'}: has no validation with {row.definition}")
        return float(last[0][row.definition])
    path = exp / "scores" / f"{row.file}.json"
    with reading(path, "scores", none="run ./run.sh --stage score --stop-stage score"):
        record = parse_json(path.read_text("utf-8"))
    for score in record.get("scores", [record]):
        if score.get("definition") == row.definition:
            return float(score["value"])
    raise DataError(f"{path}: has no score {row.definition}")


def compare(rows: list[Wanted], values: list[float]) -> tuple[list[str], int]:
    """Return a table, and how many scores are out of their tolerance."""
    lines = [f"{'score':52} {'wanted':>8} {'got':>8} {'apart':>8} {'allowed':>8}"]
    wrong = 0
    for row, value in zip(rows, values, strict=True):
        apart = abs(value - row.value)
        good = math.isfinite(value) and apart <= row.tolerance
        wrong += not good
        name = f"{row.file} {row.definition}"
        lines.append(
            f"{name:52} {row.value:8.4g} {value:8.4g} {apart:8.2g} {row.tolerance:8.2g}{'' if good else '  OUT'}"
        )
    return lines, wrong


def write(path: Path, rows: list[Wanted], values: list[float]) -> None:
    """Put values into the golden file."""
    new = [row._replace(value=float(f"{value:.4g}")) for row, value in zip(rows, values, strict=True)]
    with whole_file(path) as file:
        file.write('{"scores": [\n' + ",\n".join(json.dumps(row) for row in new) + "\n]}\n")


def main() -> None:
    """Compare or write."""
    parser = argparse.ArgumentParser(description="Compare scores with golden ones.", allow_abbrev=False)
    parser.add_argument("golden", type=Path)
    parser.add_argument("exps", type=Path, nargs="+", metavar="EXP")
    parser.add_argument("--write", action="store_true", help="take the means over these runs as the golden scores")
    options = parser.parse_args()
    try:
        rows = read_golden(options.golden)
        values = {exp: [found(exp, row) for row in rows] for exp in options.exps}
    except UnitdiscError as error:
        sys.exit(f"golden.py: {error}")
    if options.write:
        write(options.golden, rows, [fmean(row) for row in zip(*values.values(), strict=True)])
        return
    bad = []
    for exp, of_exp in values.items():
        lines, wrong = compare(rows, of_exp)
        print("\n".join(lines))
        bad += [f"golden.py: {wrong} of {len(rows)} scores of {exp} are out of their tolerance (OUT above)"] * bool(
            wrong
        )
    if bad:
        sys.exit(
            "\n".join(bad)
            + "\nIf a change was meant to move them, say so in docs/log.md, and take new ones, of three seeds:\n"
            f"  python local/golden.py {options.golden} EXP EXP EXP --write"
        )


if __name__ == "__main__":
    main()
