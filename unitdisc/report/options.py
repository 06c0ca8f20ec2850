"""What goes onto a page, and the defaults for everybody; light to import."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportOptions:
    """What goes onto a page."""

    data: Path | None = None  # audio and phones; none: where the unit files say they were made from
    alignment: Path | None = None  # none: phones.ctm of the data
    samples: int = 6  # utterances shown
    examples: int = 10  # of each unit
    max_mb: float = 15.0  # 10^6 bytes
    seed: int = 0  # of the draws
