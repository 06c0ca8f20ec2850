"""Time `score abx` on made-up speech, beside fastabx where a Python that has it is given.

    python tools/bench_abx.py [--peer .venv312/bin/python] [--minutes 45] [--speakers 20] [--full]
    python tools/bench_abx.py --whole --peer PYTHON [--features FOLDER --items FILE] [--modes across-any] [--repeat 3]

Frames follow a slow random walk around a phone's and a speaker's mean, and phones have the lengths and the skewed
frequencies of speech, so that the error is neither 0 nor chance. Times are seconds of one call from files to the
number, on all cores the process may use, after a first call that compiles (numba keeps what it compiled); "cpu" is
what all threads used, which on a busy machine is the fairer figure (with --jobs 1: the peer's threads also spin).

With --whole, whole processes are timed, from the start of Python to its end, ours and the peer's in turn; speech may be
given: a folder of <file>.npy at 100 Hz and the items of its phones.
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
    from unitdisc.evaluate.abx import score_abx
    from unitdisc.evaluate.abx_options import AbxOptions

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
items, features, modes, most, repeat, rate = json.loads(sys.argv[1])
read = lambda path: torch.from_numpy(np.load(path))
for speaker, context in modes:
    times, cpu = [], []
    for _ in range(repeat + 1):
        start, busy = time.perf_counter(), time.process_time()
        abx = zerospeech_abx(items, features, speaker=speaker, context=context,
            max_size_group=most[0], max_x_across=most[1], frequency=rate, feature_maker=read, extension=".npy",
            progress=False)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
    report = {"tool": "fastabx", "mode": f"{speaker} {context}", "abx": abx, "seconds": min(times), "cpu": min(cpu)}
    print(json.dumps({**report, "first": times[0], "peak MB": peak}), flush=True)
"""


def time_processes(
    peer: str, features: Path, items: Path, modes: list[tuple[str, str]], most: list[int | None], repeat: int
) -> None:
    """Print a line of JSON for each process, ours and the peer's in turn."""
    for _ in range(repeat):
        for speaker, context in modes:
            ours = [sys.executable, "-m", "unitdisc", "score", "abx", str(features), str(items)]
            ours += ["--speaker", speaker, "--context", context, "--frame-shift", str(PERIOD), "--json"]
            ours += ["--max-group", str(most[0]).lower(), "--max-x-across", str(most[1]).lower()]
            task = json.dumps([str(items), str(features), [[speaker, context]], most, 0, round(1 / PERIOD)])
            for tool, command in (("unitdisc", ours), ("fastabx", [peer, "-c", PEER, task])):
                start = time.perf_counter()
                environment = os.environ if tool == "unitdisc" else {**os.environ, "PYTHONPATH": ""}
                run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
                assert run.stdout is not None
                said = json.loads(run.stdout.read().splitlines()[-1])
                _, status, usage = os.wait4(run.pid, 0)
                if status:
                    sys.exit(f"{command[:6]} ended with {status}")
                seconds, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
                report = {"tool": tool, "mode": f"{speaker} {context}", "abx": said["abx"], "whole seconds": seconds}
                print(json.dumps({**report, "cpu": cpu, "peak MB": usage.ru_maxrss / 1024}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="a Python that has fastabx")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--speakers", type=int, default=20)
    parser.add_argument("--full", action="store_true", help="without sub-sampling")
    parser.add_argument("--repeat", type=int, default=1, help="calls after the first; the fastest counts")
    parser.add_argument("--modes", default="all", help="as across-any,within-within")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cores to use")
    parser.add_argument("--whole", action="store_true", help="time whole processes, in turn; needs --peer")
    parser.add_argument("--features", type=Path, help="with --whole: a folder of <file>.npy, 100 frames a second")
    parser.add_argument("--items", type=Path, help="with --whole: their items")
    options = parser.parse_args()
    if options.whole and not options.peer:
        parser.error("--whole needs --peer")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.jobs])
    modes = MODES if options.modes == "all" else [tuple(mode.split("-")) for mode in options.modes.split(",")]
    most = [None, None] if options.full else [10, 5]
    with tempfile.TemporaryDirectory() as name:
        features, items = options.features or Path(name) / "features", options.items or Path(name) / "phones.item"
        if options.features is None:
            count = make_speech(Path(name), options.minutes, options.speakers)
            print(json.dumps({"items": count, "minutes": options.minutes, "cores": options.jobs}), flush=True)
        if options.whole:
            time_processes(options.peer, features, items, modes, most, options.repeat)  # type: ignore[arg-type]
            return
        time_ours(Path(name), modes, most, options.repeat)  # type: ignore[arg-type]
        if options.peer:
            task = json.dumps([str(items), str(features), modes, most, options.repeat - 1, round(1 / PERIOD)])
            cores = str(options.jobs)
            environment = {**os.environ, "OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores, "PYTHONPATH": ""}
            subprocess.run([options.peer, "-c", PEER, task], check=True, stdout=sys.stdout, env=environment)


if __name__ == "__main__":
    main()
