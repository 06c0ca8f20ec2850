"""The figures of the page, experiment by experiment, as the template shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from unitdisc.evaluate.definitions import define
from unitdisc.report.collect import Experiment
from unitdisc.report.facts import LONGEST, HeatMap, UnitFacts, heat_map
from unitdisc.report.plots import Axes, NamedLine, bars, figure, png
from unitdisc.report.tables import subject

# What is drawn of metrics.jsonl: title, name while training, name in validation; the rest is drawn under its own name.
CURVES = (
    ("loss", "loss", "loss"),
    ("reconstruction loss", "reconstruction", "reconstruction"),
    ("quantiser's loss", "quantizer", "quantizer"),
    ("perplexity of the codebook", "perplexity", "perplexity"),
    ("share of the codes in use", "used", "used_codes"),
    ("PNMI of the dev set", "", "pnmi"),
    ("CTC loss", "ctc", "ctc"),
    ("framewise loss", "framewise", "framewise"),
    ("units' own reconstruction of the input", "input_reconstruction", "input_reconstruction"),
    ("units' own reconstruction of the input", "echo", "echo"),  # what version 0.1.0 called it
    ("gradient norm", "gradient_norm", ""),
    ("learning rate", "learning_rate", ""),
)
MOST_BARS = 20


@dataclass
class Section:
    """One experiment's figures; those that cannot be drawn are in its `missing`."""

    name: str
    number: int
    missing: dict[str, str]
    usage: Any = None  # figure
    usage_text: str = ""
    durations: Any = None
    durations_text: str = ""
    heat: dict[str, Any] | None = None
    speakers: list[tuple[str, Any]] = field(default_factory=list)  # title and figure


def learning_curves(exps: Sequence[Experiment]) -> list[tuple[str, Markup]]:
    """Return titles and figures; re-estimations of the codebook are dashed uprights."""
    figures = []
    marks = sorted({row["step"] for exp in exps for row in exp.metrics if row.get("kind") == "reestimation"})
    for title, train, dev in CURVES:
        lines = []
        for n, exp in enumerate(exps):
            for kind, key in (("train", train), ("dev", dev)):
                rows = [row for row in exp.metrics if row.get("kind") == kind and _is_number(row.get(key))]
                if rows and key:
                    steps, values = [row["step"] for row in rows], [row[key] for row in rows]
                    lines.append(
                        NamedLine(f"{exp.name}: {kind}", steps, values, n, faint=kind == "train", dots=kind == "dev")
                    )
        if lines:
            figures.append((title, figure(lines, Axes("step", title, whole=True), marks)))
    return figures


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def experiment_section(exp: Experiment, facts: UnitFacts | None, number: int) -> Section:
    """Draw what there is of one experiment."""
    section = Section(exp.name, number, exp.missing)
    section.speakers = speaker_figures(exp)
    if not section.speakers:
        few = exp.data is not None and len(exp.data.spk2utt) < 2
        why = "the data have one speaker" if few else "no speaker score was found; unitdisc score speaker makes it"
        exp.missing["speaker leak"] = why
    if facts is None or exp.header is None:
        return section
    if not facts.frames:
        exp.missing["units"] = f"{exp.units} has no frame at all"
        return section
    used = sorted(facts.usage.values(), reverse=True)
    ranks = list(range(1, len(used) + 1))
    shares = [count / facts.frames for count in used]
    section.usage = figure(
        [NamedLine("share of frames", ranks, shares, number)], Axes("codes, by frequency", "", log=True, whole=True)
    )
    section.usage_text = (
        f"{len(used)} of {exp.header.cardinality} codes occur; perplexity {facts.perplexity:.1f}; "
        f"{codes_for(shares)} codes carry 90 % of the frames."
    )
    section.durations, section.durations_text = duration_figure(exp, facts, number)
    section.heat = heat_content(heat_map(facts))
    if section.heat is None and "phones" not in exp.missing:
        exp.missing["phones"] = "no utterance with units has phone labels; are they of the same data?"
    return section


def codes_for(shares: Sequence[float], share: float = 0.9) -> int:
    """Return how many of the most frequent codes carry a share of the frames."""
    return int(np.searchsorted(np.cumsum(shares), share - 1e-12) + 1)


def duration_figure(exp: Experiment, facts: UnitFacts, number: int) -> tuple[Markup, str]:
    """Return the histogram of how long units last, and a sentence."""
    assert exp.header is not None
    period = exp.header.period
    last = int(np.flatnonzero(facts.durations).max(initial=1))
    counts = facts.durations[1 : last + 1] / max(facts.runs, 1)
    lines = [NamedLine("share of the units", list(range(1, last + 1)), counts.tolist(), number)]
    drawn = figure(lines, Axes("frames that a unit lasts", "", from_zero=True, whole=True), steps=True)
    rate, mean = facts.runs / (facts.frames * period), 1000 * period * facts.frames / facts.runs
    text = f"{rate:.1f} units a second, {mean:.0f} ms on average, in frames of {1000 * period:g} ms"
    return drawn, text + (
        f"; the last bar holds all that are longer than {LONGEST - 1} frames." if last == LONGEST else "."
    )


def heat_content(found: HeatMap | None) -> dict[str, Any] | None:
    """Return what the template needs of a heat map: a picture, and the names of its rows and columns."""
    if found is None:
        return None
    return {
        "png": png(np.sqrt(found.shares)),  # the eye tells small shares apart better so
        "phones": found.phones,
        "units": found.units,
        "shares": "".join(chr(35 + int(s * 90)) for s in found.shares.ravel()),
        "left_out": found.left_out,
    }


def speaker_figures(exp: Experiment) -> list[tuple[str, Any]]:
    """Return, for each speaker score, how well each speaker is told."""
    figures = []
    seen = set()
    for found in exp.scores:
        by_speaker = found.score.parts.get("by speaker")
        if not isinstance(by_speaker, dict) or found.score.definition in seen or subject(exp, found):
            continue
        seen.add(found.score.definition)
        items = sorted(((str(k), float(v)) for k, v in by_speaker.items()), key=lambda item: (-item[1], item[0]))
        chance = found.score.parts.get("chance")
        more = f", the first {MOST_BARS} of {len(items)} speakers" if len(items) > MOST_BARS else ""
        row = define(found.score.definition)
        told = f"{row.titled(found.score.definition)}: {row.text(found.score.value)} {row.unit}"
        title = told + (f" (chance {row.text(chance)} {row.unit})" if chance else "")
        figures.append((title + more, bars(items[:MOST_BARS], 1.0, chance)))
    return figures
