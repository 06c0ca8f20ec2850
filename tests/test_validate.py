"""Validation: what the dev set's figures count."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import homogeneity_score

from unitdisc.data.timing import FrameGrid
from unitdisc.validate import unit_values


def test_pnmi_is_sklearns_homogeneity_and_all_names_of_silence_are_one(tmp_path):
    rng = np.random.default_rng(0)
    units = rng.integers(0, 4, 100)
    phones = np.where(rng.random(100) < 0.7, units, rng.integers(0, 4, 100))
    names = np.array(["a", "b", "sp", "spn"])[phones]
    lines = [f"u 1 {0.02 * n:.2f} 0.02 {name}\n" for n, name in enumerate(names)]
    (tmp_path / "phones.ctm").write_text("".join(lines))
    model = SimpleNamespace(quantizer=SimpleNamespace(codes=(4,)), unit_grid=FrameGrid(16000, 320, 400))
    dev = SimpleNamespace(data=SimpleNamespace(path=tmp_path))
    got = unit_values(model, dev, ["u"], [torch.from_numpy(units)[:, None]])["pnmi"]
    assert got == pytest.approx(homogeneity_score(np.minimum(phones, 2), units), abs=1e-6)
    assert got != pytest.approx(homogeneity_score(phones, units), abs=1e-2)
