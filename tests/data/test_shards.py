"""Tar archives: read in place, equal to the files they were made of, as lhotse itself reads them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unitdisc.cli import main
from unitdisc.data.folder import import_folder
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.subsets import subset
from unitdisc.errors import DataError
from unitdisc.features.configs import MfccConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.live import LiveFrames

RATE = 16000


def sound(number: int) -> np.ndarray:
    """Return samples that 16 bits hold exactly."""
    rng = np.random.default_rng(number)
    return (rng.integers(-9000, 9000, 3000 + 1000 * number) / 32768).astype(np.float32)


def put_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def audio(number: int, form: str = "FLAC") -> bytes:
    blob = io.BytesIO()
    soundfile.write(blob, sound(number), RATE, format=form, subtype="PCM_16")
    return blob.getvalue()


def put_webdataset(folder: Path) -> Path:
    """Write two archives of five recordings by two speakers."""
    for shard, numbers in enumerate(((0, 1, 2), (3, 4))):
        files: dict[str, bytes] = {}
        for n in numbers:
            files[f"{'ab'[n % 2]}-{n}.flac"] = audio(n)
            files[f"{'ab'[n % 2]}-{n}.json"] = json.dumps({"speaker": "ab"[n % 2]}).encode()
            files[f"{'ab'[n % 2]}-{n}.txt"] = f"words  {n}\n".encode()
        put_tar(folder / f"shard-{shard}.tar", files)
    return folder


def put_files(folder: Path) -> Path:
    """Write the same recordings as files."""
    for n in range(5):
        path = folder / "ab"[n % 2] / f"{'ab'[n % 2]}-{n}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio(n))
    return folder


def test_recordings_are_read_where_they_lie(tmp_path: Path):
    data = import_folder(put_webdataset(tmp_path / "tars"), tmp_path / "data").data
    assert data.utts == ["a-0", "a-2", "a-4", "b-1", "b-3"]
    assert data.text["b-3"] == "words 3"
    assert not data.segments
    for utt in data.utts:
        number = int(utt[-1])
        assert data.utt2spk[utt] == utt[0]
        assert data.utt2dur[utt] == len(sound(number)) / RATE
        np.testing.assert_array_equal(data.source(utt).load(RATE), sound(number))
        np.testing.assert_array_equal(data.source(utt).load(RATE, 700, 50), sound(number)[700:750])


def test_features_of_archives_are_those_of_files_with_any_number_of_processes(tmp_path: Path):
    tars = import_folder(put_webdataset(tmp_path / "tars"), tmp_path / "shards").data
    files = import_folder(put_files(tmp_path / "files"), tmp_path / "plain").data
    config = ExtractConfig(MfccConfig())
    for data, jobs in ((files, 1), (tars, 2)):
        extract(data, config, jobs=jobs)
    one, two = (FeatureReader(data.path / "feats.scp") for data in (files, tars))
    live = LiveFrames(MfccConfig(cmvn="none"), tars)
    assert list(one) == list(two) == tars.utts
    for utt in one:
        np.testing.assert_array_equal(one[utt], two[utt])
        np.testing.assert_array_equal(one[utt], live[utt])


def test_a_subset_keeps_the_places(tmp_path: Path):
    data = import_folder(put_webdataset(tmp_path / "tars"), tmp_path / "data").data
    part = subset(data, tmp_path / "part", ["b-1", "b-3"])
    np.testing.assert_array_equal(part.source("b-3").load(RATE), sound(3))


def test_shar_is_read_as_lhotse_reads_it(tmp_path: Path):
    lhotse = pytest.importorskip("lhotse", reason="lhotse is not installed")
    put_files(tmp_path / "files")
    cuts = []
    for n in range(5):
        recording = lhotse.Recording.from_file(tmp_path / "files" / "ab"[n % 2] / f"{'ab'[n % 2]}-{n}.flac")
        said = lhotse.SupervisionSegment(
            f"s{n}", recording.id, 0, recording.duration, speaker="ab"[n % 2], text=f"words {n}"
        )
        cuts.append(lhotse.MonoCut(f"cut.{n}", 0, recording.duration, 0, supervisions=[said], recording=recording))
    shar = tmp_path / "shar"
    shar.mkdir()
    lhotse.CutSet.from_cuts(cuts).to_shar(shar, {"recording": "flac"}, shard_size=2)
    data = import_folder(shar, tmp_path / "data").data
    theirs = {cut.id: cut for cut in lhotse.CutSet.from_shar(in_dir=shar)}
    assert data.utts == sorted(f"{'ab'[n % 2]}-cut.{n}" for n in range(5))
    for utt in data.utts:
        cut = theirs[utt.partition("-")[2]]
        assert (data.utt2spk[utt], data.text[utt]) == (cut.supervisions[0].speaker, cut.supervisions[0].text)
        assert data.utt2dur[utt] == pytest.approx(cut.duration)
        np.testing.assert_array_equal(data.source(utt).load(RATE), cut.load_audio()[0])


def test_several_supervisions_of_a_cut_are_segments(tmp_path: Path):
    put_tar(tmp_path / "shar" / "recording.000000.tar", {"c.flac": audio(4), "c.json": b"{}"})
    said = [
        {"id": "one", "start": 0.05, "duration": 0.1, "speaker": "b", "text": "x"},
        {"id": "two", "start": 0.2, "duration": 0.1, "speaker": "a"},
    ]
    (tmp_path / "shar" / "cuts.000000.jsonl").write_text(json.dumps({"id": "c", "supervisions": said}) + "\n")
    data = import_folder(tmp_path / "shar", tmp_path / "data").data
    assert data.utts == ["a-two", "b-one"]
    np.testing.assert_array_equal(data.source("b-one").load(RATE), sound(4)[800:2400])
    assert data.text == {"b-one": "x"}


def test_import_takes_archives_and_check_and_fairseq_say_what_they_find(tmp_path: Path, capsys):
    put_webdataset(tmp_path / "tars")
    for words in (["import", str(tmp_path / "tars"), str(tmp_path / "data")], ["check", str(tmp_path / "data")]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert not end.value.code
    assert "5 utt" in capsys.readouterr().out
    with pytest.raises(DataError, match="lies in a tar archive, and this format names whole files only"):
        DataDir.read(tmp_path / "data").source("a-0").file()


def test_bad_recordings_in_archives_are_listed_and_many_stop_the_import(tmp_path: Path):
    sounds = {f"a-{n}.wav": audio(0, "WAV") for n in range(9)}
    put_tar(tmp_path / "tars" / "x.tar", {**sounds, "a-9.wav": audio(0, "WAV")[:1000]})
    imported = import_folder(tmp_path / "tars", tmp_path / "data", speaker="a")
    assert len(imported.data.utts) == 9
    assert [message.split(":")[0] for message in imported.left_out] == ["a-9"]
    assert "truncated" in imported.left_out[0]
    with pytest.raises(
        DataError, match=r"tars: 1 of 10 recordings cannot be used: a-9: .*raise --max-bad \(now 0\.05\)"
    ):
        import_folder(tmp_path / "tars", tmp_path / "data", speaker="a", most=0.05)


def test_recordings_beside_archives_are_refused(tmp_path: Path):
    put_webdataset(tmp_path / "tars")
    (tmp_path / "tars" / "x.wav").write_bytes(audio(0, "WAV"))
    with pytest.raises(DataError, match=r"tars: has 1 recording, as x\.wav, and tar archives; move one of both kinds"):
        import_folder(tmp_path / "tars", tmp_path / "data")


def test_what_is_wrong_is_told_in_a_line(tmp_path: Path):
    put_tar(tmp_path / "nobody" / "x.tar", {"k.wav": audio(0, "WAV")})
    with pytest.raises(DataError, match="nothing says who speaks in 'k'; give --speaker"):
        import_folder(tmp_path / "nobody", tmp_path / "data")
    assert import_folder(tmp_path / "nobody", tmp_path / "data", speaker="[^/]+$").data.utts == ["k"]
    assert import_folder(tmp_path / "nobody", tmp_path / "other", unknown_speakers=True).data.utt2spk == {"k": "k"}
    with pytest.raises(DataError, match="are not cut; leave --cut out"):
        import_folder(tmp_path / "nobody", tmp_path / "other", unknown_speakers=True, cut=30)
    archive = tmp_path / "nobody" / "x.tar"
    (tmp_path / "data" / "wav.scp").write_text(f"k {archive}:1024\n")
    with pytest.raises(DataError, match=r"x\.tar:1024: expected a file in a tar archive"):
        DataDir.read(tmp_path / "data").source("k").load(RATE)
    (tmp_path / "data" / "wav.scp").write_text(f"k {archive}:512\n")
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DataError, match="truncated: the archive lacks"):
        DataDir.read(tmp_path / "data").source("k").load(RATE)
    with tarfile.open(tmp_path / "nobody" / "x.tar", "w:gz") as packed:
        packed.add(tmp_path / "data" / "wav.scp", "k.txt")
    with pytest.raises(DataError, match="a tar archive that is not compressed"):
        import_folder(tmp_path / "nobody", tmp_path / "again", speaker="[^/]+$")
