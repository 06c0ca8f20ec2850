#!/usr/bin/env python3
"""Averages of the weights around re-estimations of the codebook: the dev loss of each kind, through one training.

    python tools/bench_averaging.py CONFIG DATA [--set train.steps=900 ...] [--seeds 0 1 2] [--every 25] [--plot PNG]

DATA has train and dev, with features. One training has several running averages beside it, so that they differ in
nothing else: "restart" is the project's own (the quantiser's average begins anew at each re-estimation), "all" begins
anew as a whole, "none" goes on across. Printed is the dev reconstruction loss of the weights as they are and of each
average, while re-estimation lasts and after it.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unitdisc import config as configs
from unitdisc.checkpoint import Polyak
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.model import UnitModel
from unitdisc.runlog import Meter, RunLog, environment
from unitdisc.state import State
from unitdisc.step import train_step
from unitdisc.train import batch_plan
from unitdisc.train_config import Config
from unitdisc.validate import validate

KINDS = {
    "raw": "the weights as they are",
    "restart": "average, the quantiser's part begun anew at each re-estimation",
    "all": "average, begun anew as a whole",
    "none": "average across re-estimations",
}
PREFIXES = {"restart": "quantizer.", "all": ""}  # of the weights that an average forgets at a re-estimation


def curves(config: Config, data: Path, every: int) -> list[dict[str, Any]]:
    """Train once; return the dev losses of all kinds every so many steps, and just after each re-estimation."""
    device, options = torch.device("cpu"), config.train
    torch.manual_seed(options.seed)
    train_data, dev_data = DataDir.read(data / "train"), DataDir.read(data / "dev")
    state = State(UnitModel(config.model, sorted(train_data.spk2utt)), options)
    fit_normalisation_(state.model, train_data)
    corpus, dev = open_corpus(config.model, train_data, state.model), open_corpus(config.model, dev_data, state.model)
    averages = {kind: Polyak(state.model, options.average) for kind in KINDS if kind != "raw"}
    state.average = None  # those above stand for it
    batches = Prefetcher(corpus, batch_plan(corpus, options, state.model.stride))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        log, meter = RunLog(Path(folder), tensorboard=False), Meter()
        while state.step < options.steps:
            fresh = state.model.begin_step_(state.step) is not None
            if fresh:
                state.after_reestimation_()
                for kind, prefix in PREFIXES.items():
                    averages[kind].restart_(state.model, prefix)
            if fresh or state.step % every == 0:
                rows.append(dev_losses(state, averages, dev, device) | {"seed": options.seed, "reestimated": fresh})
            state.set_rates_()
            train_step(state, batches.batch(state.step), meter, log, device)
            state.step += 1
            for average in averages.values():
                average.update_(state.model)
        log.close()
    batches.close()
    return [*rows, dev_losses(state, averages, dev, device) | {"seed": options.seed, "reestimated": False}]


def dev_losses(state: State, averages: dict[str, Polyak], dev: Any, device: torch.device) -> dict[str, Any]:
    """Return the dev reconstruction loss of each kind at the present step."""
    limit = state.config.validate_utts
    row = {"step": state.step, "raw": validate(state.model, dev, limit, device)["reconstruction"]}
    for kind, average in averages.items():
        with average.swapped(state.model):
            row[kind] = validate(state.model, dev, limit, device)["reconstruction"]
    return row


def table(rows: Sequence[dict[str, Any]], marks: Sequence[int]) -> str:
    """Return the losses at some steps as Markdown: mean ± standard deviation over seeds."""
    lines = ["| weights | " + " | ".join(f"step {mark}" for mark in marks) + " |", "|---" * (len(marks) + 1) + "|"]
    for kind, title in KINDS.items():
        cells = []
        for mark in marks:
            values = [row[kind] for row in rows if row["step"] == mark]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.4f}{spread}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss of each kind over the steps, a thin line for each seed; re-estimations are dashed uprights."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    side = figure.subplots()
    seeds = sorted({row["seed"] for row in rows})
    for number, (kind, title) in enumerate(KINDS.items()):
        for seed in seeds:
            own = [row for row in rows if row["seed"] == seed]
            line = ([row["step"] for row in own], [row[kind] for row in own])
            side.plot(*line, color=f"C{number}", linewidth=1, label=title if seed == seeds[0] else None)
    for step in sorted({row["step"] for row in rows if row["reestimated"]}):
        side.axvline(step, color="grey", linestyle="--", linewidth=0.7)
    late = [row[kind] for row in rows for kind in KINDS if row["step"] > 0]
    side.set(
        xlabel="step", ylabel="dev reconstruction loss", ylim=(0.98 * min(late), 1.02 * statistics.quantiles(late)[2])
    )
    side.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=110)


def main() -> None:
    """Train, print the table, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("data", type=Path, help="folder of data directories train and dev")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the configuration")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--every", type=int, default=25, help="steps from one look to the next (25)")
    parser.add_argument("--marks", nargs="*", type=int, default=[], help="steps of the table; the last one without it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all losses")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="picture to write")
    options = parser.parse_args()
    config = configs.load(options.config, Config, options.set)
    rows = []
    for seed in options.seeds:
        seeded = configs.load(options.config, Config, [*options.set, f"train.seed={seed}"])
        rows += curves(seeded, options.data, options.every)
    if options.json:
        options.json.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    if options.plot:
        plot(rows, options.plot)
    print(table(rows, options.marks or [config.train.steps]))
    facts = environment()
    about = ", ".join(f"{name} {facts[name]}" for name in ("unitdisc", "commit", "torch"))
    print(f"\nDev reconstruction loss; seeds {' '.join(map(str, options.seeds))}; {about}")


if __name__ == "__main__":
    main()
