"""DiscoPhon's scores: equal to the package itself where Python 3.12 has it, to its stored values elsewhere."""

import json
import os
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from unitdisc.data.units import UnitHeader, UnitLine, read_units, write_units
from unitdisc.errors import DataError
from unitdisc.evaluate.discophon import Mapping, discophon_scores

# Of discophon 0.2.0 for the corpus below, as the last test computes them.
GOLDEN = {
    "many-to-one": {
        "pnmi": 0.4496972598163943,
        "per": 1.4705882352941178,
        "f1": 0.5454545454545454,
        "r_val": -0.3359918178252521,
    },
    "one-to-one": {
        "pnmi": 0.4496972598163943,
        "per": 2.6470588235294117,
        "f1": 0.42857142857142855,
        "r_val": -1.2761423749153966,
    },
}
PEER = """
import json, sys
from discophon.data import read_gold_annotations, read_submitted_units
from discophon.evaluate import phoneme_discovery
units, phones = read_submitted_units(sys.argv[1]), read_gold_annotations(sys.argv[2])
count = 6 if sys.argv[3] == "many-to-one" else 11  # with silence as many as units, and six that nobody says
print(json.dumps(phoneme_discovery(units, phones, kind=sys.argv[3], n_units=12, n_phonemes=count)))
"""


def put_corpus(folder: Path) -> None:
    """Write units and phones of made-up speech, for unitdisc and for DiscoPhon."""
    rng = np.random.default_rng(0)
    with (folder / "gold.txt").open("w") as gold, (folder / "phones.ctm").open("w") as ctm, \
            (folder / "units.json").open("w") as theirs:  # fmt: skip
        print("#file onset offset #phone", file=gold)
        lines = []
        for n in range(6):
            names = ["SIL", *rng.choice(list("abcde"), 20), "SIL"]
            lengths = rng.integers(3, 12, len(names))
            ends = np.cumsum(lengths)
            for name, first, last in zip(names, ends - lengths, ends, strict=True):
                print(f"u{n} {first / 100:.2f} {last / 100:.2f} {name}", file=gold)
                print(f"u{n} 1 {first / 100:.2f} {(last - first) / 100:.2f} {name}", file=ctm)
            phones = np.repeat([0 if name == "SIL" else 1 + "abcde".index(name) for name in names], lengths)
            noise = rng.integers(0, 12, len(phones[::2]))
            units = np.where(rng.random(len(noise)) < 0.7, 2 * phones[::2] + noise % 2, noise)
            lines.append(UnitLine.of_frames(f"u{n}", units))
            print(json.dumps({"file": f"u{n}", "units": units.tolist()}), file=theirs)
    write_units(folder / "units.jsonl", UnitHeader(0.02, (12,)), lines)


def ours(folder: Path, mapping: Mapping) -> dict[str, float]:
    scores = discophon_scores(folder / "units.jsonl", folder / "phones.ctm", resamples=0, mapping=mapping)
    return {score.name.replace("r-value", "r_val"): score.value for score in scores}


@pytest.mark.parametrize("mapping", get_args(Mapping))
def test_the_stored_values_of_discophon_are_ours(mapping: Mapping, tmp_path: Path):
    put_corpus(tmp_path)
    assert ours(tmp_path, mapping) == pytest.approx(GOLDEN[mapping], abs=1e-9)


def test_utterances_without_alignment_are_counted(tmp_path: Path):
    put_corpus(tmp_path)
    kept = [line for line in (tmp_path / "phones.ctm").read_text().splitlines(True) if not line.startswith("u5")]
    (tmp_path / "phones.ctm").write_text("".join(kept))
    score = discophon_scores(tmp_path / "units.jsonl", tmp_path / "phones.ctm", resamples=0)[0]
    assert score.counts.used["utterances"] == 5
    assert score.counts.dropped == {"utterances without alignment": 1}


def test_a_one_to_one_mapping_needs_a_unit_for_each_phone(tmp_path: Path):
    put_corpus(tmp_path)
    lines = [UnitLine.of_frames(line.utt, line.frames % 4) for line in read_units(tmp_path / "units.jsonl")]
    write_units(tmp_path / "few.jsonl", UnitHeader(0.02, (4,)), lines)
    with pytest.raises(DataError, match="a unit for each of the 6 phones, silence among them, got 4 units"):
        discophon_scores(tmp_path / "few.jsonl", tmp_path / "phones.ctm", mapping="one-to-one")


@pytest.mark.parametrize("mapping", get_args(Mapping))
def test_discophon_itself_says_the_same(mapping: Mapping, tmp_path: Path):
    python = os.environ.get("UNITDISC_DISCOPHON_PYTHON", "")
    if not python:
        pytest.skip("UNITDISC_DISCOPHON_PYTHON does not name a Python 3.12 with discophon 0.2")
    put_corpus(tmp_path)
    (tmp_path / "units.json").rename(tmp_path / "theirs.jsonl")
    command = [python, "-c", PEER, str(tmp_path / "theirs.jsonl"), str(tmp_path / "gold.txt"), mapping]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert json.loads(said) == pytest.approx(GOLDEN[mapping], abs=1e-12)
    assert ours(tmp_path, mapping) == pytest.approx(json.loads(said), abs=1e-9)
