"""How fast layers of self-supervised models are made, beside transformers one utterance at a time.

python tools/bench_ssl.py [--size tiny base] [--layer 9] [--utterances 32] [--rounds 5] [--precision float32]

Networks have random weights, since speed does not depend on them. Utterances are noise, 2 to 16 s long. Both sides take
the same two cores: transformers by two threads, unitdisc by two workers of one thread, as `--jobs 2` has them.
They take turns, and medians are printed in seconds of audio per second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from unitdisc.features.configs import HubertConfig
from unitdisc.features.frames import FrameMaker

SIZES = {
    "tiny": {
        "hidden_size": 64, "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 128,
        "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    },
    "base": {},
}  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["tiny", "base"])
    parser.add_argument("--layer", type=int, default=9)
    parser.add_argument("--utterances", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    seconds = random.uniform(2, 16, options.utterances)
    waves = [(0.1 * random.standard_normal(int(16000 * s))).astype(np.float32) for s in seconds]
    print(f"{options.utterances} utterances, {sum(seconds):.0f} s, layer {options.layer}, {options.precision}")
    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = of_transformers(size, Path(folder), options), of_unitdisc(Path(folder), options)
            times: dict[str, list[float]] = {"transformers": [], "unitdisc": []}
            for turn in range(options.rounds + 1):
                for name, run in (("transformers", theirs), ("unitdisc", ours)):
                    start = time.perf_counter()
                    run(waves)
                    if turn:  # the first is for warming up
                        times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values) for name, values in times.items()}
        rates = ", ".join(f"{name} {sum(seconds) / value:.1f}" for name, value in medians.items())
        print(
            f"{size}: {rates} s of audio per s; ratio {medians['transformers'] / medians['unitdisc']:.2f}", flush=True
        )


def of_transformers(size: str, folder: Path, options: argparse.Namespace) -> Callable[[list[np.ndarray]], None]:
    """Return what runs all waves one by one, as everybody does: all layers, of which one is taken."""
    import transformers

    torch.manual_seed(0)
    model = transformers.HubertModel(transformers.HubertConfig(**SIZES[size])).eval()
    model.save_pretrained(folder)
    model.to(getattr(torch, options.precision))

    @torch.no_grad()
    def run(waves: list[np.ndarray]) -> None:
        torch.set_num_threads(2)
        for wave in waves:
            samples = torch.from_numpy(wave)[None].to(model.dtype)
            model(samples, output_hidden_states=True).hidden_states[options.layer].float().numpy()

    return run


def of_unitdisc(folder: Path, options: argparse.Namespace) -> Callable[[list[np.ndarray]], None]:
    """Return what runs all waves, shared out among workers."""
    config = HubertConfig(checkpoint=folder, layer=options.layer, precision=options.precision)
    maker, pool = FrameMaker(config), ThreadPoolExecutor(options.jobs, initializer=torch.set_num_threads, initargs=(1,))

    def run(waves: list[np.ndarray]) -> None:
        tasks = [waves[n :: options.jobs] for n in range(options.jobs)]
        for _ in pool.map(lambda task: maker.raw_of_all(task, 16000), tasks):
            pass

    return run


if __name__ == "__main__":
    main()
