"""Encode a long list that is killed half-way: times real time, memory over time, and the same bytes in the end.

    python tools/bench_encode.py WORK DATA [--hours 100] [--jobs 2] [--vectors] [--channels N | --exp EXP]

The list is DATA (a data directory without features: they are computed as it goes) again and again under other names.
The model has the default configuration (but for --channels: a narrow encoder is as good to see what memory does) and
random weights, on which the speed does not depend. The first run is killed
when half of the shards are there; a second one finishes. Its first shards are compared with an uninterrupted encoding
of these utterances alone, by one process. Prints JSON: `real_time` is seconds of audio over those on the clock,
`real_time_of_cpu` over processor seconds times the jobs, which on a busy machine is the fairer figure; memory is the
proportional set size of all processes, sampled.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from unitdisc import checkpoint
from unitdisc import config as configs
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.data.subsets import subset
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.networks.encoders.configs import ConvEncoderConfig
from unitdisc.quantizers.configs import VQConfig
from unitdisc.shard_files import SHARD
from unitdisc.train_config import Config

COMPARED = 3  # shards
EVERY = 1.0  # s between samples
TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """All processes of a run at one time."""

    seconds: float  # since its start
    cpu: float  # seconds, of the processes that are there
    megabytes: float  # of the processes together
    shards: int  # done


def make_list(data: DataDir, out: Path, hours: float) -> float:
    """Write a data directory of so many hours; return its seconds."""
    lengths = {utt: data.source(utt).seconds() for utt in data.utts}
    recordings, utt2spk, seconds = [], {}, 0.0
    for turn in itertools.count():
        for utt in data.utts:
            if seconds >= 3600 * hours:
                write_data_dir(out, recordings, utt2spk)
                return seconds
            name = f"{data.utt2spk[utt]}-{turn:04d}-{utt}"
            recordings.append((name, Path(data.recordings[utt].entry).resolve()))
            utt2spk[name] = data.utt2spk[utt]
            seconds += lengths[utt]
    raise AssertionError("unreachable")


def make_model(exp: Path, channels: int) -> None:
    """Write a model of the default configuration, past its warm-up, with an encoder of so many channels."""
    torch.manual_seed(0)
    default = VQConfig()
    quantizer = replace(default, schedule=replace(default.schedule, warm_up=0))
    config = Config(model=ModelConfig(encoder=ConvEncoderConfig(channels=channels), quantizer=quantizer))
    model = UnitModel(config.model, ["nobody"]).eval()
    tree = {"config": configs.to_tree(config), "speakers": ["nobody"], "phones": [], "step": 1, "reestimated_at": 1}
    checkpoint.save(exp / "checkpoints" / "00000001.pt", {**tree, "model": model.state_dict(), "average": None})


def encode(words: list[str], out: Path, stop_at: int | None = None) -> list[Sample]:
    """Run `unitdisc encode` and watch it; kill it and all its processes when so many shards are there."""
    start, samples = time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, "-m", "unitdisc", "encode", *words], start_new_session=True, stdout=sys.stderr
    )
    try:
        while process.poll() is None:
            time.sleep(EVERY)
            shards = sum(1 for _ in (out / ".shards").glob("*.done"))
            samples.append(Sample(time.perf_counter() - start, *usage(process.pid), shards))
            if stop_at is not None and shards >= stop_at:
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if code != (0 if stop_at is None else -signal.SIGKILL):
        sys.exit(
            f"`unitdisc encode` ended with {code}" + ("; it was to be killed: give more --hours" if not code else "")
        )
    return samples


def usage(session: int) -> tuple[float, float]:
    """Return the processor seconds and the megabytes of a session's processes."""
    ticks = kilobytes = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):  # it ended meanwhile
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(int(field) for field in fields[11:15])  # its own, and of its children that ended
                kilobytes += int((process / "smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    return ticks / TICKS, kilobytes / 1024


def run_report(samples: list[Sample], first: int, shards: int, seconds: float, jobs: int) -> dict[str, object]:
    """Sum up one run that began with `first` shards done; the audio of a shard is taken to be the mean."""
    last = samples[-1]
    done = (last.shards or shards) - first
    audio = seconds * done / shards
    # Memory while it encodes: from when all processes work until the end.
    working = [s for s in samples if first + jobs < s.shards] or samples
    at = {
        f"{share:.0%}": round(working[int(share * (len(working) - 1))].megabytes) for share in (0, 0.25, 0.5, 0.75, 1)
    }
    return {
        "shards": done,
        "audio_hours": round(audio / 3600, 3),
        "seconds": round(last.seconds, 1),
        "cpu": round(last.cpu, 1),
        "real_time": round(audio / last.seconds, 1),
        "real_time_of_cpu": round(audio * jobs / last.cpu, 1),
        "cpu_seconds_per_hour": round(last.cpu * 3600 / max(audio, 1), 2),
        "megabytes": at,
        "most_megabytes": round(max(s.megabytes for s in samples)),
    }


def compare(whole: Path, part: Path, utts: list[str]) -> dict[str, object]:
    """Compare the units (and vectors, where there are) of these utterances, byte by byte."""
    same = {"units.jsonl": True}
    with (whole / "units.jsonl").open("rb") as one, (part / "units.jsonl").open("rb") as two:
        heads = [json.loads(next(lines)) for lines in (one, two)]
        same["header"] = all(heads[0][key] == heads[1][key] for key in heads[0] if key != "origin")
        same["units.jsonl"] = all(next(one) == line for line in two if not line.startswith(b'{"utterances"'))
    for name in ("units.txt", "units.ctm"):
        with (whole / name).open("rb") as one, (part / name).open("rb") as two:
            same[name] = all(next(one) == line for line in two)
    for archive in sorted((part / "vectors").glob("*.ark")):
        same[f"vectors/{archive.name}"] = archive.read_bytes() == (whole / "vectors" / archive.name).read_bytes()
    return {"utterances": len(utts), "same": all(same.values()), "files": same}


def main() -> None:
    """Make the list, run, kill, run again, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for all that is made; what is in it goes")
    parser.add_argument("data", type=Path, help="data directory whose files are repeated")
    parser.add_argument("--hours", type=float, default=100, help="of audio (100)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--channels", type=int, default=ConvEncoderConfig().channels, help="of the encoder (default's)")
    parser.add_argument("--exp", type=Path, help="a trained model, in place of one with random weights")
    parser.add_argument("--vectors", action="store_true", help="write vectors.scp too, 46 MB an hour")
    options = parser.parse_args()
    work, exp, data = options.work, options.exp or options.work / "exp", options.work / "list"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if options.exp is None:
        make_model(exp, options.channels)
    seconds = make_list(DataDir.read(options.data), data, options.hours)
    utts = DataDir.read(data).utts
    shards = -(-len(utts) // SHARD)
    words = [] if options.vectors else ["--no-vectors"]
    jobs = ["--jobs", str(options.jobs)]
    first = encode([str(exp), str(data), str(work / "out"), *words, *jobs], work / "out", stop_at=shards // 2)
    begun = sum(1 for _ in (work / "out" / ".shards").glob("*.done"))
    second = encode([str(exp), str(data), str(work / "out"), *words, *jobs], work / "out")
    some = utts[: COMPARED * SHARD]
    subset(DataDir.read(data), work / "part", some)
    encode([str(exp), str(work / "part"), str(work / "alone"), *words], work / "alone")
    report = {
        "hours": round(seconds / 3600, 2),
        "utterances": len(utts),
        "jobs": options.jobs,
        "channels": options.channels,
        "until it was killed": run_report(first, 0, shards, seconds, options.jobs),
        "started again": run_report(second, begun, shards, seconds, options.jobs),
        "compared": compare(work / "out", work / "alone", some),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
