"""Write the table of docs/scores.md anew from unitdisc/evaluate/definitions.py.

python tools/scores_page.py
"""

import re
from pathlib import Path

from unitdisc.evaluate.definitions import ARROWS, DEFINITIONS, PLACES, Definition

PAGE = Path(__file__).parent.parent / "docs" / "scores.md"
BEGIN, END = "<!-- made by tools/scores_page.py: begin -->\n", "<!-- end -->\n"


def line(row: Definition) -> str:
    """Return a row of the table."""
    title = re.sub(r"\{(\w+)\}", r"\1", row.title) + (f", {row.unit}" if row.unit else "") + ARROWS[row.better]
    cells = (f"`{row.name}`", title, f"{row.gloss} {row.how}".strip(), row.reference)
    return f"| {' | '.join(cells)} |"


def places() -> list[str]:
    """Return what the words in capitals stand for."""
    lines = []
    for place, values in PLACES.items():
        told = [f"`{value}`" + (f" ({words})" if words else "") for value, words in values.items() if value]
        usual = ["nothing"] if "" in values else []
        if told:
            lines.append(f"- {place}: {', '.join([*usual, *told])}")
    return lines


def renewed(text: str) -> str:
    """Return the page with the table that the definitions give."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    table = ["| definition | title | what it is | reference |", "|---|---|---|---|", *map(line, DEFINITIONS)]
    return head + BEGIN + "\n".join([*table, "", "Words in capitals:", "", *places(), ""]) + END + tail


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
