"""Verbs that need no torch start without it: importing it takes longer than their work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import RUN
from made_up import make_data
from score_files import write_alignment, write_unit_file

from unitdisc.evaluate.items import Items, write_items


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write units, an alignment, features, items and a data directory."""
    folder, random = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    write_unit_file(folder / "units.jsonl", {utt: random.integers(5, size=60) for utt in ("u1", "u2")}, 5)
    phones = {utt: np.repeat(random.permutation(3), 20) for utt in ("u1", "u2")}
    write_alignment(folder / "phones.ctm", phones, ["a", "b", "c"])
    (folder / "feats").mkdir()
    rows = []
    for speaker in "st":
        for phone in "ab":
            for n in range(3):
                file = f"{speaker}{phone}{n}"
                np.save(folder / "feats" / f"{file}.npy", random.standard_normal((12, 4)).astype(np.float32))
                rows.append((file, 0.0, 0.1, phone, "x", "y", speaker))
    write_items(folder / "x.item", Items.of_rows(rows))
    rows = [(utt, n / 10, n / 10 + 0.1, "ab"[n % 2], "x", "y", "s") for utt in ("u1", "u2") for n in range(4)]
    write_items(folder / "units.item", Items.of_rows(rows))
    make_data(folder / "data", features=False)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        "score abx feats x.item --frame-shift 0.01 --distance euclidean",
        "score boundaries units.jsonl --alignment phones.ctm",
        "score per units.jsonl --alignment phones.ctm --oracle",
        "--version",
    ],
)
def test_no_torch(folder: Path, arguments: str):
    done = subprocess.run([sys.executable, "-c", RUN, *arguments.split()], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"


def test_a_comparison_looks_whether_it_is_made_without_torch(folder: Path):
    code = RUN.replace("assert not end.code", "assert end.code == 3")
    words = ["compare", "exp", "--train", "data", "--test", "data", "--unchanged"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False"), done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "score abx feats x.item --frame-shift 0.01",
        "score abx units.jsonl units.item --distance edit --context any",
        "score usage units.jsonl",
        "score bitrate units.jsonl",
        "score clusters units.jsonl --alignment phones.ctm",
        "score boundaries units.jsonl --alignment phones.ctm",
        "inspect units.jsonl",
        "export units.jsonl again --format textgrid",
        "check data",
    ],
)
def test_what_takes_a_second_to_import_is_left_out(folder: Path, arguments: str):
    code = RUN.replace('"torch" in sys.modules', '{"torch", "numba", "scipy.optimize"} & set(sys.modules)')
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"


def test_a_configuration_is_printed_without_what_only_computing_needs():
    code = RUN.replace('"torch" in sys.modules', '{"torch", "numba", "scipy"} & set(sys.modules)')
    done = subprocess.run([sys.executable, "-c", code, "config"], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "set()", done.stderr


def test_importing_the_package_imports_nothing_else():
    code = "import sys, unitdisc; print([m for m in ('numpy', 'torch', 'yaml', 'scipy', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_is_instant():
    times = []
    for _ in range(5):  # the least of several, as other programs may be at work
        code = "import time; t = time.process_time(); import unitdisc; print(time.process_time() - t)"
        times.append(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout))
    assert min(times) < 0.15
