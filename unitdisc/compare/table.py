"""The table of a comparison: scores down, what is compared across; for a terminal, Markdown and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc.evaluate.definitions import define, place_of
from unitdisc.evaluate.scores import Score
from unitdisc.reading import parse_json, reading

FORMAT = "unitdisc-comparison-1"


class Column(NamedTuple):
    """What was scored."""

    name: str
    title: str
    codes: int  # 0: no units
    period: float  # s


class Comparison(NamedTuple):
    """What was compared, and the scores of each by their definitions."""

    train: str
    test: str
    columns: list[Column]
    scores: dict[str, dict[str, Score]]  # name of a subject -> definition -> score

    @property
    def definitions(self) -> list[str]:
        """Return what was scored of any of them, in the order of a table."""
        return sorted({name for found in self.scores.values() for name in found}, key=place_of)

    @property
    def scored(self) -> list[Column]:
        """Return the columns that have a score: without phones, MFCC have none."""
        return [column for column in self.columns if self.scores[column.name]]

    def rows(self, first: bool = False) -> list[list[str]]:
        """Return the cells of the table, its head first; with `first`, only the scores one looks at first."""
        names = [column.name for column in self.scored]
        rows = [["", *names]]
        looked_at = self._first()
        for definition in self.definitions:
            if not first or definition in looked_at:
                cells = [cell(self.scores[name].get(definition)) for name in names]
                rows.append([define(definition).headed(definition), *cells])
        return rows

    def _first(self) -> set[str]:
        """Return the scores of the usual kind, and what else a column has of a score that it has not in that kind."""
        usual = {definition for definition in self.definitions if define(definition).is_first(definition)}
        others = set()
        for found in self.scores.values():
            there = {define(definition).title for definition in usual.intersection(found)}
            others |= {name for name in found if define(name).first and define(name).title not in there}
        return usual | others

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        columns = [
            {**column._asdict(), "scores": [score.to_json() for score in self.scores[column.name].values()]}
            for column in self.columns
        ]
        return {"format": FORMAT, "train": self.train, "test": self.test, "columns": columns}


def read_comparison(path: Path) -> Comparison:
    """Read a table.json."""
    with reading(path, "a table of `unitdisc compare`", advice="--renew makes it anew"):
        record = parse_json(path.read_text("utf-8"))
        found = [(column, column.pop("scores")) for column in record["columns"]]
        columns = [Column(**column) for column, _ in found]
        scores = {column["name"]: [Score.from_json(score) for score in rows] for column, rows in found}
        by_definition = {name: {score.definition: score for score in rows} for name, rows in scores.items()}
        return Comparison(record["train"], record["test"], columns, by_definition)


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
    for column in comparison.scored:
        codes = f", {column.codes} codes" if column.codes else ""
        lines.append(f"- {column.name}: {column.title}{codes}, every {1000 * column.period:g} ms")
    if missing := [column.name for column in comparison.columns if column not in comparison.scored]:
        lines += ["", f"Without a score, since there are no phones: {', '.join(missing)}."]
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
