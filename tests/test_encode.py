"""Encoding: the same bytes however it is done, nothing lost by a kill, and bad utterances counted."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import interrupted
from made_up import make_data, tiny_model
from test_train import TRAIN

from unitdisc import encode as module
from unitdisc import shard_files
from unitdisc.checkpoint import load_model
from unitdisc.cli import main
from unitdisc.cluster import fit_kmeans
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import read_header, read_units
from unitdisc.encode import EncodeOptions, compound_units, encode
from unitdisc.errors import CheckpointError, ConfigError, DataError
from unitdisc.evaluate.frames import open_frames as open_evaluated
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.configs import MfccConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.files import locked
from unitdisc.live import LiveFrames
from unitdisc.quantizers.configs import IdentityConfig, VQConfig
from unitdisc.quantizers.schedule import ScheduleConfig
from unitdisc.train import train
from unitdisc.train_config import Config

TEXTS = ("units.jsonl", "units.txt", "units.ctm", "codebook.npy", "failed.txt")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_data(root / "train", 6)
    make_data(root / "test", 7, seed=2)
    return root


@pytest.fixture(scope="module")
def exp(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exp")
    train(Config(tiny_model(), TRAIN), folder, data / "train", data / "train")
    return folder


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "SHARD", 2)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TEXTS}


@pytest.fixture(scope="module")
def once(data: Path, exp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("once")
    encode(exp, data / "test", out, EncodeOptions(projection=True))
    return out


def test_a_unit_file_keeps_the_time_contract(data: Path, once: Path):
    header = read_header(once / "units.jsonl")
    assert (header.period, header.offset, header.codes) == (0.02, 0.0, (8,))
    assert len(header.codebook) == len(header.model) == 12
    lines = list(read_units(once / "units.jsonl"))
    assert [line.utt for line in lines] == sorted(f"{'ab'[i % 2]}-{i:02d}" for i in range(7))
    for line in lines:  # 0.1 s a tone: a whole number of frames
        samples = len(FeatureReader(data / "test" / "feats.scp")[line.utt]) * 160
        assert line.durations.sum() == -(-samples // 320)
    assert (once / "units.txt").read_text().splitlines()[0].split() == [lines[0].utt, *map(str, lines[0].frames)]


def test_vectors_are_the_codewords_of_the_units(once: Path):
    codebook = np.load(once / "codebook.npy")
    codes, projection = FeatureReader(once / "vectors.scp"), FeatureReader(once / "projection.scp")
    for line in read_units(once / "units.jsonl"):
        assert np.array_equal(codes[line.utt], codebook[line.frames])
        distance = ((projection[line.utt][:, None] - codebook[None]) ** 2).sum(-1)
        assert np.array_equal(distance.argmin(1), line.frames)


@pytest.mark.parametrize("jobs", [2, 3])
def test_jobs_change_no_byte(data: Path, exp: Path, once: Path, tmp_path: Path, jobs: int):
    encode(exp, data / "test", tmp_path / "out", EncodeOptions(projection=True), jobs=jobs)
    assert contents(tmp_path / "out") == contents(once)


def test_archives_and_features_on_the_fly_give_the_same_units(data: Path, exp: Path, once: Path, tmp_path: Path):
    make_data(tmp_path / "bare", 7, seed=2, features=False)
    encode(exp, tmp_path / "bare", tmp_path / "out")
    assert (tmp_path / "out" / "units.txt").read_bytes() == (once / "units.txt").read_bytes()


@pytest.mark.slow  # tests/test_arrays.py has the same of fewer utterances
def test_two_processes_change_no_byte(data: Path, exp: Path, once: Path, tmp_path: Path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "unitdisc"]
    command += ["encode", str(exp), str(data / "test"), str(tmp_path / "out"), "--projection"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert contents(tmp_path / "out") == contents(once)


def test_a_killed_encoding_goes_on_where_it_was(data: Path, exp: Path, once: Path, tmp_path: Path, monkeypatch):
    out, whole = tmp_path / "out", module._Encoder.encode

    def killed(self, shard):
        if shard.number == 2:
            raise KeyboardInterrupt
        return whole(self, shard)

    monkeypatch.setattr(module._Encoder, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(exp, data / "test", out)
    assert not (out / "units.jsonl").exists()
    seen = []

    def counted(self, shard):
        seen.append(shard.number)
        return whole(self, shard)

    monkeypatch.setattr(module._Encoder, "encode", counted)
    encode(exp, data / "test", out)
    assert seen == [2, 3]
    assert (out / "units.txt").read_bytes() == (once / "units.txt").read_bytes()
    assert not (out / ".shards").exists()


def stopped_at(number: int, monkeypatch: pytest.MonkeyPatch, *encoding: object) -> list[int]:
    """Stop an encoding before this shard; return the list of those that the next one encodes."""
    whole, seen = module._Encoder.encode, []

    def killed(self, shard):
        if shard.number == number:
            raise KeyboardInterrupt
        return whole(self, shard)

    def counted(self, shard):
        seen.append(shard.number)
        return whole(self, shard)

    monkeypatch.setattr(module._Encoder, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(*encoding)
    monkeypatch.setattr(module._Encoder, "encode", counted)
    return seen


def test_an_interrupted_encoding_does_not_go_on_with_shards_of_other_audio(
    data: Path, exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    changed = make_data(tmp_path / "d", 7, seed=2, features=False)
    encoded = stopped_at(2, monkeypatch, exp, changed.path, tmp_path / "out")
    table = changed.path / "wav.scp"  # other recordings under the same names
    table.write_text("".join(f"{utt} {changed.utts[-n - 1]}.wav\n" for n, utt in enumerate(changed.utts)))
    encode(exp, changed.path, tmp_path / "out")
    assert encoded == [0, 1, 2, 3]
    encode(exp, changed.path, tmp_path / "clean")
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_shards_are_kept_for_another_share_of_failures_and_another_spelling_of_the_data(
    data: Path, exp: Path, once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encoded = stopped_at(2, monkeypatch, exp, data / "test", tmp_path / "out")
    encode(exp, data / "train" / ".." / "test", tmp_path / "out", EncodeOptions(max_failed=0.5))
    assert encoded == [2, 3]
    assert (tmp_path / "out" / "units.txt").read_bytes() == (once / "units.txt").read_bytes()


def test_features_of_older_tables_are_refused(data: Path, exp: Path, tmp_path: Path):
    changed = make_data(tmp_path / "d", 6)
    make_table(changed.path, changed.path.resolve(), changed.utts)  # the same audio: but nobody knows
    message = r"feats\.json: made before wav\.scp, segments or utt2spk changed; run `unitdisc features --force`"
    with pytest.raises(DataError, match=message):
        encode(exp, changed.path, tmp_path / "out")
    with pytest.raises(DataError, match=message):
        train(Config(tiny_model(), TRAIN), tmp_path / "exp", changed.path, data / "train")
    with pytest.raises(DataError, match=message):
        fit_kmeans(Config(tiny_model(), TRAIN), tmp_path / "kmeans", changed.path, 4)


def make_table(path: Path, audio: Path, utts: list[str]) -> None:
    (path / "wav.scp").write_text("".join(f"{utt} {audio / utt}.wav\n" for utt in utts))


def test_units_that_are_there_are_kept_or_refused(data: Path, exp: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert not encode(exp, data / "test", out).kept
    before = (out / "units.jsonl").stat().st_mtime_ns
    assert encode(exp, data / "test", out).kept
    assert (out / "units.jsonl").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="other data or with other options; --force"):
        encode(exp, data / "train", out)
    assert not encode(exp, data / "train", out, force=True).kept


def test_bad_utterances_are_counted_listed_and_stop_the_run_when_many(data: Path, exp: Path, tmp_path: Path):
    make_data(tmp_path / "bad", 7, seed=2, features=False)
    (tmp_path / "bad" / "a-02.wav").write_bytes(b"no!")
    mended = (tmp_path / "bad" / "a-00.wav").read_bytes()
    with pytest.raises(DataError, match=r"1 of 7 utterances .* a-02"):
        encode(exp, tmp_path / "bad", tmp_path / "out")
    assert not (tmp_path / "out" / "units.jsonl").exists()
    done = encode(exp, tmp_path / "bad", tmp_path / "out", EncodeOptions(max_failed=0.2))
    assert list(done.failed) == ["a-02"]
    assert (tmp_path / "out" / "failed.txt").read_text().startswith("a-02 ")
    assert done.utterances == 6
    with pytest.raises(DataError, match="1 of 7"):
        encode(exp, tmp_path / "bad", tmp_path / "again")
    (tmp_path / "bad" / "a-02.wav").write_bytes(mended)
    assert encode(exp, tmp_path / "bad", tmp_path / "again").utterances == 7


def test_a_recording_that_cannot_be_read_counts_for_nothing_in_the_statistics_of_its_speaker(tmp_path: Path):
    data = make_data(tmp_path / "d", 6, features=False)
    (data.path / "a-02.wav").write_bytes(b"no!")
    config = MfccConfig(cmvn="speaker")
    live = LiveFrames(config, data)
    with pytest.raises(DataError, match=r"a-02\.wav: expected audio"):
        live["a-02"]
    extract(data, ExtractConfig(config), max_failed=0.2)
    archive = load_normalised(data.path, config)
    assert len(archive) == 5
    for utt in archive:
        np.testing.assert_allclose(live[utt], archive[utt], atol=1e-5)


def test_speakers_are_those_of_spk2utt_where_there_is_no_other_table(tmp_path: Path):
    data = make_data(tmp_path / "d", 4, features=False)
    (data.path / "spk2utt").write_text("a a-00 a-02\nb b-01 b-03\n")
    (data.path / "utt2spk").unlink()
    config = MfccConfig(cmvn="speaker")
    extract(DataDir.read(data.path), ExtractConfig(config))
    assert list(load_normalised(data.path, config)) == data.utts


def test_changed_audio_gives_units_of_the_same_codebook(data: Path, exp: Path, once: Path, tmp_path: Path):
    encode(exp, data / "test", tmp_path / "noise", EncodeOptions(change="noise-0", max_failed=0))
    assert read_header(tmp_path / "noise" / "units.jsonl").codebook == read_header(once / "units.jsonl").codebook
    assert (tmp_path / "noise" / "units.txt").read_bytes() != (once / "units.txt").read_bytes()


def test_a_model_without_a_codebook_gives_vectors_and_no_units(data: Path, tmp_path: Path):
    config = Config(tiny_model(quantizer=IdentityConfig()), replace(TRAIN, steps=2))
    train(config, tmp_path / "exp", data / "train", data / "train")
    done = encode(tmp_path / "exp", data / "test", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "vectors", "vectors.json", "vectors.scp", "encode.json", "failed.txt",
    }  # fmt: skip
    model, frames = load_model(tmp_path / "exp"), load_normalised(data / "test", MfccConfig())
    vectors = open_evaluated(tmp_path / "out" / "vectors.scp")
    assert (vectors.period, vectors.offset) == (0.02, 0.0)
    assert done.frames == sum(len(vectors[utt]) for utt in frames)
    for utt in frames:
        x = torch.from_numpy(frames[utt])
        np.testing.assert_array_equal(vectors[utt], model.probe(x[None], torch.tensor([len(x)]), "encoder")[0][0])
    assert encode(tmp_path / "exp", data / "test", tmp_path / "out").kept
    with pytest.raises(DataError, match="with other options; --force"):
        encode(tmp_path / "exp", data / "test", tmp_path / "out", EncodeOptions(projection=True))
    with pytest.raises(ConfigError, match="it gives vectors, and no units"):
        encode(tmp_path / "exp", data / "test", tmp_path / "none", EncodeOptions(vectors=False))


def test_a_model_that_cannot_encode_says_why(data: Path, tmp_path: Path):
    early = VQConfig(codes=8, dim=8, schedule=ScheduleConfig(warm_up=9, every=2, until=20, reservoir=64))
    options = replace(TRAIN, steps=10, save_every=8)
    train(Config(tiny_model(quantizer=early), options), tmp_path / "b", data / "train", data / "train")
    (tmp_path / "b" / "checkpoints" / "00000010.pt").unlink()  # as if it had been killed after step 8
    with pytest.raises(CheckpointError, match="still in the warm-up"):
        encode(tmp_path / "b", data / "test", tmp_path / "out")
    with pytest.raises(CheckpointError, match="no checkpoint in it; train first"):
        encode(tmp_path, data / "test", tmp_path / "out")


def test_features_of_another_config_are_refused(data: Path, tmp_path: Path):
    changed = replace(tiny_model(), features=MfccConfig(ceps=12))
    with pytest.raises(DataError, match="ceps: 13 there, 12 wanted"):
        train(Config(changed, TRAIN), tmp_path / "exp", data / "train", data / "train")


def test_several_codebooks_make_one_number():
    units = np.array([[0, 0], [1, 2], [3, 4]])
    assert compound_units(units, (4, 5)).tolist() == [0, 7, 19]


def test_an_unknown_change_is_refused_before_anything_is_loaded(tmp_path: Path):
    with pytest.raises(DataError, match="unknown change of audio 'nosuch'; known are noise-20, noise-10, "):
        encode(tmp_path / "no", tmp_path / "no", tmp_path / "out", EncodeOptions(change="nosuch"))


def test_a_folder_is_encoded_into_by_one_process_at_a_time(data: Path, exp: Path, once: Path, tmp_path: Path):
    out = tmp_path / "out"
    with locked(out, "busy"):
        who = f"out: process {os.getpid()} on {socket.gethostname()} is encoding into it; wait for it, or stop it"
        with pytest.raises(DataError, match=who):
            encode(exp, data / "test", out)
    assert list(out.iterdir()) == []
    (out / ".lock").write_text("process 1 on a machine that was switched off\n")  # nobody holds it
    encode(exp, data / "test", out, EncodeOptions(projection=True))
    assert contents(out) == contents(once)
    assert not (out / ".lock").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: expected a folder to write to, got a file"):
        encode(exp, data / "test", tmp_path / "file")


def test_units_of_elsewhere_are_not_written_over(data: Path, exp: Path, once: Path, tmp_path: Path):
    shutil.copy(once / "units.jsonl", tmp_path / "units.jsonl")
    (tmp_path / "encode.json").write_text("no json")
    with pytest.raises(DataError, match="there are units of the same model, of other data or with other options"):
        encode(exp, data / "test", tmp_path)


@pytest.mark.parametrize("delay", [0.0, 0.8])
def test_ctrl_c_while_processes_start_is_no_traceback(data: Path, exp: Path, tmp_path: Path, delay: float):
    make_data(tmp_path / "many", 130, features=False)
    command = [sys.executable, "-m", "unitdisc", "encode", str(exp), str(tmp_path / "many"), str(tmp_path / "out")]
    assert interrupted([*command, "--jobs", "2"], delay) == "unitdisc encode: interrupted; start it again to go on\n"


def test_what_came_of_it_as_json(data: Path, exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["encode", str(exp), str(data / "test"), str(tmp_path / "out"), "--no-vectors", "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    lines = list(read_units(tmp_path / "out"))
    assert said["utterances"] == len(lines)
    assert said["frames"] == sum(line.durations.sum() for line in lines)
    assert (said["failed"], said["kept"]) == ({}, False)
