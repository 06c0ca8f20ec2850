#!/usr/bin/env python3
"""How fast batches come, beside how fast a training on this machine takes them.

    python tools/bench_batches.py [CONFIG] [--set train.batch=32 ...] [--steps 100] [--workers 0 1 2]

First the steps of the training itself are timed; then a model that costs nothing takes the same batches, read by a
thread (0) or by so many processes. The goal is 4 times the training's rate with 2 processes.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from bench_train import make_data

from unitdisc import config as configs
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.prefetch import Prefetcher
from unitdisc.features.augment import Versions
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.model import UnitModel
from unitdisc.runlog import Meter, RunLog
from unitdisc.state import State
from unitdisc.step import train_step
from unitdisc.targets import Targets
from unitdisc.train import batch_plan
from unitdisc.train_config import Config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="YAML file; without it the defaults")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--train-steps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=600.0, help="of made-up speech")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.yaml").write_text("{}")
        config = configs.load(options.config or folder / "empty.yaml", Config, options.set)
        data = make_data(folder / "data", options.seconds)
        streams = config.model.decoder.streams(config.model.targets)
        archives = {s.archive: s.features for s in streams if s.features is not None}
        extract(data, replace(ExtractConfig(config.model.features), **archives))
        model = UnitModel(config.model, sorted(data.spk2utt))
        corpus = open_corpus(config.model, data, model)
        fit_normalisation_(model, data)
        if config.train.augment.on:
            total = int(corpus.lengths.sum())
            corpus.versions = Versions(
                config.model.features, config.train.augment, data, 0, folder / "versions", corpus.utts, total
            )
        plan = batch_plan(corpus, config.train, model.stride)
        state, log, meter = State(model, config.train), RunLog(folder / "run"), Meter()
        targets = None
        if model.prediction is not None:
            targets = Targets(folder / "targets", config.train.targets, config.train.steps, 0, corpus, corpus)
            targets.open_(targets.make(0, model))
        batches = [Prefetcher(corpus, plan).batch(step) for step in range(options.train_steps + 1)]
        began = busy = 0.0
        for step, batch in enumerate(batches):
            if step == 1:  # the first step is slow everywhere
                began, busy = time.perf_counter(), time.process_time()
            model.begin_step_(step)
            train_step(state, batch if targets is None else targets.label_(batch), meter, log, torch.device("cpu"))
        rate = options.train_steps / (time.perf_counter() - began)
        taken = (time.process_time() - busy) / options.train_steps
        print(f"a training on {torch.get_num_threads()} threads takes {rate:.1f} batches a second")
        for workers in options.workers:
            reader = Prefetcher(corpus, plan, workers=workers)
            reader.batch(0)
            began, busy = time.perf_counter(), time.process_time()
            for step in range(1, options.steps + 1):
                reader.batch(step)
            fed = options.steps / (time.perf_counter() - began)
            read = (time.process_time() - busy) / options.steps
            reader.close()
            print(f"{workers} processes read {fed:.1f} a second, {fed / rate:.1f} times as many")
            if not workers:  # nothing else is done here meanwhile; for a machine on which other programs run
                print(f"  processor time: {taken * 1e3:.1f} ms a step, {read * 1e3:.1f} ms to read a batch")


if __name__ == "__main__":
    main()
