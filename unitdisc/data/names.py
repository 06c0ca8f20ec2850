"""Names of utterances, recordings and speakers: what may stand in them."""

import re

from unitdisc.errors import shown

LONGEST = 400  # characters of a name

# Blanks of any kind and control signs (NUL among them), all that some reader takes for the end of a word or a line, and
# halves of characters, which cannot be written as UTF-8.
_WRONG = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def name_problem(name: str) -> str:
    """Say what is wrong with a name, or nothing: a sign that would break a line, a table, or the name of a file."""
    if not name:
        return "an empty name"
    if len(name) > LONGEST:
        return f"a name of {len(name)} characters, {shown(name)}"
    match = _WRONG.search(name)
    return f"a name with U+{ord(match[0]):04X} in it, {shown(name)}" if match else ""
