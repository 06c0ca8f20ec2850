"""Measure the speed of the quantisers, both sides in turn in one process.

python tools/bench_quantizers.py speed      # the training step against addmm + argmin and vector-quantize-pytorch's
python tools/bench_quantizers.py kmeans     # re-estimation against scikit-learn's k-means
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitdisc.quantizers import VQ, Quantizer, ScheduleConfig, VQConfig
from unitdisc.quantizers.clustering import kmeans, seed_centres

DIM = 64


def alternate(
    actions: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time each action in turn, `rounds` times, in milliseconds; the first turn is not counted."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            start = clock()
            action()
            if turn:
                times[name].append((clock() - start) * 1e3)
    return times


def training_step(quantizer: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return the step of a quantiser alone: forward, backward into x and its own weights."""
    x = x.clone().requires_grad_()

    def step() -> None:
        x.grad = None
        quantizer.zero_grad(set_to_none=True)
        out = quantizer(x)
        values, loss = (out.values, out.loss) if isinstance(quantizer, Quantizer) else (out[0], out[2])
        torch.autograd.backward([values, loss.sum()], [torch.ones_like(values), None])
        if isinstance(quantizer, Quantizer) and x.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def speed(options: argparse.Namespace) -> None:
    """Print the time of a whole training step, 6400 vectors of 64, alternating in one process."""
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    collecting = ScheduleConfig(warm_up=0, every=10**6, until=10**7)
    for codes in options.codes:
        x = torch.randn(32, 200, DIM, device=device)
        flat, words = x.view(-1, DIM), torch.randn(codes, DIM, device=device)
        plain = VQ(DIM, VQConfig(codes=codes, dim=None, norm="none", schedule=collecting)).to(device)
        full = VQ(DIM, VQConfig(codes=codes, schedule=collecting)).to(device)
        for ours in (plain, full):
            ours.begin_step_(0)
            ours.codebook.data.normal_()

        def bound(flat: Tensor = flat, words: Tensor = words) -> Tensor:
            units = torch.addmm(words.square().sum(1), flat, words.t(), alpha=-2).argmin(1)
            return units.cpu() if units.is_cuda else units

        actions = {
            "addmm + argmin": bound,
            "VQ": training_step(plain, x),
            "VQ, normalised and projected": training_step(full, x),
        }
        if not options.without_peer:
            from vector_quantize_pytorch import VectorQuantize

            actions["vector-quantize-pytorch"] = training_step(VectorQuantize(DIM, codes).to(device), x)
        times = alternate(actions, options.rounds, time.process_time if options.processor else time.perf_counter)
        base = statistics.median(times["addmm + argmin"])
        for name, values in times.items():
            middle = statistics.median(values)
            print(
                f"{codes:6d}  {name:30s} {middle:8.1f} ms  (fastest {min(values):.1f})  {middle / base:6.2f} x",
                flush=True,
            )


def bench_kmeans(options: argparse.Namespace) -> None:
    """Print time and inertia of 2048 codes from 20480 vectors against scikit-learn's."""
    from sklearn.cluster import k_means

    torch.set_num_threads(options.threads)
    for name, x in kmeans_inputs(options.cache):
        for seed in options.seeds:
            found: dict[str, float] = {}

            def ours(x: Tensor = x, seed: int = seed, found: dict[str, float] = found) -> None:
                found["ours"] = kmeans(x, 2048, torch.Generator().manual_seed(seed)).inertia

            def theirs(x: Tensor = x, seed: int = seed, found: dict[str, float] = found) -> None:
                found["sklearn"] = k_means(x.numpy(), 2048, n_init=1, random_state=seed)[2] / len(x)

            seed_centres(x, 64, torch.Generator().manual_seed(seed))  # threads and libraries are up
            seconds = {}
            for label, action in (("ours", ours), ("sklearn", theirs)):
                wall, cpu = time.perf_counter(), time.process_time()
                action()
                seconds[label] = (time.perf_counter() - wall, time.process_time() - cpu)
            (wall, cpu), (their_wall, their_cpu) = seconds["ours"], seconds["sklearn"]
            print(
                f"{name} seed {seed}: {wall:.2f} s ({cpu:.2f} s of processor) against {their_wall:.2f} s "
                f"({their_cpu:.2f}): {their_wall / wall:.1f} x faster; inertia {found['ours']:.4f} against "
                f"{found['sklearn']:.4f} "
                f"({found['ours'] / found['sklearn'] - 1:+.2%})",
                flush=True,
            )


def kmeans_inputs(cache: Path | None) -> Iterator[tuple[str, Tensor]]:
    """Yield 20480 x 64 vectors: noise, a curved surface of 8 dimensions with noise, and MFCC of real speech."""
    generator = torch.Generator().manual_seed(1)
    yield "noise", torch.randn(20480, 64, generator=generator)
    latent = torch.randn(20480, 8, generator=generator) @ torch.randn(8, 64, generator=generator)
    mixed = latent.tanh() @ torch.randn(64, 64, generator=generator) * 0.4
    yield "surface", mixed + 0.3 * torch.randn(20480, 64, generator=generator)
    if cache is not None:
        frames = torch.from_numpy(np.load(cache)["train"])
        chosen = torch.randperm(len(frames) - 2, generator=generator)[:20480]
        yield "speech", torch.cat([frames[chosen], frames[chosen + 2]], 1)[:, :DIM].contiguous()


def main() -> None:
    """Parse and run one mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(required=True)
    add = modes.add_parser("speed")
    add.set_defaults(run=speed)
    add.add_argument("--codes", type=int, nargs="+", default=[2048, 8192])
    add.add_argument("--threads", type=int, default=2)
    add.add_argument("--without-peer", action="store_true")
    add.add_argument(
        "--processor", action="store_true", help="processor time, not wall time: for a busy machine, with one thread"
    )
    add.add_argument("--rounds", type=int, default=15)
    add.add_argument("--device", default="cpu")
    add = modes.add_parser("kmeans")
    add.set_defaults(run=bench_kmeans)
    add.add_argument("--cache", type=Path, help="of tools/bench_robustness.py features: speech, too")
    add.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
