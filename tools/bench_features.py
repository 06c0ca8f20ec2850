"""Measure `unitdisc features` against torchaudio, and its memory for ten times the audio.

    python tools/bench_features.py [--speech DATA] [--seconds 600] [--rounds 5]
    python tools/bench_features.py --short 10000   # of half a second each: what an utterance costs beside its features

Ours is the whole way from wav files to archives (and, in one row, with the start of the command too); theirs is
torchaudio.compliance.kaldi.mfcc alone, on the same audio in memory. Both have one thread and take turns.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio.compliance.kaldi as compliance

from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.features.acoustic import KaldiFeatures
from unitdisc.features.base import Features
from unitdisc.features.configs import FeatureConfig, LogMelConfig, MfccConfig
from unitdisc.features.extract import ExtractConfig, extract


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description="Speed and memory of unitdisc features.")
    parser.add_argument("--speech", type=Path, help="a data directory to take audio from (default: noise)")
    parser.add_argument("--seconds", type=float, default=600, help="of audio (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default %(default)s)")
    parser.add_argument("--short", type=int, metavar="N", help="only time N utterances of half a second")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--skip-speed", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.short:
            print(json.dumps(short(folder, options.short), indent=1))
            return
        data = make_data(folder / "data", options.speech, options.seconds)
        result = {"machine": f"{platform.processor() or platform.machine()}, 1 thread", "torch": torch.__version__}
        if not options.skip_speed:
            result |= speed(data, folder, options.rounds)
        if not options.skip_memory:
            result |= memory(data, folder)
    print(json.dumps(result, indent=1))


def make_data(folder: Path, speech: Path | None, seconds: float) -> DataDir:
    """Write 16-bit wav files: of a data directory, or noise in utterances of 4 to 16 s."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    source = DataDir.read(speech) if speech else None
    utts = iter(source.utts) if source else (f"noise-{n:05d}" for n in range(1 << 30))
    wavs: list[tuple[str, str]] = []
    while seconds > 0 and (utt := next(utts, None)) is not None:
        if source is not None:
            samples = source.source(utt).load(16000)
        else:
            samples = 0.1 * rng.standard_normal(int(rng.uniform(4, 16) * 16000)).astype(np.float32)
        soundfile.write(folder / f"{utt}.wav", samples, 16000, subtype="PCM_16")
        wavs.append((utt, str(folder / f"{utt}.wav")))
        seconds -= len(samples) / 16000
    return write_data_dir(folder, sorted(wavs), {utt: utt for utt, _ in wavs})


def speed(data: DataDir, folder: Path, rounds: int) -> dict[str, object]:
    """Time theirs and ours in turns; the ratio is of medians."""
    waves = [torch.from_numpy(data.source(utt).load(16000))[None] for utt in data.utts]
    audio = sum(wave.shape[1] for wave in waves) / 16000

    def theirs() -> None:
        for wave in waves:
            compliance.mfcc(wave, dither=0.0, snip_edges=False)

    def ours(features: FeatureConfig, targets: LogMelConfig | None = None) -> Callable[[], None]:
        return lambda: void(extract(data, ExtractConfig(features, targets), force=True))

    (folder / "mfcc.yaml").write_text("features: {kind: mfcc, deltas: 0}\n")
    command = [sys.executable, "-m", "unitdisc", "features", str(folder / "mfcc.yaml"), str(data.path), "--force"]
    contestants = {
        "torchaudio_mfcc_in_memory": theirs,
        "mfcc": ours(MfccConfig(deltas=0)),
        "mfcc_with_deltas": ours(MfccConfig()),
        "mfcc_with_deltas_and_targets": ours(MfccConfig(), LogMelConfig()),
        "mfcc_whole_command": lambda: void(subprocess.run(command, check=True, capture_output=True)),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:  # the first is to warm up
                times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in times.items()}
    base = median["torchaudio_mfcc_in_memory"]
    # Neighbours in time see the same machine; the median of their ratios bears a change of load.
    paired = {
        name: statistics.median(a / b for a, b in zip(times["torchaudio_mfcc_in_memory"], values, strict=True))
        for name, values in times.items()
    }
    return {
        "audio_s": round(audio, 1),
        "seconds": {name: [round(v, 3) for v in sorted(values)] for name, values in times.items()},
        "times_real_time": {name: round(audio / value) for name, value in median.items()},
        "speed_against_torchaudio": {name: round(base / value, 2) for name, value in median.items()},
        "speed_against_torchaudio_in_turns": {name: round(value, 2) for name, value in paired.items()},
    }


def short(folder: Path, count: int) -> dict[str, float]:
    """Return the processor's milliseconds for each of many short utterances, in the features themselves and beside."""
    rng = np.random.default_rng(0)
    for n in range(50):
        soundfile.write(folder / f"{n}.wav", 0.1 * rng.standard_normal(8000), 16000, subtype="PCM_16")
    names = [f"s{n // 100:05d}-u{n:07d}" for n in range(count)]
    recordings = [(name, folder / f"{n % 50}.wav") for n, name in enumerate(names)]
    data = write_data_dir(folder / "data", recordings, {name: name.split("-")[0] for name in names})
    whole, inside = KaldiFeatures.forward, [0.0]

    def timed(module: KaldiFeatures, *inputs: torch.Tensor) -> Features:
        began = time.process_time()
        made = whole(module, *inputs)
        inside[0] += time.process_time() - began
        return made

    KaldiFeatures.forward = timed  # type: ignore[method-assign]
    began = time.process_time()
    extract(data, ExtractConfig(MfccConfig()), force=True)
    spent = time.process_time() - began
    return {"utterances": count, "ms_features": 1e3 * inside[0] / count, "ms_beside": 1e3 * (spent - inside[0]) / count}


def void(result: object) -> None:
    """Throw a result away."""


def memory(data: DataDir, folder: Path) -> dict[str, object]:
    """Take the peak memory of the command for the audio once and ten times over."""
    (folder / "both.yaml").write_text("features: {kind: mfcc}\ntargets: {kind: logmel}\n")
    peaks = {}
    for times in (1, 10):
        wavs = [(f"{n}-{utt}", str(data.path / f"{utt}.wav")) for n in range(times) for utt in data.utts]
        path = folder / f"times{times}"
        write_data_dir(path, sorted(wavs), {utt: utt for utt, _ in wavs})
        command = [sys.executable, "-m", "unitdisc", "features", str(folder / "both.yaml"), str(path)]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(run.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with status {status}")
        peaks[times] = usage.ru_maxrss / 1024
    return {
        "peak_MiB": {f"{n}x": round(peak) for n, peak in peaks.items()},
        "peak_10x_to_1x": round(peaks[10] / peaks[1], 3),
    }


if __name__ == "__main__":
    main()
