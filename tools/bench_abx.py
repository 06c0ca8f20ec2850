"""Time `score abx` on made-up speech, beside fastabx where a Python that has it is given.

    python tools/bench_abx.py [--peer .venv312/bin/python] [--minutes 45] [--speakers 20] [--full]

Frames follow a slow random walk around a phone's and a speaker's mean, and phones have the lengths and the skewed
frequencies of speech, so that the error is neither 0 nor chance. Times are seconds of one call from files to the
number, on all cores the process may use, after a first call that compiles (numba keeps what it compiled); "cpu" is
what all threads used, which on a busy machine is the fairer figure (with --jobs 1: the peer's threads also spin).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIM, PERIOD, PHONES = 39, 0.01, 39
MODES = [("across", "any"), ("within", "any"), ("within", "within"), ("across", "within")]


def make_speech(folder: Path, minutes: float, speakers: int, seed: int = 0) -> int:
    """Write <file>.npy features and phones.item; return the number of items."""
    rng = np.random.default_rng(seed)
    phone_means = 0.45 * rng.standard_normal((PHONES, DIM))
    speaker_means = 0.5 * rng.standard_normal((speakers, DIM))
    share = 1 / (np.arange(PHONES) + 6)
    following = rng.dirichlet(8 * share / share.sum(), PHONES)  # so that contexts recur
    files = max(speakers, int(minutes * 60 / 12))
    items = 0
    (folder / "features").mkdir()
    with (folder / "phones.item").open("w") as out:
        out.write("#file onset offset #phone prev-phone next-phone speaker\n")
        for file in range(files):
            counts = np.clip(rng.gamma(3.0, 3.1, int(minutes * 6000 / files / 9.3)), 3, 40).astype(int)
            phones = [int(rng.integers(PHONES))]
            while len(phones) < len(counts):
                phones.append(int(rng.choice(PHONES, p=following[phones[-1]])))
            walk = np.cumsum(rng.standard_normal((counts.sum(), DIM)), axis=0)
            walk -= np.repeat([part.mean(0) for part in np.split(walk, np.cumsum(counts)[:-1])], counts, axis=0)
            spoken = phone_means[phones] + 0.45 * rng.standard_normal((len(phones), DIM))
            frames = np.repeat(spoken, counts, axis=0) + speaker_means[file % speakers] + 0.3 * walk
            np.save(folder / "features" / f"f{file:05d}.npy", frames.astype(np.float32))
            edges = np.r_[0, np.cumsum(counts)] * PERIOD
            for n in range(1, len(phones) - 1):
                labels = f"p{phones[n]} p{phones[n - 1]} p{phones[n + 1]} s{file % speakers}"
                out.write(f"f{file:05d} {edges[n]:.2f} {edges[n + 1]:.2f} {labels}\n")
                items += 1
    return items


def time_ours(folder: Path, modes: list[tuple[str, str]], most: list[int | None], repeat: int) -> None:
    """Print a line of JSON for each mode."""
    from unitdisc.evaluate.abx import AbxOptions, score_abx

    features, items = folder / "features", folder / "phones.item"
    for speaker, context in modes:
        options = AbxOptions(speaker, context, "angular", *most)  # type: ignore[arg-type]
        times, cpu = [], []
        for _ in range(repeat + 1):
            start, busy = time.perf_counter(), time.process_time()
            score = score_abx(features, items, PERIOD, options)
            times.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        report = {
            "tool": "unitdisc",
            "mode": f"{speaker} {context}",
            "abx": score.value,
            "seconds": min(times[1:]),
            "cpu": min(cpu[1:]),
        }
        print(json.dumps({**report, "first": times[0], "peak MB": peak, **score.counts.used}), flush=True)


PEER = """
import json, sys, time
import numpy as np, torch
from fastabx import zerospeech_abx
folder, modes, most, repeat, rate = json.loads(sys.argv[1])
read = lambda path: torch.from_numpy(np.load(path))
for speaker, context in modes:
    times, cpu = [], []
    for _ in range(repeat + 1):
        start, busy = time.perf_counter(), time.process_time()
        abx = zerospeech_abx(folder + "/phones.item", folder + "/features", speaker=speaker, context=context,
            max_size_group=most[0], max_x_across=most[1], frequency=rate, feature_maker=read, extension=".npy",
            progress=False)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
    report = {"tool": "fastabx", "mode": f"{speaker} {context}", "abx": abx, "seconds": min(times), "cpu": min(cpu)}
    print(json.dumps({**report, "first": times[0], "peak MB": peak}), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="a Python that has fastabx")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--speakers", type=int, default=20)
    parser.add_argument("--full", action="store_true", help="without sub-sampling")
    parser.add_argument("--repeat", type=int, default=1, help="calls after the first; the fastest counts")
    parser.add_argument("--modes", default="all", help="as across-any,within-within")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cores to use")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.jobs])
    modes = MODES if options.modes == "all" else [tuple(mode.split("-")) for mode in options.modes.split(",")]
    most = [None, None] if options.full else [10, 5]
    with tempfile.TemporaryDirectory() as name:
        items = make_speech(Path(name), options.minutes, options.speakers)
        print(json.dumps({"items": items, "minutes": options.minutes, "cores": options.jobs}), flush=True)
        time_ours(Path(name), modes, most, options.repeat)  # type: ignore[arg-type]
        if options.peer:
            task = json.dumps([name, modes, most, options.repeat - 1, round(1 / PERIOD)])
            cores = str(options.jobs)
            environment = {**os.environ, "OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores, "PYTHONPATH": ""}
            subprocess.run([options.peer, "-c", PEER, task], check=True, stdout=sys.stdout, env=environment)


if __name__ == "__main__":
    main()
