"""The table of a comparison: scores down, what is compared across; for a terminal, Markdown and JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from unitdisc.compare.subjects import Subject
from unitdisc.evaluate.definitions import define, place_of
from unitdisc.evaluate.scores import Score

FORMAT = "unitdisc-comparison-1"


class Comparison(NamedTuple):
    """What was compared, and the scores of each by their definitions."""

    train: str
    test: str
    subjects: list[Subject]
    scores: dict[str, dict[str, Score]]  # name of a subject -> definition -> score

    @property
    def definitions(self) -> list[str]:
        """Return what was scored of any of them, in the order of a table."""
        return sorted({name for found in self.scores.values() for name in found}, key=place_of)

    def rows(self, first: bool = False) -> list[list[str]]:
        """Return the cells of the table, its head first; with `first`, only the scores one looks at first."""
        names = [subject.name for subject in self.subjects]
        rows = [["", *names]]
        for definition in self.definitions:
            if not first or define(definition).is_first(definition):
                cells = [cell(self.scores[name].get(definition)) for name in names]
                rows.append([define(definition).headed(definition), *cells])
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        subjects = [
            {
                "name": subject.name,
                "title": subject.title,
                "codes": subject.codes or None,
                "period": subject.period,
                "scores": [score.to_json() for score in self.scores[subject.name].values()],
            }
            for subject in self.subjects
        ]
        return {"format": FORMAT, "train": self.train, "test": self.test, "subjects": subjects}


def cell(score: Score | None) -> str:
    """Return a value and its interval."""
    if score is None:
        return ""
    row = define(score.definition)
    if score.interval is None or score.value != score.value:
        return row.text(score.value)
    return f"{row.text(score.value)} ({row.text(score.interval.low)}..{row.text(score.interval.high)})"


def terminal(comparison: Comparison) -> str:
    """Return the scores that one looks at first, in columns."""
    rows = comparison.rows(first=True)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def markdown(comparison: Comparison) -> str:
    """Return the whole table with what its columns are, and what was used."""
    head, *rows = comparison.rows()
    lines = [f"Scored on {comparison.test}; what is fitted is fitted on {comparison.train}.", ""]
    for row in (head, ["---"] * len(head), *rows):
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "In brackets: 95 % intervals (bootstrap). Columns:", ""]
    for subject in comparison.subjects:
        codes = f", {subject.codes} codes" if subject.codes else ""
        lines.append(f"- {subject.name}: {subject.title}{codes}, every {1000 * subject.period:g} ms")
    lines += ["", "Used:", "", *(f"- {line}" for line in used(comparison.scores, comparison.definitions))]
    return "\n".join(lines) + "\n"


def used(scores: Mapping[str, Mapping[str, Score]], definitions: Sequence[str]) -> list[str]:
    """Return what was used for the scores that one looks at first, and what was left out; once where all are alike."""
    lines: dict[str, list[str]] = {}
    for definition in definitions:
        if not define(definition).is_first(definition):
            continue
        score = next(found[definition] for found in scores.values() if definition in found)
        told = [f"{n} {noun}" for noun, n in score.counts.used.items()]
        told += [f"left out: {n} {why}" for why, n in score.counts.dropped.items() if n]
        lines.setdefault(", ".join(told), []).append(define(definition).titled(definition))
    return [f"{'; '.join(titles)}: {told}" for told, titles in lines.items() if told]
