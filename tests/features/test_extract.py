"""The verb features: the same bytes however it is run, killed and started again; nothing half-made has a final name."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kaldi_native_io
import numpy as np
import pytest
import soundfile
import torch
from commands import interrupted
from places import TOP

from unitdisc.cli import main
from unitdisc.cli.features import load_config
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.data.store import FeatureReader
from unitdisc.errors import ConfigError, DataError
from unitdisc.features import partial
from unitdisc.features.build import build_raw_features
from unitdisc.features.cmvn import global_normalisation, load_normalised, read_stats
from unitdisc.features.configs import FbankConfig, LogMelConfig, MfccConfig
from unitdisc.features.extract import ExtractConfig, extract

CONFIG = ExtractConfig(MfccConfig(), LogMelConfig(mels=20))
FINAL = ["cmvn.ark", "cmvn.scp", "feats.ark", "feats.json", "feats.scp"]
TARGETS = ["targets.ark", "targets.json", "targets.scp", "targets_cmvn.ark", "targets_cmvn.scp"]


def make_data(folder: Path, utterances: int = 21, seconds: float = 0.3) -> DataDir:
    """Write a data directory of noise: three speakers, utterances of growing length."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    wavs, utt2spk = [], {}
    for n in range(utterances):
        utt = f"s{n % 3}-{n:03d}"
        samples = rng.standard_normal(int(16000 * seconds) + 160 * n).astype(np.float32) * 0.1
        soundfile.write(folder / f"{utt}.wav", samples, 16000)
        wavs.append((utt, f"{utt}.wav"))
        utt2spk[utt] = f"s{n % 3}"
    return write_data_dir(folder, sorted(wavs), utt2spk)


def outputs(folder: Path) -> dict[str, bytes]:
    """Return what a run has written, with the folder's own path made neutral."""
    names = [*FINAL, *TARGETS]
    return {
        name: (folder / name).read_bytes().replace(str(folder).encode(), b"")
        for name in names
        if (folder / name).exists()
    }


def made_files(folder: Path) -> list[str]:
    return sorted(
        p.name for p in folder.iterdir() if p.suffix != ".wav" and p.name not in ("wav.scp", "utt2spk", "spk2utt")
    )


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def whole(tmp_path_factory):
    """Return the bytes of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    extract(make_data(folder), CONFIG)
    return outputs(folder)


def test_archives_hold_the_features(data):
    summary = extract(data, CONFIG)
    assert summary.made == ("feats", "targets")
    assert made_files(data.path) == sorted([*FINAL, *TARGETS])
    features, targets = FeatureReader(data.path / "feats.scp"), FeatureReader(data.path / "targets.scp")
    assert list(features) == list(targets) == data.utts
    assert summary.frames == sum(features.frames(utt) for utt in data.utts)
    for utt in data.utts[::5]:
        wave = torch.from_numpy(data.source(utt).load(16000))
        want = build_raw_features(CONFIG.features)(wave[None], torch.tensor([len(wave)])).frames[0]
        assert np.allclose(features[utt], want, atol=1e-4)
        assert features[utt].shape == (targets.frames(utt), 39)
    manifest = json.loads((data.path / "feats.json").read_text())
    assert (manifest["dim"], manifest["period"], manifest["offset"], manifest["frames"]) == (
        39,
        0.01,
        0.0,
        summary.frames,
    )
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{data.path / 'feats.scp'}") as theirs:
        assert all(np.array_equal(np.array(matrix), features[utt]) for utt, matrix in theirs)


def test_statistics_by_speaker_and_of_all(data):
    extract(data, CONFIG)
    features = FeatureReader(data.path / "feats.scp")
    stats = read_stats(data.path)
    for spk, utts in data.spk2utt.items():
        every = np.concatenate([features[utt] for utt in utts]).astype(np.float64)
        assert stats[spk].count == len(every)
        assert np.allclose(stats[spk].stats[0, :-1], every.sum(0))
    every = np.concatenate([features[utt] for utt in features])
    mean, std = global_normalisation([data.path])
    assert np.allclose(mean, every.mean(0), atol=1e-4)
    assert np.allclose(std, every.std(0), rtol=1e-3)
    with kaldi_native_io.SequentialDoubleMatrixReader(f"scp:{data.path / 'cmvn.scp'}") as theirs:
        assert [spk for spk, _ in theirs] == ["s0", "s1", "s2"]


def test_every_normalisation_reads_the_same_archive(data):
    extract(data, CONFIG)
    raw = FeatureReader(data.path / "feats.scp")
    for kind in ("none", "global"):
        reader = load_normalised(data.path, MfccConfig(cmvn=kind))
        assert all(np.array_equal(reader[utt], raw[utt]) for utt in data.utts)
    speaker = load_normalised(data.path, MfccConfig(cmvn="speaker"))
    ours = np.concatenate([speaker[utt] for utt in data.spk2utt["s1"]])
    assert np.abs(ours.mean(0)).max() < 1e-3
    assert np.abs(ours.std(0) - 1).max() < 1e-3
    utterance = load_normalised(data.path, MfccConfig(cmvn="utterance", cmvn_variance=False))[data.utts[0]]
    assert np.abs(utterance.mean(0)).max() < 1e-3
    sliding = load_normalised(data.path, MfccConfig(cmvn="sliding", cmvn_window=1000))[data.utts[0]]
    assert np.abs(sliding.std(0) - 1).max() < 1e-2
    assert speaker.frames(data.utts[0]) == raw.frames(data.utts[0])


def test_a_second_start_keeps_what_is_there(data):
    extract(data, CONFIG)
    before = {name: (data.path / name).stat().st_mtime_ns for name in FINAL}
    assert extract(data, CONFIG).made == ()
    # Normalisation is no part of an archive.
    assert extract(data, ExtractConfig(MfccConfig(cmvn="sliding"), CONFIG.targets)).made == ()
    assert {name: (data.path / name).stat().st_mtime_ns for name in FINAL} == before
    # Targets may come later; the features stay.
    assert extract(data, ExtractConfig(MfccConfig()), force=True).made == ("feats",)
    assert extract(data, CONFIG).made == ()


def test_targets_may_come_later(data, whole):
    assert extract(data, ExtractConfig(CONFIG.features)).made == ("feats",)
    assert extract(data, CONFIG).made == ("targets",)
    assert outputs(data.path) == whole


def test_a_changed_config_or_data_is_noticed(data):
    extract(data, CONFIG)
    other = ExtractConfig(MfccConfig(ceps=12), CONFIG.targets)
    with pytest.raises(
        DataError, match=r"feats\.json: made with another config \(ceps: 13 there, 12 wanted\); --force"
    ):
        extract(data, other)
    with pytest.raises(
        DataError, match=r"made with another config \(ceps: 13 there, 12 wanted\); run `unitdisc features"
    ):
        load_normalised(data.path, MfccConfig(ceps=12))
    assert extract(data, other, force=True).made == ("feats", "targets")
    assert load_normalised(data.path, MfccConfig(ceps=12))[data.utts[0]].shape[1] == 36
    smaller = write_data_dir(
        data.path, [(utt, f"{utt}.wav") for utt in data.utts[1:]], {u: data.utt2spk[u] for u in data.utts[1:]}
    )
    with pytest.raises(DataError, match=r"made before wav\.scp, segments or utt2spk changed; --force"):
        extract(smaller, other)


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_same_bytes_for_any_number_of_jobs(data, whole, jobs):
    extract(data, CONFIG, jobs=jobs)
    assert outputs(data.path) == whole


class Killed(BaseException):
    """Stands for whatever ends a run at once."""


@pytest.mark.parametrize("after", [1, 8, 20])
def test_a_run_that_was_ended_goes_on_where_it_was(data, whole, monkeypatch, after):
    def stop(done, total):
        if done == after:
            raise Killed

    with pytest.raises(Killed):
        extract(data, CONFIG, progress=stop)
    assert made_files(data.path) == ["features.partial"]
    seen = []
    extract(data, CONFIG, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 21) for n in range(after + 1, 22)]
    assert outputs(data.path) == whole
    assert made_files(data.path) == sorted([*FINAL, *TARGETS])


@pytest.mark.parametrize("damage", ["ark", "tail", "journal", "garbage", "config"])
def test_what_is_not_whole_is_made_again(data, whole, damage):
    def stop(done, total):
        if done == 9:
            raise Killed

    with pytest.raises(Killed):
        extract(data, CONFIG, progress=stop)
    part = data.path / "features.partial"
    file = part / ("journal.jsonl" if damage in ("journal", "garbage") else "targets.ark")
    blob = bytearray(file.read_bytes())
    if damage == "ark":
        blob[len(blob) // 2] ^= 1  # as after a power cut: the length is right, the content is not
    elif damage in ("tail", "journal"):
        del blob[-50:]
    elif damage == "garbage":
        blob += b'{"utt": "s0'
    file.write_bytes(blob)
    if damage == "config":
        with pytest.raises(Killed):
            extract(data, ExtractConfig(FbankConfig(), CONFIG.targets), progress=stop)
    seen = []
    extract(data, CONFIG, progress=lambda done, total: seen.append(done))
    assert seen[0] == {"ark": seen[0], "tail": 9, "journal": 9, "garbage": 10, "config": 1}[damage]
    assert 1 <= seen[0] <= 10
    assert outputs(data.path) == whole


@pytest.mark.parametrize("room", [10, 1000, 20_000, 60_000])
def test_a_full_disk_leaves_nothing_half_written(data, whole, monkeypatch, room):
    left = [room]

    class Full(partial.FileIO):
        def write(self, blob):
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = super().write(bytes(blob[: left[0]]))
            left[0] -= taken
            return taken

    with monkeypatch.context() as patch:
        patch.setattr(partial, "FileIO", Full)
        with pytest.raises(
            DataError, match=r"features\.partial: cannot write: no space left on the device; \d+ utterances"
        ):
            extract(data, CONFIG)
    assert made_files(data.path) == ["features.partial"]
    extract(data, CONFIG)
    assert outputs(data.path) == whole


def test_a_full_disk_at_the_very_end_leaves_the_old_archive(data, monkeypatch):
    extract(data, CONFIG)
    before = outputs(data.path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(partial, "write_matrices", full)
        with pytest.raises(DataError, match="no space left on the device"):
            extract(data, ExtractConfig(MfccConfig(ceps=5), CONFIG.targets), force=True)
    assert outputs(data.path) == before


def test_two_runs_at_once_are_refused(data):
    archives = partial.PartialArchives(data.path, ["feats"], "x", data.utt2spk)
    with pytest.raises(DataError, match=r"features\.partial: another run is making these features"):
        extract(data, CONFIG)
    archives.close()


def broken(data: DataDir, *numbers: int) -> list[str]:
    utts = [data.utts[n] for n in numbers]
    for utt in utts:
        (data.path / f"{utt}.wav").write_bytes(b"RIF")
    return utts


def test_a_few_bad_utterances_are_listed(data):
    bad = broken(data, 0, 7)
    soundfile.write(data.path / f"{data.utts[3]}.wav", np.zeros(20), 16000)  # too short for a frame
    summary = extract(data, CONFIG, max_failed=0.2)
    assert sorted(summary.failed) == sorted([*bad, data.utts[3]])
    assert "20 samples are too few for a frame of 400" in summary.failed[data.utts[3]]
    assert json.loads((data.path / "feats.json").read_text())["failed"] == summary.failed
    assert len(FeatureReader(data.path / "feats.scp")) == summary.utterances == 18
    assert extract(data, CONFIG, max_failed=0.2).failed == summary.failed


def test_a_short_tail_is_filled_and_counted_and_a_longer_one_refused(tmp_path):
    wave = np.random.default_rng(0).normal(size=32000) * 0.1
    soundfile.write(tmp_path / "whole.mp3", wave, 16000)
    blob = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "short.mp3").write_bytes(blob[:-100])
    (tmp_path / "cut.mp3").write_bytes(blob[:-1500])
    names = ("cut", "short", "whole")
    data = write_data_dir(
        tmp_path / "d", [(name, tmp_path / f"{name}.mp3") for name in names], {name: name for name in names}
    )
    summary = extract(data, ExtractConfig(), max_failed=0.5)
    assert list(summary.failed) == ["cut"]
    assert "truncated" in summary.failed["cut"]
    assert list(summary.short) == ["short"]
    assert 0 < summary.short["short"] < 0.15
    assert json.loads((data.path / "feats.json").read_text())["short"] == summary.short
    whole, short = data.source("whole").load(16000), data.source("short").load(16000)
    kept = 32000 - round(summary.short["short"] * 16000)
    assert len(short) == 32000
    np.testing.assert_allclose(short[: kept - 1200], whole[: kept - 1200], atol=1e-4)
    assert not short[kept:].any()


def test_too_many_bad_utterances_stop_the_run_until_they_are_mended(data, whole):
    originals = {n: (data.path / f"{data.utts[n]}.wav").read_bytes() for n in (5, 9)}
    bad = broken(data, 5, 9)
    with pytest.raises(DataError, match=rf"2 of 21 utterances cannot be used, .* allows a share of 0\.05\. .*{bad[0]}"):
        extract(data, CONFIG, max_failed=0.05)
    assert made_files(data.path) == ["features.partial"]
    for n, blob in originals.items():
        (data.path / f"{data.utts[n]}.wav").write_bytes(blob)
    seen = []
    extract(data, CONFIG, progress=lambda done, total: seen.append(done))
    assert seen[0] == 6
    assert outputs(data.path) == whole


def test_features_follow_from_a_config_of_their_own_or_of_a_model(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("features: {kind: fbank, mels: 40}\n")
    assert load_config(str(path)) == ExtractConfig(FbankConfig(mels=40))
    path.write_text("model: {features: {kind: fbank}, decoder: {kind: frame}}\ntrain: {steps: 3}\n")
    assert load_config(str(path)) == ExtractConfig(FbankConfig(), LogMelConfig())
    path.write_text("model: {decoder: {kind: waveform}}\n")
    assert load_config(str(path)).targets is None
    path.write_text("train: {steps: 3}\n")
    assert load_config(str(path)) == ExtractConfig(MfccConfig(), LogMelConfig())
    path.write_text("features: {kind: mfc}\n")
    with pytest.raises(ConfigError, match="did you mean 'mfcc'"):
        load_config(str(path))
    path.write_text("features: {kind: mfcc}\nfeature: 1\n")
    with pytest.raises(ConfigError, match="unknown key 'feature'; did you mean 'features'"):
        load_config(str(path))


def test_the_command_prints_what_it_made(data, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc}\n")
    with pytest.raises(SystemExit) as end:
        main(["features", str(tmp_path / "c.yaml"), str(data.path), "--json"])
    assert end.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["made"], said["utterances"], said["failed"]) == (["feats"], 21, {})
    with pytest.raises(SystemExit) as end:
        main(["features", str(tmp_path / "c.yaml"), str(data.path)])
    assert capsys.readouterr().out == f"{data.path}: unchanged\n"
    (data.path / ".features.made.json").unlink()  # of a version that left none
    with pytest.raises(SystemExit) as end:
        main(["features", str(tmp_path / "c.yaml"), str(data.path)])
    assert "kept what was there: 21 utterances" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["features", str(tmp_path / "c.yaml"), str(data.path), "--jobs", "0"])
    assert end.value.code == 2


def alive(group: int) -> bool:
    """Tell whether a process group has anyone in it who is not just waiting to be buried."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "jobs"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGKILL, 2), (signal.SIGTERM, 1)]
)
def test_ctrl_c_and_kill_in_the_middle_and_a_second_start(tmp_path, end, jobs):
    data, calm = make_data(tmp_path / "data", 400, 2.0), make_data(tmp_path / "calm", 400, 2.0)
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc}\ntargets: {kind: logmel, mels: 20}\n")
    command = [
        sys.executable,
        "-m",
        "unitdisc",
        "features",
        str(tmp_path / "c.yaml"),
        str(data.path),
        "--jobs",
        str(jobs),
    ]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = data.path / "features.partial" / "journal.jsonl"
    while not (journal.exists() and journal.stat().st_size > 3000):
        time.sleep(0.005)
    os.killpg(run.pid, end) if end == signal.SIGINT else run.send_signal(end)
    _, said = run.communicate(timeout=60)
    if end == signal.SIGINT:
        assert run.returncode == 130
        assert said.strip().splitlines()[-1] == "unitdisc features: interrupted; start it again to go on"
        assert "Traceback" not in said
    shown = [name for name in made_files(data.path) if not name.startswith(".")]  # beside the record of what is made
    assert shown == ["features.partial"]
    deadline = time.monotonic() + 20
    while alive(run.pid):
        assert time.monotonic() < deadline, "processes were left behind"
        time.sleep(0.1)
    done = len(journal.read_text().splitlines()) - 1
    assert 0 < done < 400
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["utterances"] == 400
    extract(calm, CONFIG)
    assert outputs(data.path) == outputs(calm.path)


def test_the_formats_are_those_of_the_page(data):
    extract(data, CONFIG)
    page = (TOP / "docs" / "features.md").read_text()
    for name in made_files(data.path):
        assert name in page or name.startswith("targets"), name
    manifest = json.loads((data.path / "feats.json").read_text())
    assert sorted(manifest) == sorted(
        [
            "format",
            "version",
            "digest",
            "config",
            "data",
            "dim",
            "period",
            "offset",
            "utterances",
            "frames",
            "failed",
            "short",
        ]
    )


@pytest.mark.parametrize("delay", [0.0, 0.8])
def test_ctrl_c_while_processes_start_is_no_traceback(tmp_path, delay):
    data = make_data(tmp_path / "d", 400).path
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc}\n")
    command = [sys.executable, "-m", "unitdisc", "features", str(tmp_path / "c.yaml"), str(data), "--jobs", "2"]
    assert interrupted(command, delay) == "unitdisc features: interrupted; start it again to go on\n"
