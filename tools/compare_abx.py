"""Compare `score abx` with fastabx on given features and items, in all modes, nothing drawn.

    python tools/compare_abx.py FEATURES ITEMS --peer PYTHON [--files 3] [--context any] [--distance angular]

FEATURES is all that `unitdisc score abx` takes (a unit file for `identical`), PYTHON one that has fastabx. Of every
speaker the first --files files are taken, since the triplets grow with the cube of the items. Prints a Markdown table.
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

from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.frames import ArrayFrames, Frames, open_frames
from unitdisc.evaluate.items import Items, read_items, write_items

PEERS = {"angular": "angular", "euclidean": "euclidean", "kl": "kl_symmetric", "identical": "identical"}
PEER = """
import json, sys, time
import numpy as np, torch
from fastabx import zerospeech_abx
folder, distances, rate = json.loads(sys.argv[1])
torch.set_num_threads(1)
for distance, speaker, context in distances:
    start = time.process_time()
    abx = zerospeech_abx(folder + "/some.item", folder, speaker=speaker, context=context, max_size_group=None,
        max_x_across=None, distance=distance, frequency=rate, extension=".npy", progress=False, device="cpu",
        feature_maker=lambda path: torch.from_numpy(np.load(path)))
    print(json.dumps([abx, time.process_time() - start]), flush=True)
"""


def first_files(items: Items, most: int) -> Items:
    """Return the items of the first files of each speaker."""
    keep: list[str] = []
    for speaker in sorted(set(items.speakers.tolist())):
        keep += sorted(set(items.files[items.speakers == speaker].tolist()))[:most]
    return items[np.isin(items.files, keep)]


def ours(frames: Frames, items: Items, tasks: list[list[str]]) -> list[tuple[float, float, int]]:
    """Return the value, processor seconds and triplets of each task."""
    found = []
    for distance, speaker, context in tasks:
        start = time.process_time()
        score = score_abx(frames, items, options=AbxOptions(speaker, context, distance, None, None))  # type: ignore[arg-type]
        found.append((score.value, time.process_time() - start, score.counts.used["triplets"]))
    return found


def theirs(peer: str, folder: Path, tasks: list[list[str]], rate: int) -> list[tuple[float, float]]:
    """Return fastabx's value and processor seconds of each task."""
    task = json.dumps([str(folder), [[PEERS[distance], *mode] for distance, *mode in tasks], rate])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run([peer, "-c", PEER, task], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit("fastabx failed, see above; with few --files there may be no cell within a context")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def main() -> None:
    """Score twice and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("items", type=Path)
    parser.add_argument("--peer", required=True, help="a Python that has fastabx")
    parser.add_argument("--files", type=int, default=3, help="of each speaker (3)")
    parser.add_argument("--distance", nargs="+", choices=PEERS, default=["angular", "euclidean"])
    parser.add_argument("--context", nargs="+", choices=("within", "any"), default=["within", "any"])
    parser.add_argument("--frame-shift", type=float, help="seconds from frame to frame, where the features do not say")
    options = parser.parse_args()
    frames = open_frames(options.features, options.frame_shift)
    if frames.period is None or frames.offset or abs(1 / frames.period - round(1 / frames.period)) > 1e-6:
        sys.exit(f"{options.features}: fastabx takes whole frames per second and no offset")
    items = first_files(read_items(options.items), options.files)
    arrays = {file: frames[file] for file in sorted(set(items.files.tolist()))}
    tasks = [[d, s, c] for d in options.distance for s in ("within", "across") for c in options.context]
    with tempfile.TemporaryDirectory() as name:
        for file, array in arrays.items():
            (Path(name) / f"{file}.npy").parent.mkdir(parents=True, exist_ok=True)
            np.save(Path(name) / f"{file}.npy", array)
        write_items(Path(name) / "some.item", items)
        peers = theirs(options.peer, Path(name), tasks, round(1 / frames.period))
    mine = ours(ArrayFrames(arrays, frames.period), items, tasks)
    print(f"{len(items)} items of {len(set(items.speakers.tolist()))} speakers, {len(arrays)} files\n")
    print("| distance | speaker | context | triplets | unitdisc | fastabx | difference | CPU s | CPU s of fastabx |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task, (value, seconds, triplets), (peer, slow) in zip(tasks, mine, peers, strict=True):
        figures = f"{value:.7f} | {peer:.7f} | {value - peer:+.1e} | {seconds:.2f} | {slow:.1f}"
        print(f"| {' | '.join(task)} | {triplets:,} | {figures} |")


if __name__ == "__main__":
    main()
