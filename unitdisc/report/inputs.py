"""Which files a report reads: what counts when it is asked whether a page is up to date. Light to import."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unitdisc.data.kaldi import FORMS
from unitdisc.data.units import read_header, unit_file
from unitdisc.report.options import ReportOptions

SPLITS = ("all", "test", "dev", "train")  # of units: the first that is there is shown
LICENCES = ("LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.TXT", "LICENCE.txt", "COPYING")
RUN = (
    "config.yaml", "env.json", "metrics.jsonl", "units/*/*", "units/**/*", "scores/*.json", "manifest.jsonl",
    "*/manifest.jsonl", "judged*.jsonl", "scores/judged*.jsonl", "longer/*.jsonl", "words/*.csv", *LICENCES,
)  # fmt: skip
UNITS = ("*.jsonl", "scores.json", "scores/*.json")
DATA = (*FORMS, "phones.ctm", *LICENCES)


def units_of_run(path: Path) -> Path | None:
    """Return the unit file of a run's folder that is shown, if there is any."""
    known = [file for split in SPLITS if (file := path / "units" / split / "units.jsonl").is_file()]
    return next(iter([*known, *sorted(path.glob("units/**/units.jsonl"))]), None)


def places_of(exps: Sequence[str], units: Sequence[str], options: ReportOptions) -> dict[str, Path]:
    """Return the places that a report reads, by name."""
    files = [unit_file(file) for file in units]
    places = {f"run-{n}": Path(exp) for n, exp in enumerate(exps)}
    places |= {f"units-{n}": file.parent for n, file in enumerate(files)}
    shown = [file for file in (*(units_of_run(Path(exp)) for exp in exps), *files) if file is not None]
    origins = [read_header(file).origin.get("data", "") for file in shown]
    data = [Path(origin) for origin in origins if origin] if options.data is None else [options.data]
    places |= {f"data-{n}": path for n, path in enumerate(data)}
    return places if options.alignment is None else places | {"alignment": options.alignment}


def read_of(places: Mapping[str, Path]) -> Iterator[str]:
    """Give what counts of these places: of a run, not its logs and checkpoints."""
    for name in places:
        patterns = {"run": RUN, "units": UNITS, "data": DATA}.get(name.partition("-")[0])
        yield from [name] if patterns is None else (f"{name}/{pattern}" for pattern in patterns)
