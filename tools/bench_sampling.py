"""Time WaveNet sampling: the compiled kernel against a cached loop in PyTorch, for one utterance and for eight.

    python tools/bench_sampling.py                      # the default waveform decoder, one CPU core
    python tools/bench_sampling.py --device cuda        # CUDA graphs
    python tools/bench_sampling.py --decoder paper      # the widths of Chorowski et al. 2019

Rounds alternate between the candidates, and the median round of each counts, so that a busy moment hits all alike. On a
CPU the process is pinned to one core and torch to one thread; each round is timed by the wall clock and in CPU time,
which other processes on that core do not lengthen (those that share its caches still do).
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.outputs import Softmax
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling import graphs
from unitdisc.sampling.request import silence
from unitdisc.sampling.steps import Stepper

RATE = 16000
DECODERS = {
    "default": WaveNetConfig(),
    "paper": WaveNetConfig(residual=368, gate=736, skip=256, hidden=256),
}
CHANNELS = 128  # of the conditions


def cached_loop(net: WaveNet, output: Softmax, batch: int) -> Callable[[int, int], None]:
    """Return a plain loop over a step that keeps its past: what one writes in PyTorch without a compiler."""
    stepper = Stepper(net, output, batch)

    def run(steps: int, hop: int) -> None:
        given = stepper.given(torch.randn(-(-steps // hop), batch, CHANNELS))
        noise = torch.rand(steps, batch, 1)
        drawn = silence(output, batch, steps)
        for step in range(steps):
            drawn[:, step] = stepper(given[step // hop], noise[step])

    return run


def kernel(net: WaveNet, output: Softmax, batch: int) -> Callable[[int, int], None]:
    """Return the compiled CPU kernel."""
    from unitdisc.sampling import fast

    sampler = fast.Sampler(net, output, batch)

    def run(steps: int, hop: int) -> None:
        sampler.begin_(batch)
        sampler.push(torch.randn(batch, -(-steps // hop), CHANNELS), torch.rand(batch, steps, 1), hop)

    return run


def graph(net: WaveNet, output: Softmax, batch: int) -> Callable[[int, int], None]:
    """Return the recorded steps of a GPU."""
    recorded = graphs.Recorded(Stepper(net, output, batch))
    device = net.output.weight.device

    def run(steps: int, hop: int) -> None:
        recorded.stepper.begin_()
        given = recorded.stepper.given(torch.randn(-(-steps // hop), batch, CHANNELS, device=device))
        noise = torch.rand(steps, batch, 1, device=device)
        rows = torch.arange(steps, device=device) // hop
        for begin in range(0, steps, recorded.block):
            here = slice(begin, begin + recorded.block)
            recorded.advance(given[rows[here]], noise[here])
        torch.cuda.synchronize()

    return run


def measure(candidates: dict[str, tuple[Callable[[int, int], None], int, int, int]], rounds: int) -> dict[str, dict]:
    """Return samples per second of each candidate (function, batch, steps, hop), by median and best round."""
    first = {}
    for name, (run, _, steps, hop) in candidates.items():
        began = time.perf_counter()
        run(min(steps, 64), hop)  # compiles, or reads numba's cache
        first[name] = time.perf_counter() - began
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (run, _, steps, hop) in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(steps, hop)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    results = {}
    for name, (_, batch, steps, _) in candidates.items():
        walls, cpus = zip(*times[name], strict=True)
        results[name] = {
            "wall": batch * steps / statistics.median(walls),
            "cpu": batch * steps / statistics.median(cpus),
            "best": batch * steps / min(walls),
            "first_call_seconds": first[name],
        }
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", choices=DECODERS, default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--core", type=int, default=0, help="the CPU core to stay on")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="of speech per round of the compiled kernel")
    parser.add_argument("--hop", type=int, default=160, help="steps per row of conditions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    output = Softmax(256)
    net = output.network(DECODERS[options.decoder], CHANNELS).eval().to(options.device)
    steps = int(RATE * options.seconds)
    if options.device == "cpu":
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {options.core})
        candidates = {
            "loop": (cached_loop(net, output, 1), 1, steps // 16, options.hop),
            "fast": (kernel(net, output, 1), 1, steps, options.hop),
            "fast, conditions at every step": (kernel(net, output, 1), 1, steps, 1),
            "fast, batch of 8": (kernel(net, output, 8), 8, steps // 4, options.hop),
        }
    else:
        candidates = {
            f"graph, batch of {batch}": (graph(net, output, batch), batch, steps, options.hop) for batch in (1, 8, 64)
        }
    results = measure(candidates, options.rounds)
    if options.json:
        print(json.dumps({"decoder": options.decoder, "hop": options.hop, "device": _device(options), **results}))
        return
    print(f"{options.decoder} decoder {net.config}")
    print(
        f"{_device(options)}; torch {torch.__version__}; {CHANNELS} condition channels, a row per {options.hop} steps"
    )
    print(
        f"{'samples/s, median of ' + str(options.rounds):34}{'wall':>9}{'CPU':>9}{'best':>9}  x real time  first call"
    )
    for name, result in results.items():
        figures = "".join(f"{result[key]:9,.0f}" for key in ("wall", "cpu", "best"))
        print(f"{name:34}{figures}{result['wall'] / RATE:13.2f}{result['first_call_seconds']:10.1f} s")
    if "loop" in results:
        for key in ("wall", "cpu"):
            one, eight, loop = (results[name][key] for name in ("fast", "fast, batch of 8", "loop"))
            print(f"by {key} time: fast is {one / loop:.1f} x the loop; a batch of 8 is {eight / one:.2f} x one")


def _device(options: argparse.Namespace) -> str:
    if options.device != "cpu":
        return torch.cuda.get_device_name(options.device)
    names = [line for line in _cpuinfo() if line.startswith("model name")]
    return f"one core of {names[0].split(':')[1].strip() if names else platform.processor()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8").splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
