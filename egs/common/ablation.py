"""The table of an ablation: rows are trainings with a few settings changed, over several seeds; and its plot.

A run leaves EXP/result.json: {"row": "bn", "seed": 0, "metrics": {"per": 0.31, ...}, "about": {"seconds": 71.2, ...}}.
What was trained with which code, on which machine, is what the training itself wrote in EXP/env.json.

    ablation.py EXP... --out RESULTS.md [--plot PNG] [--metrics A,B]
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from results import ORIGIN, Result, check_once, read_results, settings_of, unlike
from rows import compose
from scripts import run

from unitdisc.config import read_tree
from unitdisc.errors import DataError, UnitdiscError
from unitdisc.evaluate.definitions import ARROWS, define
from unitdisc.files import whole_file

# The rows of the paper, in the order of its tables; others follow by name.
TITLES = {
    "none": "no bottleneck",
    "vanilla": "vanilla VQ",
    "bn": "+ batch norm",
    "bn-rate": "+ batch norm, codebook rate",
    "bn-data": "+ batch norm, data-dependent",
    "all": "+ all three",
    "ema": "EMA + batch norm",
    # Those of egs/librispeech/conf/prediction.
    "prediction": "prediction",
    "warps": "+ warps",
    "noise": "+ rooms, noise, tempo",
    "rounds": "+ rounds",
    # Of a single run the row is the name of its configuration.
    "base": "conf/base.yaml",
    "small": "conf/small.yaml",
}
ROWS = Path(__file__).parent / "conf" / "ablation"
# Columns of the table of speech: the name, the file of scores, the definition.
COLUMNS = (
    ("codes", "units", "active-codes"),
    ("perplexity", "units", "perplexity"),
    ("units-per-second", "units", "units-per-second"),
    ("bitrate", "units", "bitrate-zr2020"),
    ("speaker", "units", "speaker-accuracy-histogram"),
    ("ABX-across", "units", "abx-across-within-angular"),
    ("ABX-within", "units", "abx-within-within-angular"),
    ("PNMI", "units", "pnmi"),
    ("PER-many-to-one", "units", "per-mapping-many-to-one-nosil"),
    ("PER-ASR", "units", "per-probe-ctc-lstm-nosil"),
    ("PER-ASR-mfcc", "mfcc", "per-probe-ctc-lstm-nosil"),
    ("PER-head-dev", "head-dev", "per-ctc-head-nosil"),
    ("PER-head", "units", "per-ctc-head-nosil"),
)
DEFINITIONS = {name: definition for name, _, definition in COLUMNS}
# Columns of the tables of images, by how they begin.
LOWER = ("PER", "CER", "bits", "reconstruction bits", "latent bits by")
HIGHER = ("NMI", "mapping accuracy", "codes", "perplexity")


def in_order(rows: Iterable[str]) -> list[str]:
    """Sort rows as the paper does."""
    places = {row: place for place, row in enumerate(TITLES)}
    return sorted(set(rows), key=lambda row: (places.get(row, len(places)), row))


def current_settings(rows: Path, base: Path, data: str) -> dict[str, str]:
    """Return the settings of each row of a folder as it is now."""
    tree = read_tree(base)
    return {row.stem: settings_of(compose(tree, read_tree(row)), data) for row in rows.glob("*.yaml")}


def names_of(results: Iterable[Result]) -> list[str]:
    """Return the metrics that occur, in the order of their first occurrence."""
    return list(dict.fromkeys(name for result in results for name in result["metrics"]))


def values_of(results: Iterable[Result], row: str, name: str) -> list[float]:
    """Return the values of a row's runs."""
    return [r["metrics"][name] for r in results if r["row"] == row and name in r["metrics"]]


def cell(values: Sequence[float]) -> str:
    """Write mean and sample standard deviation in four figures; nothing where nothing was measured."""
    if not values:
        return ""
    mean = statistics.fmean(values)
    decimals = max(0, 3 - math.floor(math.log10(abs(mean)))) if mean else 3
    text = f"{mean:.{min(decimals, 4)}f}"
    return text + (f" ± {statistics.stdev(values):.{min(decimals, 4)}f}" if len(values) > 1 else "")


def headed(name: str) -> str:
    """Return a metric's name with an arrow that says which way is better, where one is."""
    if name in DEFINITIONS:
        return name + ARROWS[define(DEFINITIONS[name]).better]
    return name + ARROWS["lower" if name.startswith(LOWER) else "higher" if name.startswith(HIGHER) else ""]


def table(results: Sequence[Result], names: Sequence[str]) -> str:
    """Return a Markdown table of rows by metrics: mean ± standard deviation over seeds."""
    timed = any("seconds" in result["about"] for result in results)
    heads = ["row", "seeds", *map(headed, names), *(["seconds of training"] if timed else [])]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in in_order(result["row"] for result in results):
        own = [result for result in results if result["row"] == row]
        cells = [TITLES.get(row, row), str(len(own)), *(cell(values_of(own, row, name)) for name in names)]
        if timed:
            seconds = [float(r["about"]["seconds"]) for r in own if "seconds" in r["about"]]
            cells.append(f"{statistics.fmean(seconds):.0f}" if seconds else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def provenance(results: Sequence[Result]) -> str:
    """Say of what code and machines the results are."""
    facts = []
    for name in (*ORIGIN, "steps"):
        found = sorted({str(r["about"][name]) for r in results if r["about"].get(name) not in (None, "")})
        if found:
            facts.append(f"{name} {', '.join(found)}")
    seeds = ", ".join(str(seed) for seed in sorted({r["seed"] for r in results}))
    return "; ".join([f"seeds {seeds}", *facts]) + "."


def plot(results: Sequence[Result], names: Sequence[str], path: Path) -> None:
    """Draw a panel for each metric: a dot for each run, a line at each row's mean."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnitdiscError("a picture needs matplotlib; pip install 'unitdisc[images]'") from None
    rows = in_order(result["row"] for result in results)
    figure = Figure(figsize=(1.5 + 2.2 * len(names), 0.9 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(axes, names, strict=True):
        for place, row in enumerate(rows):
            values = values_of(results, row, name)
            panel.plot(values, [place] * len(values), "o", color="C0", alpha=0.6)
            if values:
                panel.vlines(statistics.fmean(values), place - 0.3, place + 0.3, color="C1", linewidth=2)
        panel.set_xlabel(headed(name))
        panel.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), [TITLES.get(row, row) for row in rows])
    axes[0].invert_yaxis()
    with whole_file(path, binary=True) as out:
        figure.savefig(out, format="png", dpi=110)


def write_table(
    exps: Sequence[Path],
    out: Path,
    picture: Path | None,
    metrics: Sequence[str],
    settings: Mapping[str, str] | None = None,
) -> str:
    """Write the table of runs, of these settings if they are given, and their plot if asked for; return the table."""
    found = read_results(exps)
    others = [] if settings is None else unlike(found, settings)
    results = [result for result in found if result not in others]
    if not results:
        raise DataError(f"{exps[0]} and others: all runs are of other settings than those asked for; train them anew")
    check_once(results)
    known = names_of(results)
    for name in metrics:
        if name not in known:
            raise DataError(f"--metrics: no run has {name!r}; they have {', '.join(known)}")
    text = table(results, metrics or known) + "\nMean ± standard deviation over seeds; " + provenance(results) + "\n"
    if others:
        listed = ", ".join(f"{result['row']} with seed {result['seed']} ({result['exp']})" for result in others)
        text += f"\nLeft out, being of other settings or data (--ablation with them trains anew): {listed}.\n"
    with whole_file(out) as file:
        file.write(text)
    if picture is not None:
        plot(results, metrics or known, picture)
    return text


def table_of(exps: list[Path], out: Path, plot: Path | None, metrics: str) -> list[str]:
    """Write the table of runs; return its lines."""
    return write_table(exps, out, plot, [name for name in metrics.split(",") if name]).splitlines()


if __name__ == "__main__":
    shown = {"default": "", "help": "those to show, separated by commas; all without it"}
    run(table_of, "exps...", out={"type": Path, "required": True}, plot={"type": Path}, metrics=shown)
