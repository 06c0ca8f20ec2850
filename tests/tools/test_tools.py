"""Tools that measure: their tables, their resumption, their sums; the measuring itself is theirs to run."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from made_data import put_data
from places import TOP
from score_files import write_alignment, write_unit_file

from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.encode import EncodeOptions, encode
from unitdisc.features.configs import LogMelConfig
from unitdisc.features.extract import ExtractConfig, extract

TOOLS = TOP / "tools"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--what", 2)])
def test_the_page_of_scores_is_not_written_by_a_wrong_call(option: str, code: int, tmp_path: Path):
    for name in ("scores_page.py", "scores_example.py"):
        shutil.copy(TOOLS / name, tmp_path)  # so that the page is not there to be written
    words = [sys.executable, tmp_path / "scores_page.py", option]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, "usage: scores_page.py" in done.stdout + done.stderr) == (code, True)


@pytest.fixture
def speech(tmp_path) -> DataDir:
    """Two speakers with three utterances of 1 s each."""
    rng = np.random.default_rng(0)
    recordings, utt2spk = [], {}
    for n in range(6):
        soundfile.write(tmp_path / f"u{n}.wav", 0.1 * rng.standard_normal(16000), 16000)
        recordings.append((f"s{n % 2}-u{n}", tmp_path / f"u{n}.wav"))
        utt2spk[f"s{n % 2}-u{n}"] = f"s{n % 2}"
    return write_data_dir(tmp_path / "data", recordings, utt2spk)


def test_a_long_list_repeats_the_files_and_a_part_of_it_encodes_to_the_same_bytes(speech, tmp_path):
    tool = load("bench_encode")
    assert tool.make_list(speech, tmp_path / "list", 8 / 3600) == 8
    whole = DataDir.read(tmp_path / "list")
    assert len(whole.utts) == 8
    assert {Path(r.entry).name for r in whole.recordings.values()} == {f"u{n}.wav" for n in range(6)}
    tool.make_model(tmp_path / "exp", 256)
    part = tool.subset(whole, tmp_path / "part", whole.utts[:3])
    for data, out in ((whole, "out"), (part, "alone")):
        encode(tmp_path / "exp", data.path, tmp_path / out, EncodeOptions(vectors=False))
    same = tool.compare(tmp_path / "out", tmp_path / "alone", part.utts)
    assert same["same"]
    assert same["utterances"] == 3
    (tmp_path / "alone" / "units.txt").write_text("s0-0000-s0-u0 1 2 3\n")
    assert tool.compare(tmp_path / "out", tmp_path / "alone", part.utts)["files"]["units.txt"] is False


def test_the_report_of_a_run_counts_what_it_did_itself():
    tool = load("bench_encode")
    samples = [tool.Sample(10.0 * n, 5.0 * n, 100 + min(n, 5), 4 + n) for n in range(1, 11)]
    found = tool.run_report(samples, 4, 20, 2000.0, 2)
    assert (found["shards"], found["audio_hours"], found["real_time"]) == (10, round(1000 / 3600, 3), 10.0)
    assert found["real_time_of_cpu"] == 40.0  # 1000 s of audio by 50 s of two processors
    assert found["megabytes"] == {"0%": 103, "25%": 104, "50%": 105, "75%": 105, "100%": 105}


def test_processes_of_this_session_use_memory_and_time():
    cpu, megabytes = load("bench_encode").usage(os.getsid(0))
    assert cpu > 0
    assert megabytes > 10


def test_the_curve_of_segmentation_marks_what_needs_no_labels(tmp_path):
    tool = load("segment_curve")
    rng = np.random.default_rng(0)
    phones = {f"u{n}": np.repeat(rng.permutation(np.arange(40) % 5), rng.integers(4, 9, 40)) for n in range(6)}
    noisy = {u: np.where(rng.random(len(p)) < 0.15, rng.integers(0, 10, len(p)), 2 * p) for u, p in phones.items()}
    units = write_unit_file(tmp_path / "units.jsonl", noisy, 10)
    alignment = write_alignment(tmp_path / "phones.ctm", phones, "abcde")
    rows = tool.curve("made up", units, alignment, 8.0, frozenset({"SIL"}))
    marked = {mark: row for row in rows for mark in row["mark"].split(", ") if mark}
    assert set(marked) == {"even", "plain", "knee", "rate", "best"}
    assert marked["plain"]["rate"] == pytest.approx(
        sum(1 + np.count_nonzero(np.diff(x)) for x in noisy.values()) / sum(0.02 * len(x) for x in noisy.values())
    )
    assert marked["even"]["rate"] == pytest.approx(marked["knee"]["rate"])
    assert marked["rate"]["rate"] == pytest.approx(8.0, rel=0.1)
    assert marked["best"]["r-value"] == max(row["r-value"] for row in rows if row["mark"] != "even") > 0.9
    assert marked["knee"]["r-value"] > max(marked["plain"]["r-value"], marked["even"]["r-value"])
    low, high = marked["knee"]["interval"]
    assert low <= marked["knee"]["r-value"] <= high
    assert len(tool.table(rows).splitlines()) == 2 + sum(bool(row["mark"]) for row in rows)
    pytest.importorskip("matplotlib")
    tool.plot(rows, tmp_path / "img" / "curve.png", 8.0)
    assert (tmp_path / "img" / "curve.png").stat().st_size > 10_000


def test_robustness_is_measured_once_and_tabled(tmp_path, capsys, monkeypatch):
    tool = load("bench_robustness")

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["bench_robustness.py", *map(str, words)])
        tool.main()
        return capsys.readouterr().out

    rng = np.random.default_rng(0)
    for name in ("a-0", "b-0"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(3 * 16000), 16000)
    cache, out = tmp_path / "mfcc.npz", tmp_path / "runs.jsonl"
    assert run("features", tmp_path, cache, "--dev", "b") == "{'train': 300, 'dev': 300} frames\n"
    rows = ("rows", cache, out, "--codes", 16, "--steps", 16, "--seeds", 0, "--rows", "vanilla", "all")
    found = [json.loads(line) for line in run(*rows).splitlines()]
    assert [(line["row"], line["codes"], line["vectors"]) for line in found] == [("vanilla", 16, 128), ("all", 16, 128)]
    assert all(1 / 16 <= line["used"] <= 1 and 1 <= line["perplexity"] <= 16 for line in found)
    assert run(*rows) == ""
    first = run("table", out).splitlines()[2]
    assert first.startswith(f"| 16 | vanilla | {100 * found[0]['used']:.1f} (")


def test_the_speed_of_a_step_stands_beside_its_bound(capsys, monkeypatch):
    tool = load("bench_quantizers")
    words = ("speed", "--codes", "8", "--rounds", "1", "--threads", "1", "--without-peer")
    monkeypatch.setattr(sys, "argv", ["bench_quantizers.py", *words])
    tool.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line[8:38].strip() for line in lines] == ["addmm + argmin", "VQ", "VQ, normalised and projected"]
    assert lines[0].endswith("1.00 x")


def test_averages_differ_by_what_they_forget_at_a_reestimation(tmp_path, capsys, monkeypatch):
    tool = load("bench_averaging")
    sizes = ["encoder.channels=8", "decoder.wavenet={layers: 2, residual: 8, gate: 16, skip: 8, hidden: 8}"]
    codes = "quantizer={codes: 8, dim: 8, schedule: {warm_up: 2, every: 2, until: 4}}"
    changes = [*(f"model.{change}" for change in (*sizes, codes)), "train.steps=6", "train.batch=2", "train.chunk=20"]
    (tmp_path / "some.yaml").write_text("{}")
    for part in ("train", "dev"):
        extract(DataDir.read(put_data(tmp_path / part)), ExtractConfig(targets=LogMelConfig()))
    how = ("--every", 1, "--marks", 4, 6, "--json", tmp_path / "rows.jsonl", "--plot", tmp_path / "plot.png")
    words = (tmp_path / "some.yaml", tmp_path, *how, "--set", *changes)
    monkeypatch.setattr(sys, "argv", ["bench_averaging.py", *map(str, words)])
    tool.main()
    rows = {row["step"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert [step for step, row in rows.items() if row["reestimated"]] == [2, 4]
    assert rows[1]["restart"] == rows[1]["all"] == rows[1]["none"] != rows[1]["raw"]
    assert rows[2]["all"] == rows[2]["raw"]  # all is forgotten: the average begins at the weights
    assert len({rows[2][kind] for kind in tool.KINDS}) == 3
    assert len({rows[6][kind] for kind in tool.KINDS}) == 4
    assert capsys.readouterr().out.startswith("| weights | step 4 | step 6 |")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_gpu_script_measures_all_parts_on_a_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    tool = load("gpu")
    monkeypatch.setattr(tool.torch.cuda, "is_available", lambda: False)
    tool.measure(tmp_path, 60.0, short=True)
    report = json.loads((tmp_path / "gpu.json").read_text())
    rows = {title: row["cpu"] for title, row in report["parts"].items()}
    assert not [row for row in rows.values() if "error" in row]
    assert rows["train small.yaml"]["steps/s"] > 0
    assert 0 < rows["train paper.yaml"]["share of peak"] < 1
    assert rows["k-means"]["iterations"] >= 1
    assert min(rows[title]["s of audio/s"] for title in ("encode", "sampling")) > 0
    table = (tmp_path / "gpu.md").read_text()
    assert table.startswith("# No GPU")
    assert all(f"| {title} |" in table for title in rows)
