"""The list of what `unitdisc convert` made: manifest.jsonl in the folder of the sounds."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from unitdisc.errors import DataError
from unitdisc.reading import json_lines

MANIFEST = "manifest.jsonl"
SAME = "same"  # the target that means resynthesis
COPY = "copy"  # the target that means copy-synthesis

Side = Literal["copy", "resynthesis", "conversion"]


class Converted(NamedTuple):
    """One line of a manifest."""

    utt: str
    source: str
    speaker: str
    target: str
    path: Path

    @property
    def side(self) -> Side:
        """Tell copy-synthesis, resynthesis in the source's own voice, and conversion from one another."""
        if self.target == COPY:
            return "copy"
        return "resynthesis" if self.target in (SAME, self.speaker) else "conversion"


def read_manifest(folder: str | Path) -> list[Converted]:
    """Read what `unitdisc convert` made."""
    path = Path(folder) / MANIFEST

    def build(row: Any) -> Converted:
        texts = {key: str(row[key]) for key in ("utt", "source", "speaker", "target")}
        return Converted(**texts, path=path.parent / str(row["path"]))

    what = '{"utt", "source", "speaker", "target", "path"}'
    rows = list(json_lines(path, what, build, none="expected a folder that `unitdisc convert` wrote"))
    if not rows:
        raise DataError(f"{path}: is empty; nothing was converted")
    return rows
