"""The validator finds everything that is wrong; the fixer mends it, says what went, and keeps a backup."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import noise, put_audio, put_data, put_tables
from made_up import make_data, tiny_model

from unitdisc.data.check import check_data_dir
from unitdisc.data.fix import fix_data_dir
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.errors import DataError
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.extract import ExtractConfig, extract


def test_a_sound_data_dir_is_fine(tmp_path: Path):
    path = put_data(tmp_path)
    (path / "spk2utt").write_text("s0 s0-u0 s0-u2\ns1 s1-u1 s1-u3\n")
    report = check_data_dir(path, decode=True)
    assert report == (path, 4, 2, pytest.approx((4000 + 4100 + 4200 + 4300) / 16000), {16000: 4}, [])


def test_every_bad_table_line_is_found(tmp_path: Path):
    put_tables(
        tmp_path, {"wav.scp": b"b b.wav\r\na a.wav\na x.wav\n", "utt2spk": b"a s\nb s\n", "text": b"a \xe9\n\nb B\n"}
    )
    said = [message.removeprefix(f"{tmp_path}/").split(",")[0] for message in check_data_dir(tmp_path).errors]
    assert said == [
        "wav.scp:1: expected a Unix line end",
        "wav.scp:2: expected lines sorted as by `LC_ALL=C sort`",
        "wav.scp:3: expected one line for each key",
        "text:1: expected UTF-8 text",
        "text:2: expected '<utt> <words>'",
    ]


def test_every_bad_recording_is_found(tmp_path: Path):
    path = put_data(tmp_path, utts=4)
    (path / "wav" / "s0-u0.wav").unlink()
    (path / "wav" / "s0-u2.wav").write_bytes(b"abc")
    wave = noise(4000)
    wave[7] = np.inf
    soundfile.write(path / "wav" / "s1-u1.wav", wave, 16000, subtype="FLOAT")
    put_audio(path / "wav" / "s1-u3.wav", 4000, 8000)
    errors = check_data_dir(path).errors
    assert errors == [
        f"s0-u0: {path}/wav.scp:1: {path}/wav/s0-u0.wav: no such audio file",
        f"s0-u2: {path}/wav.scp:2: {path}/wav/s0-u2.wav: expected audio (wav, flac, ogg, mp3, sph), "
        "got 3 bytes that are none: Format not recognised.",
    ]
    more = check_data_dir(path, decode=True, rate=16000).errors
    assert more[:2] == errors
    assert more[2:] == [
        f"s1-u1: {path}/wav.scp:3: {path}/wav/s1-u1.wav: expected finite samples, got inf at 7; mend the file",
        f"s1-u3: {path}/wav.scp:4: {path}/wav/s1-u3.wav: expected audio at 16000 Hz, got 8000 Hz; resample it",
    ]


def test_every_missing_image_is_found(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    put_tables(tmp_path, {"images.scp": "a a.png\nb b.png\n", "utt2spk": "a a\nb b\n"})
    report = check_data_dir(tmp_path)
    assert (report.utts, report.seconds) == (2, 0)
    assert report.errors == [f"b: {tmp_path}/images.scp:2: {tmp_path}/b.png: no such image file"]


def test_what_is_doubtful_is_a_warning(tmp_path: Path):
    put_audio(tmp_path / "a.wav", 16000)
    put_audio(tmp_path / "b.wav", 400, 8000)
    put_audio(tmp_path / "c.ogg", 48000)
    raw = (tmp_path / "c.ogg").read_bytes()
    (tmp_path / "c.ogg").write_bytes(raw[: len(raw) - 100])
    put_tables(
        tmp_path,
        {
            "wav.scp": "a a.wav\nb b.wav\nc c.ogg\n",
            "segments": "a a 0.5 1.2\nb b 0 -1\nc c 0 -1\n",
            "utt2spk": "a s\nb b\nc s\n",
            "text": "a A\n",
            "spk2gender": "s m\n",
            "utt2dur": "a 3\n",
        },
    )
    report = check_data_dir(tmp_path)
    assert report.errors == []
    said = [w.removeprefix(f"{tmp_path}/").removeprefix(f"{tmp_path}: ") for w in report.warnings]
    assert said == [
        "no spk2utt; it is made of utt2spk in memory, and --fix writes it for other tools",
        "utt2spk: 2 of 3 utterances do not begin with their speaker, as 'a' of 's'; "
        "fine here, but Kaldi's own tools want it so",
        "text: nothing for 2 of 3, as 'b'",
        "spk2gender: nothing for 1 of 2, as 'b'",
        "utt2dur: a: 3 s stated, 0.500 s of audio",
        "segments: a: ends at 1.2 s, after its recording; cut to 0.500 s",
        "b: only 0.050 s of audio",
        "c.ogg: an Ogg file without its last page; it may be truncated",
        "utterances are 1 at 8000 Hz, 2 at 16000 Hz; all will be resampled to the model's rate",
    ]


def test_an_alignment_is_checked_against_the_audio(tmp_path: Path):
    path = put_data(tmp_path)
    ctm = path / "phones.ctm"
    ctm.write_text("s0-u0 1 0.0 0.2 K\ns0-u2 1 0.0 0.4 K\ns1-u1 1 0.0 0.2 K\ns1-u1 1 0.1 0.1 L\n")
    report = check_data_dir(path, alignment=ctm)
    assert report.errors == [
        f"{ctm}: s0-u2: expected labels within 0.256 s of audio, got 'K' at 0 to 0.4 s; "
        "this alignment belongs to other audio, or the audio was cut",
        f"{ctm}:4: s1-u1: expected intervals without overlap, got 'L' from 0.1 s after 'K' up to 0.2 s; "
        "correct the labels",
    ]
    assert f"{ctm}: no alignment for 1 of 4 utterances, as 's1-u3'" in report.warnings
    ctm.write_text("other 1 0.0 0.2 K\n")
    assert check_data_dir(path, alignment=ctm).errors == [
        f"{ctm}: expected alignments of {path}, got none of its utterances, as 's0-u0', but 'other'; "
        "are the ids made another way?"
    ]


def test_the_fixer_mends_says_what_went_and_keeps_a_backup(tmp_path: Path):
    path = put_data(tmp_path, utts=8)
    (path / "wav" / "s0-u4.wav").write_bytes(b"abc")
    (path / "wav.scp").write_bytes((path / "wav.scp").read_bytes().replace(b"\n", b"\r\n") + b"s0-u0 again.wav\r\n")
    lines = (path / "utt2spk").read_text().splitlines(keepends=True)
    (path / "utt2spk").write_text("".join(reversed(lines[:-1])) + "\nx y\n")
    (path / "text").write_bytes(b"s0-u0 caf\xe9\nnobody N\n")
    (path / "feats.scp").write_text("s0-u0 f.ark:5\ns0-u4 f.ark:9\n")
    before = {name: (path / name).read_bytes() for name in ("wav.scp", "utt2spk", "text", "feats.scp")}
    fixed = fix_data_dir(path)
    assert fixed.dropped == ["s0-u4", "s1-u7"]
    assert fixed.backup == path / ".backup" / "1"
    assert {name: (fixed.backup / name).read_bytes() for name in before} == before
    assert [change.replace(f"{path}/", "") for change in fixed.changes] == [
        "dropped wav.scp:9: expected one line for each key, got 's0-u0' again",
        "mended wav.scp: 8 lines where a Unix line end is expected",
        "dropped utt2spk:8: expected '<utt> <spk>', got ''",
        "mended utt2spk: 6 lines where lines sorted as by `LC_ALL=C sort` is expected",
        "mended text: 1 lines where UTF-8 text is expected",
        "mended text: 1 lines where lines sorted as by `LC_ALL=C sort` is expected",
        "dropped s1-u7: no speaker in utt2spk",
        "dropped s0-u4: wav/s0-u4.wav: expected audio (wav, flac, ogg, mp3, sph), got 3 bytes that are none: "
        "Format not recognised.",
        "dropped 2 from utt2spk, as 's0-u4', which is no utterance",
        "dropped 1 from text, as 'nobody', which is no utterance",
        "dropped 1 from feats.scp, as 's0-u4', which is no utterance",
        "spk2utt: made of utt2spk",
    ]
    data = DataDir.read(path)
    assert data.utts == ["s0-u0", "s0-u2", "s0-u6", "s1-u1", "s1-u3", "s1-u5"]
    assert data.text == {"s0-u0": "café"}
    assert (path / "feats.scp").read_text() == "s0-u0 f.ark:5\n"
    assert check_data_dir(path).errors == []
    again = fix_data_dir(path)
    assert again == (None, [], [])


def test_what_the_fixer_leaves_keeps_its_features(tmp_path: Path):
    data = make_data(tmp_path / "d", 6)
    config = ExtractConfig(tiny_model().features)
    extract(data, config)
    frames = dict(FeatureReader(data.path / "feats.scp"))
    gone = data.utts[1]
    (data.path / data.recordings[gone].entry).unlink()
    assert fix_data_dir(data.path).dropped == [gone]
    fixed = DataDir.read(data.path)
    made = extract(fixed, config)
    assert (made.made, made.utterances) == ((), 5)
    reader = load_normalised(data.path, config.features)
    assert set(reader) == set(frames) - {gone}
    table = data.path / "wav.scp"  # changed by hand: what was out of date before it is mended stays so
    table.write_text("".join(reversed(table.read_text().replace("a-00.wav", "./a-00.wav").splitlines(keepends=True))))
    assert fix_data_dir(data.path).backup is not None
    with pytest.raises(DataError, match=r"feats\.json: made before wav\.scp, segments or utt2spk changed"):
        extract(DataDir.read(data.path), config)


def test_the_fixer_drops_lines_with_a_word_too_many(tmp_path: Path):
    path = put_data(tmp_path, utts=8)
    table = path / "utt2spk"
    table.write_text(table.read_text().replace("s0-u0 s0", "s0-u0 s0 extra"))
    fixed = fix_data_dir(path)
    assert f"dropped {table}:1: expected '<utt> <spk>', got 's0-u0 s0 extra'" in fixed.changes
    assert fixed.dropped == ["s0-u0"]
    assert len(DataDir.read(path).utts) == 7


def test_the_fixer_does_not_empty_a_directory(tmp_path: Path):
    path = put_data(tmp_path)
    for wav in (path / "wav").iterdir():
        wav.unlink()
    with pytest.raises(
        DataError, match=r"nothing changed, since 4 of 4 utterances would go: dropped .*: no such audio file"
    ):
        fix_data_dir(path)
    assert not (path / ".backup").exists()
    (path / "utt2spk").unlink()
    with pytest.raises(DataError, match="expected utt2spk or spk2utt, got neither; nobody but you knows the speakers"):
        fix_data_dir(path)


def test_the_fixer_drops_segments_that_cannot_be(tmp_path: Path):
    put_audio(tmp_path / "r.wav", 16000)
    put_tables(
        tmp_path,
        {
            "wav.scp": "q q.wav\nr r.wav\n",
            "segments": "a r 0 0.5\nb r 0.5 1\nc r 1 1.2\nd no 0 1\ne r 0.6 0.9\nf r 0.1 0.2\ng r 0.2 0.1\n",
            "utt2spk": "".join(f"{utt} s\n" for utt in "abcdefg"),
        },
    )
    fixed = fix_data_dir(tmp_path)
    assert fixed.dropped == ["c", "d", "g"]
    assert list(DataDir.read(tmp_path).recordings) == ["r"]


@given(st.permutations(["a", "b", "c", "d"]), st.sampled_from([b"\n", b"\r\n"]), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_whatever_the_order_what_is_fixed_is_fine(tmp_path_factory, order, end, twice):
    path = tmp_path_factory.mktemp("fix")
    put_audio(path / "x.wav", 3000)
    rows = [*order, order[twice]]
    put_tables(
        path,
        {
            "wav.scp": b"".join(f"{utt} x.wav".encode() + end for utt in rows),
            "utt2spk": b"".join(f"{utt} {utt}".encode() + end for utt in reversed(rows)),
        },
    )
    fix_data_dir(path)
    report = check_data_dir(path)
    assert (report.utts, report.errors) == (4, [])


def test_features_that_are_out_of_date_are_told_after_a_fix_too(tmp_path: Path):
    data = make_data(tmp_path / "d", 6)
    assert not any("feats" in warning for warning in check_data_dir(data.path).warnings)
    fix_data_dir(data.path)  # which writes spk2utt: nothing that features follow from
    assert not any("feats" in warning for warning in check_data_dir(data.path).warnings)
    table = data.path / "wav.scp"
    table.write_bytes(table.read_bytes().replace(b"a-00.wav", b"./a-00.wav").replace(b"\n", b"\r\n"))
    fix_data_dir(data.path)
    warnings = check_data_dir(data.path).warnings
    wanted = "made before wav.scp, segments or utt2spk changed; `unitdisc features --force` makes them again"
    assert [f"{data.path / name}.json: {wanted}" in warnings for name in ("feats", "targets")] == [True, True]
    (data.path / "feats.json").write_text("x")
    assert any("feats.json: no description of features" in w for w in check_data_dir(data.path).warnings)
