"""The languages of DiscoPhon: languages.txt, a line for each."""

from pathlib import Path
from typing import NamedTuple

LANGUAGES = Path(__file__).with_name("languages.txt")


class Language(NamedTuple):
    """A line of languages.txt."""

    code: str  # ISO 639-3
    phonemes: int  # without silence
    half: str  # of the benchmark: "dev", to develop on, or "test"
    name: str


def read_languages() -> dict[str, Language]:
    """Return the benchmark's languages by their codes."""
    rows = [line.split(" ", 3) for line in LANGUAGES.read_text("utf-8").splitlines()]
    return {code: Language(code, int(phonemes), half, name) for code, phonemes, half, name in rows}
