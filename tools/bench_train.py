#!/usr/bin/env python3
"""A training step against its own convolutions and matrix products run bare, and against reading its batch.

    python tools/bench_train.py [CONFIG] [--set model.encoder.channels=768 ...] [--rounds 15] [--threads 2]

The products are recorded from one step, forward and backward, and replayed alone on tensors of the same shapes and
strides; the step is everything: batch on the device, losses, quantiser with its reservoir, clipping, optimiser, running
average. Rounds alternate; medians are printed. The goal is a ratio of 1.5 at most.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unitdisc import config as configs
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.batches import share
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.model import UnitModel
from unitdisc.runlog import Meter, RunLog
from unitdisc.state import State
from unitdisc.step import train_step
from unitdisc.train import batch_plan
from unitdisc.train_config import Config

aten = torch.ops.aten
PRODUCTS = {
    aten.convolution.default, aten.convolution_backward.default, aten.mm.default, aten.addmm.default,
    aten.bmm.default, aten.baddbmm.default,
}  # fmt: skip


class Recorder(TorchDispatchMode):
    """Keeps the products of what runs inside, with stand-ins of the same shapes for their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
        self.flops = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in PRODUCTS:
            self.calls.append((func, tuple(_stand_in(a) for a in args), kwargs or {}))
        return out

    def replay(self) -> None:
        for func, args, kwargs in self.calls:
            func(*args, **kwargs)


def _stand_in(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    like = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)
    return like.normal_() if value.is_floating_point() else like.zero_()


def make_data(folder: Path, seconds: float = 600.0) -> DataDir:
    """Write ten minutes of noise, in utterances of ten seconds by four speakers."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    utts = [f"{'abcd'[n % 4]}-{n:03d}" for n in range(int(seconds / 10))]
    for utt in utts:
        soundfile.write(folder / f"{utt}.wav", 0.1 * random.standard_normal(160000), 16000)
    (folder / "wav.scp").write_text("".join(f"{u} {u}.wav\n" for u in sorted(utts)))
    (folder / "utt2spk").write_text("".join(f"{u} {u[0]}\n" for u in sorted(utts)))
    return DataDir.read(folder)


def timed(function: Callable[[], Any], device: torch.device) -> float:
    """Return the milliseconds that a call takes."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="YAML file; without it the defaults")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.yaml"
        path.write_text("{}")
        config = configs.load(options.config or path, Config, options.set)
        data = make_data(Path(folder) / "data")
        extract(data, ExtractConfig(config.model.features, config.model.targets))
        bench(config, data, Path(folder), options.rounds, device)


def bench(config: Config, data: DataDir, folder: Path, rounds: int, device: torch.device) -> None:
    """Measure and print."""
    model = UnitModel(config.model, sorted(data.spk2utt)).to(device)
    corpus = open_corpus(config.model, data, model)
    fit_normalisation_(model, data)
    state, log, meter = State(model, config.train), RunLog(folder / "run"), Meter()
    plan = batch_plan(corpus, config.train, model.stride)
    batches = Prefetcher(corpus, plan)
    while model.begin_step_(state.step) is None and state.step < 2000:  # on to a quantiser that quantises
        state.step += 1
        if state.step <= 3:
            train_step(state, batches.batch(state.step).to(device), meter, log, device)
    state.step += 1
    with Recorder() as recorder:
        train_step(state, batches.batch(state.step).to(device), meter, log, device)

    def step() -> None:
        state.step += 1
        model.begin_step_(state.step)
        train_step(state, batches.batch(state.step).to(device), meter, log, device)

    def read() -> None:
        corpus.batch(share(plan.chunks(state.step), 0, 1))

    rows: dict[str, list[float]] = {"step": [], "products": [], "reading": []}
    for _ in range(rounds):
        rows["step"].append(timed(step, device))
        rows["products"].append(timed(recorder.replay, device))
        rows["reading"].append(timed(read, device))
    batches.close()
    count = sum(p.numel() for p in model.parameters())
    print(f"{count} parameters, batch {config.train.batch} x {config.train.chunk} frames, "
          f"{len(recorder.calls)} products, {torch.get_num_threads()} threads, {device}")  # fmt: skip
    for name, values in rows.items():
        print(f"{name:9} {statistics.median(values):8.1f} ms  (min {min(values):.1f}, max {max(values):.1f})")
    ratios = [a / b for a, b in zip(rows["step"], rows["products"], strict=True)]
    print(f"step / products: {statistics.median(ratios):.2f}  (goal: at most 1.5)")
    shares = [a / b for a, b in zip(rows["reading"], rows["step"], strict=True)]
    print(f"reading / step:  {statistics.median(shares):.2f}  (read in a thread while the step before it trains)")


if __name__ == "__main__":
    main()
