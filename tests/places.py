"""Where things are in the source tree."""

from pathlib import Path

TESTS = Path(__file__).parent
TOP = TESTS.parent
FIXTURES = TESTS / "fixtures"
