"""The wrapper that all readers of files share: whatever a library trips over becomes one line with the file's name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from unitdisc.errors import DataError, UnitdiscError, clipped, shown

T = TypeVar("T")


@contextmanager
def reading(
    path: Path | str,
    what: str,
    *,
    got: str | Callable[[], str] = "what cannot be read as one",
    none: str = "",
    advice: str = "",
    error: type[UnitdiscError] = DataError,
) -> Iterator[None]:
    """Read what should be `what`; our own errors pass, others become one of a single line.

    `none` is said where there is no such file, `advice` at the end of any other message. Libraries raise more kinds
    than one can name for a damaged file, so all are caught. A bug of ours may be among them: the error is chained,
    so that its traceback is not lost.
    """
    advice = advice and f"; {advice}"
    try:
        yield
    except UnitdiscError:
        raise
    except FileNotFoundError:
        raise error(f"{path}: no such file; {none or f'expected {what}'}") from None
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None:  # of the system; libraries raise some without
            raise error(f"{path}: cannot be read: {problem.strerror}{advice}") from None
        came = got if isinstance(got, str) else got()
        raise error(f"{path}: expected {what}, got {came}: {_reason(problem)}{advice}") from problem


def _reason(problem: Exception) -> str:
    if isinstance(problem, KeyError):
        return f"no {clipped(problem)}"
    return clipped(getattr(problem, "error_string", problem)) or type(problem).__name__


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that may be damaged; whatever is wrong with it is a ValueError."""
    try:
        return json.loads(text)
    except RecursionError:  # of a thousand brackets
        raise ValueError("JSON that is nested too deeply") from None


def json_lines(path: Path, what: str, build: Callable[[Any], T], *, none: str = "", advice: str = "") -> Iterator[T]:
    """Yield what `build` makes of each line of a file of JSON lines; empty lines are passed over."""
    with reading(path, f"JSON lines, {what}", none=none, advice=advice), path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                with reading(f"{path}:{number}", what, got=partial(shown, line.rstrip("\n"), 60), advice=advice):
                    found = build(parse_json(line))
                yield found


def json_if_any(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file that need not be there; an empty one if there is none that can be read."""
    try:
        found = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
