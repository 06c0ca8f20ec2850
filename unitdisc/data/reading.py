"""The wrapper that all readers of foreign files share: whatever a parser trips over becomes one line."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unitdisc.errors import DataError, UnitdiscError, clipped

# What parsers raise on input that they were not made for. A bug of ours may be among them, too; the file then still
# names itself, and the error is chained, so that the last resort of the command line can keep its traceback.
TRIPS = (
    ValueError,  # of which bad JSON, bad UTF-8 and numbers of 5,000 digits are kinds
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RecursionError,
    MemoryError,
    struct.error,
)


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Read a file that should be `what`; our own errors pass, others are told as DataError with the file's name."""
    try:
        yield
    except UnitdiscError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected {what}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except TRIPS as error:
        reason = clipped(error) or type(error).__name__
        raise DataError(f"{path}: expected {what}, got what cannot be read as one: {reason}") from error
