"""Images of CIFAR-10 as uint8 [N, 3, 32, 32], from the corpus' own binary version or from image files; never pickle."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unitdisc.errors import DataError
from unitdisc.reading import reading

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # a label, then the three colours row by row
SUFFIXES = (".jpg", ".jpeg", ".png")


def read_corpus(path: Path) -> dict[str, np.ndarray]:
    """Return the images of "train" and "test" from a folder, a tar of the binary version, or a zip of image files."""
    if not path.exists():
        raise DataError(f"{path}: no such corpus; expected {EXPECTED}")
    if path.is_dir():
        return _read_folder(path)
    if tarfile.is_tarfile(path):
        return _read_tar(path)
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    raise DataError(f"{path}: expected {EXPECTED}")


EXPECTED = (
    "CIFAR-10's binary version (cifar-10-binary.tar.gz, or the folder with data_batch_1.bin), or a zip or folder of "
    "images named train/<class>/<name>.jpg and test/<class>/<name>.jpg"
)
INSTEAD = "get the binary version, cifar-10-binary.tar.gz (./run.sh --corpus download fetches it)"


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    for place in (folder, folder / "cifar-10-batches-bin"):
        if (place / "data_batch_1.bin").exists():
            return _of_binary({file.name: file.read_bytes() for file in place.glob("*.bin")}, place)
    if any((place / "data_batch_1").exists() for place in (folder, folder / "cifar-10-batches-py")):
        raise DataError(f"{folder}: this is the Python version, whose pickles are not read; {INSTEAD}")
    if (folder / "train").is_dir():
        files = sorted(p for p in folder.glob("t*/*/*") if p.suffix.lower() in SUFFIXES)
        return _of_files(((p.relative_to(folder).parts[0], p.read_bytes(), p) for p in files), folder)
    archives = [p for p in sorted(folder.iterdir()) if p.name.endswith((".zip", ".tar.gz", ".tgz", ".tar"))]
    if len(archives) == 1:
        return read_corpus(archives[0])
    raise DataError(f"{folder}: expected {EXPECTED}; got {', '.join(p.name for p in sorted(folder.iterdir())[:5])}")


def _read_tar(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name.endswith(".bin"):
                data = archive.extractfile(member)
                assert data is not None
                found[name] = data.read()
    if not found:
        raise DataError(f"{path}: no .bin file in it; pickles, as the Python version has, are not read; {INSTEAD}")
    return _of_binary(found, path)


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith(SUFFIXES))
        parts = [(n, n.split("/")) for n in names]
        return _of_files(((p[-3], archive.read(n), f"{path}:{n}") for n, p in parts if len(p) >= 3), path)


def _of_binary(files: dict[str, bytes], where: Path) -> dict[str, np.ndarray]:
    train = [name for name in sorted(files) if name.startswith("data_batch_")]
    if not train or "test_batch.bin" not in files:
        raise DataError(
            f"{where}: expected data_batch_1.bin .. data_batch_5.bin and test_batch.bin, got {sorted(files)}"
        )
    return {
        "train": np.concatenate([_records(files[name], f"{where}: {name}") for name in train]),
        "test": _records(files["test_batch.bin"], f"{where}: test_batch.bin"),
    }


def _records(data: bytes, where: str) -> np.ndarray:
    if not data or len(data) % RECORD:
        raise DataError(f"{where}: expected records of {RECORD} bytes, got {len(data)} bytes; is it whole?")
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)[:, 1:].reshape(-1, *SHAPE)


def _of_files(files: Iterable[tuple[str, bytes, object]], where: Path) -> dict[str, np.ndarray]:
    from PIL import Image

    found: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for split, data, name in files:
        if split not in found:
            continue
        with reading(name, "an image"), Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        if pixels.shape != SHAPE:
            raise DataError(f"{name}: expected an image of 32 x 32 pixels, got {pixels.shape[2]} x {pixels.shape[1]}")
        found[split].append(pixels)
    if not found["train"] or not found["test"]:
        raise DataError(f"{where}: expected {EXPECTED}")
    return {split: np.stack(images) for split, images in found.items()}


def read_split(data: Path, split: str) -> np.ndarray:
    """Return the images that prepare.py wrote."""
    path = data / f"{split}.npy"
    if not path.exists():
        raise DataError(f"{path}: no such file; prepare the data first (./run.sh --stage data --stop-stage data)")
    return np.load(path, allow_pickle=False)


def test_images(data: Path, count: int) -> np.ndarray:
    """Return the test images that are scored: `count`, evenly spread, or all if that is 0."""
    images = read_split(data, "test")
    count = min(count or len(images), len(images))
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]


def batches(images: np.ndarray, size: int = 100) -> list[Tensor]:
    """Cut images [N, 3, 32, 32] into batches."""
    return [torch.from_numpy(images[first : first + size]) for first in range(0, len(images), size)]
