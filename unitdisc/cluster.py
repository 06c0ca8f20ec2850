"""k-means on features as a model like any other: the field's usual units, and the baseline of every table.

EXP/checkpoints/00000001.pt holds the features' configuration and the centres, so that `unitdisc encode` and all that
follows treat it as they treat a trained model.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unitdisc import checkpoint
from unitdisc import config as configs
from unitdisc.data.batches import FrameReader
from unitdisc.data.folder import data_of
from unitdisc.data.kaldi import DataDir
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.errors import CheckpointError, ConfigError
from unitdisc.features.cmvn import global_normalisation, load_normalised
from unitdisc.features.configs import FeatureConfig
from unitdisc.features.manifest import archive_of
from unitdisc.files import locked
from unitdisc.live import KeptFrames
from unitdisc.model import UnitModel
from unitdisc.networks.configs import PerturbationConfig
from unitdisc.networks.encoders.configs import EncoderConfig, LinearEncoderConfig, NoEncoderConfig
from unitdisc.networks.encoders.linear import LinearEncoder
from unitdisc.quantizers.centroids import read_centroids
from unitdisc.quantizers.clustering import Clusters, kmeans, sample_size
from unitdisc.quantizers.configs import KMeansConfig, LdaConfig
from unitdisc.quantizers.kmeans import KMeans
from unitdisc.quantizers.lda import unsupervised
from unitdisc.runlog import RunLog
from unitdisc.targets import output_sample
from unitdisc.train_config import Config

BLOCK = 20_000  # frames at once, at least
WIDEST = 4096  # values of a spliced frame that LDA is done of
PLAIN = LdaConfig(passes=0, splice=0)  # frames as they are


def fit_kmeans(
    config: Config,
    exp: str | Path,
    train_dir: str | Path,
    codes: int,
    *,
    seed: int = 0,
    passes: int = 10,
    lda: LdaConfig = PLAIN,
    stride: int = 1,
    force: bool = False,
    jobs: int = 1,
    device: str = "cpu",
) -> Clusters:
    """Cluster the features that a configuration names, and write a model that encodes by the nearest centre.

    What is clustered may be frames with their neighbours, in the directions of unsupervised LDA (`lda`), or the means
    of so many frames (`stride`), for units at the rate of another model's. Features without an archive are computed,
    by so many processes (`jobs`) on a device. Instead of a data directory, `train_dir` may be a folder of recordings.
    """
    exp = Path(exp)
    _check_free(exp, force)
    data = data_of(train_dir, exp / "data" / "train")
    config = _clustering(config, encoder_of(lda, stride), codes)
    model = UnitModel(config.model).eval()
    frames = open_all(model, data, exp, jobs, device)
    counts = {utt: frames.frames(utt) for utt in data.utts if utt in frames}
    _check_enough(codes, sum(counts.values()), data, "frames")
    fit_directions_(model, frames, counts, lda, seed)
    assert isinstance(model.quantizer, KMeans)
    log = RunLog(exp)  # before the work: says it if there is no writing there
    with locked(exp, "training in it"):
        log.started(configs.dump(config), seed=seed, train={"data": str(data.path), "utterances": len(data.utts)})
        found = model.quantizer.fit_(
            frame_blocks(model, frames, counts), torch.Generator().manual_seed(seed), passes=passes
        )
        log.metrics(1, "dev", {"inertia": found.inertia, "used_codes": float((found.counts > 0).double().mean())})
        log.close()
        _save(exp, config, model)
    return found


def fit_codebook(
    source: str | Path, exp: str | Path, train_dir: str | Path, codes: int, *, seed: int = 0, force: bool = False
) -> Clusters:
    """Cluster what the encoder of a trained model makes of speech, as a training does at its end.

    The model that is written has that encoder and another number of units, without a training of its own.
    """
    exp = Path(exp)
    _check_free(exp, force)
    tree = checkpoint.load_tree(source)
    trained = checkpoint.build_model(tree)
    training = configs.of_tree(Config, tree["config"], str(source))
    config = _clustering(training, trained.config.encoder, codes)
    model = UnitModel(config.model).eval()
    data = data_of(train_dir, exp / "data" / "train")
    frames = _opened(config.model.features, data, exp, 1, "cpu")
    model.encoder.load_state_dict(trained.encoder.state_dict())
    model.set_normalisation_(trained.mean, trained.std)
    assert isinstance(model.quantizer, KMeans)
    log = RunLog(exp)
    with locked(exp, "training in it"):
        log.started(configs.dump(config), seed=seed, train={"data": str(data.path), "encoder": str(source)})
        learns = not training.train.units_of and any(True for _ in trained.encoder.parameters())
        if learns and tree["step"] < (end := training.train.steps):
            log.say(
                f"{source}: the encoder is that of step {tree['step']} of {end}, its training has not ended; make "
                "these units anew, with --force, when it has"
            )
        sample = output_sample(model, frames, [utt for utt in data.utts if utt in frames], sample_size(codes), seed)
        _check_enough(codes, len(sample), data, "outputs")
        found = kmeans(sample, codes, torch.Generator().manual_seed(seed))
        model.quantizer.set_(found.centres)
        log.close()
        _save(exp, config, model, tree["step"])
    return found


def import_centroids(config: Config, exp: str | Path, centroids: str | Path, *, force: bool = False) -> int:
    """Write a model of somebody's centres of the features that a configuration names; return how many there are."""
    exp = Path(exp)
    _check_free(exp, force)
    centres = read_centroids(Path(centroids))
    if config.model.features.cmvn == "global":
        raise ConfigError(
            f"{centroids}: features.cmvn is global: by what mean and deviation were these centres' features "
            "normalised? Centres of frames as they are need features.cmvn: none"
        )
    config = _clustering(config, NoEncoderConfig(), len(centres))
    model = UnitModel(config.model).eval()
    if centres.shape[1] != model.dim_in:
        raise ConfigError(f"{centroids}: has centres of {centres.shape[1]} values, the features have {model.dim_in}")
    assert isinstance(model.quantizer, KMeans)
    model.quantizer.set_(centres)
    log = RunLog(exp)
    with locked(exp, "training in it"):
        log.started(configs.dump(config), seed=0, train={"centroids": str(centroids)})
        log.close()
        _save(exp, config, model)
    return len(centres)


def _check_free(exp: Path, force: bool) -> None:
    if checkpoint.step_files(exp) and not force:
        raise CheckpointError(f"{exp}: there is a model already; --force replaces it")


def _check_enough(codes: int, vectors: int, data: DataDir, noun: str) -> None:
    if codes > vectors:
        raise ConfigError(f"--codes {codes}: {data.path} has {vectors} {noun} in all; ask for fewer units")


def _clustering(config: Config, encoder: EncoderConfig, codes: int) -> Config:
    """Return the configuration of k-means on its features, without anything that learns."""
    model = replace(
        config.model,
        encoder=encoder,
        quantizer=KMeansConfig(codes=codes),
        decoder=NoDecoderConfig(),
        weights=type(config.model.weights)(),
        perturbation=PerturbationConfig(),
    )
    return replace(config, model=model)


def _save(exp: Path, config: Config, model: UnitModel, step: int = 1) -> None:
    """Write the model of this step of its encoder's training, in place of all that was in the folder."""
    tree = {"config": configs.to_tree(config), "speakers": [], "phones": [], "step": step, "reestimated_at": step}
    path = exp / "checkpoints" / "00000001.pt"
    checkpoint.save(path, {**tree, "model": model.state_dict(), "average": None})
    for other in checkpoint.step_files(exp):
        if other != path:
            other.unlink()


def encoder_of(lda: LdaConfig, stride: int) -> EncoderConfig:
    """Return the encoder whose outputs are clustered."""
    if stride == 1 and not lda.passes and not lda.splice:
        return NoEncoderConfig()
    return LinearEncoderConfig(splice=lda.splice, dim=lda.dim if lda.passes else 0, stride=stride)


def open_all(model: UnitModel, data: DataDir, home: Path, jobs: int, device: str) -> FrameReader:
    """Return the frames of a data directory, of its archive or computed now, and set the model's normalisation."""
    features = model.config.features
    frames = _opened(features, data, home, jobs, device)
    if features.cmvn == "global":
        if isinstance(frames, KeptFrames):
            mean, std = frames.normalisation()
        else:
            archive = archive_of(data.path, features) or "feats"
            mean, std = global_normalisation([data.path], features.cmvn_variance, archive)
        model.set_normalisation_(torch.from_numpy(mean), torch.from_numpy(std))
    return frames


def _opened(features: FeatureConfig, data: DataDir, home: Path, jobs: int, device: str) -> FrameReader:
    archive = archive_of(data.path, features)
    if archive is not None:
        return load_normalised(data.path, features, archive)
    home.mkdir(parents=True, exist_ok=True)
    return KeptFrames(features, data, home, jobs, device)


def fit_directions_(
    model: UnitModel, frames: FrameReader, counts: Mapping[str, int], lda: LdaConfig, seed: int
) -> None:
    """Set the directions of the encoder, if it has some, by the frames of utterances."""
    if not lda.passes:
        return
    assert isinstance(model.encoder, LinearEncoder)
    spliced = len(model.encoder.origin)
    if spliced > WIDEST:
        raise ConfigError(f"LDA of {spliced} values per frame, more than {WIDEST}, takes too long; lower --splice")
    if lda.dim > spliced:
        raise ConfigError(
            f"--dim {lda.dim}: a frame with its neighbours has {spliced} values; lower it, or raise --splice"
        )
    found = unsupervised(
        lambda utt: model.normalise(torch.from_numpy(frames[utt])), counts, lda, np.random.default_rng(seed)
    )
    assert found is not None
    model.encoder.origin.copy_(found.mean)
    model.encoder.directions.copy_(found.directions)


def frame_blocks(model: UnitModel, frames: FrameReader, utts: Iterable[str]) -> Callable[[], Iterator[Tensor]]:
    """Return what goes through all frames of utterances, block by block, as the quantiser sees them."""

    def blocks() -> Iterator[Tensor]:
        pending, count = [], 0
        for utt in utts:
            one = model.normalise(torch.from_numpy(frames[utt]))
            pending.append(model.encoder(one[None], torch.tensor([len(one)]))[0][0])
            count += len(pending[-1])
            if count >= BLOCK:
                yield torch.cat(pending)
                pending, count = [], 0
        if pending:
            yield torch.cat(pending)

    return blocks
