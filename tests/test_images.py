"""The recipes of images: cifar10 and scribblelens on made-up corpora, and the tools that recipes share with them."""

import hashlib
import http.server
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_images import bits_of, code_counts

from unitdisc import config as configs
from unitdisc.config import read_tree
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import read_units
from unitdisc.errors import ConfigError, DataError, UnitdiscError

Image = pytest.importorskip("PIL.Image")

EGS = Path(__file__).parent.parent / "egs"
RECIPES = ("cifar10", "scribblelens")


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


@pytest.fixture(scope="module")
def cifar10() -> SimpleNamespace:
    return modules(EGS / "cifar10" / "local", EGS / "common")


@pytest.fixture(scope="module")
def scribblelens() -> SimpleNamespace:
    return modules(EGS / "scribblelens" / "local", EGS / "common")


# Images: the corpus.


@pytest.fixture(scope="module")
def images() -> np.ndarray:
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
    with pytest.raises(DataError, match="cannot be read as an image"):
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


# Images: the model.


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


# Lines: the corpus.


@pytest.fixture(scope="module")
def rendered(scribblelens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render 40 lines by three hands; return the corpus."""
    pytest.importorskip("matplotlib")
    corpus = tmp_path_factory.mktemp("rendered")
    scribblelens.render.make_corpus(corpus, 40, 3, seed=1)
    return corpus


@pytest.fixture(scope="module")
def lines_data(scribblelens, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return prepared data directories."""
    data = tmp_path_factory.mktemp("lines") / "data"
    scribblelens.prepare.prepare(rendered, data)
    for split in ("train", "dev", "test"):
        scribblelens.lines.write_lines(DataDir.read(data / split))
    return data


def test_the_same_seed_renders_the_same_lines(scribblelens, rendered: Path, tmp_path: Path):
    scribblelens.render.make_corpus(tmp_path / "again", 40, 3, seed=1)
    scribblelens.render.make_corpus(tmp_path / "other", 40, 3, seed=2)
    for name in ("lines.tsv", "chars.ctm"):
        assert (tmp_path / "again" / name).read_bytes() == (rendered / name).read_bytes()
    name = (rendered / "lines.tsv").read_text().split("\t")[0]
    assert (tmp_path / "again" / name).read_bytes() == (rendered / name).read_bytes()
    assert (tmp_path / "other" / "chars.ctm").read_bytes() != (rendered / "chars.ctm").read_bytes()
    with pytest.raises(DataError, match="--lines: expected 1 to"):
        scribblelens.render.make_corpus(tmp_path / "many", 10**6, 3, seed=1)


def test_letters_are_where_the_alignment_says(scribblelens, lines_data: Path):
    """Blanks have less ink than letters, in every column range of the alignment."""
    data = DataDir.read(lines_data / "train")
    lines = scribblelens.lines.Lines.read(lines_data / "train")
    ink: dict[bool, list[float]] = {True: [], False: []}
    for utt, intervals in scribblelens.lines.characters(data, lines).items():
        labels = [" " if i.label == scribblelens.lines.SPACE else i.label for i in intervals]
        assert "".join(labels) == data.text[utt]
        for interval in intervals:
            first, last = (round(t / scribblelens.lines.COLUMN) for t in interval[:2])
            dark = 255 - lines[utt][:, first + 1 : max(last - 1, first + 2)].astype(float)
            ink[interval.label == scribblelens.lines.SPACE].append(float(dark.mean()))
    assert np.mean(np.array(ink[False]) > np.median(ink[True])) > 0.95
    assert np.mean(np.array(ink[True]) < np.percentile(ink[False], 10)) > 0.8


def test_lines_of_any_height_become_32_pixels(scribblelens, tmp_path: Path):
    Image.new("L", (90, 64), 200).save(tmp_path / "high.png")
    Image.new("RGB", (45, 32), (200, 200, 200)).save(tmp_path / "right.jpg")
    assert scribblelens.lines.read_line(tmp_path / "high.png").shape == (32, 45)
    line = scribblelens.lines.read_line(tmp_path / "right.jpg")
    padded = scribblelens.lines.padded(line, 128)
    assert (line.shape, scribblelens.lines.padded(line).shape, padded.shape) == ((32, 45), (32, 48), (32, 128))
    assert set(np.unique(padded)) == {200}
    with pytest.raises(DataError, match="no such image"):
        scribblelens.lines.read_line(tmp_path / "none.png")


def test_lines_come_back_from_their_store_as_they_were(scribblelens, lines_data: Path):
    data, lines = DataDir.read(lines_data / "test"), scribblelens.lines.Lines.read(lines_data / "test")
    assert list(lines) == data.utts
    for utt in lines:
        with Image.open(data.images[utt]) as image:
            assert lines[utt].shape[1] % 4 == 0
            np.testing.assert_array_equal(lines[utt][:, : image.width], np.asarray(image))
    with pytest.raises(DataError, match="--stage features"):
        scribblelens.lines.Lines.read(lines_data)


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


def test_scribblelens_is_read_from_its_zip_or_folder(scribblelens, tmp_path: Path):
    scribblelens.prepare.prepare(scribblelens_zip(tmp_path / "corpus.zip"), tmp_path / "data")
    train, dev, test = (DataDir.read(tmp_path / "data" / split) for split in ("train", "dev", "test"))
    assert (len(train.utts), len(dev.utts), len(test.utts)) == (38, 2, 3)
    assert test.text["tasman-51-line1"] == "de schipper 1"
    assert test.utt2spk["tasman-51-line1"] == "tasman"
    scribblelens.lines.write_lines(test)
    lines = scribblelens.lines.Lines.read(test.path)
    assert lines["kieft-50-line1"].shape == (32, 64)
    # Without places, the text is spread evenly: what is written, in its order.
    spread = scribblelens.lines.characters(test, lines)["kieft-50-line1"]
    assert [i.label for i in spread] == ["d", "e", "<space>", *"schipper", "<space>", "0"]
    assert spread[-1].end == pytest.approx(0.64)
    with zipfile.ZipFile(tmp_path / "corpus.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    scribblelens.prepare.prepare(tmp_path / "unpacked", tmp_path / "again")
    assert DataDir.read(tmp_path / "again" / "train").text == train.text


def test_scribblelens_own_alignments_say_where_characters_lie(scribblelens, tmp_path: Path):
    said = scribblelens.prepare.prepare(scribblelens_zip(tmp_path / "corpus.zip", places=True), tmp_path / "data")
    assert said[2] == f"{tmp_path / 'data' / 'test'}: 3 lines by 2 hands, 3 with places of their characters"
    test = DataDir.read(tmp_path / "data" / "test")
    scribblelens.lines.write_lines(test)
    found = scribblelens.lines.characters(test, scribblelens.lines.Lines.read(test.path))["tasman-51-line1"]
    assert [i.label for i in found] == ["d", "e", "<space>", *"schipper", "<space>", "1"]
    assert found[0][:2] == pytest.approx((0.02, 0.03))
    assert found[-1][:2] == pytest.approx((0.62, 0.63))
    assert [round(i.end - i.start, 3) for i in found[7:9]] == [0.025, 0.025], "half of the five columns of pp"


def test_runs_of_columns_become_the_characters_of_the_transcript(scribblelens):
    def labels(columns: str, text: str) -> str:
        found = scribblelens.places.placed(["<space>" if c == "_" else c for c in columns], text)
        assert all(one.end <= two.start + 1e-9 for one, two in pairwise(found))
        return "".join(" " if i.label == "<space>" else i.label for i in found)

    assert labels("*aabb_cc*", "ab c") == "ab c"
    assert labels("*oooo*", "oo") == "oo"
    assert labels("_a_", " a ") == " a "
    assert labels("aab*", "a'b.") == "ab", "marks that were not aligned"
    assert labels("a_b", "a . b") == "a b"
    assert labels("aa*b", "axxb") == "ab", "where the aligner did not know a character, its runs are taken as they are"
    assert labels("***", "ab") == ""


def test_wrong_alignments_of_lines_are_refused(scribblelens, tmp_path: Path):
    read = scribblelens.places.columns_of
    assert read("a.jpg 2 targetStr:*a*\n0 1 * -1\n1 2 SPACE -1\n", "x") == ["*", "<space>"]
    with pytest.raises(
        DataError, match=r"x:1: expected '<image> <columns> \.\.\.' and as many rows, got 'a.jpg 3' and 1"
    ):
        read("a.jpg 3\n0 1 a -1\n", "x")
    with pytest.raises(DataError, match="x:2: expected '<column> <next> <character> <score>'"):
        read("a.jpg 1\n0 1 a\n", "x")
    (tmp_path / "no.zip").write_text("hello")
    with pytest.raises(DataError, match=r"no.zip: expected a zip of alignments"):
        scribblelens.places.read_places(tmp_path / "no.zip", {})


def test_a_wrong_corpus_of_lines_is_refused(scribblelens, tmp_path: Path):
    with pytest.raises(DataError, match=r"expected lines.tsv, or scribblelens"):
        scribblelens.prepare.prepare(tmp_path, tmp_path / "data")
    (tmp_path / "lines.tsv").write_text("a.png\tann\ttrain\thello\nb.png\tann\tvalid\thello\n")
    with pytest.raises(DataError, match=r"lines.tsv:2: expected 'image<tab>hand<tab>train"):
        scribblelens.prepare.prepare(tmp_path, tmp_path / "data")
    (tmp_path / "lines.tsv").write_text("a.png\tann\ttrain\thello\n")
    with pytest.raises(DataError, match="has no lines for dev"):
        scribblelens.prepare.prepare(tmp_path, tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(DataError, match="expected ScribbleLens' zip"):
        scribblelens.prepare.prepare(tmp_path / "other.zip", tmp_path / "data")


# Lines: the model.


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


@pytest.mark.parametrize("columns", [4, 8, 64, 132])
def test_there_is_a_token_for_each_four_columns(scribblelens, columns: int):
    model = scribblelens.networks.LineModel(tiny_lines(scribblelens).model).eval()
    grey = torch.randint(256, (2, 32, columns), dtype=torch.uint8)
    assert model.encoder(grey).shape == (2, columns // 4, 8)


def test_the_paper_s_encoder_makes_a_token_for_each_four_columns(scribblelens):
    config = configs.load(EGS / "scribblelens" / "conf" / "base.yaml", scribblelens.networks.Config)
    encoder = scribblelens.networks.Encoder(config.model.channels, config.model.lstm).eval()
    assert encoder(torch.zeros(1, 32, 16, dtype=torch.uint8)).shape == (1, 4, 32)
    assert (config.model.quantizer.codes, config.model.quantizer.dim) == (4096, 128)


def test_grey_goes_to_the_nearest_of_four_levels(scribblelens):
    grey = torch.arange(256, dtype=torch.uint8)
    levels = scribblelens.networks.to_levels(grey)
    nearest = (grey[:, None].double() - torch.arange(4) * 85.0).abs().argmin(1)
    assert torch.equal(levels, nearest)


def test_the_decoder_sees_earlier_columns_only(scribblelens):
    torch.manual_seed(0)
    decoder = scribblelens.networks.ColumnDecoder(5, 6, layers=5).eval()
    levels, values = torch.randint(4, (1, 32, 24)), torch.randn(1, 6, 5)
    before = decoder(levels, values)
    for column in (0, 7, 23):
        changed = levels.clone()
        changed[:, :, column] = (changed[:, :, column] + 1) % 4
        moved = (decoder(changed, values) - before).abs().amax((0, 1, 2))
        assert moved[: column + 1].max() == 0, "a column saw itself or a later one"
        assert column == 23 or moved[column + 1] > 0, "a column did not see the one before it"


def test_units_reach_their_columns_and_two_to_either_side_at_most(scribblelens):
    torch.manual_seed(0)
    decoder = scribblelens.networks.ColumnDecoder(5, 6, layers=1).eval()
    levels, values = torch.randint(4, (1, 32, 32)), torch.randn(1, 8, 5)
    changed = values.clone()
    changed[:, 4] += 1
    moved = (decoder(levels, changed) - decoder(levels, values)).abs().amax((0, 1, 2))
    assert moved[:12].max() == 0, "only the neighbouring units are mixed"
    assert (moved[16:20] > 0).all()


def test_drawing_with_a_window_is_drawing_from_the_whole(scribblelens):
    torch.manual_seed(0)
    decoder = scribblelens.networks.ColumnDecoder(5, 6, layers=3).eval()
    values = torch.randn(2, 5, 5)
    drawn = decoder.generate(values, torch.Generator().manual_seed(3))
    generator, levels = torch.Generator().manual_seed(3), torch.zeros(2, 32, 20, dtype=torch.int64)
    for column in range(20):
        shares = decoder(levels, values)[:, :, :, column].transpose(1, 2).softmax(2).flatten(0, 1)
        levels[:, :, column] = torch.multinomial(shares, 1, generator=generator).view(2, 32)
    assert torch.equal(drawn, levels)


def test_bits_of_lines_are_those_of_each_pixel(scribblelens):
    torch.manual_seed(0)
    model = scribblelens.networks.LineModel(tiny_lines(scribblelens).model).eval()
    model.quantizer.begin_step_(1)
    grey = torch.randint(256, (2, 32, 8), dtype=torch.uint8)
    levels = scribblelens.networks.to_levels(grey)
    odds = model.decoder(levels, model.quantizer(model.encoder(grey)).values).detach().double().numpy()
    expected = [bits_of(o, level) for o, level in zip(odds, levels.numpy(), strict=True)]
    np.testing.assert_allclose(model.reconstruction_bits(grey).numpy(), expected, rtol=1e-6)


def test_chunks_are_pieces_of_lines_and_short_lines_get_paper(scribblelens):
    pixels = np.concatenate([np.full((32, 300), 7), np.full((32, 60), 9)], axis=1).astype(np.uint8)
    lines = scribblelens.lines.Lines(["long", "short"], np.array([300, 360]), pixels)
    chunks = scribblelens.train.Chunks(lines, 3, seed=0)
    batch = chunks.batch(5)
    assert batch.shape == (3, 32, 128)
    assert sorted(batch[:, 0, 0].tolist()) == [7, 7, 9], "the long line has two chunks"
    assert torch.equal(batch, scribblelens.train.Chunks(lines, 3, seed=0).batch(5))


def test_the_line_recipe_from_data_to_scores(scribblelens, lines_data: Path, tmp_path: Path):
    exp = tmp_path / "exp"
    scribblelens.train.train(tiny_lines(scribblelens), exp, lines_data)
    scribblelens.encode.encode(exp, lines_data, exp / "units")
    metrics = scribblelens.score.score(exp, lines_data, exp / "units", "all")
    assert set(metrics) == {
        "reconstruction bits", "CER", "bits per pixel", "codes in use", "perplexity", "mapping accuracy", "NMI",
    }  # fmt: skip
    lines = scribblelens.lines.Lines.read(lines_data / "test")
    units = {line.utt: line.frames for line in read_units(exp / "units" / "test" / "units.jsonl")}
    assert {utt: len(row) for utt, row in units.items()} == {utt: lines[utt].shape[1] // 4 for utt in lines}
    used = {unit for row in units.values() for unit in row.tolist()}
    assert metrics["codes in use"] == len(used) / 16
    assert 0 <= metrics["mapping accuracy"] <= 1
    assert 0 <= metrics["NMI"] <= 1
    definitions = [s["definition"] for s in json.loads((exp / "scores.json").read_text())["scores"]]
    assert "per-probe-ctc-lstm-nosil" in definitions
    scribblelens.reconstruct.reconstruct(exp, lines_data, exp / "picture.png")
    with Image.open(exp / "picture.png") as picture:
        assert picture.size == (128, 2 * 32 * len(lines))


def test_lines_without_places_or_bottleneck_still_have_an_error_rate(scribblelens, lines_data: Path, tmp_path: Path):
    data, exp = shutil.copytree(lines_data, tmp_path / "data"), tmp_path / "exp"
    for split in ("train", "test"):
        (data / split / "chars.ctm").unlink()
    scribblelens.train.train(tiny_lines(scribblelens, model={"quantizer": {"kind": "none"}}), exp, data)
    scribblelens.encode.encode(exp, data, exp / "units")
    metrics = scribblelens.score.score(exp, data, exp / "units", "none")
    assert set(metrics) == {"reconstruction bits", "CER"}


def test_units_do_not_depend_on_the_other_lines(scribblelens, lines_data: Path):
    torch.manual_seed(0)
    model = scribblelens.networks.LineModel(tiny_lines(scribblelens).model).eval()
    model.quantizer.begin_step_(1)
    lines = scribblelens.lines.Lines.read(lines_data / "test")
    grey = torch.from_numpy(lines[next(iter(lines))])
    alone = model.quantizer.encode(model.encoder(grey[None]))
    with_another = model.quantizer.encode(model.encoder(torch.stack([grey, 255 - grey])))
    assert torch.equal(alone[0], with_another[0])


# Training.


class Killed(Exception):
    """Stands for a kill."""


def train_killed_at(recipe: SimpleNamespace, config: object, exp: Path, data: Path, step: int) -> None:
    """Train, and be killed when the batch of a step is asked for."""
    fit = recipe.train.fit

    def killed(model: object, config: object, exp: Path, batch_of: object, validate: object) -> None:
        def batch(now: int) -> torch.Tensor:
            if now == step:
                raise Killed
            return batch_of(now)

        fit(model, config, exp, batch, validate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe.train, "fit", killed)
        with pytest.raises(Killed):
            recipe.train.train(config, exp, data)


def same(one: object, other: object, where: str = "") -> None:
    """Compare checkpoints, all but the time that they took."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"seconds"}:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for n, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}[{n}]")
    else:
        assert one == other, where


def last_checkpoint(exp: Path) -> dict[str, object]:
    return torch.load(exp / "checkpoints" / "00000006.pt", weights_only=True)


def test_an_interrupted_training_of_images_ends_as_an_uninterrupted_one(cifar10, images, tmp_path: Path):
    data = tmp_path / "data"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    config = tiny_images(cifar10)
    cifar10.train.train(config, tmp_path / "whole", data)
    train_killed_at(cifar10, config, tmp_path / "killed", data, step=3)  # saved after step 2, re-estimated at 3 and 5
    cifar10.train.train(config, tmp_path / "killed", data)
    same(last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "killed"))
    other = tiny_images(cifar10, model={"width": 5})
    with pytest.raises(ConfigError, match="holds a training of another model"):
        cifar10.train.train(other, tmp_path / "whole", data)


def test_an_interrupted_training_of_lines_ends_as_an_uninterrupted_one(scribblelens, lines_data: Path, tmp_path: Path):
    config = tiny_lines(scribblelens, train={"schedule": {"kind": "plateau"}, "clip": 1})
    scribblelens.train.train(config, tmp_path / "whole", lines_data)
    train_killed_at(scribblelens, config, tmp_path / "killed", lines_data, step=5)
    scribblelens.train.train(config, tmp_path / "killed", lines_data)
    same(last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "killed"))


def test_scoring_before_training_says_so(cifar10, tmp_path: Path):
    with pytest.raises(UnitdiscError, match="--stage train"):
        cifar10.networks.load(tmp_path)


def test_a_training_that_never_left_the_warm_up_is_not_encoded(cifar10, images, tmp_path: Path):
    data = tmp_path / "data"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    late = {"quantizer": {"schedule": {"warm_up": 50}}}
    cifar10.train.train(tiny_images(cifar10, model=late, train={"steps": 1}), tmp_path / "exp", data)
    with pytest.raises(UnitdiscError, match="still warming up"):
        cifar10.encode.encode(tmp_path / "exp", data, tmp_path / "units")


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_an_epoch_meets_each_place_once(cifar10, count: int, batch: int, seed: int):
    training = cifar10.training
    order = training.Shuffled(count, batch, seed)
    per_epoch = max(count // batch, 1)
    for epoch in (0, 1):
        met = np.concatenate([order.places(epoch * per_epoch + step) for step in range(per_epoch)])
        assert len(set(met.tolist())) == len(met) == min(count, per_epoch * batch)
    np.testing.assert_array_equal(order.places(1), training.Shuffled(count, batch, seed).places(1))


def rows() -> list[str]:
    return sorted(path.stem for path in (EGS / "common" / "conf" / "ablation").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("row", rows())
def test_every_config_is_valid_with_every_row(recipe: str, row: str, request: pytest.FixtureRequest):
    code = request.getfixturevalue(recipe)
    change = read_tree(EGS / "common" / "conf" / "ablation" / f"{row}.yaml")
    for path in (EGS / recipe / "conf").glob("*.yaml"):
        tree = code.rows.compose(read_tree(path), change)
        config = configs.from_tree(code.networks.Config, tree, f"{path} with {row}")
        if path.stem == "small":
            model = (code.networks.ImageModel if recipe == "cifar10" else code.networks.LineModel)(config.model)
            model.quantizer.begin_step_(10**6)
            shape = (2, 3, 32, 32) if recipe == "cifar10" else (2, 32, 16)
            loss = model.loss(torch.randint(256, shape, dtype=torch.uint8))
            loss.total.backward()
            assert torch.isfinite(loss.total)
            assert sum(len(group["params"]) for group in model.parameter_groups(1.0)) == len(list(model.parameters()))


# The table of an ablation.


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    return modules(EGS / "common").ablation


def results(folder: Path, ablation: ModuleType) -> list[Path]:
    values = {("all", 0): 0.2, ("all", 1): 0.4, ("none", 0): 0.1, ("vanilla", 0): 10.0, ("zzz", 0): 0.0}
    for (row, seed), value in values.items():
        exp = folder / f"{row}-{seed}"
        exp.mkdir(parents=True)
        metrics = {"PER": value} if row == "none" else {"PER": value, "codes": 12}
        ablation.write_result(exp, row, seed, metrics, {"seconds": 10 * (seed + 1)})
    return sorted(folder.iterdir())


def test_the_table_has_means_and_spreads_in_the_paper_s_order(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    text = ablation.write_table(exps, tmp_path / "RESULTS.md", tmp_path / "plot.png", [])
    assert text.splitlines()[:6] == [
        "| row | seeds | PER | codes | seconds |",
        "|---|---|---|---|---|",
        "| no bottleneck | 1 | 0.1000 |  | 10 |",
        "| vanilla VQ | 1 | 10.00 | 12.00 | 10 |",
        "| + all three | 2 | 0.3000 ± 0.1414 | 12.00 ± 0.00 | 15 |",
        "| zzz | 1 | 0.000 | 12.00 | 10 |",
    ]
    assert "seeds 0, 1; unitdisc" in text
    assert (tmp_path / "RESULTS.md").read_text() == text
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 200
    chosen = ablation.write_table(exps, tmp_path / "RESULTS.md", None, ["codes"])
    assert chosen.startswith("| row | seeds | codes | seconds |")


def test_a_table_of_what_is_not_there_is_refused(ablation, tmp_path: Path):
    exps = results(tmp_path / "exp", ablation)
    with pytest.raises(DataError, match="no run has 'CER'; they have PER, codes"):
        ablation.write_table(exps, tmp_path / "t.md", None, ["CER"])
    with pytest.raises(DataError, match=r"none/result.json: no such file; run the stage score"):
        ablation.read_results([tmp_path / "none"])
    (exps[0] / "result.json").write_text('{"metrics": {"a": "b"}}')
    with pytest.raises(DataError, match=r'expected {"row", "seed", "metrics"'):
        ablation.read_results(exps)


def test_scores_of_the_command_become_results(ablation, tmp_path: Path):
    one, many = tmp_path / "one.json", tmp_path / "many.json"
    one.write_text('{"abx": 0.25, "definition": "abx-triphone", "value": 0.25}')
    many.write_text('{"scores": [{"definition": "pnmi", "value": 0.5}, {"definition": "per", "value": null}]}')
    assert ablation.score_value(str(one)) == 0.25
    assert ablation.score_value(f"{many}:pnmi") == 0.5
    for source, message in (
        (f"{many}", "say which"),
        (f"{many}:ami", "no value of 'ami'"),
        (f"{many}:per", "no value"),
    ):
        with pytest.raises(DataError, match=message):
            ablation.score_value(source)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        ablation.score_value(str(tmp_path / "none.json"))


# The scripts' command line.


def test_a_script_takes_paths_and_options_and_prints_what_its_work_returns(tmp_path: Path):
    script = tmp_path / "work.py"
    script.write_text(
        '"""Works hard."""\n'
        "from scripts import run\n"
        "from unitdisc.errors import DataError\n"
        "def work(out, data, row):\n"
        "    if row == 'bad':\n"
        "        raise DataError(f'{out}: is bad')\n"
        "    return {'paths': len(data), row: 0.123456} if row else [str(out)]\n"
        "run(work, 'out', 'data...', row={'default': ''})\n"
    )

    def outcome(*arguments: str) -> tuple[int, str, str]:
        environment = os.environ | {"PYTHONPATH": f"{EGS / 'common'}:{EGS.parent}"}
        got = subprocess.run([sys.executable, script, *arguments], text=True, capture_output=True, env=environment)
        return got.returncode, got.stdout, got.stderr

    assert outcome("a", "b", "c") == (0, "a\n", "")
    assert outcome("a", "b", "c", "--row", "x") == (0, "paths: 2\nx: 0.1235\n", "")
    assert outcome("a", "b", "--row", "bad") == (1, "", "work.py: a: is bad\n")
    assert outcome("a")[0] == 2
    assert "Works hard." in outcome("--help")[1]


# Downloads.


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; `ranges`: whether it can start in the middle; `breaks`: after how many bytes it breaks off."""

    content, ranges, breaks = b"", True, 0

    def do_GET(self) -> None:
        first = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        if self.path != "/file" or (first and first >= len(self.content)):
            self.send_error(416 if self.path == "/file" else 404)
            return
        self.send_response(206 if "Range" in self.headers and self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - first))
        self.end_headers()
        self.wfile.write(self.content[first : first + self.breaks] if self.breaks else self.content[first:])

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"content": bytes(range(256)) * 40})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/file", handler
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(server, tmp_path: Path, ranges: bool):
    download = modules(EGS / "common").download.download
    url, handler = server
    good = f"sha256:{hashlib.sha256(handler.content).hexdigest()}"
    file = tmp_path / "deep" / "file"
    handler.breaks, handler.ranges = 1000, ranges
    with pytest.raises(DataError, match="start again to go on"):
        download(url, file, good)
    assert not file.exists()
    assert (tmp_path / "deep" / ".file.partial").stat().st_size == 1000
    handler.breaks = 0
    download(url, file, good)
    assert file.read_bytes() == handler.content
    assert [path.name for path in file.parent.iterdir()] == ["file"]
    download("http://127.0.0.1:9/nowhere", file, good)  # there already: nothing is asked for


def test_a_wrong_download_is_refused(server, tmp_path: Path):
    download = modules(EGS / "common").download.download
    url, handler = server
    with pytest.raises(DataError, match="expected a file of md5:0000, got md5:"):
        download(url, tmp_path / "file", "md5:0000")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="the server answers 404"):
        download(f"{url}s", tmp_path / "file", "md5:0000")
    (tmp_path / ".file.partial").write_bytes(handler.content + b"more")
    with pytest.raises(DataError, match="it was removed"):
        download(url, tmp_path / "file", "md5:0000")
    (tmp_path / "there").touch()
    with pytest.raises(DataError, match="expected md5:<hex> or sha256:<hex>, got 'crc"):
        download(url, tmp_path / "there", "crc:0")


# The shell around all this.


@pytest.fixture
def egs(tmp_path: Path) -> Path:
    """Return a copy of egs/ without what its recipes made."""
    ignored = shutil.ignore_patterns("corpus", "data", "exp", ".stages", "__pycache__")
    return shutil.copytree(EGS, tmp_path / "egs", ignore=ignored)


def run_recipe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([folder / "run.sh", *arguments], text=True, capture_output=True, env=environment)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_without_its_corpus_says_where_to_get_it(recipe: str, egs: Path):
    got = run_recipe(egs / recipe)
    assert got.returncode == 2
    assert "--corpus is missing" in got.stderr
    assert len((EGS / recipe / "run.sh").read_text().splitlines()) < 120


TINY = {
    recipe: f"{model} train.steps=26 train.batch=2 model.quantizer.schedule.warm_up=25"
    for recipe, model in {
        "cifar10": "model.width=4 model.residual=1 test_images=5",
        "scribblelens": "model.channels=[4,4,4,4,4,4,8] model.lstm=8 model.hidden=6 model.layers=1 probe.epochs=1",
    }.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_on_the_corpus_in_its_other_form(recipe: str, egs: Path, images: np.ndarray, tmp_path: Path):
    corpus = image_files(tmp_path / "files", images)
    if recipe == "scribblelens":
        corpus = scribblelens_zip(tmp_path / "corpus.zip", places=True)
    options = ("--corpus", str(corpus), "--config", "conf/small.yaml", "--set", TINY[recipe], "--stop-stage", "score")
    got = run_recipe(egs / recipe, *options)
    assert got.returncode == 0, got.stderr
    metrics = json.loads((egs / recipe / "exp" / "small-0" / "result.json").read_text())["metrics"]
    assert {"cifar10": "bits per dim", "scribblelens": "mapping accuracy"}[recipe] in metrics


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_to_its_report_and_only_once(recipe: str, egs: Path, images: np.ndarray, tmp_path: Path):
    corpus = ("--corpus", str(binary_version(tmp_path / "bin", images)))
    if recipe == "scribblelens":
        corpus = ("--corpus", "rendered", "--lines", "40", "--hands", "3")
    common = (*corpus, "--config", "conf/small.yaml", "--set", TINY[recipe])
    got = run_recipe(egs / recipe, *common)
    assert got.returncode == 0, got.stderr
    exp = egs / recipe / "exp" / "small-0"
    assert {"config.yaml", "result.json", "reconstructions.png", "report.md"} <= {p.name for p in exp.iterdir()}
    again = run_recipe(egs / recipe, *common)
    assert again.stdout.count("unchanged, skipped") == (8 if recipe == "scribblelens" else 6), again.stdout

    table = run_recipe(egs / recipe, *common, "--ablation", "vanilla", "--seeds", "3")
    assert table.returncode == 0, table.stderr
    folder = egs / recipe / "exp" / "ablation-small"
    assert (folder / "table.md").read_text().splitlines()[2].startswith("| vanilla VQ | 1 |")
    assert (folder / "table.png").exists()
