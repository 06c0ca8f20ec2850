"""Write the tables of docs/scores.md anew: from unitdisc/evaluate/definitions.py, and the scores of one example.

python tools/scores_page.py
"""

import argparse
import re
from pathlib import Path

from scores_example import table

from unitdisc.evaluate.definitions import ARROWS, DEFINITIONS, PLACES, Definition

PAGE = Path(__file__).parent.parent / "docs" / "scores.md"
BEGIN, END = "<!-- made by tools/scores_page.py: begin -->\n", "<!-- end -->\n"
EXAMPLE, EXAMPLE_END = "<!-- made by tools/scores_example.py: begin -->\n", "<!-- end of the example -->\n"


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
    """Return the page with the tables that the definitions and the example give."""
    rows = ["| definition | title | what it is | reference |", "|---|---|---|---|", *map(line, DEFINITIONS)]
    text = _between(text, BEGIN, END, [*rows, "", "Words in capitals:", "", *places()])
    return _between(text, EXAMPLE, EXAMPLE_END, table())


def _between(text: str, begin: str, end: str, lines: list[str]) -> str:
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return head + begin + "\n".join([*lines, ""]) + end + tail


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
