#!/usr/bin/env python3
"""What a GPU does, beside the CPU of the same machine: tests, trainings, encoding, k-means, sampling.

    python tools/gpu.py measure OUT [--seconds 480] [--short]     OUT/gpu.json and OUT/gpu.md
    python tools/gpu.py decoder OUT TRAIN DEV [--seconds 480]     a training of the waveform decoder, gone on with

Speech is made up: what counts is how fast, not how well. Each part has its share of the seconds, and what fails is
written down with its error; the other parts go on. `--short` takes tiny models and a second a part, to try the script.
Without a GPU only the CPU's column is filled. The share of the peak is that of a large matrix product, measured here.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchaudio
from bench_abx import make_speech
from bench_train import make_data
from torch.utils.flop_counter import FlopCounterMode

from unitdisc import config as configs
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.features.build import feature_dim
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.model import UnitModel
from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.outputs import Softmax
from unitdisc.quantizers.clustering import kmeans
from unitdisc.runlog import Meter, RunLog
from unitdisc.sampling import Request, sample
from unitdisc.state import State, precision_of
from unitdisc.step import train_step
from unitdisc.targets import Targets
from unitdisc.train import batch_plan
from unitdisc.train_config import Config

ROOT = Path(__file__).parent.parent
CONF = ROOT / "egs" / "librispeech" / "conf"
TINY = {
    "small": ["model.encoder.channels=16", "train.batch=2", "train.chunk=32", "train.targets={at: [0], classes: 8}"],
    "paper": ["model.encoder.channels=16", "train.batch=2", "train.chunk=8",
              "model.decoder.wavenet={layers: 4, cycles: 2, residual: 8, gate: 16, skip: 8, hidden: 8}"],
}  # fmt: skip
Row = dict[str, float | str]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(function: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Return how often a second a call is done; the first call, which is slower, is left out."""
    function()
    wait(device)
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        function()
        calls += 1
        if calls % 8 == 0:
            wait(device)
    wait(device)
    return calls / (time.perf_counter() - began)


def peak(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Return the operations a second of a large matrix product."""
    x = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 * rate(lambda: x @ x, device, 0.5)


class Bench:
    """The parts, on one device."""

    def __init__(self, device: str, seconds: float, short: bool, folder: Path) -> None:
        self.device, self.seconds, self.short, self.folder = torch.device(device), seconds, short, folder

    def training(self, name: str) -> Row:
        """Train for a while with all that a step has, batches read by processes included."""
        config = configs.load(CONF / f"{name}.yaml", Config, TINY[name] if self.short else [])
        data = self._data(config, name)
        torch.manual_seed(0)
        model = UnitModel(config.model, sorted(data.spk2utt))
        fit_normalisation_(model, data)
        state = State(model.to(self.device), config.train)
        corpus, log, meter = open_corpus(config.model, data, model), RunLog(self.folder / "run"), Meter()
        workers = 0 if self.short else 4
        batches = Prefetcher(corpus, batch_plan(corpus, config.train, model.stride), workers=workers,
                             pinned=self.device.type == "cuda")  # fmt: skip
        targets: Targets | None = None
        if model.prediction is not None:
            folder = self.folder / f"targets-{self.device.type}"
            targets = Targets(folder, config.train.targets, config.train.steps, 0, corpus, corpus)
            targets.open_(targets.make(0, model))

        def step() -> None:
            batch = batches.batch(state.step)
            model.begin_step_(state.step)
            batch = (batch if targets is None else targets.label_(batch)).to(self.device)
            train_step(state, batch, meter, log, self.device)
            state.step += 1

        with FlopCounterMode(display=False) as counter:
            step()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        steps = rate(step, self.device, self.seconds)
        batches.close()
        size, dtype = 8192 if self.device.type == "cuda" else 1024, precision_of(config.train, self.device)
        row: Row = {
            "steps/s": steps,
            "share of peak": counter.get_total_flops() * steps / peak(self.device, dtype, size),
        }
        if self.device.type == "cuda":
            row["GiB"] = torch.cuda.max_memory_allocated() / 2**30
        return row

    def _data(self, config: Config, name: str) -> DataDir:
        path = self.folder / f"data-{name}"
        if path.exists():
            return DataDir.read(path)
        data = make_data(path, 40.0 if self.short else 1200.0)
        extract(data, ExtractConfig(config.model.features))
        return data

    def encode(self) -> Row:
        """Encode utterances of ten seconds, 64 at a time, by the encoder of base.yaml."""
        config = configs.load(CONF / "base.yaml", Config, ["model.encoder.channels=16"] if self.short else [])
        config = configs.from_tree(Config, configs.merge(configs.to_tree(config), {
            "model": {"quantizer": {"schedule": {"warm_up": 0, "until": 0}}, "decoder": {"kind": "none"}}
        }), "base.yaml")  # fmt: skip
        torch.manual_seed(0)
        model = UnitModel(config.model, ["a"]).to(self.device).eval()
        count = 2 if self.short else 64
        frames = torch.randn(count, 1000, feature_dim(config.model.features), device=self.device)
        lengths = torch.full((count,), 1000)
        calls = rate(lambda: model.encode(frames, lengths), self.device, self.seconds)
        return {"s of audio/s": calls * count * 10}

    def clusters(self) -> Row:
        """Cluster vectors of 64 numbers."""
        count, codes = (2000, 10) if self.short else (200_000, 500)
        vectors = torch.randn(count, 64, generator=torch.Generator().manual_seed(0)).to(self.device)
        began = time.perf_counter()
        found = kmeans(vectors, codes, torch.Generator().manual_seed(0), iterations=20)
        wait(self.device)
        return {"s": time.perf_counter() - began, "iterations": found.iterations}

    def ssl(self) -> Row:
        """Run the network of HuBERT base, with random weights, over four utterances of ten seconds."""
        if self.short:
            return {"note": "left out of the short form"}
        network = torchaudio.models.hubert_base().to(self.device).eval()
        waves = torch.randn(4, 160000, device=self.device)
        with torch.inference_mode():
            return {"s of audio/s": 40 * rate(lambda: network.extract_features(waves), self.device, self.seconds)}

    def abx(self) -> Row:
        """Score made-up speech by ABX, any context, across speakers: on the CPU's cores alone."""
        if self.device.type != "cpu":
            return {"note": "counted on the CPU"}
        folder = self.folder / "abx"
        folder.mkdir()
        make_speech(folder, 0.5 if self.short else 10.0, 4)
        began = time.perf_counter()
        score_abx(folder / "features", folder / "phones.item", 0.01, AbxOptions("across", "any"))
        return {"s": time.perf_counter() - began}

    def sampling(self) -> Row:
        """Draw samples of 16 kHz from the default waveform decoder, eight utterances at once."""
        net = Softmax(256).network(WaveNetConfig(layers=4, cycles=1) if self.short else WaveNetConfig(), 128)
        net = net.to(self.device).eval()
        hops = 2 if self.short else 50
        condition = torch.randn(8, hops, 128, device=self.device)
        request = Request.of(net, Softmax(256), condition, hop=320)
        calls = rate(lambda: sample(request), self.device, self.seconds)
        return {"s of audio/s": calls * 8 * hops * 320 / 16000}


def run(command: list[str], seconds: float) -> Row:
    """Run a command for at most so many seconds; return its code and its last line."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"code": 124, "says": f"not done after {seconds:.0f} s"}
    lines = (done.stdout + done.stderr).strip().splitlines()
    return {"code": done.returncode, "says": lines[-1] if lines else ""}


def measure(out: Path, seconds: float, short: bool) -> None:
    """Measure all parts and write the tables."""
    began = time.perf_counter()
    gpu = torch.cuda.is_available()
    part = 0.2 if short else seconds / 20
    report: dict[str, Any] = {
        "torch": torch.__version__, "python": platform.python_version(), "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if gpu else None, "seconds": seconds, "short": short, "parts": {},
    }  # fmt: skip
    if gpu and not short:
        report["parts"]["pytest -m gpu"] = {"cuda": run([sys.executable, "-m", "pytest", "-m", "gpu"], seconds / 4)}
    with tempfile.TemporaryDirectory() as name:
        for device in ("cuda", "cpu") if gpu else ("cpu",):
            bench = Bench(device, part * (2 if device == "cuda" else 1), short, Path(name))
            parts: dict[str, Callable[[], Row]] = {
                "train small.yaml": lambda bench=bench: bench.training("small"),
                "train paper.yaml": lambda bench=bench: bench.training("paper"),
                "encode": bench.encode, "SSL network": bench.ssl, "k-means": bench.clusters, "ABX": bench.abx,
                "sampling": bench.sampling,
            }  # fmt: skip
            for title, function in parts.items():
                row: Row
                if time.perf_counter() - began > seconds:
                    row = {"error": "no time was left"}
                else:
                    try:
                        row = function()
                    except Exception as error:  # a part that fails is a finding, and the others are wanted too
                        row = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
                print(f"{device} {title}: {row}", file=sys.stderr, flush=True)
                report["parts"].setdefault(title, {})[device] = row
    report["took"] = time.perf_counter() - began
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "gpu.md").write_text(table(report))
    print(table(report))


def table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table."""
    lines = [f"# {report['gpu'] or 'No GPU'}, and {report['cpu_threads']} threads of its CPU", ""]
    lines += ["| part | GPU | CPU |", "|---|---|---|"]
    for title, row in report["parts"].items():
        lines.append(f"| {title} | {cell(row.get('cuda'))} | {cell(row.get('cpu'))} |")
    return "\n".join(lines) + "\n"


def cell(row: Row | None) -> str:
    """Return one part's numbers in words."""
    values = {name: f"{x:.3g}" if isinstance(x, float) else x for name, x in (row or {}).items()}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"


def decoder(out: Path, train: Path, dev: Path, seconds: float) -> int:
    """Train the waveform decoder of paper.yaml for a while; the next call goes on from there."""
    command = [sys.executable, "-m", "unitdisc", "train", str(CONF / "paper.yaml"), str(out / "decoder"),
               "--train", str(train), "--dev", str(dev)]  # fmt: skip
    process = subprocess.Popen(command, cwd=Path.cwd())
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGUSR1)  # it saves, and ends
    code = process.wait()
    return 0 if code == 130 else code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measured = verbs.add_parser("measure")
    measured.add_argument("out", type=Path)
    measured.add_argument("--short", action="store_true")
    trained = verbs.add_parser("decoder")
    for name in ("out", "train", "dev"):
        trained.add_argument(name, type=Path)
    for verb in (measured, trained):
        verb.add_argument("--seconds", type=float, default=480.0)
    options = parser.parse_args()
    if options.verb == "decoder":
        sys.exit(decoder(options.out, options.train, options.dev, options.seconds))
    measure(options.out, options.seconds, options.short)


if __name__ == "__main__":
    main()
