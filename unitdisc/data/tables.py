"""Tables: the `<key> <rest of the line>` text files that data directories are made of, read strictly.

Sorted by code point, which for UTF-8 is the order of the C locale (`LC_ALL=C sort`), one line per key.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from unitdisc.data.whole import whole_file
from unitdisc.errors import DataError

BLANKS = re.compile(r"[ \t]+")  # not \s: a no-break space belongs to the text
FIX = "`unitdisc check --fix` mends it"


class Row(NamedTuple):
    """One line of a table."""

    line: int  # from 1
    key: str
    rest: str  # without blanks at its ends


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read numbered lines of a UTF-8 text with Unix line ends, refusing any other."""
    try:
        with path.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                yield number, _decoded(raw, f"{path}:{number}", number)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _decoded(raw: bytes, where: str, number: int) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: expected UTF-8 text, got byte 0x{raw[error.start]:02x} at column {error.start + 1}; "
            "convert the file, as with `iconv -f latin1 -t utf-8`"
        ) from None
    if line.endswith(("\r\n", "\r")):
        raise DataError(f"{where}: expected a Unix line end, got a Windows one (\\r\\n); {FIX}")
    if number == 1 and line.startswith("\ufeff"):
        raise DataError(f"{where}: expected a key, got a byte-order mark before it; {FIX}")
    return line.rstrip("\n")


def read_rows(path: Path, form: str) -> Iterator[Row]:
    """Read the rows of a table, sorted and without duplicates; `form` says in errors what a line looks like."""
    last = ""
    for number, line in read_lines(path):
        key, rest = parse_row(line, form, f"{path}:{number}")
        if key == last:
            raise DataError(f"{path}:{number}: expected one line for each key, got {key!r} twice; {FIX}")
        if key < last:
            raise DataError(
                f"{path}:{number}: expected lines sorted as by `LC_ALL=C sort`, got {key!r} after {last!r}; {FIX}"
            )
        last = key
        yield Row(number, key, rest)


def parse_row(line: str, form: str, where: str) -> tuple[str, str]:
    """Split a line into its key and the rest."""
    key, _, rest = BLANKS.sub(" ", line, count=1).partition(" ") if line[:1] not in (" ", "\t") else ("", "", "")
    if not key:
        raise DataError(f"{where}: expected '{form}', got {line[:80]!r}; {FIX}")
    return key, rest.strip(" \t")


def read_table(path: Path, form: str) -> dict[str, str]:
    """Read a table whose lines all have something after the key."""
    table = {}
    for row in read_rows(path, form):
        if not row.rest:
            raise DataError(f"{path}:{row.line}: expected '{form}', got {row.key!r} alone")
        table[row.key] = row.rest
    return table


def read_words(path: Path, form: str) -> dict[str, list[str]]:
    """Read a table of one or more words after the key, such as spk2utt."""
    return {key: BLANKS.split(rest) for key, rest in read_table(path, form).items()}


def read_pairs(path: Path, form: str) -> dict[str, str]:
    """Read a table of exactly one word after the key, such as utt2spk."""
    table = {}
    for row in read_rows(path, form):
        if not row.rest or BLANKS.search(row.rest):
            raise DataError(f"{path}:{row.line}: expected '{form}', got {f'{row.key} {row.rest}'[:80]!r}")
        table[row.key] = row.rest
    return table


def write_table(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write a table sorted, under a temporary name first."""
    rows, last = sorted(rows), ""
    for key, rest in rows:
        if not key or BLANKS.search(key) or "\n" in f"{key}{rest}" or "\r" in f"{key}{rest}":
            raise DataError(f"{path}: expected a key without blanks and one line, got {key!r} {rest!r}")
        if key == last:
            raise DataError(f"{path}: expected one line for each key, got {key!r} twice")
        last = key
    try:
        with whole_file(path) as out:
            out.writelines(f"{key} {rest}\n" if rest else f"{key}\n" for key, rest in rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
