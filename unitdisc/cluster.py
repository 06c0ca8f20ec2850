"""k-means on features as a model like any other: the field's usual units, and the baseline of every table.

EXP/checkpoints/00000001.pt holds the features' configuration and the centres, so that `unitdisc encode` and all that
follows treat it as they treat a trained model.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unitdisc import checkpoint
from unitdisc import config as configs
from unitdisc.corpus import fit_normalisation_
from unitdisc.data.kaldi import DataDir
from unitdisc.decoders.none import NoDecoderConfig
from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.manifest import read_manifest
from unitdisc.files import locked
from unitdisc.model import UnitModel
from unitdisc.networks.encoders.none import NoEncoderConfig
from unitdisc.networks.perturb import PerturbationConfig
from unitdisc.quantizers.clustering import Clusters
from unitdisc.quantizers.kmeans import KMeans, KMeansConfig
from unitdisc.runlog import RunLog
from unitdisc.train import Config

BLOCK = 20_000  # frames at once, at least


def fit_kmeans(
    config: Config,
    exp: str | Path,
    train_dir: str | Path,
    codes: int,
    *,
    seed: int = 0,
    passes: int = 10,
    force: bool = False,
) -> Clusters:
    """Cluster the features that a configuration names, and write a model that encodes by the nearest centre."""
    exp = Path(exp)
    if checkpoint.step_files(exp) and not force:
        raise CheckpointError(f"{exp}: there is a model already; --force replaces it")
    data = DataDir.read(train_dir)
    model_config = replace(
        config.model,
        encoder=NoEncoderConfig(),
        quantizer=KMeansConfig(codes=codes),
        decoder=NoDecoderConfig(),
        weights=type(config.model.weights)(),
        perturbation=PerturbationConfig(),
    )
    model = UnitModel(model_config).eval()
    blocks = frame_blocks(model, data)  # before the normalisation: says it if features are missing or others
    manifest = read_manifest(data.path, "feats")
    if manifest is not None and codes > manifest.frames:
        raise ConfigError(f"--codes {codes}: {data.path} has {manifest.frames} frames in all; ask for fewer units")
    fit_normalisation_(model, data)
    assert isinstance(model.quantizer, KMeans)
    config = replace(config, model=model_config)
    log = RunLog(exp)  # before the work: says it if there is no writing there
    with locked(exp, "training in it"):
        log.started(configs.dump(config), seed=seed, train={"data": str(data.path), "utterances": len(data.utts)})
        found = model.quantizer.fit_(blocks, torch.Generator().manual_seed(seed), passes=passes)
        log.metrics(1, "dev", {"inertia": found.inertia, "used_codes": float((found.counts > 0).double().mean())})
        log.close()
        tree = {"config": configs.to_tree(config), "speakers": [], "phones": [], "step": 1, "reestimated_at": 1}
        checkpoint.save(exp / "checkpoints" / "00000001.pt", {**tree, "model": model.state_dict(), "average": None})
    return found


def frame_blocks(model: UnitModel, data: DataDir) -> Callable[[], Iterator[Tensor]]:
    """Return what goes through all frames of a data directory, block by block, as the quantiser sees them."""
    reader = load_normalised(data.path, model.config.features)
    utts = [utt for utt in data.utts if utt in reader]

    def blocks() -> Iterator[Tensor]:
        pending, count = [], 0
        for utt in utts:
            pending.append(model.normalise(torch.from_numpy(reader[utt])))
            count += len(pending[-1])
            if count >= BLOCK:
                yield torch.cat(pending)
                pending, count = [], 0
        if pending:
            yield torch.cat(pending)

    return blocks
