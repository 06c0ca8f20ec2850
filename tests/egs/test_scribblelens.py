"""The recipe of handwriting: its corpora and where their characters lie, its model, its scores."""

import json
import shutil
import zipfile
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from image_files import Image, put_lines, recipe, render, scribblelens_zip, tiny_lines
from recipe_files import EGS
from reference_images import bits_of

from unitdisc import config as configs
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import read_units
from unitdisc.errors import DataError


@pytest.fixture(scope="module")
def scribblelens() -> SimpleNamespace:
    return recipe("scribblelens")


@pytest.fixture(scope="module")
def rendered(scribblelens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(scribblelens, tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def lines_data(scribblelens, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_lines(scribblelens, rendered, tmp_path_factory.mktemp("lines") / "data")


# The corpus.


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
    with pytest.raises(DataError, match="no such file; expected an image"):
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


# The model.


@pytest.mark.parametrize("columns", [4, 8, 64, 132])
def test_there_is_a_token_for_each_four_columns(scribblelens, columns: int):
    model = scribblelens.networks.LineModel(tiny_lines(scribblelens).model).eval()
    grey = torch.randint(256, (2, 32, columns), dtype=torch.uint8)
    assert model.encoder(grey).shape == (2, columns // 4, 8)


def test_the_paper_s_encoder_makes_a_token_for_each_four_columns(scribblelens):
    config = configs.load(EGS / "scribblelens" / "conf" / "base.yaml", scribblelens.networks.Config)
    encoder = scribblelens.networks.Encoder(config.model.channels, config.model.lstm, config.model.slope).eval()
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
