"""Tables of the page: scores of several experiments beside baselines, and the cards of data and models."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from unitdisc.evaluate.definitions import define, place_of
from unitdisc.evaluate.scores import Score
from unitdisc.reading import reading
from unitdisc.report.collect import Experiment, FoundScore
from unitdisc.report.facts import UnitFacts

BASELINES = ("input", "mfcc", "fbank", "kmeans", "baseline")  # first words of the files of their scores


class Cell(NamedTuple):
    """One experiment's value of a score."""

    value: float | None
    text: str
    interval: str
    detail: str  # what it was made of
    best: bool = False


class ScoreRow(NamedTuple):
    """A score: one definition."""

    definition: str
    scored: str  # of what, where one definition scores several things, else ""
    cells: list[Cell | None]  # of each experiment
    baselines: list[tuple[str, str]]  # name and value

    @property
    def title(self) -> str:
        """Return what the score is called, and its unit."""
        row = define(self.definition)
        of = f" of {self.scored}" if self.scored else ""
        return row.titled(self.definition) + of + (f", {row.unit}" if row.unit else "")

    @property
    def better(self) -> str:
        """Return whether "higher" or "lower" values are better, or "" where neither is."""
        return define(self.definition).better

    @property
    def folded(self) -> bool:
        """Tell whether it is not among the rows that one looks at first."""
        return not define(self.definition).is_first(self.definition)


def score_rows(exps: Sequence[Experiment]) -> list[ScoreRow]:
    """Return one row for each definition, experiments side by side."""
    rows: dict[tuple[str, str], list[dict[str, Score]]] = {}
    for n, exp in enumerate(exps):
        for found in exp.scores:
            cells = rows.setdefault((found.score.definition, scored(found.score)), [{} for _ in exps])
            cells[n].setdefault(subject(exp, found), found.score)
    in_order = sorted(rows, key=lambda row: (place_of(row[0]), row[1]))
    return [_row(*row, rows[row]) for row in in_order]


def scored(score: Score) -> str:
    """Return the folder that a score is of if it says so, as scores of conversions do."""
    folder = score.options.get("scored")
    return Path(str(folder)).name.removesuffix("-mfcc") if folder else ""


def subject(exp: Experiment, found: FoundScore) -> str:
    """Return what was scored: "" for the experiment itself, or the name of a baseline that was put beside it.

    A comparison says it; else units tell by the hash of their codebook, the rest by the name of the score's file.
    """
    if found.subject:
        return "" if found.file == "units" else found.subject
    name = found.file.removeprefix("downstream-")
    codebook, ours = found.score.hashes.get("codebook"), exp.header.codebook if exp.header else ""
    foreign = codebook != ours if codebook and ours else name.split("-")[0] in BASELINES
    label = re.match(r"(kmeans-input|[^-]+)(-\d+)?", name)
    return label[0] if foreign and label else ""


def _row(definition: str, of: str, found: list[dict[str, Score]]) -> ScoreRow:
    mains = [scores.get("") for scores in found]
    row = define(definition)
    baselines: dict[str, str] = {}
    for scores in found:
        for name, score in scores.items():
            if name:
                baselines.setdefault(name, row.text(score.value))
            elif isinstance(score.parts.get("chance"), (int, float)):
                baselines.setdefault("chance", row.text(score.parts["chance"]))
    values = [score.value for score in mains if score is not None and math.isfinite(score.value)]
    alike = len({scored_on(score) for score in mains if score is not None}) == 1
    best = (max if row.better == "higher" else min)(values) if row.better and alike and len(values) > 1 else None
    cells = [None if score is None else _cell(score, best) for score in mains]
    return ScoreRow(definition, of, cells, list(baselines.items()))


def scored_on(score: Score) -> tuple[object, ...]:
    """Return what tells the speech that a score is of from other speech; only on the same do values compare."""
    speech = [score.hashes.get(name) for name in ("alignment", "items", "manifest")]
    return (*speech, score.counts.used.get("utterances"), score.counts.used.get("items"))


def _cell(score: Score, best: float | None) -> Cell:
    text = define(score.definition).text
    interval = f"{text(score.interval.low)} to {text(score.interval.high)}" if score.interval else ""
    detail = [f"{count} {noun}" for noun, count in score.counts.used.items()]
    detail += [f"dropped: {count} {why}" for why, count in score.counts.dropped.items() if count]
    detail += [f"K = {score.parts['codes']}"] if "codes" in score.parts else []
    detail += [f"{key}: {value}" for key, value in score.options.items()]
    value = score.value if math.isfinite(score.value) else None
    return Cell(value, text(score.value), interval, ", ".join(detail), best is not None and score.value == best)


class Card(NamedTuple):
    """Facts about one experiment's data or model."""

    name: str
    facts: list[tuple[str, str]]
    config: str = ""


def data_card(exp: Experiment, facts: UnitFacts | None) -> Card:
    """Return what is known of the data that the page shows."""
    rows: list[tuple[str, str]] = []
    if exp.data is not None:
        data = exp.data
        genders = [sum(g == kind for g in data.spk2gender.values()) for kind in "fm"]
        rows.append(("directory", str(data.path)))
        rows.append(("utterances", f"{len(data.utts)}"))
        rows.append(
            (
                "speakers",
                f"{len(data.spk2utt)}" + (f" ({genders[0]} female, {genders[1]} male)" if data.spk2gender else ""),
            )
        )
        rows.append(("transcripts", f"of {len(data.text)} utterances" if data.text else "none"))
    if facts is not None and exp.header is not None:
        seconds = facts.frames * exp.header.period
        rows.append(("speech", duration(seconds) + f" in {facts.utterances} utterances with units"))
    rows.append(("phone labels", f"of {len(exp.alignment)} utterances" if exp.alignment is not None else "none"))
    for start in exp.starts[-1:]:
        for split in ("train", "dev"):
            if isinstance(told := start.get(split), dict):
                speakers = f" of {told['speakers']} speakers" if "speakers" in told else ""
                kind = "trained on" if split == "train" else "validated on"
                rows.append((kind, f"{told.get('data', '?')}: {told.get('utterances', '?')} utterances{speakers}"))
    rows.append(("licence", exp.data_licence or "not stated (a file LICENSE in the data directory would be shown)"))
    return Card(exp.name, rows)


def model_card(exp: Experiment) -> Card:
    """Return how a model came to be."""
    rows: list[tuple[str, str]] = []
    if exp.starts:
        last = exp.starts[-1]
        steps = max((int(row["step"]) for row in exp.metrics if isinstance(row.get("step"), int)), default=0)
        rows.append(("steps", f"{steps}" + (f" in {len(exp.starts)} starts" if len(exp.starts) > 1 else "")))
        if seconds := training_seconds(exp):
            rows.append(("time", duration(seconds) + " in steps (without validation and saving)"))
        rows += [
            (label, str(last[key]))
            for label, key in (
                ("parameters", "parameters"), ("seed", "seed"), ("command", "command"), ("commit", "commit"),
                ("unitdisc", "unitdisc"), ("torch", "torch"), ("python", "python"), ("begun", "time"),
            )
            if key in last
        ]  # fmt: skip
        hardware = [str(last.get("gpu", last.get("device", "?"))), f"{last.get('cpus', '?')} CPUs"]
        hardware += [f"{last.get('threads', '?')} threads", f"{last.get('processes', 1)} processes"]
        rows.insert(2, ("hardware", ", ".join([*hardware, str(last.get("machine", ""))])))
    if exp.header is not None:
        header = exp.header
        rows.append(("codes", " x ".join(map(str, header.codes))))
        rows.append(("a unit every", f"{1000 * header.period:g} ms"))
        rows.append(("hashes", f"codebook {header.codebook or 'unknown'}, model {header.model or 'unknown'}"))
        rows += [(f"units: {key}", str(value)) for key, value in sorted(header.origin.items())]
    rows.append(("licence", exp.licence or "not stated (a file LICENSE in the experiment's folder would be shown)"))
    return Card(exp.name, rows, exp.config)


def training_seconds(exp: Experiment) -> float:
    """Return the time that training steps took, by the logged steps per second."""
    seconds, before = 0.0, 0
    for row in exp.metrics:
        speed = row.get("steps_per_second")
        if row.get("kind") == "train" and isinstance(speed, (int, float)) and math.isfinite(speed) and speed > 0:
            seconds += (row["step"] - before) / row["steps_per_second"]
            before = row["step"]
    return seconds


def duration(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def differences(exps: Sequence[Experiment]) -> list[tuple[str, list[str]]]:
    """Return the settings in which configurations differ, with each experiment's value."""
    import yaml

    trees: list[dict[str, str] | None] = []
    for exp in exps:
        with reading(exp.path / "config.yaml", "YAML"):
            trees.append(_flat(yaml.safe_load(exp.config)) if exp.config else None)
    known = [tree for tree in trees if tree is not None]
    if len(known) < 2:
        return []
    keys = sorted({key for tree in known for key in tree})
    shown = [(key, ["" if tree is None else tree.get(key, "") for tree in trees]) for key in keys]
    return [(key, values) for key, values in shown if len({tree.get(key) for tree in known}) > 1]


def _flat(tree: object, path: str = "") -> dict[str, str]:
    if not isinstance(tree, dict):
        return {path: str(tree)}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{path}.{key}".lstrip(".")).items()}
