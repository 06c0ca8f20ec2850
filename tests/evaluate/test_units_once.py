"""A unit file is read once for all of its scores, and what is kept is what is in the file."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from score_files import write_alignment, write_unit_file

from unitdisc.data.units import read_units
from unitdisc.evaluate import units as module
from unitdisc.evaluate.items import Items, write_items
from unitdisc.evaluate.suite import Sides, SuiteOptions, score_all
from unitdisc.evaluate.units import Units

CODES = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("train", "test"):
        phones = {f"{name}-{s}{n}": np.repeat(random.permutation(3), 8) for s in "st" for n in range(5)}
        units = {utt: (2 * p + random.integers(2, size=24)) % CODES for utt, p in phones.items()}
        (tmp_path / name).mkdir()
        write_unit_file(tmp_path / name / "units.jsonl", units, CODES)
        np.save(tmp_path / name / "codebook.npy", random.standard_normal((CODES, 2)).astype(np.float32))
        write_alignment(tmp_path / f"{name}.ctm", phones, "abc")
    write_unit_file(tmp_path / "noise-10.jsonl", {u: np.roll(x, 2) for u, x in units.items()}, CODES)
    rows = [(utt, 0.16 * n, 0.16 * (n + 1), "abc"[p[8 * n]], "x", "x", utt[5])
            for utt, p in phones.items() for n in range(3)]  # fmt: skip
    write_items(tmp_path / "x.item", Items.of_rows(rows))
    (tmp_path / "utt2spk").write_text("".join(f"{utt} {utt[5]}\n" for utt in sorted(units)))
    return tmp_path


@pytest.mark.parametrize("fitted_on", ["train", "other speakers", "itself"])
def test_all_scores_read_each_unit_file_once(folder: Path, fitted_on: str, monkeypatch: pytest.MonkeyPatch):
    reads, hashed = Counter[str](), Counter[str]()
    names = {folder / "test/units.jsonl": "test", folder / "train/units.jsonl": "train",
             folder / "noise-10.jsonl": "changed"}  # fmt: skip
    theirs, real_hash = module.read_units, module.file_hash

    def counted(path: Path):
        reads[names[path]] += 1
        return theirs(path)

    def counted_hash(path: Path) -> str:
        hashed[names[path]] += 1
        return real_hash(path)

    monkeypatch.setattr(module, "read_units", counted)
    monkeypatch.setattr(module, "file_hash", counted_hash)
    train = folder / "train" if fitted_on == "train" else None
    data = folder / "utt2spk" if fitted_on == "other speakers" else None
    sides = Sides(folder / "test", folder / "test.ctm", train, folder / "train.ctm" if train else None, data)
    options = SuiteOptions(folder / "x.item", (folder / "noise-10.jsonl",), resamples=2)
    scores = score_all(sides, options)
    assert len(scores) > 25
    wanted = {"test": 1, "changed": 1} | ({"train": 1} if train else {})
    assert reads == hashed == wanted
    # The same where nothing is kept, as of a file that is too large.
    monkeypatch.setattr(Sides, "kept", lambda self: self)
    assert score_all(sides, options) == scores
    assert reads["test"] > 8


def test_what_is_kept_is_what_is_in_the_file(folder: Path):
    path = folder / "test" / "units.jsonl"
    kept, few = Units(path, keep=True), Units(path, keep=True, most=30)
    for _ in range(3):
        for units in (kept, few):
            for got, line in zip(units, read_units(path), strict=True):
                assert got.utt == line.utt
                for one, other in zip(got[1:], line[1:], strict=True):
                    np.testing.assert_array_equal(one, other)
                    assert one.dtype == other.dtype
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert sum(1 for _ in kept) == 10
    with pytest.raises(Exception, match="the file was cut"):
        list(few)  # which had too many runs to keep
