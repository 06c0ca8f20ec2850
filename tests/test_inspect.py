"""What `unitdisc inspect` says of a unit file."""

import numpy as np
from score_files import write_unit_file

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
