"""What tests of the recipes of images share: their modules, made-up corpora, tiny configurations."""

import importlib
import io
import sys
import zipfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from recipe_files import EGS

from unitdisc import config as configs
from unitdisc.data.kaldi import DataDir

Image = pytest.importorskip("PIL.Image")


def modules(*folders: Path) -> SimpleNamespace:
    """Import all modules of recipes' folders, under the short names that they have there."""
    names = sorted(p.stem for folder in folders for p in folder.glob("*.py"))
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path[:0] = map(str, folders)
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        del sys.path[: len(folders)]
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@cache
def recipe(name: str) -> SimpleNamespace:
    """Import all modules of a recipe of images."""
    return modules(EGS / name / "local", EGS / "common")


def some_images() -> np.ndarray:
    """Return 60 images with some structure: a gradient each, in another colour."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 32)[None, None] * np.ones((60, 3, 32, 1)) * random.uniform(0, 255, (60, 3, 1, 1))
    return ramp.round().astype(np.uint8).reshape(60, 3, 32, 32)


def binary_version(folder: Path, images: np.ndarray) -> Path:
    """Write images as CIFAR-10's binary version does: ten to a batch."""
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, images.reshape(6, 10, -1), strict=True):
        (folder / name).write_bytes(b"".join(bytes([n]) + part[n].tobytes() for n in range(10)))
    return folder


def image_files(folder: Path, images: np.ndarray) -> Path:
    """Write the same as split/class/NNNN.png."""
    for n, image in enumerate(images):
        path = folder / ("test" if n >= 50 else "train") / "cat" / f"{n:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return folder


def tiny_images(cifar10: SimpleNamespace, **changes: object) -> object:
    tree = {
        "model": {
            "width": 4,
            "latent": 8,
            "residual": 1,
            "quantizer": {
                "kind": "vq", "codes": 5, "codebooks": 4, "dim": None, "norm": "before-vq",
                "schedule": {"warm_up": 1, "every": 2, "until": 5},
            },
        },
        "train": {"steps": 6, "batch": 4, "save_every": 2, "validate_every": 3, "log_every": 2},
    }  # fmt: skip
    return configs.from_tree(cifar10.networks.Config, configs.merge(tree, changes), "tiny")


def render(scribblelens: SimpleNamespace, corpus: Path) -> Path:
    """Render 40 lines by three hands; return the corpus."""
    pytest.importorskip("matplotlib")
    scribblelens.render.make_corpus(corpus, 40, 3, seed=1)
    return corpus


def put_lines(scribblelens: SimpleNamespace, corpus: Path, data: Path) -> Path:
    """Prepare a corpus; return the data directories."""
    scribblelens.prepare.prepare(corpus, data)
    for split in ("train", "dev", "test"):
        scribblelens.lines.write_lines(DataDir.read(data / split))
    return data


def scribblelens_zip(path: Path, places: bool = False) -> Path:
    """Write a zip of ScribbleLens' shape: 40 lines to train on, 3 to test on; with its zip of alignments if asked."""
    alignments = io.BytesIO()
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(alignments, "w") as inner:
        for split, count in (("train", 40), ("test", 3)):
            listed = ""
            for n in range(count):
                stem = f"nl/{'tasman' if n % 2 else 'kieft'}/{n + (50 if split == 'test' else 0)}/line1"
                image = io.BytesIO()
                Image.new("L", (80 + n, 40), 255).save(image, "JPEG")
                archive.writestr(f"scribblelens.corpus.v1/{stem}.jpg", image.getvalue())
                archive.writestr(f"scribblelens.corpus.v1/{stem}.txt", f"de schipper {n}\n")
                width = round((80 + n) * 32 / 40)
                columns = [*"**d", *3 * ["e"], "SPACE", *"schi", *5 * ["p"], *"er", "_", *f"{n}"]
                columns += ["*"] * 2
                columns[3:3] = ["e"] * (width - len(columns))
                rows = "".join(f"{c} {c + 1} {label} -0.5\n" for c, label in enumerate(columns))
                inner.writestr(
                    f"scribblelens.corpus.v1/{stem}.ali", f"{stem}.jpg {width} targetStr: *de_schipper*\n{rows}"
                )
                listed += f"{stem}.jpg {stem}.txt\n"
            archive.writestr(f"scribblelens.corpus.v1/corpora/nl.bw.lines.{split}.dat", listed)
        inner.close()
        if places:
            archive.writestr("scribblelens.corpus.v1/corpora/scribblelens.paths.1.4b.zip", alignments.getvalue())
    return path


def tiny_lines(scribblelens: SimpleNamespace, **changes: object) -> object:
    tree = {
        "model": {
            "channels": [4, 4, 4, 4, 4, 4, 8],
            "lstm": 8,
            "hidden": 6,
            "layers": 3,
            "quantizer": {"kind": "vq", "codes": 16, "dim": 8, "schedule": {"warm_up": 1, "every": 2, "until": 5}},
        },
        "train": {"steps": 6, "batch": 4, "save_every": 2, "validate_every": 3, "log_every": 2},
        "probe": {"hidden": 8, "epochs": 1},
    }
    return configs.from_tree(scribblelens.networks.Config, configs.merge(tree, changes), "tiny")
