"""What counts as a word of units, and the defaults for everybody; light to import."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WordOptions:
    """What counts as a word."""

    shortest: int = 5  # units
    longest: int = 40
    least: int = 2  # utterances that it occurs in
    top: int = 500  # words that are written, those first that a dictionary would save most by
    examples: int = 5  # occurrences of a word, and of a unit by each speaker
