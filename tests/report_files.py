"""A made-up experiment for the tests of the report: tones as phones, units that follow them, scores and conversions."""

import json
import shutil
from pathlib import Path

import numpy as np
import soundfile
from made_up import PHONES, tones

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.evaluate.scores import ConfidenceInterval, Counts, Score, write_scores

EVIL = "<script>window.hacked=1</script>\"'><img/src=x/onerror=window.hacked=2>&amp;"


def put_data(folder: Path, utterances: int = 6, evil: str = "", speakers: str = "ab", labels: bool = True) -> Path:
    """Write a data directory of tones of 0.1 s each; `evil` becomes part of every name."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    rows: dict[str, list[str]] = {name: [] for name in ("wav.scp", "utt2spk", "phones.ctm", "text")}
    for number in range(utterances):
        speaker = speakers[number % len(speakers)] + evil
        utt = f"{speaker}-{number:02d}"
        wave, phones = tones(random, 180.0, 8)
        soundfile.write(folder / f"{number}.wav", wave, 16000)
        rows["wav.scp"].append(f"{utt} {number}.wav")
        rows["utt2spk"].append(f"{utt} {speaker}")
        rows["text"].append(f"{utt} words {evil} of {number}")
        rows["phones.ctm"] += [f"{utt} 1 {i * 0.1:.2f} 0.10 {phone}{evil}" for i, phone in enumerate(phones)]
    for name, lines in rows.items():
        if labels or name != "phones.ctm":
            lines.sort(key=lambda line: (line.split()[0], float(line.split()[2]) if name == "phones.ctm" else 0))
            (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def put_units(path: Path, data: Path, period: float = 0.02, codes: int = 8) -> Path:
    """Write units: twice the phone's number, and one more in the second half of each tone."""
    lines: dict[str, list[int]] = {}
    for line in (data / "phones.ctm").read_text("utf-8").splitlines():
        utt, _, _, _, phone = line.split()
        number, half = PHONES.index(phone[0]), round(0.05 / period)
        lines.setdefault(utt, []).extend([2 * number] * half + [2 * number + 1] * (round(0.1 / period) - half))
    path.parent.mkdir(parents=True, exist_ok=True)
    header = UnitHeader(period, (codes,), codebook="c0de", model="m0de1", origin={"data": str(data)})
    write_units(path, header, [UnitLine.of_frames(utt, lines[utt]) for utt in sorted(lines)])
    return path


def put_exp(exp: Path, data: Path, evil: str = "") -> Path:
    """Write a run folder: log, units, scores and conversions."""
    exp.mkdir(parents=True)
    (exp / "config.yaml").write_text(f"model:\n  decoder:\n    kind: frame\nnote: {json.dumps(evil)}\n", "utf-8")
    trained = {"data": "data/train", "utterances": 9, "speakers": 2}
    start = {"time": "2030-01-01", "command": f"unitdisc train {evil}", "commit": "abc123", "device": "cpu", "cpus": 2}
    start |= {"seed": 7, "parameters": 12345, "train": trained}
    (exp / "env.json").write_text(json.dumps({"starts": [start]}), "utf-8")
    rows = [{"step": s, "kind": "train", "loss": 9 / s, "perplexity": 3 + s / 99, "steps_per_second": 2.0}
            for s in range(10, 101, 10)]  # fmt: skip
    rows += [{"step": 50, "kind": "reestimation", "vectors": 9}, {"step": 100, "kind": "dev", "loss": 0.5, "pnmi": 0.6}]
    (exp / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    put_units(exp / "units" / "test" / "units.jsonl", data)
    (exp / "scores").mkdir()
    about = {"counts": Counts({"utterances": 6}), "hashes": {"units": "u"}}
    scores = [
        Score("abx", 0.125, "abx-across-within-angular", interval=ConfidenceInterval(0.1, 0.15), **about),
        Score("pnmi", 0.75, f"pnmi{evil}", parts={"codes": 8}, **about),
        Score("speaker-accuracy", 0.75, "speaker-accuracy-histogram", parts={
            "chance": 0.5, "by speaker": {f"a{evil}": 1.0, "b": 0.5}}, **about),
    ]  # fmt: skip
    write_scores(exp / "scores" / "units-all.json", scores)
    (exp / "scores" / "mfcc-abx.json").write_text(
        json.dumps(Score("abx", 0.3125, "abx-across-within-angular").to_json()), "utf-8"
    )
    put_conversions(exp / "converted", data, evil)
    put_judged(exp, data)
    return exp


def put_judged(exp: Path, data: Path) -> None:
    """Write what judges heard of the first recording, and of its resynthesis."""
    utt, file = (data / "wav.scp").read_text("utf-8").splitlines()[0].split()
    rows = [
        {"utt": utt, "side": "recording", "audio": "/elsewhere/x.wav", "mos-overall": 3.41, "wer": 0.0},
        {"utt": f"same-{utt}", "side": "resynthesis", "audio": f"/elsewhere/converted/0/{file}", "mos-overall": 2.9,
         "wer": 0.25, "nearest-is-target": 1.0},
    ]  # fmt: skip
    (exp / "scores" / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def put_conversions(folder: Path, data: Path, evil: str = "") -> None:
    """Write "conversions", which are copies, of the first two utterances."""
    rows = []
    for line in (data / "wav.scp").read_text("utf-8").splitlines()[:2]:
        utt, file = line.split()
        for number, target in enumerate(("same", f"b{evil}")):
            path = folder / str(number) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / file, path)
            rows.append({"utt": f"{target}-{utt}", "source": utt, "speaker": utt.split("-")[0], "target": target,
                         "path": f"{number}/{file}", "seconds": 0.8, "gain": 1.0})  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
