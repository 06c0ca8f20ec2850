"""The recipe of CIFAR-10: its corpus in every form, its model, its scores, on a made-up corpus."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import Image, binary_version, image_files, recipe, some_images, tiny_images
from recipe_files import EGS
from reference_images import bits_of, code_counts

from unitdisc import config as configs
from unitdisc.errors import DataError


@pytest.fixture(scope="module")
def cifar10() -> SimpleNamespace:
    return recipe("cifar10")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()


# The corpus.


def test_every_form_of_the_corpus_gives_the_same_images(cifar10, images, tmp_path: Path):
    folder = binary_version(tmp_path / "a" / "cifar-10-batches-bin", images)
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-bin")
    files = image_files(tmp_path / "files", images)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in files.rglob("*.png"):
            archive.write(path, path.relative_to(files))
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "images.zip", tmp_path / "b")
    for name in ("a", "a/cifar-10-batches-bin", "cifar-10-binary.tar.gz", "files", "images.zip", "b"):
        found = cifar10.pictures.read_corpus(tmp_path / name)
        np.testing.assert_array_equal(found["train"], images[:50], err_msg=name)
        np.testing.assert_array_equal(found["test"], images[50:], err_msg=name)


def test_a_wrong_corpus_is_refused(cifar10, images, tmp_path: Path):
    read = cifar10.pictures.read_corpus
    with pytest.raises(DataError, match="no such corpus"):
        read(tmp_path / "none")
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "data_batch_1").write_bytes(b"\x80\x02.")
    with pytest.raises(DataError, match="pickles are not read; get the binary version"):
        read(tmp_path / "python")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "python", "cifar-10-batches-py")
    with pytest.raises(DataError, match=r"pickles, as the Python version has, are not read; get the binary version"):
        read(tmp_path / "cifar-10-python.tar.gz")
    folder = binary_version(tmp_path / "cut", images)
    (folder / "data_batch_2.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"data_batch_2.bin: expected records of 3073 bytes, got 5 bytes"):
        read(folder)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch.bin"):
        read(folder)
    files = image_files(tmp_path / "files", images[:1])
    Image.new("RGB", (31, 32)).save(files / "train" / "cat" / "small.png")
    with pytest.raises(DataError, match="32 x 32 pixels, got 31 x 32"):
        read(files)
    (files / "train" / "cat" / "small.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="expected an image, got what cannot be read as one"):
        read(files)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="expected CIFAR-10's binary version"):
        read(tmp_path / "text")


def test_validation_and_test_images_are_not_trained_on(cifar10, images, tmp_path: Path):
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), tmp_path / "data")
    train, dev, test = (cifar10.pictures.read_split(tmp_path / "data", s) for s in ("train", "dev", "test"))
    np.testing.assert_array_equal(train, images[:49])
    np.testing.assert_array_equal(dev, images[49:50])
    np.testing.assert_array_equal(test, images[50:])
    with pytest.raises(DataError, match="--stage data"):
        cifar10.pictures.read_split(tmp_path, "train")


# The model.


def test_all_256_levels_survive(cifar10):
    levels = torch.arange(256, dtype=torch.uint8)
    pixels = cifar10.networks.to_pixels(levels)
    assert (pixels.min(), pixels.max()) == (-0.5, 0.5)
    assert torch.equal(cifar10.networks.to_levels(pixels), levels.long())
    truncated = ((pixels + 0.5) * 255).long()
    assert int((truncated != levels).sum()) == 63, "what rounding is there for"


def test_bits_are_those_of_each_pixel_under_its_softmax(cifar10, images):
    torch.manual_seed(0)
    model = cifar10.networks.ImageModel(tiny_images(cifar10).model).eval()
    model.quantizer.begin_step_(1)
    levels = torch.from_numpy(images[:2])
    odds = model.decode(model.quantizer(model.vectors(levels)).values).detach().double().numpy()
    expected = [bits_of(o, image) for o, image in zip(odds, images, strict=False)]
    np.testing.assert_allclose(model.reconstruction_bits(levels).numpy(), expected, rtol=1e-6)
    batches = cifar10.pictures.batches(images[:2])
    assert cifar10.pixels.bits_per_pixel(model, batches) == pytest.approx(sum(expected) / (2 * 3072), rel=1e-6)
    model.train()
    model.quantizer.begin_step_(0)  # unquantised: the loss is that of the pixels alone
    loss = model.loss(levels)
    assert float(loss.total.detach()) == pytest.approx(float(loss.parts["bits"]) * np.log(2), rel=1e-6)


def test_codes_of_the_paper_cost_1_167_bits_per_dimension(cifar10):
    config = configs.load(EGS / "cifar10" / "conf" / "base.yaml", cifar10.networks.Config).model.quantizer
    assert (config.codebooks, config.codes) == (8, 128)
    bits = cifar10.networks.latent_bits((config.codes,) * config.codebooks)
    assert bits == 8 * 64 * 7
    assert bits / cifar10.networks.DIMS == pytest.approx(1.167, abs=5e-4)


def test_positions_of_the_grid_belong_to_their_part_of_the_image(cifar10):
    torch.manual_seed(0)
    model = cifar10.networks.ImageModel(tiny_images(cifar10).model).eval()
    levels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    levels[1, :, 4 * 2 + 1, 4 * 5 + 1] = 255  # within row 2, column 5 of the grid
    with torch.no_grad():
        seen = (model.vectors(levels[:1]) - model.vectors(levels[1:])).abs().sum(2)[0].view(8, 8)
        assert seen[2, 5] > 0
        assert seen[6:].max() == seen[:, :3].max() == 0
        values = torch.zeros(2, 64, 8)
        values[1, 8 * 2 + 5] = 3.0
        drawn = model.decode(values).diff(dim=0).abs().sum((0, 1, 2))
        assert drawn[4 * 2 : 4 * 3, 4 * 5 : 4 * 6].min() > 0
        assert drawn[4 * 6 :].max() == drawn[:, : 4 * 3].max() == 0


@given(st.lists(st.integers(2, 9), min_size=1, max_size=8), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_units_of_several_codebooks_survive_as_one_number(cifar10, codes: list[int], seed: int):
    encode = cifar10.encode
    random = np.random.default_rng(seed)
    units = np.stack([random.integers(k, size=(3, 4)) for k in codes], axis=-1)
    numbers = encode.in_mixed_radix(units, tuple(codes))
    assert numbers.max() < np.prod(codes)
    np.testing.assert_array_equal(encode.from_mixed_radix(numbers, tuple(codes)), units)


def test_the_image_recipe_from_data_to_scores(cifar10, images, tmp_path: Path):
    data, exp = tmp_path / "data", tmp_path / "exp"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    config = tiny_images(cifar10, test_images=7)
    cifar10.train.train(config, exp, data)
    assert cifar10.encode.encode(exp, data, exp / "units")[0].endswith(": 7 images")
    metrics = cifar10.score.score(exp, data, exp / "units", "bn")
    model = cifar10.networks.load(exp).model
    units = cifar10.encode.units_of(model, cifar10.pictures.test_images(data, 7))
    counts = code_counts(units, 5)
    np.testing.assert_array_equal(cifar10.score.usage(exp / "units" / "units.jsonl"), counts)
    share = counts / counts.sum(1, keepdims=True)
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
    assert metrics["codes in use"] == (counts > 0).mean()
    assert metrics["perplexity"] == pytest.approx((2**entropy).mean())
    assert metrics["latent bits by entropy"] == pytest.approx(64 * entropy.sum() / 3072)
    latent = 64 * 4 * np.log2(5) / 3072
    assert metrics["bits per dim"] == pytest.approx(metrics["reconstruction bits"] + latent)
    result = json.loads((exp / "result.json").read_text())
    assert (result["row"], result["seed"], result["about"]["steps"]) == ("bn", 0, 6)
    cifar10.reconstruct.reconstruct(exp, data, exp / "picture.png")
    with Image.open(exp / "picture.png") as picture:
        assert picture.size == (7 * 32, 2 * 32)


def test_without_a_bottleneck_no_sum_of_bits_is_given(cifar10, images, tmp_path: Path):
    data, exp = tmp_path / "data", tmp_path / "exp"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    cifar10.train.train(tiny_images(cifar10, model={"quantizer": {"kind": "none"}}), exp, data)
    assert cifar10.encode.encode(exp, data, exp / "units")[0].endswith(": 0 images")
    assert set(cifar10.score.score(exp, data, exp / "units", "none")) == {"reconstruction bits"}
