"""The vectors of units that ABX compares: balancing is a function of the codebook's shape alone."""

import json

import numpy as np
import pytest

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import DataError
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.codewords import balanced
from unitdisc.evaluate.items import Items


def cosines(codewords: np.ndarray) -> np.ndarray:
    unit = codewords / np.linalg.norm(codewords, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.fixture
def codewords() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (
        rng.standard_normal((40, 6)) @ np.diag([10.0, 5, 3, 1, 1, 0.5]) @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
        + 5
    )


def test_deviations_along_the_principal_axes_become_their_square_roots(codewords):
    before = np.linalg.eigvalsh(np.cov(codewords.T, bias=True))
    result = balanced(codewords)
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.diag(np.sqrt(before)), rtol=1e-6, atol=1e-6)


def test_a_codebook_that_is_moved_turned_or_scaled_has_the_same_angles(codewords):
    turn, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((6, 6)))
    wanted = cosines(balanced(codewords))
    for other in (codewords + np.arange(6), codewords @ turn, 7 * codewords, codewords[:, ::-1]):
        np.testing.assert_allclose(cosines(balanced(other)), wanted, atol=1e-9)
    assert np.abs(cosines(codewords) - wanted).max() > 0.3


def test_codewords_in_a_plane_or_in_a_point_give_finite_vectors():
    line = np.outer(np.arange(4.0), [1.0, 2, 3])
    assert np.isfinite(balanced(line)).all()
    np.testing.assert_allclose(np.abs(cosines(balanced(line))), 1)
    np.testing.assert_array_equal(balanced(np.full((3, 2), 7.0)), 0)


def test_abx_of_balanced_codewords_is_that_of_the_vectors_by_angle(codewords, tmp_path):
    rng = np.random.default_rng(0)
    units = {f"f{n}": rng.integers(0, 40, 60) for n in range(6)}
    header = UnitHeader(0.02, (40,), codebook="c0de")
    write_units(tmp_path / "units.jsonl", header, (UnitLine.of_frames(*pair) for pair in units.items()))
    np.save(tmp_path / "codebook.npy", codewords.astype(np.float32))
    (tmp_path / "vectors").mkdir()
    for name, row in units.items():
        np.save(tmp_path / "vectors" / f"{name}.npy", balanced(codewords.astype(np.float32))[row].astype(np.float32))
    rows = [
        (f"f{file}", 0.1 * n, 0.1 * n + 0.09, "ab"[int(rng.integers(2))], "x", "y", f"s{file % 2}")
        for file in range(6) for n in range(10)
    ]  # fmt: skip
    scored = score_abx(tmp_path / "units.jsonl", Items.of_rows(rows), options=AbxOptions(distance="balanced"))
    wanted = score_abx(tmp_path / "vectors", Items.of_rows(rows), 0.02, AbxOptions(distance="angular"))
    assert scored.value == pytest.approx(wanted.value, abs=1e-6)
    assert scored.definition == "abx-within-within-balanced"
    assert json.loads(json.dumps(scored.to_json()))["value"] == scored.value


def test_balanced_codewords_need_units(tmp_path):
    np.save(tmp_path / "f0.npy", np.ones((9, 2), np.float32))
    with pytest.raises(DataError, match="--distance balanced needs a unit file; for vectors use angular"):
        score_abx(
            tmp_path, Items.of_rows([("f0", 0.0, 0.05, "a", "x", "y", "s")]), 0.01, AbxOptions(distance="balanced")
        )
