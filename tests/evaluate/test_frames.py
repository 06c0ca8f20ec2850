"""Features of any make: what is read, what is dropped and counted, and what is refused."""

import json
import pickle

import numpy as np
import pytest
import torch

from unitdisc.cli import main
from unitdisc.data.store import write_features
from unitdisc.data.units import UnitHeader, UnitLine, vectors_of, write_units
from unitdisc.errors import DataError
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.abx_slices import slice_items
from unitdisc.evaluate.frames import ArrayFrames, open_frames
from unitdisc.evaluate.items import Items, write_items

Rows = list[tuple[str, float, float, str, str, str, str]]


def rows_of(files: int = 3, each: int = 40, length: float = 0.05) -> Rows:
    return [
        (f"f{file}", n * length, (n + 1) * length, f"p{n % 3}", "c", "d", f"s{file}")
        for file in range(files)
        for n in range(each)
    ]


def frames_of(files: int = 3, frames: int = 200, dim: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"f{file}": rng.standard_normal((frames, dim)).astype(np.float32) for file in range(files)}


@pytest.mark.parametrize("suffix", [".npy", ".pt", ".txt"])
def test_a_folder_of_arrays(tmp_path, suffix):
    (tmp_path / "deep").mkdir()
    array = np.asarray([[1, 2], [3, 4.5]], np.float32)
    if suffix == ".npy":
        np.save(tmp_path / "deep" / "a.b.npy", array)
    elif suffix == ".pt":
        torch.save(torch.from_numpy(array), tmp_path / "deep" / "a.b.pt")
    else:
        np.savetxt(tmp_path / "deep" / "a.b.txt", array)
    frames = open_frames(tmp_path, 0.02)
    assert list(frames) == ["deep/a.b"]
    assert (frames["deep/a.b"] == array).all()
    assert frames.period == 0.02


def test_an_archive_with_its_period(tmp_path):
    features = frames_of()
    write_features(tmp_path / "feats", features.items())
    frames = open_frames(tmp_path / "feats.scp")
    assert frames.period is None
    with pytest.raises(DataError, match="does not say its frame period; give --frame-shift"):
        slice_items(Items.of_rows(rows_of()), frames)
    (tmp_path / "feats.json").write_text(json.dumps({"period": 0.02, "offset": 0.0025}))
    for path in (tmp_path / "feats.scp", tmp_path):
        frames = open_frames(path)
        assert (frames.period, frames.offset) == (0.02, 0.0025)
        assert (frames["f1"] == features["f1"]).all()
    with pytest.raises(DataError, match=r"has a frame every 0.02 s, but a frame shift of 0.01 s is asked for"):
        open_frames(tmp_path / "feats.scp", 0.01)


def test_a_unit_file_and_its_vectors(tmp_path):
    lines = [UnitLine.of_frames("f1", [3, 3, 1]), UnitLine.of_frames("f2", [0])]
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (4,), codebook="abc"), lines)
    for path in (tmp_path / "units.jsonl", tmp_path):
        frames = open_frames(path)
        assert frames["f1"].tolist() == [[3], [3], [1]]
        assert frames.units
        assert (frames.period, frames.codes, frames.hashes["codebook"]) == (0.02, (4,), "abc")
    write_features(tmp_path / "vectors", {"f1": np.ones((3, 2), np.float32)}.items())
    assert open_frames(tmp_path / "vectors.scp").period == 0.02


def test_vectors_are_found_under_the_name_of_version_0_1_0_and_asked_for_by_it(tmp_path):
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (4,)), [UnitLine.of_frames("f1", [3, 3, 1])])
    write_features(tmp_path / "codes", {"f1": np.ones((3, 2), np.float32)}.items())
    assert vectors_of(tmp_path) == tmp_path / "codes.scp"
    assert open_frames(tmp_path / "codes.scp")["f1"].tolist() == [[1, 1]] * 3
    (tmp_path / "codes.scp").unlink()
    write_features(tmp_path / "vectors", {"f1": np.zeros((3, 2), np.float32)}.items())
    assert vectors_of(tmp_path) == tmp_path / "vectors.scp"
    assert open_frames(tmp_path / "codes.scp")["f1"].tolist() == [[0, 0]] * 3


def test_codebook_vectors_and_edit_distances_are_other_numbers_than_identity(tmp_path):
    rng = np.random.default_rng(1)
    lines = [UnitLine.of_frames(f"f{n}", rng.integers(0, 6, 200)) for n in range(3)]
    write_units(tmp_path / "units.jsonl", UnitHeader(0.01, (6,)), lines)
    codewords = rng.standard_normal((6, 3)).astype(np.float32)
    items = Items.of_rows(rows_of())
    with pytest.raises(DataError, match=r"codebook.npy: no such codebook; give --codebook"):
        score_abx(tmp_path, items, options=AbxOptions(distance="codebook"))
    np.save(tmp_path / "codebook.npy", codewords)
    scores = [score_abx(tmp_path, items, options=AbxOptions(distance=d)) for d in ("identical", "codebook", "edit")]
    assert [s.definition for s in scores] == [f"abx-within-within-{d}" for d in ("identical", "codebook", "edit")]
    assert len({s.value for s in scores}) == 3
    vectors = ArrayFrames({line.utt: codewords[line.frames] for line in lines}, 0.01)
    assert scores[1].value == score_abx(vectors, items).value
    np.save(tmp_path / "codebook.npy", codewords[:5])
    with pytest.raises(DataError, match=r"expected 6 codewords, got an array of \[5, 3\]"):
        score_abx(tmp_path, items, options=AbxOptions(distance="codebook"))


def test_slices_are_the_frames_centred_in_the_item():
    features = ArrayFrames({"f": np.arange(20, dtype=np.float32)[:, None]}, 0.02)
    rows: Rows = [
        ("f", 0.01, 0.05, "p", "", "", ""),
        ("f", 0.011, 0.0499, "p", "", "", ""),
        ("f", 0, 0.4, "p", "", "", ""),
    ]
    slices = slice_items(Items.of_rows(rows), features)
    assert [(a, n) for a, n in zip(slices.first.tolist(), slices.count.tolist(), strict=True)] == [
        (0, 3),
        (1, 1),
        (0, 20),
    ]
    shorter = slice_items(Items.of_rows(rows), features, "librilight", max_dropped=0.4)
    assert shorter.count.tolist() == [2, 19]
    assert shorter.dropped["shorter than a frame"] == 1


def test_items_without_frames_are_dropped_counted_and_reported():
    rows = rows_of(3, 40)
    rows[5] = ("f0", 0.251, 0.252, "p0", "c", "d", "s0")
    features = {**frames_of(), "f2": frames_of()["f2"][:199]}
    options = AbxOptions("across", max_dropped=0.05)
    score = score_abx(ArrayFrames(features, 0.01), Items.of_rows(rows), options=options)
    assert score.counts.used["items"] == 118
    dropped = {"past the end of the features": 1, "shorter than a frame": 1, "without features": 0}
    assert score.counts.dropped == dropped
    assert score.to_json()["counts"]["dropped"] == dropped
    assert 0 <= score.to_json()["abx"] <= 1


def test_too_many_dropped_items_name_the_likely_cause():
    items = Items.of_rows(rows_of())
    with pytest.raises(
        DataError, match=r"60 of 120 items cannot be used .* above --max-dropped 1.00%.* a wrong --frame-s"
    ):
        slice_items(items, ArrayFrames({f: x[:100] for f, x in frames_of().items()}, 0.01))
    with pytest.raises(
        DataError, match=r"shorter than a frame.* has no frame at a period of 1 s: a wrong --frame-shift"
    ):
        slice_items(items, ArrayFrames(frames_of(), 1.0))
    with pytest.raises(DataError, match=r"40 without features.* some features are missing, or items is of another"):
        slice_items(items, ArrayFrames(frames_of(2), 0.01))
    assert slice_items(items, ArrayFrames(frames_of(2), 0.01), max_dropped=0.4).dropped["without features"] == 40
    with pytest.raises(DataError, match=r"has none of the 3 files .*wanted 'f0', has 'g'.* of another corpus"):
        slice_items(items, ArrayFrames({"g": np.ones((5, 2), np.float32)}, 0.01))


def test_frames_that_cannot_be_scored():
    items = Items.of_rows(rows_of())
    features = frames_of()
    for bad, cause in (
        (np.ones((200, 3), np.float32), r"f1 has frames of 3 x float32, the files before it of 4 x float32"),
        (np.ones(200, np.float32), r"f1: expected frames of shape \[T, D\], got \[200\]"),
        (np.full((200, 4), "x"), "f1: expected real numbers"),
        (np.where(np.arange(200)[:, None] == 7, np.nan, np.ones((200, 4))), r"f1: frame 7 is not finite \(nan\)"),
        (np.where(np.arange(200)[:, None] == 9, np.inf, np.ones((200, 4))), r"f1: frame 9 is not finite \(inf\)"),
    ):
        with pytest.raises(DataError, match=cause):
            slice_items(items, ArrayFrames({**features, "f1": bad}, 0.01))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_frames(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has no file ending in .npy, .pt, .txt"):
        open_frames(tmp_path)
    np.save(tmp_path / "a.npy", np.asarray([{"x": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "b.pt").write_bytes(pickle.dumps(slice_items))
    (tmp_path / "c.npy").write_bytes(b"")
    frames = open_frames(tmp_path, 0.01)
    for file in "abc":
        with pytest.raises(DataError, match="expected an array, got what cannot be read as one"):
            frames[file]
    np.savetxt(tmp_path / "a.txt", np.ones((2, 2)))
    with pytest.raises(DataError, match=r"has both a\.npy and a\.txt"):
        open_frames(tmp_path)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(DataError, match="frame shift must be above 0 s"):
        open_frames(tmp_path, 0)


def test_the_command_that_others_call(tmp_path, capsys):
    (tmp_path / "features").mkdir()
    for file, frames in frames_of().items():
        np.save(tmp_path / "features" / f"{file}.npy", frames)
    write_items(tmp_path / "x.item", Items.of_rows(rows_of()))

    def run(*more: str) -> tuple[int, str, str]:
        command = ["score", "abx", str(tmp_path / "features"), str(tmp_path / "x.item"), "--frame-shift", "0.01"]
        with pytest.raises(SystemExit) as done:
            main([*command, "--speaker", "across", "--context", "any", *more])
        return int(done.value.code or 0), *capsys.readouterr()

    code, out, err = run(
        "--max-group", "none", "--max-x-across", "none", "--distance", "angular", "--seed", "3", "--json"
    )
    assert code == 0, err
    record = json.loads(out)
    expected = score_abx(
        tmp_path / "features", tmp_path / "x.item", 0.01, AbxOptions("across", "any", "angular", None, None, 3)
    )
    assert record["abx"] == pytest.approx(expected.value, abs=1e-12)
    assert record["definition"] == "abx-across-any-angular"
    assert record["options"]["seed"] == 3
    assert record["options"]["max_group"] is None
    assert record["period"] == 0.01
    assert record["interval"]["low"] <= record["abx"] <= record["interval"]["high"]
    assert record["hashes"] == expected.hashes
    assert set(record["hashes"]) == {"items", "features"}
    assert "abx-across-any-angular" in run()[1]
    assert run("--max-group", "0")[0] == 2
    code, _, err = run("--distance", "kl")
    assert (code, err.count("\n")) == (1, 1)
