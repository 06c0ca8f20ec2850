"""The curve of segmentation: boundary scores over the penalty, the penalties found without labels marked.

    python tools/segment_curve.py --corpus NAME UNITS ALIGNMENT [--corpus ...] [--rate 12] [--plot curve.png] [--json]

UNITS is a folder of `unitdisc encode --projection`, or a unit file: without projection.scp beside it, codewords are
compared with codewords, and without codebook.npy equal units with unequal ones. The penalty is given in parts of the
knee's. "plain" are the units as they are, equal neighbours merged; "best" is the point of the highest R-value, which
takes labels to find. "even" are boundaries at equal distances, as many as the knee's: what knowing nothing but the rate
is worth. Intervals are 95 %, over utterances.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.data.phones import SILENCES
from unitdisc.evaluate.aligned import Labeller
from unitdisc.evaluate.boundaries import MEASURES, TOLERANCE, maximum_matching, measures
from unitdisc.evaluate.frames import open_frames
from unitdisc.evaluate.scores import ConfidenceInterval, bootstrap_many
from unitdisc.evaluate.suite import codebook_beside, unit_file
from unitdisc.segment import UnitCorpus, UtteranceCosts, penalty_of_knee, penalty_of_rate, point_at, sample

FACTORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, 6)  # of the knee's penalty
MARKS = {"plain": ("o", "plain units"), "knee": ("s", "knee"), "rate": ("^", "wanted rate")}


def boundary_measures(
    corpus: UnitCorpus,
    utterances: list[UtteranceCosts],
    edges: dict[str, np.ndarray],
    durations_of: Callable[[UtteranceCosts], Any],
) -> tuple[np.ndarray, ConfidenceInterval | None]:
    """Return MEASURES of the segments of these durations in frames, pooled, and the R-value's interval."""
    sums = []
    period, offset = corpus.header.period, corpus.header.offset
    for u in utterances:
        if u.line.utt in edges:
            end = offset + u.length * period
            found = offset + np.cumsum(durations_of(u))[:-1] * period
            found, true = (p[(p > TOLERANCE) & (p < end - TOLERANCE)] for p in (found, edges[u.line.utt]))
            hits = maximum_matching(found, true, TOLERANCE)
            sums.append([hits.found, hits.true, len(found), len(true)])
    table = np.array(sums, dtype=np.float64)
    return measures(table.sum(axis=0)[None])[0], bootstrap_many(table, measures, values=len(MEASURES))[-1]


def curve(name: str, units: Path, alignment: Path, rate: float, silences: frozenset[str]) -> list[dict[str, Any]]:
    """Return a row for each penalty."""
    units = unit_file(units)
    codebook, beside = codebook_beside(units), units.parent / "projection.scp"
    corpus = UnitCorpus(units, codebook, open_frames(beside) if codebook is not None and beside.exists() else None)
    period, utterances, labeller = corpus.header.period, sample(corpus), Labeller(alignment, silences, clip=True)
    edges = {}
    for u in utterances:
        if intervals := labeller.alignment.get(u.line.utt):
            edges[u.line.utt] = labeller.labels(intervals, u.length, period, corpus.header.offset).edges
    knee = penalty_of_knee(utterances, period)
    spaced = 1 / (point_at(utterances, knee, period).rate * period)  # frames
    rows = []

    def add(mark: str, penalty: float | None, rate: float, durations_of: Callable[[UtteranceCosts], Any]) -> None:
        values, interval = boundary_measures(corpus, utterances, edges, durations_of)
        row = {"corpus": name, "mark": mark, "penalty": None if penalty is None else penalty / knee, "rate": rate}
        row |= dict(zip(MEASURES, values.tolist(), strict=True))
        rows.append(row | {"interval": [interval.low, interval.high] if interval else None})

    add("even", None, 1 / (spaced * period), lambda u: np.full(max(int(u.length / spaced), 1), spaced))
    add("plain", 0.0, point_at(utterances, 0.0, period).rate, lambda u: u.line.durations)
    points = [(f * knee, "knee" if f == 1 else "") for f in FACTORS]
    for penalty, mark in sorted([*points, (penalty_of_rate(utterances, period, rate), "rate")]):
        segments = {u.line.utt: u.segments(penalty) for u in utterances}
        units_per_second = sum(len(s.codes) for s in segments.values()) / sum(u.length * period for u in utterances)
        add(mark, penalty, units_per_second, lambda u, found=segments: found[u.line.utt].durations)
    best = max(rows[1:], key=lambda row: row["r-value"])
    best["mark"] = f"{best['mark']}, best".removeprefix(", ")
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the marked rows as Markdown."""
    lines = [
        "| corpus, units | choice | penalty / knee | units/s | precision | recall | R-value |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["mark"]:
            low, high = row["interval"] or (np.nan, np.nan)
            penalty = "" if row["penalty"] is None else f"{row['penalty']:.2f}"
            scores = f"{row['precision']:.3f} | {row['recall']:.3f} | {row['r-value']:.3f} ({low:.3f}..{high:.3f})"
            lines.append(f"| {row['corpus']} | {row['mark']} | {penalty} | {row['rate']:.1f} | {scores} |")
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path, rate: float) -> None:
    """Draw the R-value over the penalty and over the rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, sides = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    names = list(dict.fromkeys(row["corpus"] for row in rows))
    for number, name in enumerate(names):
        ours = [row for row in rows if row["corpus"] == name and row["mark"] != "even"]
        # Plain units have no penalty, which a logarithmic axis cannot show: they stand at its left end.
        penalties = [max(row["penalty"], 0.6 * FACTORS[0]) for row in ours]
        even = next(row for row in rows if row["corpus"] == name and row["mark"] == "even")
        sides[1].plot(even["rate"], even["r-value"], "x", color=f"C{number}", markersize=8, markeredgewidth=2)
        for side, x in ((sides[0], penalties), (sides[1], [row["rate"] for row in ours])):
            side.plot(x, [row["r-value"] for row in ours], color=f"C{number}", label=name if side is sides[0] else None)
            for place, row in zip(x, ours, strict=True):
                for mark, (shape, _) in MARKS.items():
                    if mark in row["mark"]:
                        side.plot(place, row["r-value"], shape, color=f"C{number}", markersize=8, markeredgecolor="k")
    for shape, what in MARKS.values():
        what += f" ({rate:g} units/s)" if what == "wanted rate" else ""
        sides[1].plot([], [], shape, color="white", markeredgecolor="k", markersize=8, label=what)
    sides[1].plot([], [], "x", color="k", markersize=8, markeredgewidth=2, label="equal distances, at the knee's rate")
    sides[0].set(xscale="log", xlabel="penalty, in parts of the knee's", ylabel="R-value, 20 ms", ylim=(-2.1, 0.9))
    sides[1].set(xlabel="units per second")
    sides[0].set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    for side in sides:
        side.grid(alpha=0.3)
        side.legend(fontsize=8, loc="lower right" if side is sides[0] else "lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the marked points, or with --json all, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs=3, action="append", required=True, metavar=("NAME", "UNITS", "ALIGNMENT"))
    parser.add_argument("--rate", type=float, default=12, help="units per second that are wanted (12)")
    parser.add_argument("--silences", default="", metavar="A,B", help="labels that mean silence besides the usual ones")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="picture to write")
    parser.add_argument("--json", action="store_true", help="print all points")
    options = parser.parse_args()
    silences = SILENCES | set(options.silences.split(","))
    rows = []
    for name, units, alignment in options.corpus:
        rows += curve(name, Path(units), Path(alignment), options.rate, frozenset(silences))
    print(json.dumps(rows) if options.json else table(rows))
    if options.plot:
        plot(rows, options.plot, options.rate)


if __name__ == "__main__":
    main()
