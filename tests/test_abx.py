"""ABX: equal to the oracle for any input, to fastabx's golden values, and right at its ends."""

import sys
from pathlib import Path

import numpy as np
import pytest

from unitdisc.evaluate import abx_distance
from unitdisc.evaluate.abx import AbxOptions, score_abx
from unitdisc.evaluate.items import Items, write_items

sys.path.insert(0, str(Path(__file__).parent))
import reference_abx as reference

Rows = list[tuple[str, float, float, str, str, str, str]]
MODES = [(speaker, context) for speaker in ("within", "across") for context in ("within", "any")]


def made_up(seed: int, distance: str, files: int = 6, frames: int = 60) -> tuple[Rows, dict[str, np.ndarray]]:
    """Items that tile files of three speakers, with frames without meaning."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    features = {}
    for place in range(files):
        file, end = f"f{place}", 0
        while end < frames:
            start, end = end, min(end + int(rng.integers(1, 9)), frames)
            phone, before = f"p{rng.integers(3)}", f"c{rng.integers(2)}"
            rows.append((file, start / 100, end / 100, phone, before, "d", f"s{place % 3}"))
        features[file] = rng.standard_normal((frames, 5)).astype(np.float32)
        if distance == "kl":
            features[file] = np.exp(features[file]) / np.exp(features[file]).sum(1, keepdims=True)
        if distance in ("identical", "edit"):
            features[file] = rng.integers(0, 5, (frames, 1))
    return rows, features


def save(folder: Path, rows: Rows, features: dict[str, np.ndarray]) -> tuple[Path, Path]:
    (folder / "features").mkdir()
    for file, frames in features.items():
        np.save(folder / "features" / f"{file}.npy", frames)
    write_items(folder / "all.item", Items.of_rows(rows))
    return folder / "features", folder / "all.item"


@pytest.fixture(params=["pair by pair", "in lanes"])
def way(request, monkeypatch) -> None:
    """Score all tiles by the way for small ones, or by that for large ones."""
    monkeypatch.setattr(abx_distance, "SMALL", np.inf if request.param == "pair by pair" else 0)


@pytest.mark.parametrize(("speaker", "context"), MODES)
@pytest.mark.parametrize("distance", ["angular", "euclidean", "kl", "identical", "edit"])
def test_abx_is_its_definition(tmp_path, way, distance, speaker, context):
    rows, features = made_up(1, distance)
    score = score_abx(*save(tmp_path, rows, features), 0.01, AbxOptions(speaker, context, distance, None, None))
    assert score.value == pytest.approx(reference.abx(rows, features, 0.01, speaker, context, distance), abs=1e-12)
