"""Outputs of verbs that know what they were made of: `--renew`, `--force`, `--unchanged`, and what is said of each."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from unitdisc.made import Making, Task, is_unchanged, made, to_do

# Options that change no result.
UNTOLD = {"takes_units", "unit_arguments", "period_option"}  # how units are told from those of other tools
IDLE = UNTOLD | {
    "run", "verb", "score", "jobs", "device", "json", "force", "renew", "unchanged", "allow_pipes", "max_failed",
}  # fmt: skip


@contextmanager
def making(options: argparse.Namespace, wanted: Making) -> Iterator[Task]:
    """Hand a verb its task. Of an output that is unchanged this is said here; the verb has nothing to do."""
    if options.unchanged:
        if not is_unchanged(wanted):
            sys.exit(3)
        work: AbstractContextManager[Task] = nullcontext(Task(unchanged=True))
    else:
        work = made(wanted, renew=options.renew, force=getattr(options, "force", False), say=_say)
    with work as task:
        _say_unchanged(options, wanted, task)
        yield task


def part_of_making(options: argparse.Namespace, wanted: Making) -> Task:
    """Return the task of a verb that does one job's part: what the call that puts the parts together will be given."""
    task = to_do(wanted, renew=options.renew, force=options.force)
    if options.job is not None:  # not one of torchrun's processes, of which the first goes on to say so
        _say_unchanged(options, wanted, task)
    return task


def of_options(options: argparse.Namespace, output: Path, *outputs: str, **more: Any) -> Making:
    """Return a making by all options of a verb: paths are what is read, all others are settings.

    `outputs` are the names of options that say where to write; `more` is what else a Making takes.
    """
    verb = " ".join(filter(None, (getattr(options, name, "") for name in ("verb", "score"))))
    settings: dict[str, Any] = {"verb": verb}
    places: dict[str, Path] = {}
    for name, value in sorted(vars(options).items()):
        values = value if isinstance(value, (list, tuple)) else [value]
        if name in IDLE or name in outputs or name.startswith("given_"):
            continue
        if values and all(isinstance(one, Path) for one in values):
            places |= {name if one is value else f"{name}-{n}": one for n, one in enumerate(values)}
        else:
            settings[name] = value
    return replace(Making(output, settings, places), **more)


def _say_unchanged(options: argparse.Namespace, wanted: Making, task: Task) -> None:
    if not task.unchanged or os.environ.get("RANK", "0") != "0":
        return
    if getattr(options, "json", False):
        print(json.dumps({**task.result, "unchanged": True}, ensure_ascii=False))
    else:
        print(f"{wanted.output}: unchanged")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
