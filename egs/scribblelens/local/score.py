"""Score a trained handwriting model: bits per pixel, use of the codes, what its units tell of the characters.

python local/score.py EXP DATA UNITS --row ROW    writes EXP/result.json and EXP/scores.json

CER: of a CTC probe trained on the vectors that the decoder sees of the training lines, scored on the test lines, edits
pooled. Mapping: each unit is the character that it meets most often in the training lines. NMI is the V-measure (mutual
information over the mean of the two entropies) of units and characters on the test lines.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from encode import PERIOD
from lines import HEIGHT, STRIDE, Lines, characters, whole_lines
from networks import Config, load
from pixels import bits_per_pixel, record
from scripts import Output, run

from unitdisc.data.kaldi import DataDir
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.clusters import cluster_scores, usage_scores
from unitdisc.evaluate.per import fit_on
from unitdisc.evaluate.probe import probe_ctc
from unitdisc.evaluate.scores import Score, write_scores
from unitdisc.evaluate.sides import Side

MARGIN = frozenset({"SIL"})  # all other labels are characters, also those that mean silence in speech
WHOLE = 1e9  # seconds: train the probe on whole lines, for want of places to cut them


def labeller(data: DataDir, lines: Lines) -> Labeller:
    """Return the characters of a data directory as numbers on its units."""
    return Labeller(characters(data, lines), MARGIN, clip=True)


def score(exp: Path, data: Path, units: Path, row: str) -> dict[str, float]:
    """Return the metrics of a training and write them to its result.json."""
    trained = load(exp)
    test = Lines.read(data / "test")
    codes = trained.model.quantizer.codes
    metrics = {"reconstruction bits": bits_per_pixel(trained.model, whole_lines(test))}
    found = [character_error(trained.config, data, units)]
    metrics["CER"] = found[0].value
    if codes:
        usage = {score.name: score for score in usage_scores(units / "test" / "units.jsonl", resamples=0)}
        metrics["bits per pixel"] = metrics["reconstruction bits"] + math.log2(codes[0]) / (STRIDE * HEIGHT)
        metrics["codes in use"] = usage["active-codes"].value / codes[0]
        metrics["perplexity"] = usage["perplexity"].value
        found += usage.values()
        if (data / "test" / "chars.ctm").exists():  # frames need places, not only an order
            accuracy, clusters = mapping_scores(data, units)
            metrics |= {"mapping accuracy": accuracy, "NMI": clusters["v-measure"].value}
            found += clusters.values()
    write_scores(exp / "scores.json", found)
    record(exp, row, trained, metrics, lines=len(test))
    return metrics


def character_error(config: Config, data: Path, units: Path) -> Score:
    """Return the error rate of a CTC probe; blanks between words count as characters, margins do not."""
    sides, probe = [], config.probe
    for split in ("train", "test"):
        directory = DataDir.read(data / split)
        if not (data / split / "chars.ctm").exists():
            probe = replace(probe, seconds=WHOLE)
        sides.append(Side(units / split / "vectors.scp", labeller(directory, Lines.read(data / split)), None, PERIOD))
    return probe_ctc(sides[0], sides[1], probe, resamples=0)


def mapping_scores(data: Path, units: Path) -> tuple[float, dict[str, Score]]:
    """Return the accuracy of the many-to-one mapping on the test lines' frames, and the cluster scores."""
    train, test = (
        AlignedUnits(units / s / "units.jsonl", labeller(DataDir.read(data / s), Lines.read(data / s)))
        for s in ("train", "test")
    )
    mapping = fit_on(train, test)
    right = np.concatenate([mapping(line.frames) == labels.frames for line, labels in test])
    return float(right.mean()), {score.name: score for score in cluster_scores(test, resamples=0)}


if __name__ == "__main__":
    makes = Output("exp", (), ("exp/checkpoints/*.pt", "units/**/*", "data/train/*", "data/test/*"), file="result.json")
    run(score, "exp", "data", "units", row={"required": True}, makes=makes)
