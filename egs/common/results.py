"""What came of a run, as a row of an ablation: its metrics, of which settings, trained by which code and machine."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unitdisc.config import read_tree
from unitdisc.errors import DataError
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading

ORIGIN = ("unitdisc", "commit", "python", "torch", "machine", "gpu", "cpus", "threads", "processes")
Result = dict[str, Any]


def write_result(
    exp: Path, row: str, seed: int, metrics: Mapping[str, float], about: Mapping[str, Any] | None = None
) -> None:
    """Write EXP/result.json."""
    record = {"row": row, "seed": seed, "metrics": dict(metrics), "about": {**trained_by(exp), **(about or {})}}
    _write(exp, record)


def _write(exp: Path, record: Result) -> None:
    with whole_file(exp / "result.json") as out:
        out.write(json.dumps(record, indent=1) + "\n")


def trained_by(exp: Path) -> dict[str, Any]:
    """Return the versions, commit, machine and steps of a training; all of them where it went on with others."""
    path = exp / "env.json"
    if not path.exists():
        return {}
    with reading(path, '{"starts": [...]}, as a training writes it'):
        starts = parse_json(path.read_text("utf-8"))["starts"]
        first = [int(start.get("resumed_at") or 0) for start in starts]
    last = max((int(p.stem) for p in (exp / "checkpoints").glob("*.pt") if p.stem.isdecimal()), default=math.inf)
    # A start that left no step behind it has no part in the training.
    own = [start for start, one, end in zip(starts, first, [*first[1:], last], strict=True) if end > one]
    found = {name: list(dict.fromkeys(s[name] for s in own if s.get(name) not in (None, ""))) for name in ORIGIN}
    facts = {name: all_[0] if len(all_) == 1 else ", ".join(map(str, all_)) for name, all_ in found.items() if all_}
    return facts | ({"steps": last} if math.isfinite(last) else {})


def settings_of(config: Mapping[str, Any], data: str) -> str:
    """Hash what a result depends on, but for the seed."""
    return hashlib.sha256(f"{json.dumps(config, sort_keys=True)} {data}".encode()).hexdigest()[:16]


def add_settings(exp: Path, config: Path, data: str) -> None:
    """Write into EXP/result.json a hash of what it depends on beside the seed."""
    (record,) = read_results([exp])
    del record["exp"]
    _write(exp, {**record, "settings": settings_of(read_tree(config), data)})


def read_results(exps: Iterable[Path]) -> list[Result]:
    """Read the result.json of each run."""
    results = []
    for exp in exps:
        path = exp / "result.json"
        what, none = '{"row", "seed", "metrics": {name: number}}', "run the stage score of this run"
        with reading(path, what, none=none):
            record = parse_json(path.read_text("utf-8"))
            metrics = {k: float(v) for k, v in record["metrics"].items()}
            results.append({"about": {}, **record, "metrics": metrics, "exp": str(exp)})
            record["row"], record["seed"]
    return results


def unlike(results: Iterable[Result], settings: Mapping[str, str]) -> list[Result]:
    """Return the results of other settings than these, which are by row."""
    return [result for result in results if result.get("settings") != settings.get(result["row"], "none")]


def check_once(results: Iterable[Result]) -> None:
    """Refuse two results of the same row and seed."""
    seen: dict[tuple[str, int], str] = {}
    for result in results:
        first = seen.setdefault((result["row"], result["seed"]), result["exp"])
        if first != result["exp"]:
            what = f"row {result['row']!r} with seed {result['seed']}"
            raise DataError(f"{result['exp']}: {what} is in {first}, too; give one of them")


def scores_of(path: Path) -> list[dict[str, Any]]:
    """Return the scores, as they are written, of a JSON file that `unitdisc score --json` printed."""
    with reading(path, "JSON"):
        return list(_found(parse_json(path.read_text("utf-8"))))


def _found(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict) and "definition" in tree and "value" in tree:
        yield tree
    elif isinstance(tree, (dict, list)):
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from _found(inner)
