#!/usr/bin/env python3
"""What each step costs for long lists: seconds and memory for 100,000 utterances, and whether it grows faster.

    python tools/bench_scale.py WORK [--sizes 10000 100000] [--parts check index features ...]

Utterances are made up: a tenth of a second of sound from ten files, under as many names as asked for, by speakers of a
hundred utterances each; their units are a second of seven words, and each has the same seven phones. A thousand
utterances share a hundred words, which no others say, so that a word is as frequent in a short list as in a long one,
and so is a sequence of words. Each part runs in a process of its own; memory is the most that it has held at once, less
what Python and torch take. The exponent is that of the processor time between the smallest and the largest size, 1
where it grows as the list does. Timings by the processor, so that a busy machine does not lengthen them much.
"""

import argparse
import importlib
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:
    from unitdisc.data.batches import Corpus

PARTS = (
    "check", "index", "features", "batches", "straight", "encode", "merge", "units", "scores", "score all", "report",
    "words",
)  # fmt: skip
MODULES = (
    "encode",
    "corpus",
    "data.check",
    "data.prefetch",
    "evaluate.suite",
    "evaluate.words",
    "features.extract",
    "report.html",
    "report.facts",
)
SHARED = 1000  # utterances that say the same words
WORDS = 100  # that they say
NAME = re.compile(r"s\d+-u\d+")  # of an utterance
SECONDS = 0.1  # of sound in an utterance
BATCHES = 200  # of 32 chunks each


def make_list(folder: Path, count: int) -> None:
    """Write a data directory of so many utterances, and a unit file for them."""
    from unitdisc.data.units import UnitHeader, UnitLine, write_units

    data = folder / "data"
    if (folder / "units.jsonl").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for n in range(10):
        soundfile.write(data / f"{n}.wav", 0.1 * random.standard_normal(int(16000 * SECONDS)), 16000)
    names = [f"s{n // 100:05d}-u{n:07d}" for n in range(count)]
    (data / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in names))
    (data / "wav.scp").write_text("".join(f"{name} {data / f'{n % 10}.wav'}\n" for n, name in enumerate(names)))
    words = random.integers(256, size=(max(count // SHARED, 1), WORDS, 7))
    said = (words[n % len(words), random.integers(WORDS, size=7)].ravel() for n in range(count))
    lines = (UnitLine.of_frames(name, units) for name, units in zip(names, said, strict=True))
    with (folder / "phones.ctm").open("w") as out:
        for name in names:
            out.writelines(f"{name} 1 {0.14 * n:.2f} 0.14 p{n}\n" for n in range(7))
    write_units(folder / "units.jsonl", UnitHeader(period=0.02, codes=(256,), codebook="0" * 12, model="0" * 12), lines)


def run_part(part: str, folder: Path) -> dict[str, float]:
    """Do one part here; return what it says beside its time."""
    import torch

    from unitdisc import config as configs
    from unitdisc.corpus import open_corpus
    from unitdisc.data.check import check_data_dir
    from unitdisc.data.kaldi import DataDir
    from unitdisc.data.units import read_units
    from unitdisc.encode import EncodeOptions, encode
    from unitdisc.evaluate.bitrate import bitrate_scores
    from unitdisc.evaluate.suite import Sides, score_all
    from unitdisc.evaluate.words import write_words
    from unitdisc.features.extract import ExtractConfig, extract
    from unitdisc.model import ModelConfig, UnitModel
    from unitdisc.processes import Part
    from unitdisc.report.html import write_report
    from unitdisc.report.options import ReportOptions

    torch.set_num_threads(1)
    data = folder / "data"
    if part == "check":
        check_data_dir(data)
    elif part == "index":
        DataDir.read(data)
    elif part == "features":
        extract(DataDir.read(data), ExtractConfig(ModelConfig().features), force=True)
    elif part in ("batches", "straight"):  # of stored features, and of frames made as they are read
        tree = {"decoder": {"kind": "none"}, "weights": {"input_reconstruction": 1.0}}
        tree |= {"features": {"cmvn": "utterance"}} if part == "straight" else {}
        config = configs.from_tree(ModelConfig, tree, part)
        directory = DataDir.read(data)
        counts = folder / "counts" if part == "straight" else None
        return read_batches(open_corpus(config, directory, UnitModel(config, sorted(directory.spk2utt)), counts))
    elif part == "encode":
        sys.path.insert(0, str(Path(__file__).parent))
        from bench_encode import make_model

        make_model(folder / "exp", 16)
        encode(folder / "exp", data, folder / "out", EncodeOptions(vectors=False), force=True, part=Part(1, 1))
    elif part == "merge":  # of what the part before has left, or of what `measure` has made up
        encode(folder / "exp", data, folder / "out", EncodeOptions(vectors=False), force=True)
    elif part == "units":
        for _ in read_units(folder / "units.jsonl"):
            pass
    elif part == "scores":
        bitrate_scores(folder / "units.jsonl")
    elif part == "score all":
        score_all(Sides(folder / "units.jsonl", folder / "phones.ctm", data=data))
    elif part == "report":
        shown = ReportOptions(alignment=folder / "phones.ctm")
        return {
            "MB page": write_report([], folder / "report.html", shown, units=[folder / "units.jsonl"], force=True) / 1e6
        }
    elif part == "words":
        return {"words": write_words(folder / "units.jsonl", folder / "words")[0]}
    return {}


def read_batches(corpus: "Corpus") -> dict[str, float]:
    """Read batches; return how many a second, and how much more memory is held after the last than after a quarter."""
    from unitdisc.data.batches import ChunkPlan
    from unitdisc.data.prefetch import Prefetcher

    reader = Prefetcher(corpus, ChunkPlan(corpus, 32, 8, 0))
    began = time.process_time()
    for step in range(BATCHES):
        reader.batch(step)
        if step == BATCHES // 4:
            held = megabytes("VmRSS")
    reader.close()
    return {
        "batches/s": BATCHES / (time.process_time() - began),
        f"MB more after {BATCHES} batches than after {BATCHES // 4}": megabytes("VmRSS") - held,
    }


def make_up_shards(folder: Path) -> None:
    """Encode the first shard of a list; write all others of its units, under their names, as if jobs had left them."""
    from bench_encode import make_model

    from unitdisc.data.kaldi import DataDir
    from unitdisc.encode import EncodeOptions, encode
    from unitdisc.processes import Part
    from unitdisc.shard_files import make_shards, shard_path

    shards = list(make_shards(DataDir.read(folder / "data").utts))
    make_model(folder / "exp", 16)
    options, alone = EncodeOptions(vectors=False), Part(1, len(shards))
    encode(folder / "exp", folder / "data", folder / "out", options, force=True, part=alone)
    first = shard_path(folder / "out" / ".shards", shards[0])
    texts = {ending: first.with_suffix(ending).read_text().splitlines() for ending in (".jsonl", ".txt", ".ctm")}
    frames = json.loads(first.read_text())["frames"] // len(shards[0].utts)  # all are of the same length
    for shard in shards[1:]:
        done, names = shard_path(folder / "out" / ".shards", shard), dict(zip(shards[0].utts, shard.utts, strict=False))
        for ending, lines in texts.items():
            named = ((line, NAME.findall(line)[0]) for line in lines)
            text = "".join(f"{line.replace(old, names[old])}\n" for line, old in named if old in names)
            done.with_suffix(ending).write_text(text)
        done.write_text(json.dumps({"utterances": len(shard.utts), "frames": frames * len(shard.utts), "failed": {}}))


def measure(part: str, folder: Path) -> dict[str, float]:
    """Do one part in a process of its own; return its processor seconds and megabytes."""
    if part == "merge" and not (folder / "out" / ".shards").exists():
        make_up_shards(folder)
    done = subprocess.run(
        [sys.executable, __file__, str(folder), "--here", part], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{part} of {folder}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def here(part: str, folder: Path) -> None:
    """Do one part, and print what it took beyond the imports."""
    for name in MODULES:  # what is imported counts for no part
        importlib.import_module(f"unitdisc.{name}")
    held, seconds = megabytes(), time.process_time()
    said = run_part(part, folder)
    print(json.dumps({"seconds": time.process_time() - seconds, "MB": megabytes() - held, **said}))


def megabytes(which: str = "VmHWM") -> float:
    """Return the memory of this process: the most that it has held, or with VmRSS what it holds."""
    found = re.search(rf"{which}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for all that is made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--here", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        here(options.here, options.work)
        return
    rows: dict[str, dict[int, dict[str, float]]] = {part: {} for part in options.parts}
    for size in sorted(options.sizes):
        folder = options.work / str(size)
        make_list(folder.resolve(), size)
        for part in options.parts:
            rows[part][size] = measure(part, folder.resolve())
            print(f"{part} {size}: {rows[part][size]}", file=sys.stderr, flush=True)
    print("| part | utterances | s for 100,000 | MB for 100,000 | exponent | |\n|---|---|---|---|---|---|")
    for part, sizes in rows.items():
        for size, row in sizes.items():
            first = min(sizes)
            grown = "-"
            if size > first:
                grown = f"{math.log(row['seconds'] / sizes[first]['seconds']) / math.log(size / first):.2f}"
            more = ", ".join(f"{value:.3g} {name}" for name, value in row.items() if name not in ("seconds", "MB"))
            per = 100_000 / size
            print(f"| {part} | {size} | {row['seconds'] * per:.3g} | {row['MB'] * per:.3g} | {grown} | {more} |")


if __name__ == "__main__":
    main()
