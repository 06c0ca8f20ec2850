"""What is known of units of other tools beside their file; light to import."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReadOptions:
    """What the files of a format may not say themselves."""

    tsv: Path | None = None  # fairseq's list of audio files; None: the one beside the units
    rate: int = 16000  # Hz, of the samples that a .tsv counts
    tier: str = "units"  # of a TextGrid, or of an alignment of lhotse
