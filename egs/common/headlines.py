"""Print what one looks at first of a folder of scores, units beside what they are compared with.

python headlines.py SCORES
"""

from pathlib import Path

from results import scores_of
from scripts import run

ABX = ("ABX across speakers, %", "abx-across-within-angular"), ("ABX within speakers, %", "abx-within-within-angular")
REST = (
    ("PNMI, %", "pnmi"),
    ("PER, many-to-one, %", "per-mapping-many-to-one-nosil"),
    ("PER, small ASR, %", "per-probe-ctc-lstm-nosil"),
    ("PER, own head, %", "per-ctc-head-nosil"),
)


def headlines(scores: Path) -> list[str]:
    """Return a line for each score that is there, with a column for each thing scored."""
    found: dict[str, dict[str, float]] = {}
    few = False
    for path in sorted(set(scores.glob("*.json")) - {scores / "head-dev.json"}):
        for score in scores_of(path):
            if isinstance(score["value"], (int, float)):
                found.setdefault(score["definition"], {})[subject(path.stem)] = 100 * score["value"]
            few |= bool(score.get("parts", {}).get("warnings"))  # ABX says so itself
    rows = [(title, found[definition]) for title, definition in (*ABX, *REST) if definition in found]
    names = sorted({name for _, values in rows for name in values}, key=lambda name: (name != "units", name))
    lines = [" " * 26 + "".join(f"{name:>18}" for name in names)] if rows else []
    for title, values in rows:
        lines.append(f"  {title:<24}" + "".join(f"{values[n]:18.1f}" if n in values else " " * 18 for n in names))
    return [*lines, f"  few items ({scores}): ABX means little here"] if few else lines


def subject(file: str) -> str:
    """Return what a file of scores is of, by its name."""
    name = file.removeprefix("downstream-").split("-abx-")[0]
    return "units" if name in ("codes", "vectors", "head") else name


if __name__ == "__main__":
    run(headlines, "scores")
