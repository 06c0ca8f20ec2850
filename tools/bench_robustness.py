"""Measure the robustness of codebook training: codes in use and error of a small auto-encoder of speech.

python tools/bench_robustness.py features FOLDER CACHE [--dev SPEAKER ...]    # audio -> MFCC in one file, once
python tools/bench_robustness.py rows CACHE OUT.jsonl --codes 2048 [--rows all vanilla] [--seeds 0 1 2]
python tools/bench_robustness.py table OUT.jsonl            # Markdown
python tools/bench_robustness.py scale CACHE OUT.jsonl docs/img/scale.png

Rows are the parts of robust training alone and together, and vector-quantize-pytorch; `scale` multiplies the first
codewords. Both skip what OUT.jsonl already holds, so they may be stopped and started again.
"""

import argparse
import itertools
import json
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unitdisc.quantizers import OFF, VQ, EMAConfig, Quantized, Quantizer, ScheduleConfig, VQConfig, build_quantizer
from unitdisc.quantizers.health import perplexity

DEV_SPEAKERS = ("174", "777", "1462", "2412")  # of LibriSpeech; with --dev others
DIM_IN, DIM = 64, 64
BATCH, CROP = 32, 128  # utterances, frames of each
NORM = "before-projection"


def make_features(options: argparse.Namespace) -> None:
    """Write the normalised MFCC of a tree of SPEAKER-....wav, training and development speakers, to one npz file."""
    from unitdisc.data.audio import load_audio
    from unitdisc.features.acoustic import MfccConfig
    from unitdisc.features.build import build_raw_features

    torch.set_num_threads(1)
    extract = build_raw_features(MfccConfig())
    sets: dict[str, list[np.ndarray]] = {"train": [], "dev": []}
    for path in sorted(p for p in options.folder.rglob("*") if p.suffix in (".flac", ".ogg", ".wav")):
        wave = torch.from_numpy(load_audio(path, 16000))[None]
        frames = extract(wave, torch.tensor([wave.shape[1]]))[0][0].numpy()
        sets["dev" if path.name.split("-")[0] in options.dev else "train"].append(frames)
    train = np.concatenate(sets["train"])
    mean, std = train.mean(0), train.std(0)
    np.savez(options.cache, **{name: (np.concatenate(part) - mean) / std for name, part in sets.items()})
    print({name: sum(map(len, part)) for name, part in sets.items()}, "frames")


@dataclass(frozen=True)
class Row:
    """One row of the table; the peer library's has no config of ours."""

    config: VQConfig | EMAConfig | None
    norm_of_peer: bool = False
    decay: float = 0.8


def rows(codes: int, steps: int) -> dict[str, Row]:
    """Return the rows: each part of robust training alone and together, EMA, and the peer's best settings."""
    data = ScheduleConfig(warm_up=steps // 8, every=steps // 16, until=steps * 5 // 8)
    vanilla = VQConfig(codes=codes, norm="none", learning_rate_factor=1, schedule=OFF)
    normed = replace(vanilla, norm=NORM)
    return {
        "vanilla": Row(vanilla),
        "+BN": Row(normed),
        "+BN +lr": Row(replace(normed, learning_rate_factor=10)),
        "+BN +data": Row(replace(normed, schedule=data)),
        "all": Row(replace(normed, learning_rate_factor=10, schedule=data)),
        "EMA +BN": Row(EMAConfig(codes=codes, norm=NORM, schedule=OFF)),
        "EMA +BN +data": Row(EMAConfig(codes=codes, norm=NORM, schedule=data)),
        "vqp": Row(None),
        "vqp +BN": Row(None, norm_of_peer=True),
        "vqp +BN, decay 0.99": Row(None, norm_of_peer=True, decay=0.99),
    }


class Peer(nn.Module):
    """vector-quantize-pytorch's best settings behind the same projection, and the same normalisation if wished."""

    def __init__(self, codes: int, row: Row) -> None:
        from vector_quantize_pytorch import VectorQuantize

        super().__init__()
        self.front = VQ(DIM_IN, VQConfig(norm=NORM if row.norm_of_peer else "none", schedule=OFF)).front
        self.vq = VectorQuantize(
            DIM,
            codes,
            decay=row.decay,
            kmeans_init=True,
            threshold_ema_dead_code=2,
            rotation_trick=True,
            commitment_weight=0.25,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values, units and loss."""
        values, units, loss = self.vq(self.front(x.reshape(-1, DIM_IN)).view(*x.shape[:2], DIM))
        return values, units, loss.sum()


class Auto(nn.Module):
    """A small convolutional auto-encoder of MFCC with a bottleneck at half the frame rate."""

    def __init__(self, features: int, quantizer: nn.Module) -> None:
        super().__init__()
        wide = DIM_IN
        self.encoder = nn.Sequential(
            nn.Conv1d(features, wide, 3, padding=1), nn.ReLU(), nn.Conv1d(wide, wide, 4, stride=2, padding=1),
            nn.ReLU(), nn.Conv1d(wide, wide, 3, padding=1), nn.ReLU(), nn.Conv1d(wide, wide, 1),
        )  # fmt: skip
        self.quantizer = quantizer
        self.decoder = nn.Sequential(
            nn.Conv1d(DIM, wide, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(wide, wide, 4, stride=2, padding=1),
            nn.ReLU(), nn.Conv1d(wide, features, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction error, quantiser's loss, and units."""
        out = self.quantizer(self.encoder(x.transpose(1, 2)).transpose(1, 2))
        values, units, loss = (out.values, out.units, out.loss) if isinstance(out, Quantized) else out
        return (self.decoder(values.transpose(1, 2)).transpose(1, 2) - x).square().mean(), loss, units


def crops(frames: np.ndarray, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield batches [BATCH, CROP, D] of random pieces."""
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        starts = draw.integers(0, len(frames) - CROP, BATCH)
        yield torch.from_numpy(np.stack([frames[s : s + CROP] for s in starts]))


def train_one(frames: dict[str, np.ndarray], row: Row, codes: int, seed: int, steps: int, scale: float = 1) -> dict:
    """Train one auto-encoder and measure it on the whole development set."""
    torch.manual_seed(seed)
    quantizer = Peer(codes, row) if row.config is None else build_quantizer(row.config, DIM_IN)
    model = Auto(frames["train"].shape[1], quantizer)
    start, cpu = time.perf_counter(), time.process_time()
    ours = quantizer if isinstance(quantizer, Quantizer) else None
    if ours is not None and scale != 1:
        ours.get_parameter("codebook").data *= scale
    groups = ours.parameter_groups(1e-3) if ours else [{"params": quantizer.parameters(), "lr": 1e-3}]
    optimizer = torch.optim.Adam(
        [{"params": [*model.encoder.parameters(), *model.decoder.parameters()]}, *groups], 1e-3
    )
    for step, x in enumerate(crops(frames["train"], steps, seed)):
        if ours and ours.begin_step_(step):
            for parameter in ours.codebook_parameters():
                optimizer.state.pop(parameter, None)
        error, loss, _ = model(x)
        optimizer.zero_grad()
        (error + loss).backward()
        optimizer.step()
    model.eval()
    counts, errors = torch.zeros(codes, dtype=torch.int64), []
    whole = frames["dev"][: len(frames["dev"]) // CROP * CROP].reshape(-1, CROP, frames["dev"].shape[1])
    with torch.no_grad():
        for part in np.array_split(whole, max(1, len(whole) // BATCH)):
            error, _, units = model(torch.from_numpy(part))
            counts += torch.bincount(units.flatten(), minlength=codes)
            errors.append(float(error) * len(part))
    return {
        "used": float((counts > 0).double().mean()),
        "perplexity": float(perplexity(counts)),
        "error": sum(errors) / len(whole),
        "vectors": int(counts.sum()),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run_rows(options: argparse.Namespace) -> None:
    """Append one line of JSON per run to a file; stop in time if asked to."""
    torch.set_num_threads(1)
    frames = dict(np.load(options.cache))
    done = {(r["row"], r["codes"], r["seed"], r["steps"]) for r in read_lines(options.out) if r["mode"] == "rows"}
    end = time.monotonic() + options.seconds
    for seed, codes in itertools.product(options.seeds, options.codes):
        table = rows(codes, options.steps)
        for name in options.rows or table:
            if (name, codes, seed, options.steps) in done:
                continue
            if time.monotonic() > end:
                return
            found = train_one(frames, table[name], codes, seed, options.steps)
            append_line(
                options.out,
                {"mode": "rows", "row": name, "codes": codes, "seed": seed, "steps": options.steps, **found},
            )


def run_scales(options: argparse.Namespace) -> None:
    """Plot codes in use and error against the codewords' first scale, with and without the cures."""
    torch.set_num_threads(1)
    frames = dict(np.load(options.cache))
    done = {(r["row"], r["scale"]) for r in read_lines(options.out) if r["mode"] == "scale"}
    table, end = rows(256, options.steps), time.monotonic() + options.seconds
    for name, exponent in itertools.product(("vanilla", "+BN", "+BN +lr", "all"), (-3, -2, -1, 0, 1, 2)):
        scale = 10.0**exponent
        if (name, scale) in done:
            continue
        if time.monotonic() > end:
            return
        found = train_one(frames, table[name], 256, 0, options.steps, scale)
        append_line(options.out, {"mode": "scale", "row": name, "codes": 256, "scale": scale, **found})
    plot_scale([r for r in read_lines(options.out) if r["mode"] == "scale"], options.image)


def plot_scale(lines: list[dict], image: Path) -> None:
    """Draw perplexity and reconstruction error against the scale of the first codewords."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), dpi=80)
    for name in dict.fromkeys(line["row"] for line in lines):
        points = sorted((r["scale"], r["perplexity"], r["error"]) for r in lines if r["row"] == name)
        for axis, column in zip(axes, (1, 2), strict=True):
            axis.plot([p[0] for p in points], [p[column] for p in points], marker="o", label=name)
    for axis, label in zip(axes, ("perplexity of 256 codes", "reconstruction error (MSE)"), strict=True):
        axis.set(xscale="log", xlabel="scale of the first codewords (1: Xavier)", ylabel=label)
        axis.legend(fontsize=7)
    figure.tight_layout()
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image)


def print_table(options: argparse.Namespace) -> None:
    """Print mean and range over the seeds as Markdown."""
    lines = [r for r in read_lines(options.out) if r["mode"] == "rows"]
    print("| codes | row | codes in use, % | perplexity | error (MSE) | seeds | s of processor |")
    print("|---|---|---|---|---|---|---|")
    for codes in sorted({r["codes"] for r in lines}):
        for name in rows(codes, 1000):
            runs = [r for r in lines if r["row"] == name and r["codes"] == codes]
            if runs:
                cells = [spread([100 * r["used"] for r in runs], 1), spread([r["perplexity"] for r in runs], 0)]
                cells += [spread([r["error"] for r in runs], 4), str(len(runs))]
                cells += [f"{statistics.mean(r['cpu_seconds'] for r in runs):.0f}"]
                print(f"| {codes} | {name} | {' | '.join(cells)} |")


def spread(values: list[float], digits: int) -> str:
    """Return 'mean (least to most)'."""
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def read_lines(path: Path) -> list[dict]:
    """Return the runs that a file holds."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def append_line(path: Path, record: dict) -> None:
    """Add one run to a file."""
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)


def main() -> None:
    """Parse and run one mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(required=True)
    actions = {"features": make_features, "rows": run_rows, "table": print_table, "scale": run_scales}
    add = {name: modes.add_parser(name) for name in actions}
    for name, action in actions.items():
        add[name].set_defaults(run=action)
    add["features"].add_argument("folder", type=Path)
    add["features"].add_argument("--dev", nargs="+", default=DEV_SPEAKERS)
    for name in ("features", "rows", "scale"):
        add[name].add_argument("cache", type=Path)
    for name in ("rows", "table", "scale"):
        add[name].add_argument("out", type=Path)
    add["scale"].add_argument("image", type=Path)
    add["rows"].add_argument("--rows", nargs="*")
    add["rows"].add_argument("--codes", type=int, nargs="+", default=[2048, 8192])
    add["rows"].add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name in ("rows", "scale"):
        add[name].add_argument("--steps", type=int, default=640)
        add[name].add_argument("--seconds", type=float, default=1e9, help="start no run after this many")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
