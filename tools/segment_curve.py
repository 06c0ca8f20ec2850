"""The curve of segmentation: boundary scores over the penalty, the penalties found without labels marked.

python tools/segment_curve.py UNITS --alignment CTM [--frames projection.scp] [--codebook codebook.npy] [--rate R]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from unitdisc.evaluate.aligned import Labeller
from unitdisc.evaluate.boundaries import MEASURES, maximum_matching, measures
from unitdisc.evaluate.frames import open_frames, read_array
from unitdisc.evaluate.suite import codebook_beside, unit_file
from unitdisc.segment import Corpus, Utterance, penalty_of_knee, penalty_of_rate, point_at, sample

FACTORS = (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3)  # of the knee's penalty
TOLERANCE = 0.02  # s


def boundary_measures(corpus: Corpus, utterances: list[Utterance], labels: dict, penalty: float) -> np.ndarray:
    """Return MEASURES of the segmented units, pooled."""
    sums = np.zeros(4)
    period, offset = corpus.header.period, corpus.header.offset
    for u in utterances:
        if u.line.utt in labels:
            end = offset + u.length * period
            found = offset + np.cumsum(u.segments(penalty).durations)[:-1] * period
            found, true = (p[(p > TOLERANCE) & (p < end - TOLERANCE)] for p in (found, labels[u.line.utt]))
            hits = maximum_matching(found, true, TOLERANCE)
            sums += [hits.found, hits.true, len(found), len(true)]
    return measures(sums[None])[0]


def main() -> None:
    """Print a line per penalty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("units", type=Path)
    parser.add_argument("--alignment", type=Path, required=True)
    parser.add_argument("--frames", type=Path)
    parser.add_argument("--codebook", type=Path)
    parser.add_argument("--rate", type=float, help="mark the penalty of so many units per second too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    units = unit_file(options.units)
    codebook = read_array(options.codebook) if options.codebook else codebook_beside(units)
    corpus = Corpus(units, codebook, open_frames(options.frames) if options.frames else None)
    period, utterances, labeller = corpus.header.period, sample(corpus), Labeller(options.alignment, clip=True)
    labels = {}
    for u in utterances:
        if intervals := labeller.alignment.get(u.line.utt):
            labels[u.line.utt] = labeller.labels(intervals, u.length, period, corpus.header.offset).edges
    knee = penalty_of_knee(utterances, period)
    marked = {f * knee: "knee" if f == 1 else "" for f in FACTORS}
    if options.rate:
        marked[penalty_of_rate(utterances, period, options.rate)] = f"rate {options.rate:g}"
    rows = []
    for penalty, mark in sorted(marked.items()):
        values = boundary_measures(corpus, utterances, labels, penalty)
        rate = point_at(utterances, penalty, period).rate
        rows.append(
            {"penalty": penalty, "rate": rate, **dict(zip(MEASURES, values.tolist(), strict=True)), "mark": mark}
        )
    if options.json:
        print(json.dumps(rows))
        return
    print("  ".join(f"{key:>9}" for key in rows[0]))
    for row in rows:
        print("  ".join(f"{v:>9}" if isinstance(v, str) else f"{v:9.3f}" for v in row.values()))


if __name__ == "__main__":
    main()
