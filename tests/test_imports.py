"""Imports point down only: the layers of the package, enforced."""

import ast
from pathlib import Path

import pytest
from places import TOP

PACKAGE = TOP / "unitdisc"
LAYERS = {
    "errors": 0,
    "batch_norm": 1, "buffers": 1, "config": 1, "devices": 1, "digests": 1, "dist": 1, "files": 1, "made": 1,
    "processes": 1, "reading": 1, "registry": 1, "runlog": 1, "spikes": 1, "stopping": 1, "packed": 1, "hub": 1,
    "recipes": 1, "config_text": 1,
    "data": 2, "features": 2, "quantizers": 2, "networks": 2, "muon": 2,
    "decoders": 3, "sampling": 3, "synthesis": 3, "evaluate": 3, "hashes": 3,
    "loss": 4, "model": 4, "model_config": 4,
    "checkpoint": 5, "corpus": 5, "postfilter": 5, "correction": 5, "voices": 5, "speech_model": 5, "validate": 5,
    "targets": 5, "live": 5, "straight": 5, "train_config": 5, "shard_files": 5,
    "state": 6, "step": 6, "cluster": 6, "train": 6, "encode": 6, "segment": 6, "intonation": 6, "convert": 6,
    "copying": 6, "speaking": 6, "graph": 6, "heard": 6, "onnx_file": 6, "head": 6, "compare": 6, "taken": 6,
    "report": 7,
    "api": 8, "card": 8, "cli": 8, "pack": 8, "__main__": 9,
}  # fmt: skip
# Rooms of one floor do not know each other, except here.
SIDEWAYS = {("features", "data"), ("decoders", "sampling"), ("decoders", "synthesis")}
# Rooms that may not look below a given set even though the floor would allow it.
ONLY = {
    "evaluate": {"data"},
    "synthesis": {"data", "features"},
    "sampling": {"networks"},
    "report": {"data", "evaluate"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{a.name}" if node.module == "unitdisc" else str(node.module) for a in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("unitdisc.")}
    return {name for name in rooms if name in LAYERS}


def complaints(here: str, rooms: set[str]) -> list[str]:
    found = []
    for there in rooms - {here}:
        up = LAYERS[there] > LAYERS[here]
        sideways = LAYERS[there] == LAYERS[here] and LAYERS[here] in (2, 3) and (here, there) not in SIDEWAYS
        barred = here in ONLY and LAYERS[there] >= 2 and there not in ONLY[here]
        if up or sideways or barred:
            found.append(f"{here} imports {there}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path):
    here = room(path)
    if here == "__init__":
        return
    assert here in LAYERS, f"{path}: a new room; give it a layer here and in the design"
    assert not complaints(here, imported_rooms(path.read_text("utf-8")))


def test_an_upward_import_is_seen():
    assert imported_rooms("from unitdisc.model import UnitModel\nimport unitdisc.data.kaldi") == {"model", "data"}
    assert complaints("evaluate", {"model"}) == ["evaluate imports model"]
    assert complaints("networks", {"quantizers"}) == ["networks imports quantizers"]
    assert complaints("features", {"data"}) == []


def test_nothing_imports_recipes_tools_or_tests():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = getattr(node, "module", None) or ""
            assert module.split(".")[0] not in ("egs", "tools", "tests"), path
