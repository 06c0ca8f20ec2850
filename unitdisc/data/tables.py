"""Tables: the `<key> <rest of the line>` text files that data directories are made of, read strictly.

Sorted by code point, which for UTF-8 is the order of the C locale (`LC_ALL=C sort`), one line per key.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from unitdisc.data.names import name_problem
from unitdisc.errors import DataError, shown
from unitdisc.files import whole_file
from unitdisc.reading import reading

BLANKS = re.compile(r"[ \t]+")  # not \s: a no-break space belongs to the text
FIX = "`unitdisc check --fix` mends it"


class TableRow(NamedTuple):
    """One line of a table."""

    line: int  # from 1
    key: str
    rest: str  # without blanks at its ends


class TextLine(NamedTuple):
    """One line of a text: as it should be, and what is wrong with it as it is."""

    number: int  # from 1
    text: str  # mended, without its end
    problem: str  # empty where nothing is


def scan_lines(path: Path) -> Iterator[TextLine]:
    """Read the lines of what should be UTF-8 text with Unix line ends, mending others."""
    with reading(path, "lines of text"), path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            yield _line(path, number, raw)


def _line(path: Path, number: int, raw: bytes) -> TextLine:
    where, problem = f"{path}:{number}", ""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        text = raw.decode("latin-1")
        problem = (
            f"{where}: expected UTF-8 text, got byte 0x{raw[error.start]:02x} at column {error.start + 1}; "
            f"convert it, as with `iconv -f latin1 -t utf-8`; {FIX} if it is Latin-1"
        )
    text = text.removesuffix("\n")
    if text.endswith("\r"):
        text = text.rstrip("\r")
        problem = problem or f"{where}: expected a Unix line end, got a Windows one (\\r\\n); {FIX}"
    if number == 1 and text.startswith("\ufeff"):
        text = text.removeprefix("\ufeff")
        problem = problem or f"{where}: expected a key, got a byte-order mark before it; {FIX}"
    return TextLine(number, text, problem)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read numbered lines of a UTF-8 text with Unix line ends, refusing any other."""
    for number, text, problem in scan_lines(path):
        if problem:
            raise DataError(problem)
        yield number, text


class Scanned(NamedTuple):
    """One line of a table that may be wrong."""

    row: TableRow | None  # None: it cannot be mended
    problem: str


def scan_rows(path: Path, form: str) -> Iterator[Scanned]:
    """Read the rows of a table with what is wrong with each, in the order of the file.

    A second line for a key has no row. `form` says in problems what a line looks like.
    """
    seen: set[str] = set()
    last = ""
    for number, text, problem in scan_lines(path):
        where = f"{path}:{number}"
        blank_first = text[:1] in (" ", "\t")
        key, _, rest = BLANKS.sub(" ", text.strip(" \t"), count=1).partition(" ")
        if blank_first or not key:
            problem = problem or f"{where}: expected '{form}', got {text[:80]!r}; {FIX}"
        if not key:
            yield Scanned(None, problem)
            continue
        if wrong := name_problem(key) or ("a NUL" if "\0" in rest else ""):
            yield Scanned(None, problem or f"{where}: expected '{form}', got {wrong}; remove or mend the line")
            continue
        if key in seen:
            yield Scanned(None, f"{where}: expected one line for each key, got {key!r} again; {FIX}")
            continue
        if key < last:
            problem = (
                problem or f"{where}: expected lines sorted as by `LC_ALL=C sort`, got {key!r} after {last!r}; {FIX}"
            )
        last = max(key, last)
        seen.add(key)
        yield Scanned(TableRow(number, key, rest.strip(" \t")), problem)


def read_rows(path: Path, form: str) -> Iterator[TableRow]:
    """Read the rows of a table, refusing what is wrong."""
    for row, problem in scan_rows(path, form):
        if problem or row is None:
            raise DataError(problem)
        yield row


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
        if problem := name_problem(key):
            raise DataError(f"{path}: expected a name without blanks as the key, got {problem}")
        if set("\n\r\0") & set(rest):
            raise DataError(f"{path}: expected one line for {key!r}, got {shown(rest)}")
        if key == last:
            raise DataError(f"{path}: expected one line for each key, got {key!r} twice")
        last = key
    try:
        with whole_file(path) as out:
            out.writelines(f"{key} {rest}\n" if rest else f"{key}\n" for key, rest in rows)
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: expected text that UTF-8 can hold, got {shown(error.object)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
