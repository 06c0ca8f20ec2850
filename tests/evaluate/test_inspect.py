"""What `unitdisc inspect` says of a unit file."""

import json

import numpy as np
import pytest
from score_files import write_unit_file

from unitdisc.cli import main
from unitdisc.evaluate.inspect import summary


def test_the_essentials(tmp_path):
    text = summary(write_unit_file(tmp_path / "u.jsonl", {"a": np.repeat([0, 1, 2], 10), "b": np.zeros(0, int)}, 4))
    for part in ("every 20 ms", "c0", "2, of which 1 are empty", "0.6 s", "3: 5.00 per second, 200 ms", "3 of 4 codes",
                 "perplexity 3.0", "0: 33.3%"):  # fmt: skip
        assert part in text
    assert "warning" not in text
    assert len(text.splitlines()) < 24


def test_a_collapsed_codebook_is_named(tmp_path):
    assert "collapsed" in summary(write_unit_file(tmp_path / "u.jsonl", {"a": np.repeat([0, 1], [90, 10])}, 256))


def test_an_empty_file_has_no_rates(tmp_path):
    assert "utterances  0" in summary(write_unit_file(tmp_path / "u.jsonl", {}, 4))


def test_the_same_as_json(tmp_path, capsys):
    path = write_unit_file(tmp_path / "u.jsonl", {"a": np.repeat([0, 1, 2], 10), "b": np.zeros(0, int)}, 4)
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["utterances"], said["empty"], said["frames"], said["units"]) == (2, 1, 30, 3)
    assert said["codes"] == [4]
    assert said["units_per_second"] == pytest.approx(5)
    assert said["perplexity"] == pytest.approx(3)
