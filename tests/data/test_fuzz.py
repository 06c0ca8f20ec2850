"""Every reader on damaged files: it reads, or says in one line what is wrong; no traceback, no hang, no filled memory.

A short form runs with the others; `pytest -m slow tests/data/test_fuzz.py` is the long one, whose number of inputs
for each reader UNITDISC_FUZZ sets.
"""

import os
import resource
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from damaged_files import GRID, METRICS, READERS, damaged

from unitdisc import config
from unitdisc.data.audio import AudioSource
from unitdisc.errors import UnitdiscError
from unitdisc.train_config import Config

SLOWEST = 10  # s
MOST_MEMORY = 1 << 30  # bytes
LONG = int(os.environ.get("UNITDISC_FUZZ", "60000"))


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
    for number in range(8 if name == "metrics" else 60):
        check(name, damaged(Random(number), READERS[name].blob))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", READERS)
def test_no_damage_among_many_makes_a_traceback_a_hang_or_a_full_memory(name: str):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(LONG // 50 if name == "metrics" else LONG):
        check(name, damaged(Random(number), READERS[name].blob))
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
        ("foreign-tsv", b"/corpus\na.flac\t960\nb.flac\t" + b"9" * 400 + b"\n"),
        ("foreign-jsonl", b'{"file": "a", "' + b"9" * 5000 + b'": [7]}\n'),
        ("foreign-jsonl", b'{"file": "a", "units": [7, 3], "durations": [2, 100000000000000]}\n'),
        ("foreign-ctm", b"a 1 0.00 0.04 7\na 1 0.04 " + b"9" * 60 + b" 3\n"),
        ("foreign-ctm", b";; units\n" + b"a" * 3000 + b" 1 0.00 0.04 7:a"),
        ("foreign-ctm", b";; units\na\x00 1 0.00 0.04 7:a"),
        ("foreign-npz", READERS["foreign-npz"].blob.replace(b"\7\0\0\0\3", b"\7\0\0\0\4")),
        ("cuts", READERS["cuts"].blob.replace(b'"start": 0.02', b'"begin": 0.02')),
        ("cuts", READERS["cuts"].blob.replace(b'"start": 0.02', b'"start": NaN')),
        ("journal", READERS["journal"].blob.replace(b'"sizes": [', b'"sizes": [9999999999999999999')),
        ("cuts", READERS["cuts"].blob.replace(b'"text": "x"', b'"text": "x\\ud800"')),
        ("cuts", b'{"id": ["a"], "supervisions": []}\n'),
        ("cuts", b'{"id": "a", "supervisions": [1, 2]}\n'),
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
