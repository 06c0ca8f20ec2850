"""A list of conversions: lines '<utterance> <target>'."""

from pathlib import Path

from unitdisc.errors import DataError, shown
from unitdisc.reading import reading


def read_pairs(path: str | Path) -> dict[str, list[str]]:
    """Read lines '<utterance> <target>': what goes to each target."""
    wanted: dict[str, list[str]] = {}
    with reading(path, "lines '<utterance> <target>'"):
        lines = Path(path).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 2:
            raise DataError(f"{path}:{number}: expected '<utterance> <target>', got {shown(line)}")
        utts = wanted.setdefault(words[1], [])
        if words[0] in utts:
            raise DataError(f"{path}:{number}: '{' '.join(words)}' is there twice")
        utts.append(words[0])
    if not wanted:
        raise DataError(f"{path}: the list of conversions is empty")
    return wanted
