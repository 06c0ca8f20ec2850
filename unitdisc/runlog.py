"""A run's folder: what was run, where, and what came of it, step by step.

config.yaml     the whole configuration, defaults included
env.json        versions, commit, machine, command, start times (one entry per start)
metrics.jsonl   one line per logged step or event: {"step", "kind", ...}
log.txt         what was said
tensorboard/    the same numbers for TensorBoard, if it is installed
"""

import datetime
import errno
import hashlib
import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc import __version__, dist
from unitdisc.errors import DataError
from unitdisc.files import whole_file
from unitdisc.reading import json_if_any, parse_json

BEGIN = ("reestimation", "targets", "codebook")  # events with which a step may begin


class RunLog:
    """Writes a run's folder, from the first thing that is to be written on; only on the first process."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: expected a folder to write to, got a file")
        self.folder = folder
        self._main = dist.is_main()
        self._files: dict[str, FileIO] = {}
        self._board = _board(folder / "tensorboard") if tensorboard and self._main else None

    def say(self, message: str) -> None:
        """Print a line to stderr and keep it in log.txt."""
        if self._main:
            print(message, file=sys.stderr, flush=True)
            self._append("log.txt", f"{datetime.datetime.now().isoformat(timespec='seconds')} {message}")

    def metrics(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write the numbers of a step ("train", "dev") or an event's facts ("reestimation", "skipped", ...)."""
        if not self._main:
            return
        self._append("metrics.jsonl", json.dumps({"step": step, "kind": kind, **values}))
        if self._board is not None:
            numbers = {name: value for name, value in values.items() if isinstance(value, (int, float))}
            self._board.add(step, {f"{kind}/{name}": float(value) for name, value in numbers.items()})

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after this one, which a resumed run makes again."""
        path = self.folder / "metrics.jsonl"
        if not self._main or not path.exists():
            return
        self._close("metrics.jsonl")
        records = [(*_step_and_kind(line), line) for line in path.read_text("utf-8").splitlines()]
        # Its own numbers end a step. The events that stand behind them belong to the next, and are made again, too.
        ends = max((n for n, (at, kind, _) in enumerate(records) if at == step and kind not in BEGIN), default=-1)
        kept = [
            line
            for n, (at, kind, line) in enumerate(records)
            if at < step or (at == step and (n <= ends or kind not in BEGIN))
        ]
        _replace(path, "".join(f"{line}\n" for line in kept))

    def started(self, config_yaml: str, **facts: Any) -> None:
        """Write config.yaml, and an entry for this start in env.json; say so if a resumed run got other data."""
        if not self._main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / "config.yaml", config_yaml)
        path = self.folder / "env.json"
        starts = json_if_any(path).get("starts", [])
        if isinstance(facts.get("train"), dict) and "data" in facts["train"]:
            facts["train"] = {**facts["train"], "lists": _lists(Path(facts["train"]["data"]))}
        _replace(path, json.dumps({"starts": [*starts, {**environment(), **facts}]}, indent=1) + "\n")
        if starts and facts.get("resumed_at"):
            other = _other_data(starts[-1].get("train"), facts.get("train", {}))
            if other:
                self.say(f"{self.folder}: {other}; another folder keeps the two trainings apart")

    def close(self) -> None:
        """Close the files."""
        for name in list(self._files):
            self._close(name)
        if self._board is not None:
            self._board.close()

    def _append(self, name: str, line: str) -> None:
        if name not in self._files:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files[name] = FileIO(self.folder / name, "a")
        _write(self._files[name], f"{line}\n".encode(), self.folder / name)

    def _close(self, name: str) -> None:
        if name in self._files:
            self._files.pop(name).close()


def _write(file: FileIO, blob: bytes, path: Path) -> None:
    """Write all of it, unbuffered: what a full disk does not take must not be tried again when the file is closed."""
    view = memoryview(blob)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise _unwritable(path, error) from None


def _replace(path: Path, text: str) -> None:
    try:
        with whole_file(path) as out:
            out.write(text)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> DataError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full; free some space" if full else f"{error.strerror or error}; mend that"
    return DataError(f"{path}: cannot be written: {what}, then give the same command again to go on")


def _step_and_kind(line: str) -> tuple[float, str]:
    try:
        record = parse_json(line)
        return float(record["step"]), str(record["kind"])
    except (ValueError, KeyError, TypeError):
        return float("inf"), ""  # a line cut short by a kill


def _lists(data: Path) -> str:
    """Hash the lists of a data directory, to know it again."""
    hasher = hashlib.sha256()
    for name in ("wav.scp", "images.scp", "segments", "utt2spk", "spk2utt"):
        if (data / name).is_file():
            hasher.update(name.encode() + b"\0" + (data / name).read_bytes() + b"\0")
    return hasher.hexdigest()[:12]


def _other_data(before: Any, now: Any) -> str:
    if not all(isinstance(entry, dict) and "data" in entry for entry in (before, now)):
        return ""  # of another tool: its data are its own
    same = now["lists"] == before["lists"] if "lists" in before else now["data"] == before["data"]
    if same:
        return ""
    if now["data"] == before["data"]:
        return f"{now['data']} has changed since the training was begun"
    return f"was trained on {before['data']} so far, and goes on with {now['data']}"


class _Board:
    """Scalars for TensorBoard. Its own writer has a thread, whose errors (a full disk) reach nobody but the screen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: FileIO | None = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        numbers = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=numbers)))

    def _write(self, event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time()):010d}.{platform.node()}.{os.getpid()}"
            self._file = FileIO(self.folder / name, "a")
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        _write(self._file, record.getvalue(), Path(str(self._file.name)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _board(folder: Path) -> _Board | None:
    return _Board(folder) if importlib.util.find_spec("tensorboard") is not None else None


class Gradient(NamedTuple):
    """A step's gradient; its norm and whether it stands out may still lie on a GPU."""

    step: int
    utts: list[str]  # some of the step's
    norm: Any
    spike: Any


class Meter:
    """Means of a step's numbers between two lines of the log, pooled by frames.

    Numbers are taken as they come, on whatever device they lie, and are all read at once.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._unread: list[tuple[str, float, Any]] = []  # name, weight, value
        self._gradients: list[Gradient] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._weights: dict[str, float] = defaultdict(float)
        self._since = time.perf_counter()
        self._steps = 0.0

    def add(self, weight: float, losses: Mapping[str, Any], stats: Mapping[str, Any], share: float = 1.0) -> None:
        """Add the numbers of one forward pass, which is such a share of a step."""
        self._steps += share
        self._unread += [(name, float(weight), value) for name, value in {**losses, **stats}.items()]

    def add_gradient(self, gradient: Gradient) -> None:
        """Add what comes once a step; only a gradient that does not stand out counts in the mean of norms."""
        self._gradients.append(gradient)

    def read(self) -> list[Gradient]:
        """Wait for the numbers that have come since the last call; return the gradients of steps that were skipped."""
        unread, gradients = self._unread, self._gradients
        self._unread, self._gradients = [], []
        values = [value for *_, value in unread] + [x for g in gradients for x in (g.norm, g.spike)]
        numbers = _floats(values)
        for (name, weight, _), value in zip(unread, numbers, strict=False):
            self._add(name, weight, value)
        pairs = iter(numbers[len(unread) :])
        gradients = [
            g._replace(norm=norm, spike=bool(spike)) for g, norm, spike in zip(gradients, pairs, pairs, strict=True)
        ]
        for gradient in gradients:
            if not gradient.spike:
                self._add("gradient_norm", 1.0, gradient.norm)
        skipped = [g for g in gradients if g.spike]
        self.skipped += len(skipped)
        return skipped

    def _add(self, name: str, weight: float, value: float) -> None:
        self._sums[name] += weight * value
        self._weights[name] += weight

    def pop(self) -> dict[str, float]:
        """Return the means and start over."""
        self.read()
        values = {name: total / self._weights[name] for name, total in self._sums.items()}
        values["steps_per_second"] = self._steps / (time.perf_counter() - self._since)
        values["skipped"] = self.skipped
        self.__init__()  # type: ignore[misc]
        return values


def _floats(values: Sequence[Any]) -> list[float]:
    """Return numbers and scalar tensors as floats, by one copy for all that lie on a GPU."""
    import torch

    tensors = [value.double() for value in values if isinstance(value, torch.Tensor)]
    read = iter(torch.stack(tensors).cpu().tolist() if tensors else [])
    return [next(read) if isinstance(value, torch.Tensor) else float(value) for value in values]


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read a run's metrics.jsonl; a last line cut short by a kill is left out."""
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: no such file; is {folder} the folder of a training run?")
    records = []
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and type(record.get("step")) is int:
            records.append(record)
    return records


def environment() -> dict[str, Any]:
    """Return what a reader needs to judge or repeat a run: versions, commit, machine, command."""
    import torch

    facts = {
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "unitdisc": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": dist.world_size(),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _commit() -> str:
    folder = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip()
