"""A run's folder: what was run, where, and what came of it, step by step.

config.yaml     the whole configuration, defaults included
env.json        versions, commit, machine, command, start times (one entry per start)
metrics.jsonl   one line per logged step or event: {"step", "kind", ...}
log.txt         what was said
tensorboard/    the same numbers for TensorBoard, if it is installed
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from unitdisc import __version__, dist
from unitdisc.errors import DataError


class RunLog:
    """Writes a run's folder; on other processes than the first it writes nothing."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.folder = folder
        self._metrics: TextIO | None = None
        self._log: TextIO | None = None
        self._board: Any = None
        if dist.is_main():
            folder.mkdir(parents=True, exist_ok=True)
            self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
            self._log = (folder / "log.txt").open("a", encoding="utf-8")
            if tensorboard:
                self._board = _summary_writer(folder / "tensorboard")

    def say(self, message: str) -> None:
        """Print a line to stderr and keep it in log.txt."""
        if self._log is not None:
            print(message, file=sys.stderr, flush=True)
            print(f"{datetime.datetime.now().isoformat(timespec='seconds')} {message}", file=self._log, flush=True)

    def metrics(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write the numbers of a step ("train", "dev") or an event's facts ("reestimation", "skipped", ...)."""
        if self._metrics is None:
            return
        print(json.dumps({"step": step, "kind": kind, **values}), file=self._metrics, flush=True)
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after this one, which a resumed run makes again."""
        if self._metrics is None:
            return
        self._metrics.close()
        path = self.folder / "metrics.jsonl"
        kept = [line for line in path.read_text("utf-8").splitlines() if _step_of(line) <= step]
        partial = path.with_name(".metrics.jsonl.partial")
        partial.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        partial.replace(path)
        self._metrics = path.open("a", encoding="utf-8")

    def started(self, config_yaml: str, **facts: Any) -> None:
        """Write config.yaml, and an entry for this start in env.json."""
        if self._metrics is None:
            return
        (self.folder / "config.yaml").write_text(config_yaml, "utf-8")
        path = self.folder / "env.json"
        try:
            starts = json.loads(path.read_text("utf-8"))["starts"]
        except (OSError, ValueError, KeyError):
            starts = []
        path.write_text(json.dumps({"starts": [*starts, {**environment(), **facts}]}, indent=1) + "\n", "utf-8")

    def close(self) -> None:
        """Close the files."""
        for file in (self._metrics, self._log, self._board):
            if file is not None:
                file.close()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut short by a kill


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


class Meter:
    """Means of a step's numbers between two lines of the log, pooled by frames."""

    def __init__(self) -> None:
        self.skipped = 0
        self._sums: dict[str, float] = defaultdict(float)
        self._weights: dict[str, float] = defaultdict(float)
        self._since = time.perf_counter()
        self._steps = 0

    def add(self, weight: float, losses: Mapping[str, Any], stats: Mapping[str, float]) -> None:
        """Add the numbers of one forward pass."""
        self._steps += 1
        for name, value in {**{k: float(v) for k, v in losses.items()}, **stats}.items():
            self._sums[name] += float(weight) * value
            self._weights[name] += float(weight)

    def add_one(self, name: str, value: float) -> None:
        """Add a number that comes once a step."""
        self._sums[name] += value
        self._weights[name] += 1

    def pop(self) -> dict[str, float]:
        """Return the means and start over."""
        values = {name: total / self._weights[name] for name, total in self._sums.items()}
        values["steps_per_second"] = self._steps / (time.perf_counter() - self._since)
        values["skipped"] = self.skipped
        self.__init__()  # type: ignore[misc]
        return values


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read a run's metrics.jsonl; a last line cut short by a kill is left out."""
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: no such file; is {folder} the folder of a training run?")
    records = []
    for line in path.read_text("utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
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
