"""What a recipe prints of its scores."""

import json
import subprocess
import sys
from pathlib import Path

from recipe_files import EGS

from unitdisc.evaluate.scores import Score


def headlines(folder: Path) -> list[str]:
    got = subprocess.run([sys.executable, EGS / "common/headlines.py", folder], capture_output=True, text=True)
    assert got.returncode == 0, got.stderr
    return got.stdout.splitlines()


def test_units_stand_beside_what_they_are_compared_with_and_few_items_are_told(tmp_path: Path):
    assert headlines(tmp_path) == []

    def put(file: str, *scores: tuple[str, float]) -> None:
        records = [Score("x", value, name, parts={"warnings": []}).to_json() for name, value in scores]
        (tmp_path / f"{file}.json").write_text(json.dumps({"scores": records} if len(records) > 1 else records[0]))

    put("codes-abx-across", ("abx-across-within-angular", 0.25))
    put("mfcc-abx-across", ("abx-across-within-angular", 0.5))
    put("kmeans-input-64-abx-across", ("abx-across-within-angular", 0.375))
    put("units", ("pnmi", 0.4), ("abx-across-within-identical", 0.9))
    put("downstream-mfcc", ("per-probe-ctc-lstm-nosil", 0.6))
    head, *lines = headlines(tmp_path)
    assert head.split() == ["units", "kmeans-input-64", "mfcc"]
    rows = {line[:26].strip(): line[26:] for line in lines}
    assert rows["ABX across speakers, %"].split() == ["25.0", "37.5", "50.0"]
    assert rows["PNMI, %"].split() == ["40.0"]
    assert rows["PER, small ASR, %"].rstrip().endswith("60.0")
    assert len(rows["PER, small ASR, %"]) == len(rows["ABX across speakers, %"])  # in the column of mfcc
    record = json.loads((tmp_path / "mfcc-abx-across.json").read_text())
    record["parts"]["warnings"] = ["only 40 of 500 items can be A, B or X"]
    (tmp_path / "mfcc-abx-across.json").write_text(json.dumps(record))
    assert headlines(tmp_path)[-1] == f"  few items ({tmp_path}): ABX means little here"
