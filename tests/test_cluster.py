"""k-means on features: sklearn's clusters, and a model that encodes like any other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_data, tiny_model
from sklearn.cluster import KMeans

from unitdisc import config
from unitdisc.cli import main
from unitdisc.cluster import fit_kmeans
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import read_header, read_units
from unitdisc.encode import encode
from unitdisc.errors import CheckpointError, ConfigError, DataError
from unitdisc.quantizers.lda import LdaConfig, spliced, unsupervised
from unitdisc.train import Config

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


def test_data_without_features_says_what_to_run(tmp_path: Path):
    make_data(tmp_path / "bare", 4, features=False)
    with pytest.raises(DataError, match="run `unitdisc features` first"):
        fit_kmeans(CONFIG, tmp_path / "exp", tmp_path / "bare", 4)


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
