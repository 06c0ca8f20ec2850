"""k-means on features: sklearn's clusters, and a model that encodes like any other."""

import json
import pickle
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_data, tiny_model
from sklearn.cluster import KMeans

from unitdisc import checkpoint, config
from unitdisc.checkpoint import load_model
from unitdisc.cli import main
from unitdisc.cluster import fit_codebook, fit_kmeans, import_centroids
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.subsets import subset
from unitdisc.data.units import read_header, read_units
from unitdisc.encode import encode
from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.configs import MfccConfig
from unitdisc.quantizers.centroids import read_centroids
from unitdisc.quantizers.configs import LdaConfig
from unitdisc.quantizers.lda import spliced, unsupervised
from unitdisc.train import train
from unitdisc.train_config import Config, TrainConfig

CONFIG = Config(tiny_model())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder / "train", 12)
    return folder / "train"


def test_inertia_is_near_sklearns_and_units_are_the_nearest_centres(data: Path, tmp_path: Path):
    found = fit_kmeans(CONFIG, tmp_path / "exp", data, 12, passes=20)
    reader = FeatureReader(data / "feats.scp")
    frames = np.concatenate([reader[utt] for utt in reader]).astype(np.float64)
    normal = (frames - frames.mean(0)) / frames.std(0)
    best = min(KMeans(12, n_init=1, random_state=seed).fit(normal).inertia_ for seed in range(3)) / len(normal)
    assert found.inertia <= best * 1.15
    assert int(found.counts.sum()) == len(normal)
    encode(tmp_path / "exp", data, tmp_path / "units")
    centres = np.load(tmp_path / "units" / "codebook.npy")
    units = np.concatenate([line.frames for line in read_units(tmp_path / "units" / "units.jsonl")])
    distances = ((normal[:, None] - centres[None]) ** 2).sum(-1)
    assert np.mean(distances.argmin(1) == units) > 0.999
    header = read_header(tmp_path / "units" / "units.jsonl")
    assert (header.period, header.codes) == (0.01, (12,))


def test_a_model_that_is_there_is_kept(data: Path, tmp_path: Path):
    fit_kmeans(CONFIG, tmp_path / "exp", data, 4)
    with pytest.raises(CheckpointError, match="--force"):
        fit_kmeans(CONFIG, tmp_path / "exp", data, 4)
    fit_kmeans(CONFIG, tmp_path / "exp", data, 5, force=True)


def test_what_a_folder_held_before_is_not_used_any_more(data: Path, tmp_path: Path):
    fit_kmeans(CONFIG, tmp_path / "exp", data, 4)
    first = tmp_path / "exp" / "checkpoints" / "00000001.pt"
    first.with_name("00000600.pt").write_bytes(first.read_bytes())  # of a training
    fit_kmeans(CONFIG, tmp_path / "exp", data, 5, force=True)
    assert load_model(tmp_path / "exp").quantizer.codes == (5,)


@pytest.mark.parametrize("cmvn", ["global", "speaker"])
def test_features_that_are_computed_give_the_clusters_of_an_archive(data: Path, tmp_path: Path, cmvn: str):
    subset(DataDir.read(data), tmp_path / "bare", DataDir.read(data).utts)
    wanted = replace(CONFIG, model=tiny_model(features=MfccConfig(cmvn=cmvn)))
    for name, place in (("archive", data), ("live", tmp_path / "bare")):
        fit_kmeans(wanted, tmp_path / name, place, 6, jobs=1 + (name == "live"))
        encode(tmp_path / name, place, tmp_path / f"{name}-units")
    theirs, ours = (load_model(tmp_path / name).quantizer.codewords()[0] for name in ("archive", "live"))
    assert torch.allclose(theirs, ours, atol=1e-4)
    units = [(tmp_path / f"{name}-units" / "units.txt").read_text() for name in ("archive", "live")]
    assert units[0] == units[1]
    assert {path.name for path in (tmp_path / "live").iterdir()}.isdisjoint({"data", "feats.ark"})


def test_a_folder_of_recordings_is_as_good_as_a_data_directory(data: Path, tmp_path: Path):
    (tmp_path / "wavs").mkdir()
    for path in data.glob("*.wav"):
        shutil.copy(path, tmp_path / "wavs")
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc, cmvn: utterance}\n")  # nothing but features
    for words in (
        f"kmeans {tmp_path}/c.yaml {tmp_path}/exp --train {tmp_path}/wavs --codes 5 --splice 1 --lda 1 --dim 4",
        f"encode {tmp_path}/exp {tmp_path}/wavs {tmp_path}/units",
        f"kmeans {tmp_path}/c.yaml {tmp_path}/exp --train {tmp_path}/wavs --codes 5 --splice 1 --lda 1 --dim 4",
    ):
        with pytest.raises(SystemExit) as ended:
            main(words.split())
        assert ended.value.code == 0
    assert read_header(tmp_path / "units" / "units.jsonl").codes == (5,)
    assert len(list(read_units(tmp_path / "units"))) == 12


@pytest.mark.parametrize("kind", ["npy", "tensor", "dict"])
def test_centres_of_others_give_their_units(data: Path, tmp_path: Path, kind: str):
    reader = FeatureReader(data / "feats.scp")
    theirs = KMeans(7, n_init=1, random_state=0).fit(np.concatenate([reader[utt] for utt in reader]))
    centres = theirs.cluster_centers_.astype(np.float32)
    if kind == "npy":
        np.save(tmp_path / "km", centres)
        (tmp_path / "km.npy").rename(tmp_path / "km")  # known by its content
    else:
        tensor = torch.from_numpy(centres)
        torch.save(tensor if kind == "tensor" else {"n": 7, "cluster_centers_": tensor}, tmp_path / "km")
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc, cmvn: none}\n")
    with pytest.raises(SystemExit) as ended:
        main(["kmeans", f"{tmp_path}/c.yaml", f"{tmp_path}/exp", "--centroids", f"{tmp_path}/km"])
    assert ended.value.code == 0
    encode(tmp_path / "exp", data, tmp_path / "units")
    lines = list(read_units(tmp_path / "units"))
    same = sum(int((theirs.predict(reader[line.utt]) == line.frames).sum()) for line in lines)
    assert same > 0.999 * sum(len(line.frames) for line in lines)


def test_centres_that_are_not_plain_numbers_are_refused(tmp_path: Path):
    with (tmp_path / "km.bin").open("wb") as out:
        pickle.dump({"cluster_centers_": [1.0]}, out)
    with pytest.raises(CheckpointError, match=r"A pickle .* can run code, .*: python -c 'import joblib.*km\.npy"):
        read_centroids(tmp_path / "km.bin")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"objects\.npy: expected centres as plain numbers, got"):
        read_centroids(tmp_path / "objects.npy")
    np.save(tmp_path / "flat.npy", np.zeros(3))
    with pytest.raises(CheckpointError, match=r"expected floating point centres \[K, D\], got an array of shape \[3\]"):
        read_centroids(tmp_path / "flat.npy")
    np.save(tmp_path / "wide.npy", np.zeros((3, 40)))
    with pytest.raises(ConfigError, match=r"wide\.npy: has centres of 40 values, the features have 39"):
        import_centroids(
            replace(CONFIG, model=tiny_model(features=MfccConfig(cmvn="none"))), tmp_path / "e", tmp_path / "wide.npy"
        )
    with pytest.raises(ConfigError, match=r"features\.cmvn is global"):
        import_centroids(CONFIG, tmp_path / "e", tmp_path / "wide.npy")


def test_the_line_that_converts_a_pickle_does(tmp_path: Path):
    joblib = pytest.importorskip("joblib")
    theirs = KMeans(3, n_init=1, random_state=0).fit(np.random.default_rng(0).standard_normal((20, 4)))
    joblib.dump(theirs, tmp_path / "km.bin")
    with pytest.raises(CheckpointError) as refused:
        read_centroids(tmp_path / "km.bin")
    line = str(refused.value).partition("trust it: ")[2]
    words = shlex.split(line)
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert torch.allclose(read_centroids(tmp_path / "km.npy"), torch.from_numpy(theirs.cluster_centers_).float())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("c.yaml exp --centroids km.npy", "--centroids are complete: leave out --train"),
        ("exp", "expected either CONFIG or one of --hubert"),
        ("c.yaml exp --hubert h --layer 2", "expected either CONFIG or one of --hubert"),
        ("exp --hubert h", "--hubert h: which of its layers? Add --layer N"),
        ("c.yaml exp --layer 2", "--layer and --precision are of a self-supervised model"),
        ("c.yaml exp --dim 3", "--dim 3: there are directions only with --lda ROUNDS"),
        ("exp --wavlm none --layer 3", "none: no such checkpoint; nothing is downloaded"),
        ("bad.yaml exp", "bad.yaml: unknown key 'trian' beside `features`"),
    ],
)
def test_what_cannot_be_clustered_is_said(data: Path, tmp_path: Path, monkeypatch, capsys, words: str, message: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("features: {kind: mfcc}\n")
    (tmp_path / "bad.yaml").write_text("features: {kind: mfcc}\ntrian: {}\n")
    with pytest.raises(SystemExit) as ended:
        main(["kmeans", *words.split(), "--train", str(data), "--codes", "4"])
    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_more_codes_than_frames_are_refused_at_once(data: Path, tmp_path: Path):
    frames = json.loads((data / "feats.json").read_text())["frames"]
    with pytest.raises(ConfigError, match=f"--codes {frames + 1}: .*train has {frames} frames in all; ask for fewer"):
        fit_kmeans(CONFIG, tmp_path / "exp", data, frames + 1)
    assert not (tmp_path / "exp").exists()


def test_what_was_clustered_as_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "x.yaml").write_text(config.dump(CONFIG))
    words = ["kmeans", str(tmp_path / "x.yaml"), str(tmp_path / "exp"), "--train", str(data), "--codes", "4", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["exp"], said["codes"]) == (str(tmp_path / "exp"), 4)
    assert said["frames"] > 0
    assert said["inertia"] > 0


def test_lda_and_means_of_frames_are_a_model_that_encodes_by_itself(data: Path, tmp_path: Path):
    lda = LdaConfig(splice=2, dim=5, classes=6)
    fit_kmeans(CONFIG, tmp_path / "exp", data, 6, lda=lda, stride=2)
    encode(tmp_path / "exp", data, tmp_path / "units")
    header = read_header(tmp_path / "units" / "units.jsonl")
    assert (header.period, header.codes) == (0.02, (6,))
    # By hand: normalise, find the directions, splice, project, take the means of two frames, look for the nearest.
    reader = FeatureReader(data / "feats.scp")
    frames = np.concatenate([reader[utt] for utt in reader]).astype(np.float64)
    normal = {u: torch.from_numpy((reader[u] - frames.mean(0)) / frames.std(0)).float() for u in reader}
    counts = {utt: len(x) for utt, x in normal.items()}
    found = unsupervised(normal.__getitem__, counts, lda, np.random.default_rng(0))
    assert found is not None
    centres = np.load(tmp_path / "units" / "codebook.npy")
    same = total = 0
    for line in read_units(tmp_path / "units" / "units.jsonl"):
        each = found(spliced(normal[line.utt], 2)).numpy()
        each = np.concatenate([each, each[-1:]])[: 2 * -(-len(each) // 2)].reshape(-1, 2, 5).mean(1)
        nearest = ((each[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        same, total = same + int((nearest == line.frames).sum()), total + len(nearest)
    assert same > 0.99 * total


def test_other_codebooks_of_a_trained_encoder(data: Path, tmp_path: Path):
    trained = tmp_path / "trained"
    train(replace(CONFIG, train=TrainConfig(steps=2, batch=2, validate_every=2, save_every=2)), trained, data, data)
    fit_codebook(trained, tmp_path / "exp", data, 9)
    encode(tmp_path / "exp", data, tmp_path / "units")
    model = load_model(trained)
    reader = FeatureReader(data / "feats.scp")
    centres, lines = np.load(tmp_path / "units" / "codebook.npy"), list(read_units(tmp_path / "units" / "units.jsonl"))
    vectors = []
    for line in lines:
        frames = torch.from_numpy(reader[line.utt])
        vectors.append(model.probe(frames[None], torch.tensor([len(frames)]), "encoder")[0][0].numpy())
    distances = ((np.concatenate(vectors)[:, None] - centres[None]) ** 2).sum(-1)
    assert np.mean(distances.argmin(1) == np.concatenate([line.frames for line in lines])) > 0.999
    best = min(KMeans(9, n_init=1, random_state=seed).fit(np.concatenate(vectors)).inertia_ for seed in range(3))
    assert distances.min(1).sum() <= best * 1.15


def test_an_encoder_that_has_not_learnt_to_its_end_is_taken_and_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    trained = tmp_path / "trained"
    train(replace(CONFIG, train=TrainConfig(steps=4, batch=2, validate_every=2, save_every=2)), trained, data, data)
    for path in (trained / "checkpoints").glob("*.pt"):  # of a version that took what would be refused today
        tree = checkpoint.load_tree(path)
        tree["config"]["train"]["clip"] = -1.0
        checkpoint.save(path, tree)
    halfway = trained / "checkpoints" / "00000002.pt"
    fit_kmeans(CONFIG, tmp_path / "features", data, 4)  # has an encoder that never learns
    capsys.readouterr()
    for n, source in enumerate((trained, tmp_path / "features", tmp_path / "again-0")):
        fit_codebook(source, tmp_path / f"again-{n}", data, 4)
    assert "has not ended" not in capsys.readouterr().err
    for n, source in enumerate((halfway, tmp_path / "half-0")):
        fit_codebook(source, tmp_path / f"half-{n}", data, 4)
        assert f"{source}: the encoder is that of step 2 of 4, its training has not ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [["--splice", "3"], ["--passes", "2"], ["--hubert", "h", "--layer", "2"], ["--set", "a=1"]]
)
def test_an_encoder_comes_with_its_features(capsys: pytest.CaptureFixture[str], extra: list[str]):
    with pytest.raises(SystemExit) as ended:
        main(["kmeans", "exp", "--encoder", "trained", "--train", "data", "--codes", "9", *extra])
    assert ended.value.code == 1
    assert f"leave out {extra[0]}" in capsys.readouterr().err
