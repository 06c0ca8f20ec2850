"""Archives: what we write others read, what others write we read, and what is not a matrix is refused."""

import io
import os
import pickle

import kaldi_native_io
import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.data import store
from unitdisc.data.store import FeatureReader, write_features
from unitdisc.errors import DataError

MATRICES = {
    "b-utt": np.arange(12, dtype=np.float32).reshape(4, 3) / 7,
    "a-utt": np.full((1, 3), -2.5, dtype=np.float32),
    "ü-utt": np.zeros((2, 3), dtype=np.float32),
}


def assert_same(reader, matrices, atol=0.0):
    assert list(reader) == list(matrices)
    for utt, matrix in matrices.items():
        assert reader.frames(utt) == len(matrix)
        assert reader.shape(utt) == matrix.shape
        got = reader[utt]
        assert got.dtype == np.float32
        assert got.flags.writeable
        assert np.abs(got - matrix).max() <= atol


def test_round_trip_and_order(tmp_path):
    write_features(tmp_path / "feats", MATRICES.items())
    assert sorted(os.listdir(tmp_path)) == ["feats.ark", "feats.scp"]
    reader = FeatureReader(tmp_path / "feats.scp")
    assert_same(reader, MATRICES)
    assert "nobody" not in reader
    with pytest.raises(KeyError):
        reader["nobody"]


@settings(max_examples=20, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=5))
def test_round_trip_for_any_shapes(tmp_path_factory, shapes):
    folder = tmp_path_factory.mktemp("ark")
    rng = np.random.default_rng(0)
    matrices = {f"u{n}": rng.standard_normal(shape).astype(np.float32) for n, shape in enumerate(shapes)}
    write_features(folder / "x", matrices.items())
    assert_same(FeatureReader(folder / "x.scp"), matrices)


def test_kaldi_native_io_reads_ours(tmp_path):
    write_features(tmp_path / "feats", MATRICES.items())
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{tmp_path / 'feats.scp'}") as theirs:
        read = {key: np.array(value) for key, value in theirs}
    assert list(read) == list(MATRICES)
    assert all(np.array_equal(read[utt], MATRICES[utt]) for utt in MATRICES)
    with kaldi_native_io.SequentialFloatMatrixReader(f"ark:{tmp_path / 'feats.ark'}") as theirs:
        assert [key for key, _ in theirs] == list(MATRICES)


@pytest.mark.parametrize("form", ["ark", "ark,t"])
def test_we_read_those_of_kaldi_native_io(tmp_path, form):
    with kaldi_native_io.FloatMatrixWriter(f"{form},scp:{tmp_path / 'x.ark'},{tmp_path / 'x.scp'}") as out:
        for utt, matrix in MATRICES.items():
            out.write(utt, matrix)
    assert_same(FeatureReader(tmp_path / "x.scp"), MATRICES, atol=1e-5 if form == "ark,t" else 0.0)


def test_we_read_double_matrices_and_vectors(tmp_path):
    with kaldi_native_io.DoubleMatrixWriter(f"ark,scp:{tmp_path / 'd.ark'},{tmp_path / 'd.scp'}") as out:
        out.write("u", np.array([[1.0, 1 / 3]]))
    reader = FeatureReader(tmp_path / "d.scp")
    assert reader["u"].dtype == np.float32
    assert reader.exact("u")[0, 1] == 1 / 3
    with kaldi_native_io.FloatVectorWriter(f"ark,scp:{tmp_path / 'v.ark'},{tmp_path / 'v.scp'}") as out:
        out.write("u", np.array([1.0, 2.0, 3.0], dtype=np.float32))
    assert FeatureReader(tmp_path / "v.scp")["u"].tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("method", ["kSpeechFeature", "kTwoByteAuto", "kOneByteAuto"])
def test_we_read_compressed_matrices(tmp_path, method):
    matrix = np.random.default_rng(1).standard_normal((50, 13)).astype(np.float32)
    with kaldi_native_io.CompressedMatrixWriter(f"ark,scp:{tmp_path / 'c.ark'},{tmp_path / 'c.scp'}") as out:
        kind = getattr(kaldi_native_io.CompressionMethod, method)
        out.write("u", matrix, kind)
    assert_same(FeatureReader(tmp_path / "c.scp"), {"u": matrix}, atol=0.1)


def test_text_with_whole_numbers_first(tmp_path):
    (tmp_path / "t.ark").write_text("u  [\n  0 1.5\n  2 -3e-1 ]\nv  [ ]\n")
    (tmp_path / "t.scp").write_text(f"u {tmp_path}/t.ark:2\n")
    assert np.allclose(FeatureReader(tmp_path / "t.scp")["u"], [[0, 1.5], [2, -0.3]])


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    write_features(tmp_path / "f", MATRICES.items())
    index = tmp_path / "f.scp"
    index.write_text("\ufeff" + index.read_text("utf-8"), "utf-8")
    assert_same(FeatureReader(index), MATRICES)


def test_a_moved_directory_takes_its_archive_along(tmp_path):
    (tmp_path / "old").mkdir()
    write_features(tmp_path / "old" / "feats", MATRICES.items())
    (tmp_path / "old").rename(tmp_path / "new")
    assert_same(FeatureReader(tmp_path / "new" / "feats.scp"), MATRICES)


def test_the_index_travels_to_other_processes(tmp_path):
    write_features(tmp_path / "feats", MATRICES.items())
    reader = FeatureReader(tmp_path / "feats.scp")
    reader["a-utt"]
    assert_same(pickle.loads(pickle.dumps(reader)), MATRICES)


def test_a_pickle_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    (tmp_path / "x.ark").write_bytes(b"u PKL" + pickle.dumps(Trap()))
    (tmp_path / "x.scp").write_text(f"u {tmp_path}/x.ark:2\n")
    with pytest.raises(DataError, match=r"x\.scp:1: u: expected a Kaldi matrix at byte 2"):
        FeatureReader(tmp_path / "x.scp")["u"]
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u copy-feats x |\n", r"x\.scp:1: is a command"),
        ("u a.ark:2\nu a.ark:9\n", r"x\.scp:2: u stands there twice \(first at .*x\.scp:1\)"),
        ("u\n", r"x\.scp:1: expected '<utt> <ark>:<byte>'"),
        ("u a.ark:2[0:3]\n", r"x\.scp:1: ranges of rows"),
    ],
)
def test_a_wrong_index_says_where(tmp_path, text, message):
    (tmp_path / "x.scp").write_text(text)
    with pytest.raises(DataError, match=message):
        FeatureReader(tmp_path / "x.scp")


def test_a_missing_or_truncated_archive_says_so(tmp_path):
    with pytest.raises(DataError, match=r"x\.scp: no such file; `unitdisc features` makes it"):
        FeatureReader(tmp_path / "x.scp")
    write_features(tmp_path / "x", MATRICES.items())
    blob = (tmp_path / "x.ark").read_bytes()
    for keep in range(len(blob) - 40, len(blob) - 1, 7):
        (tmp_path / "x.ark").write_bytes(blob[:keep])
        with pytest.raises(DataError, match=r"damaged|expected a Kaldi matrix"):
            FeatureReader(tmp_path / "x.scp")["ü-utt"]
    (tmp_path / "x.ark").unlink()
    with pytest.raises(DataError, match=r"x\.scp:1: .*x\.ark: no such file; make it again"):
        FeatureReader(tmp_path / "x.scp")["b-utt"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(utt, matrix):
        if utt == "a-utt":
            raise OSError(28, "No space left on device")
        return b"..."

    monkeypatch.setattr(store, "record", full)
    with pytest.raises(DataError, match=r"feats\.ark: cannot be written: No space left on device; nothing of it"):
        write_features(tmp_path / "feats", MATRICES.items())
    assert os.listdir(tmp_path) == []


def test_a_name_with_a_space_or_twice_is_refused(tmp_path):
    for items in ([("a b", MATRICES["b-utt"])], [("a", MATRICES["b-utt"])] * 2):
        with pytest.raises(DataError, match="must be unique and without spaces"):
            write_features(tmp_path / "feats", items)
    assert os.listdir(tmp_path) == []


def test_records_are_those_of_kaldiio():
    blob = store.record("u", MATRICES["b-utt"])
    ((utt, matrix),) = kaldiio.load_ark(io.BytesIO(blob))
    assert utt == "u"
    assert np.array_equal(matrix, MATRICES["b-utt"])
    assert np.array_equal(store.parse_record(blob), matrix)
