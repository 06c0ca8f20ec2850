"""What an output was made of: its settings, its inputs, the version. A small JSON file beside it, or in it, says so.

    with made(Making(out, settings, places), renew=renew, force=force) as task:
        if not task.unchanged:
            work(..., force=task.force)

Made of the same, there is nothing to do. Begun with the same, the work goes on. Made of something else, it is refused
with the first difference, or made anew (`renew`). Of two that make one output, the second waits (`renew`) or is told
who is at it. Of an output that has no such file, the work itself decides.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unitdisc import __version__
from unitdisc.digests import digest, is_whole, listing
from unitdisc.errors import DataError
from unitdisc.files import lock_file, whole_file
from unitdisc.reading import json_if_any

RECORD = ".made.json"


@dataclass(frozen=True)
class Making:
    """An output, and what it is to be made of."""

    output: Path  # a file, or a folder
    settings: Mapping[str, Any]  # whatever JSON holds, in sections; not what changes no result, as a number of jobs
    places: Mapping[str, Path]  # what is read, by the name that messages give it: files, or folders
    # Which files of the places count: "train/feats.scp", "model/**/*.pt". It is asked only when there is work to do.
    # Without it all places count, folders by the names, sizes and times of their files.
    reads: Callable[[], Iterable[str]] | None = None
    holds: tuple[str, ...] = ()  # what is in a whole output folder: "vectors.scp", "checkpoints/*.pt"
    loose: tuple[str, ...] = ()  # sections of the settings whose change is no reason to make it anew: the work goes on
    aside: bool = False  # what was made of something else is kept under another name
    noun: str = ""  # the output's part that this is about, where a folder is the output of several commands


@dataclass
class Task:
    """What is to be done."""

    unchanged: bool = False  # nothing
    force: bool = False  # replace what is there
    result: dict[str, Any] = field(default_factory=dict)  # figures that are kept with the output


@contextmanager
def made(
    making: Making, *, renew: bool = False, force: bool = False, say: Callable[[str], object] = lambda line: None
) -> Iterator[Task]:
    """Find out what is to be done for an output, keep others away while it is, and write down of what it was made."""
    record = record_path(making)
    task = _task(making, record, renew, force)
    others = os.environ.get("RANK", "0") != "0"  # of several processes the first keeps the record
    if task.unchanged or others or record.parent.is_file():  # which the work refuses
        yield task
        return
    new = [folder for folder in (record.parent, *record.parent.parents) if not folder.exists()]
    try:
        with ExitStack() as locks:
            locks.enter_context(_alone(making, record, renew, say))
            task = _task(making, record, renew, force)  # another may have made it in the meantime
            if task.unchanged:
                yield task
                return
            if task.force and making.aside:
                say(f"{making.output} held another one: set aside as {set_aside(making.output)}")
                task.force = False
                locks.enter_context(_alone(making, record, renew, say))  # in the new folder
            yield from _done(making, record, task)
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()  # if the work was refused, nothing is left of it


def _done(making: Making, record: Path, task: Task) -> Iterator[Task]:
    """Let the work be done between two records: that it was begun, and that it ended."""
    inputs = {name: _digest(making, name) for name in _names(making)}
    about = {"unitdisc": __version__, "settings": flat(making.settings), "inputs": inputs}
    _write(record, {"state": "begun", "anew": task.force, **about})
    try:
        yield task
    except BaseException:
        if not _visible(making.output):
            record.unlink(missing_ok=True)
        raise
    _write(record, {"state": "done", **about, "result": task.result})


def to_do(making: Making, *, renew: bool, force: bool) -> Task:
    """Return the task that `made` would give now, for what does a part of it beforehand."""
    return _task(making, record_path(making), renew, force)


def is_unchanged(making: Making) -> bool:
    """Tell whether there is nothing to do for an output."""
    return _task(making, record_path(making), renew=True, force=False).unchanged


def _task(making: Making, path: Path, renew: bool, force: bool) -> Task:
    """Compare what is wanted with what was made."""
    if force:
        return Task(force=True)
    record = read_record(path)
    if record is None:  # made by something older, or nothing at all
        return Task(force=renew and not making.aside and _there(making))
    changes = list(_changes(making, record))
    if renew and record["unitdisc"] != __version__:
        changes.append(("version", f"by unitdisc {record['unitdisc']}, this is {__version__}"))
    anew = bool(record.get("anew"))
    if not changes:
        whole = record["state"] == "done" and _is_whole(making)
        return Task(unchanged=whole, force=anew and not whole, result=record.get("result", {}))
    tight = [text for section, text in changes if section not in making.loose]
    if not tight:
        return Task(force=anew)
    if not renew and _there(making):
        raise DataError(f"{making.output}: made of something else ({tight[0]}); --renew makes it anew")
    return Task(force=_there(making))


def _changes(making: Making, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the section and the text of each difference between what is wanted and a record."""
    there, here = record["settings"], flat(making.settings)
    for name in dict.fromkeys([*here, *there]):
        if there.get(name) != here.get(name):
            yield name.partition(".")[0], f"{name}: {_shown(there, name)} there, {_shown(here, name)} here"
    for name, old in record["inputs"].items():
        new = _digest(making, name)
        if new is None and name.partition("/")[0] not in making.places and not Path(name).is_absolute():
            yield "inputs", f"{name} is not read any more"  # by this version
        elif new != old:
            place = _path(making, name)
            how = "was not there" if old is None else "is no longer there" if new is None else "has changed"
            yield "inputs", f"{place} {how}"


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "nothing"


def record_path(making: Making) -> Path:
    """Return where the record of an output is: in a folder, beside a file."""
    if making.noun:
        return making.output / f".{making.noun}{RECORD}"
    return making.output / RECORD if making.holds else making.output.with_name(f".{making.output.name}{RECORD}")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a record, or None if there is none that can be read."""
    record = json_if_any(path)
    whole = {"state", "unitdisc"} <= record.keys() and all(
        isinstance(record.get(name), dict) for name in ("settings", "inputs")
    )
    return record if whole else None


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with whole_file(path) as out:
        out.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def set_aside(folder: Path) -> Path:
    """Give a folder another name, with the time in it.

    Its `log` stays: who started this work may be writing what it prints there, and looks for it in the end.
    """
    aside = folder.with_name(f"{folder.name}.before-{time.strftime('%Y-%m-%d-%H%M%S')}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}+")
    folder.rename(aside)
    if (aside / "log").is_dir():
        folder.mkdir(exist_ok=True)
        (aside / "log").rename(folder / "log")
    for lock in aside.glob(f"*{RECORD}.lock"):
        lock.unlink(missing_ok=True)
    return aside


def _alone(making: Making, record: Path, renew: bool, say: Callable[[str], object]) -> Any:
    def wait(who: str) -> None:
        say(f"{making.output}: {who} is at it; waiting for its end")

    record.parent.mkdir(parents=True, exist_ok=True)
    refusal = f"{making.output}: {{who}} is at it; wait for it, or stop it"
    return lock_file(record.with_name(f"{record.name}.lock"), refusal, wait if renew else None)


def _names(making: Making) -> list[str]:
    return list(making.reads()) if making.reads is not None else list(making.places)


def _path(making: Making, name: str) -> Path:
    place, _, rest = name.partition("/")
    path = making.places.get(place, Path(place))
    return path / rest if rest and not path.is_file() else path


def _digest(making: Making, name: str) -> str | None:
    path = _path(making, name)
    if "*" not in name:
        return digest(path)
    place, _, pattern = name.partition("/")
    root = making.places.get(place, Path(place))
    return digest(root) if root.is_file() else listing(root, pattern)


def _there(making: Making) -> bool:
    """Tell whether there is anything of an output."""
    if not making.holds:
        return making.output.exists()
    return any(True for pattern in making.holds for _ in making.output.glob(pattern))


def _visible(output: Path) -> bool:
    """Tell whether a file is there, or a folder that holds more than hidden files."""
    return output.is_file() or (output.is_dir() and any(not path.name.startswith(".") for path in output.iterdir()))


def _is_whole(making: Making) -> bool:
    """Tell whether all of an output is there."""
    if not making.holds:
        return is_whole(making.output)
    found = [list(making.output.glob(pattern)) for pattern in making.holds]
    return all(paths and all(map(is_whole, paths)) for paths in found)


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the values of a tree by their keys, joined by dots, as JSON gives them back."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = json.loads(json.dumps(value, default=str))
    return found
