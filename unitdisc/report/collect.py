"""What a report is about: run folders, unit files and data directories, opened; what is missing is said, not raised."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc.data.alignment import Alignment, read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import UnitHeader, read_header
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.converted import MANIFEST, Converted, read_manifest
from unitdisc.evaluate.scores import FORMAT, Score
from unitdisc.reading import json_if_any
from unitdisc.report.inputs import LICENCES, units_of_run
from unitdisc.report.judged import Key, read_judged
from unitdisc.report.options import ReportOptions
from unitdisc.report.sounds import Stretches
from unitdisc.runlog import read_metrics

METRICS = "unitdisc train writes it while training"


class FoundScore(NamedTuple):
    """A score, the name of its file, and what it is of where `unitdisc compare` says so."""

    file: str
    score: Score
    subject: str = ""


@dataclass
class Experiment:
    """One column of the page: a run folder, or a unit file of anyone's."""

    name: str
    path: Path
    config: str = ""  # YAML
    starts: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    scores: list[FoundScore] = field(default_factory=list)
    units: Path | None = None
    header: UnitHeader | None = None
    longer: Path | None = None  # unit file of longer units of the same speech
    words: Path | None = None  # folder of tables by `unitdisc words`
    data: DataDir | None = None
    sounds: Stretches = field(default_factory=Stretches)  # of data
    alignment: Alignment | None = None
    conversions: list[Converted] = field(default_factory=list)
    judged: dict[Key, str] = field(default_factory=dict)  # what judges heard, by sound
    licence: str = ""
    data_licence: str = ""
    missing: dict[str, str] = field(default_factory=dict)  # part of the page: why it is not there


def collect(exps: Sequence[str | Path], units: Sequence[str | Path], options: ReportOptions) -> list[Experiment]:
    """Open experiments and foreign unit files for one page."""
    paths = [Path(path) for path in [*exps, *units]]
    if not paths:
        raise ConfigError("nothing to report on: name the folder of an experiment, or a unit file with --units")
    names = short_names([path.parent if path.name == "units.jsonl" else path for path in paths])
    opened = [open_experiment(Path(exp), name, options) for exp, name in zip(exps, names, strict=False)]
    return opened + [
        open_units(Path(file), name, options) for file, name in zip(units, names[len(exps) :], strict=True)
    ]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    return [name if names.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(names, start=1)]


def open_experiment(path: Path, name: str, options: ReportOptions) -> Experiment:
    """Open a run folder."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; expected that of a training run, or a unit file with --units")
    exp = Experiment(name, path)
    config, env = path / "config.yaml", path / "env.json"
    exp.config = config.read_text("utf-8", errors="replace") if config.is_file() else ""
    exp.starts = read_starts(env)
    if not exp.starts:
        exp.missing["model card"] = f"{env} is not there; {METRICS}"
    try:
        exp.metrics = read_metrics(path)
    except DataError:
        exp.missing["learning curves"] = f"{path / 'metrics.jsonl'} is not there; {METRICS}"
    exp.units = units_of_run(path)
    if exp.units is None:
        exp.missing["units"] = f"{path}/units/test/units.jsonl is not there; unitdisc encode writes it"
    if (path / "longer" / "units.jsonl").is_file():
        exp.longer = path / "longer" / "units.jsonl"
    if (path / "words" / "words.csv").is_file():
        exp.words = path / "words"
    else:
        exp.missing["recurring stretches"] = f"{path}/words is not there; unitdisc words makes it"
    exp.conversions, exp.judged = read_conversions(path), read_judged(path)
    if not exp.conversions:
        silent = "kind: none" in decoder_of(exp.config)
        why = f"{path} has no manifest.jsonl of them; unitdisc convert makes them"
        exp.missing["conversions"] = "the model has no decoder (decoder.kind: none)" if silent else why
    exp.licence = licence_of(path)
    _open_data(exp, options)
    exp.scores = read_found(path, exp.units)
    return exp


def open_units(file: Path, name: str, options: ReportOptions) -> Experiment:
    """Open a unit file, or a folder that holds one, of which no run is known."""
    units = file / "units.jsonl" if file.is_dir() else file
    exp = Experiment(name, units.parent, units=units)
    read_header(units)
    why = "this is a unit file, without the folder of its training"
    exp.missing = {"learning curves": why, "model card": why, "conversions": why}
    _open_data(exp, options)
    exp.scores = read_found(units.parent, units)
    return exp


def _open_data(exp: Experiment, options: ReportOptions) -> None:
    """Open the unit file's header, its data directory and its alignment, as far as they are there."""
    origin = ""
    if exp.units is not None:
        exp.header = read_header(exp.units)
        origin = exp.header.origin.get("data", "")
    path = options.data or (Path(origin) if origin else None)
    if path is None:
        exp.missing["audio"] = "it is not known what the units were made of; give --data DATA"
    else:
        try:
            exp.data = DataDir.read(path)
            exp.data_licence = licence_of(path)
        except DataError as error:
            exp.missing["audio"] = f"{error} (or give --data DATA)"
    alignment = options.alignment or (None if exp.data is None else exp.data.path / "phones.ctm")
    if alignment is None or not (alignment.exists() or options.alignment):
        wanted = alignment or "phones.ctm in the data directory"
        exp.missing["phones"] = f"{wanted} is not there; without phone labels there is nothing to compare units with"
    else:
        exp.alignment = read_alignment(alignment)


def read_starts(path: Path) -> list[dict[str, Any]]:
    """Read the starts of a training run; none if the file is missing or damaged."""
    starts = json_if_any(path).get("starts")
    return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []


def decoder_of(config: str) -> str:
    """Return the lines of a configuration that describe the decoder."""
    _, _, rest = config.partition("\n  decoder:")
    lines = rest.split("\n")[1:]
    end = next((n for n, line in enumerate(lines) if not line.startswith("    ")), len(lines))
    return "\n".join(line for line in lines[:end] if line.startswith("    ") and not line.startswith("     "))


def read_conversions(path: Path) -> list[Converted]:
    """Read the manifests of conversions below a run folder."""
    manifests = sorted([*path.glob(MANIFEST), *path.glob(f"*/{MANIFEST}")])
    return [row for manifest in manifests if manifest.stat().st_size for row in read_manifest(manifest.parent)]


def read_found(path: Path, units: Path | None) -> list[FoundScore]:
    """Read all scores of a run folder (scores/*.json) and those beside its units; other JSON files are passed over."""
    files = sorted((path / "scores").glob("*.json"))
    files += [] if units is None else [units.parent / "scores.json"]
    found: list[FoundScore] = []
    for file in files:
        record = json_if_any(file)
        rows = (
            record.get("scores", []) if record.get("format") == FORMAT else [record] if "definition" in record else []
        )
        found += [FoundScore(file.stem, Score.from_json(row, file), str(record.get("subject", ""))) for row in rows]
    return found


def licence_of(folder: Path) -> str:
    """Return the first line of text of a folder's licence file, or nothing."""
    for name in LICENCES:
        file = folder / name
        if file.is_file():
            lines = file.read_text("utf-8", errors="replace").splitlines()
            return next((line.strip()[:200] for line in lines if line.strip()), "")
    return ""
