"""Every reader on damaged files: it reads, or says in one line what is wrong; no traceback, no hang, no filled memory.

A short form runs with the others; `pytest -m slow tests/data/test_fuzz.py` is the long one, whose number of inputs
for each reader UNITDISC_FUZZ sets.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unitdisc import config
from unitdisc.data.alignment import read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.kaldi import DataDir
from unitdisc.data.pipes import parse_command
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import UnitHeader, UnitLine, read_units, write_units
from unitdisc.errors import UnitdiscError
from unitdisc.evaluate.items import read_items
from unitdisc.evaluate.scores import Score, read_scores, write_scores
from unitdisc.report.collect import ReportOptions
from unitdisc.report.html import write_report
from unitdisc.runlog import read_metrics
from unitdisc.train import Config

SLOWEST = 10  # s
MOST_MEMORY = 1 << 30  # bytes
LONG = int(os.environ.get("UNITDISC_FUZZ", "60000"))

NASTY = [
    b"\0", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u2028", b"9" * 400,
    b"9" * 5000, b"-1", b"1.9", b"nan", b"inf", b"NaN", b"-Infinity", b"1e400", b"null", b"true", b"[", b"{", b"}",
    b"]", b"[" * 1500, b"{}", b"[]", b'""', b"\n", b"\r\n", b"\t", b" ", b"&a [*a]", b"*a", b"? [a]", b"<<: 1",
    b"2001-13-45",
    b"!!float x", b"!!python/name:os.system", b"include: x.yaml", b":", b",", b"|", b"\xff\xff\xff\x7f",
    b"\0\0\0\x80", b"9223372036854775808", b"a" * 3000,
]  # fmt: skip


def damaged(random: Random, whole: bytes) -> bytes:
    """Return a file with up to four damages: cut, doubled, overwritten or filled with what is nasty."""
    blob = whole
    for _ in range(random.randint(0, 4)):
        first = random.randint(0, len(blob))
        last = min(len(blob), first + random.randint(0, 12))
        kind = random.randint(0, 4)
        if kind == 0:
            blob = blob[:first]
        elif kind == 1:
            blob = blob[:first] + blob[first:last] * 2 + blob[last:]
        else:
            new = random.choice(NASTY) if kind < 4 else random.randbytes(random.randint(0, 6))
            blob = blob[:first] + new + blob[first if kind == 2 else last :]
    return blob


def unit_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "u.jsonl"
        write_units(path, UnitHeader(0.02, (8, 4)), [UnitLine.of_frames("a", [1, 1, 2]), UnitLine.of_frames("b", [3])])
        return path.read_bytes()


def score_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_scores(Path(folder) / "s.json", [Score("abx", 0.1, "abx-x", parts={"chance": 0.5})])
        return (Path(folder) / "s.json").read_bytes()


def wave_bytes(kind: str, subtype: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        soundfile.write(path, np.sin(np.arange(800)) / 2, 16000, format=kind, subtype=subtype)
        return path.read_bytes()


def ark_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        kaldiio.save_ark(str(Path(folder) / "x.ark"), {"a": np.arange(12, dtype=np.float32).reshape(4, 3)})
        return (Path(folder) / "x.ark").read_bytes()


GRID = b"""File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "a"
"""
CONFIG = b"""model: &m
  features: {kind: mfcc, sample_rate: 16000, cmvn: utterance}
  quantizer: {kind: ema, codes: 64}
train:
  steps: 10
  learning_rate: 1e-3
"""
METRICS = b"".join(
    json.dumps({"step": n, "kind": kind, "loss": 1.5, "learning_rate": 1e-3, "steps_per_second": 2.0}).encode() + b"\n"
    for n in range(1, 5)
    for kind in ("train", "dev")
)


def read_all(path: Path) -> None:
    """Read every utterance of an alignment."""
    alignment = read_alignment(path)
    for utt in alignment:
        alignment[utt]


def read_tables(path: Path) -> None:
    """Read a file as each table of a data directory."""
    blob = path.read_bytes()
    for name in ("wav.scp", "segments", "utt2spk", "text", "utt2dur"):
        tables = {"wav.scp": b"a a.wav\nb b.wav\n", "utt2spk": b"a s\nb s\n", name: blob}
        if name == "segments":
            tables["wav.scp"] = b"r a.wav\n"
        for table, content in tables.items():
            (path.parent / table).write_bytes(content)
        try:
            data = DataDir.read(path.parent)
            data.source(data.utts[0]).seconds()
        finally:
            for table in tables:
                (path.parent / table).unlink()


def read_audio(path: Path) -> None:
    """Read a recording whole."""
    AudioSource(path).load(16000)


def read_ark(path: Path) -> None:
    """Read a damaged archive by a sound scp."""
    scp = path.with_suffix(".scp")
    scp.write_text(f"a {path}:2\n")
    FeatureReader(scp)["a"]


def read_scp(path: Path) -> None:
    """Read a sound archive by a damaged scp."""
    (path.parent / "x.ark").write_bytes(ark_bytes())
    reader = FeatureReader(path)
    for utt in reader:
        reader[utt]


def read_command(path: Path) -> None:
    """Read a command of wav.scp."""
    parse_command(path.read_bytes().decode("utf-8", "surrogateescape"), "wav.scp:1")


def read_run(path: Path) -> None:
    """Report on a run with such metrics."""
    (path.parent / "metrics.jsonl").write_bytes(path.read_bytes())
    read_metrics(path.parent)
    write_report([path.parent], path.with_suffix(".html"), ReportOptions(), force=True)


READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "units": ("units.jsonl", unit_bytes(), lambda path: [line.frames for line in read_units(path)]),
    "ctm": ("x.ctm", b";; c\na 1 0.00 0.10 SIL\na 1 0.10 0.25 AH 0.98\nb 1 0.2 0.1 K\n", read_all),
    "textgrid": ("x.TextGrid", GRID, read_all),
    "phn": ("x.phn", b"0 160 h#\n160 320 aa\n", read_all),
    "wrd": ("x.wrd", b"0 160 one\n150 320 two\n", read_all),
    "xlabel": ("x.lab", b"signal x\n#\n 0.1 121 a\n 0.2 121 b\n", read_all),
    "lablaut": ("x.lablaut", b"#\n 0.1 121 a\n 0.2 121 b\n", read_all),
    "tables": ("table", b"a a.wav\nb flac -dc b.flac |\n", read_tables),
    "segments": ("table", b"a r 0.0 0.5\nb r 0.5 -1 1\n", read_tables),
    "config": ("x.yaml", CONFIG, lambda path: config.load(path, Config)),
    "items": (
        "x.item",
        b"#file onset offset #phone prev-phone next-phone speaker\na 0.0 0.1 a b c s\n",
        lambda path: read_items(path),
    ),
    "scores": ("s.json", score_bytes(), read_scores),
    "wav": ("x.wav", wave_bytes("WAV", "PCM_16"), read_audio),
    "flac": ("x.flac", wave_bytes("FLAC", "PCM_16"), read_audio),
    "sphere": ("x.sph", wave_bytes("NIST", "PCM_16"), read_audio),
    "ark": ("x.ark", ark_bytes(), read_ark),
    "scp": ("x.scp", b"a x.ark:2\n", read_scp),
    "command": ("x", b"sph2pipe -f wav -p -c 1 x.sph | sox -t wav - -r 16k -t wav - |", read_command),
    "metrics": ("m.jsonl", METRICS, read_run),
}


def check(name: str, blob: bytes) -> None:
    """Read it: well, or with an error of one line that is not endless, and soon."""
    file, _, read = READERS[name]
    start = time.process_time()  # other programs may be at work, too
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / file
        path.write_bytes(blob)
        message = ""
        try:
            read(path)
        except UnitdiscError as error:
            message = str(error)
        assert not set("\r\n\0") & set(message)
        assert len(message) < 1500 + 10 * len(folder)
        assert time.process_time() - start < SLOWEST


@pytest.mark.parametrize("name", READERS)
def test_a_whole_file_is_read(name: str, tmp_path: Path):
    file, blob, read = READERS[name]
    (tmp_path / file).write_bytes(blob)
    if name in ("tables", "segments"):  # the audio is not there
        with pytest.raises(UnitdiscError, match=r"no such audio file|expected"):
            read(tmp_path / file)
    else:
        read(tmp_path / file)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str):
    @settings(
        max_examples=8 if name == "metrics" else 60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(st.randoms(use_true_random=False))
    def run(random: Random) -> None:
        check(name, damaged(random, READERS[name][1]))

    run()


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", READERS)
def test_no_damage_among_many_makes_a_traceback_a_hang_or_a_full_memory(name: str):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(LONG // 50 if name == "metrics" else LONG):
        check(name, damaged(Random(number), READERS[name][1]))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY


@pytest.mark.parametrize(
    ("name", "blob"),
    [
        ("wrd", b""),
        ("phn", b"0 " + b"9" * 400 + b" aa\n"),
        ("textgrid", GRID.replace(b'"phones"', b'"7"')),
        ("textgrid", GRID.replace(b'text = "a"', b'text = "7"')),
        ("config", b"a: 2001-13-45\n"),
        ("config", b"model: " + b"9" * 5000),
        ("config", b"train: {steps: &a [*a]}\n"),
        ("config", b"model: " + b"[" * 2000),
        ("config", b"model: {quantizer: {kind: [ema]}}\n"),
        ("tables", b"a x\0y.wav\n"),
        ("tables", "a\u2028b a.wav\n".encode()),
        ("metrics", METRICS.replace(b"1.5", b"NaN")),
        ("metrics", METRICS.replace(b"1.5", b"Infinity")),
        ("metrics", METRICS.replace(b"1.5", b"1e308").replace(b"2.0", b"NaN")),
        ("scores", b'{"format": "unitdisc-scores-1", "scores": ' + b"[" * 200_000),
        ("command", b"sox x.wav -r inf -t wav - |"),
        ("command", b"sph2pipe -f wav -p -c " + b"9" * 5000 + b" x.sph |"),
        ("metrics", b'5\n{"kind": "train"}\n{"step": "x", "kind": "train", "loss": 1}\n'),
    ],
)
def test_what_once_made_a_traceback(name: str, blob: bytes):
    check(name, blob)


def test_aliases_that_stand_for_more_than_the_memory_holds_are_refused(tmp_path: Path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(rows))
    with pytest.raises(UnitdiscError, match=r"bomb.yaml:1:1: cannot be read as YAML: aliases make more than 100000"):
        config.load(tmp_path / "bomb.yaml", Config)


@pytest.mark.parametrize("rate", [1, 3999, 768_001, 999_983])
def test_a_sampling_rate_that_cannot_be_is_refused(tmp_path: Path, rate: int):
    soundfile.write(tmp_path / "x.wav", np.zeros(100), rate)
    with pytest.raises(UnitdiscError, match=f"expected a sampling rate of 4000 to 768000 Hz, got {rate} Hz"):
        AudioSource(tmp_path / "x.wav").load(16000)
