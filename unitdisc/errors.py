"""Errors that are the user's to mend (where, what was wanted, what came, what to do), and how messages show values."""

MOST_FAILED = 0.01  # share of the utterances that may be unusable; of more, a run stops


def shown(value: object, most: int = 80) -> str:
    """Return a value as a message shows it: on one line, and not endless."""
    try:
        text = repr(value[:most] if isinstance(value, (str, bytes)) else value)
    except ValueError:  # a number of more than 4,300 digits
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= 2 * most else f"{text[: 2 * most]}..."


def clipped(text: object, most: int = 200) -> str:
    """Return what another program says, on one line, printable and not endless."""
    line = " ".join(str(text).split())[: most + 1]
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return line if len(line) <= most else f"{line[:most]}..."


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: 1 speaker, 2 speakers."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class UnitdiscError(Exception):
    """The base of all errors that the command prints in one line, without a traceback."""


class DataError(UnitdiscError):
    """Something in a corpus, a unit file, an item file or a feature archive is wrong."""


class TooFewError(DataError):
    """The data are right, but too few for one of the scores; the others can be made."""


class ConfigError(UnitdiscError):
    """A configuration cannot be read, or asks for what does not exist."""


class CheckpointError(UnitdiscError):
    """A checkpoint cannot be loaded, or does not fit what it is to be used for."""
