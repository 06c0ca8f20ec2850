"""Small files of every kind that is read, how each is read, and damages."""

import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

import kaldiio
import numpy as np
import soundfile
import torch

from unitdisc import checkpoint, config
from unitdisc.compare.table import read_comparison
from unitdisc.data.alignment import read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.foreign.importing import ImportOptions, import_units
from unitdisc.data.kaldi import DataDir
from unitdisc.data.pairs import read_pairs
from unitdisc.data.pipes import parse_command
from unitdisc.data.shards import import_shards
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import UnitHeader, UnitLine, read_units, write_units
from unitdisc.evaluate import converted
from unitdisc.evaluate.frames import open_frames
from unitdisc.evaluate.items import read_items
from unitdisc.evaluate.scores import Score, read_scores, write_scores
from unitdisc.features.manifest import Manifest, read_manifest
from unitdisc.features.partial import MadeFeatures, PartialArchives
from unitdisc.quantizers.centroids import read_centroids
from unitdisc.report.html import write_report
from unitdisc.report.judged import read_judged
from unitdisc.report.options import ReportOptions
from unitdisc.runlog import read_metrics
from unitdisc.train_config import Config

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


def made(write: Callable[[Path], object], name: str = "x") -> bytes:
    """Return the content of a file that `write` writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def unit_bytes() -> bytes:
    lines = [UnitLine.of_frames("a", [1, 1, 2]), UnitLine.of_frames("b", [3])]
    return made(lambda path: write_units(path, UnitHeader(0.02, (8, 4)), lines))


def score_bytes() -> bytes:
    return made(lambda path: write_scores(path, [Score("abx", 0.1, "abx-x", parts={"chance": 0.5})]))


def wave_bytes(kind: str, subtype: str) -> bytes:
    wave = np.sin(np.arange(800)) / 2
    return made(lambda path: soundfile.write(path, wave, 16000, format=kind, subtype=subtype))


def ark_bytes() -> bytes:
    matrices = {"a": np.arange(12, dtype=np.float32).reshape(4, 3)}
    return made(lambda path: kaldiio.save_ark(str(path), matrices))


def array_bytes(save: Callable[..., None], **arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


def tar_bytes() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        files = {"a.flac": wave_bytes("FLAC", "PCM_16"), "a.json": b'{"speaker": "s"}', "a.txt": b"words\n"}
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def checkpoint_bytes() -> bytes:
    tree = {"config": {"a": 1}, "model": {"w": torch.arange(64.0)}, "step": 3, "speakers": ["s"]}
    return made(lambda path: checkpoint.save(path, tree))


def comparison_bytes() -> bytes:
    column = {"name": "mfcc", "title": "MFCC", "codes": 0, "period": 0.01}
    scores = json.loads(score_bytes())["scores"]
    record = {"train": "a", "test": "b", "columns": [{**column, "scores": scores}]}
    return json.dumps({"format": "unitdisc-comparison-1", **record}).encode()


def journal_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        begin_archives(Path(folder))
        return (Path(folder) / "features.partial" / "journal.jsonl").read_bytes()


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


def read_foreign(path: Path, **options: object) -> None:
    """Read units of another tool by content, or as the format that is named."""
    folder = path if path.is_dir() else path.parent
    import_units(path, folder / "out.jsonl", ImportOptions(period=0.02, **options))


def as_format(name: str) -> Callable[[Path], None]:
    return lambda path: read_foreign(path, format=name)


def read_km(path: Path) -> None:
    """Read damaged units of a sound list."""
    path.with_suffix(".tsv").write_bytes(TSV)
    read_foreign(path)


def read_tsv(path: Path) -> None:
    """Read sound units of a damaged list."""
    path.with_suffix(".km").write_bytes(b"7 7 3\n0 1 1 1\n")
    read_foreign(path.with_suffix(".km"))


def read_tables_of_vectors(path: Path) -> None:
    """Read units of ZeroSpeech 2019."""
    read_foreign(path.parent, format="zerospeech2019")


def read_tar(path: Path) -> None:
    """Read the recordings of a damaged archive."""
    import_shards(path.parent, path.parent / "data", lambda path: None)


def read_cuts(path: Path) -> None:
    """Read a sound archive with damaged cuts."""
    (path.parent / "recording.0.tar").write_bytes(TAR)
    read_tar(path)


def begin_archives(folder: Path) -> None:
    """Begin or go on with archives of features."""
    with closing(PartialArchives(folder, ["feats"], "key", {"a": "s"})) as archives:
        if not archives.done:
            stats = np.ones((2, 4))
            archives.append(MadeFeatures("a", (ark_bytes()[2:],), (stats,)))
        archives.forget_failures()


def read_journal(path: Path) -> None:
    """Go on with archives that have a damaged journal."""
    begin_archives(path.parent)
    (path.parent / "features.partial" / "journal.jsonl").write_bytes(path.read_bytes())
    begin_archives(path.parent)


def read_frames(path: Path) -> None:
    """Read a folder of arrays, as scores do."""
    frames = open_frames(path.parent)
    for utt in frames:
        frames[utt]


def read_period(path: Path) -> None:
    """Read a sound archive with a damaged note of its period."""
    path.with_suffix(".ark").write_bytes(ark_bytes())
    path.with_suffix(".scp").write_text(f"a {path.with_suffix('.ark')}:2\n")
    open_frames(path.with_suffix(".scp"))


TSV = b"/corpus\nspk/a-1.flac\t960\nspk/a-2.flac\t1280\n"
TAR = tar_bytes()
LHOTSE = b"""{"id": "a", "recording_id": "r", "start": 1.0, "duration": 0.06, "channel": 0, \
"alignment": {"unit": [["7", 1.0, 0.04, null], ["3", 1.04, 0.02, null]]}}
"""
CUTS = b"""{"id": "a", "start": 0, "duration": 0.05, "supervisions": [\
{"id": "one", "start": 0.0, "duration": 0.02, "speaker": "s", "text": "x"},\
{"id": "two", "start": 0.02, "duration": 0.02, "speaker": "t"}]}
"""
MANIFEST = Manifest("abc", {"kind": "mfcc"}, "def", 3, 0.01, 0.0, 1, 4).to_json().encode()
CONVERTED = b'{"utt": "a", "source": "a.wav", "speaker": "s", "target": "t", "path": "t/a.wav"}\n'
JUDGED = b'{"utt": "a", "audio": "x/t/a.wav", "side": "conversion", "wer": 0.5, "nearest-is-target": 1}\n'
ONE_HOT = b"0 0 1\n0 1 0\n"
UNITS = np.array([7, 7, 3], np.int32)


class Reader(NamedTuple):
    """A file that can be read, and how."""

    file: str
    blob: bytes
    read: Callable[[Path], object]


_READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
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
    "foreign-text": ("u.txt", b"a-2 0 1 1 1\na-1 7 7 3\n", read_foreign),
    "foreign-km": ("u.km", b"7 7 3\n0 1 1 1\n", read_km),
    "foreign-tsv": ("u.tsv", TSV, read_tsv),
    "foreign-espnet": ("u.txt", b"a <7> <7> <3>\nb <0> <1>\n", as_format("espnet")),
    "foreign-characters": ("u.txt", "a \u4e07\u4e03\nb \u4e00\u4e01\n".encode(), as_format("espnet")),
    "foreign-ctm": ("u.ctm", b";; units\na 1 0.00 0.04 7\na 1 0.04 0.02 3\n", as_format("ctm")),
    "foreign-jsonl": ("u.jsonl", b'{"file": "a", "units": [7, 3], "durations": [2, 1]}\n', as_format("jsonl")),
    "foreign-gzip": ("u.jsonl.gz", gzip.compress(b'{"file": "a", "units": [7, 3]}\n', mtime=0), as_format("jsonl")),
    "foreign-zerospeech2021": ("u.txt", b"a\t7,7,3\nb\t0,1,1,1\n", as_format("zerospeech2021")),
    "foreign-zerospeech2019": ("a.txt", ONE_HOT, read_tables_of_vectors),
    "foreign-bars": ("u.txt", b"a-1|7 7 3\na-2.wav|0 1 1 1\n", as_format("textless")),
    "foreign-lhotse": ("supervisions.jsonl", LHOTSE, as_format("lhotse")),
    "foreign-npy": ("u.npy", array_bytes(np.save, arr=UNITS), as_format("arrays")),
    "foreign-npz": ("u.npz", array_bytes(np.savez, a=UNITS, b=UNITS), as_format("arrays")),
    "tar": ("x.tar", TAR, read_tar),
    "cuts": ("cuts.0.jsonl", CUTS, read_cuts),
    "manifest": ("feats.json", MANIFEST, lambda path: read_manifest(path.parent, "feats")),
    "period": ("feats.json", MANIFEST, read_period),
    "journal": ("journal", journal_bytes(), read_journal),
    "array": ("a.npy", array_bytes(np.save, arr=np.ones((4, 3), np.float32)), read_frames),
    "numbers": ("a.txt", b"0.5 1e-3\n-1 2\n", read_frames),
    "centroids": ("x.npy", array_bytes(np.save, arr=np.ones((4, 3), np.float32)), read_centroids),
    "checkpoint": ("x.pt", checkpoint_bytes(), checkpoint.load),
    "comparison": ("table.json", comparison_bytes(), read_comparison),
    "converted": ("manifest.jsonl", CONVERTED, lambda path: converted.read_manifest(path.parent)),
    "judged": ("judged.jsonl", JUDGED, lambda path: read_judged(path.parent)),
    "pairs": ("pairs", b"a s\nb t\n", read_pairs),
}
READERS = {name: Reader(*row) for name, row in _READERS.items()}
