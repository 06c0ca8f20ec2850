"""What a model's units must beat: MFCC, what the encoder reads, LDA with k-means, and k-means; none of it trained."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from unitdisc import config as configs
from unitdisc.cluster import PLAIN, fit_kmeans
from unitdisc.compare.kept import key_of, once
from unitdisc.compare.subjects import Speech, Subject
from unitdisc.corpus import open_features
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import write_features
from unitdisc.data.subsets import subset
from unitdisc.data.units import vectors_of
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.encode import EncodeOptions, encode
from unitdisc.errors import DataError
from unitdisc.features.configs import FeatureConfig, MfccConfig, archive_tree
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.manifest import check_manifest
from unitdisc.files import whole_file
from unitdisc.model import UnitModel
from unitdisc.model_config import ModelConfig
from unitdisc.quantizers.configs import KMeansConfig, LdaConfig
from unitdisc.train_config import Config

MFCC = MfccConfig()
FLOORED = replace(MFCC, floor_db=25.0)  # what the recipes take
LDA = LdaConfig(passes=2, splice=6)
MOST_CODES = 4096  # k-means of more says nothing new, and takes long


@dataclass(frozen=True)
class Maker:
    """Makes baselines in a folder that all comparisons on the same speech share; `make` does what takes time."""

    speech: Speech
    cache: Path
    jobs: int
    device: str
    max_failed: float
    seed: int
    say: Callable[[str], object]
    _work: dict[str, Callable[[], object]] = field(default_factory=dict, init=False)  # by the key of a subject

    def make(self, subject: Subject) -> None:
        """Make what a baseline stands for, unless it is there."""
        self._work.get(subject.key, lambda: None)()

    def mfcc(self, name: str, title: str, features: MfccConfig) -> Subject:
        """Return MFCC as they are."""
        train, test = self._places(features)
        subject = self._vectors(name, title, self._key(features), train, test, features.grid.period)
        self._work[subject.key] = lambda: self._with_features(features)
        return subject

    def input(self, model: UnitModel) -> Subject:
        """Return what a model's encoder reads, normalised as it reads it."""
        features = model.config.features
        moments = [model.mean.tolist(), model.std.tolist()]
        key = self._key(features, configs.to_tree(features), moments)

        def make(folder: Path) -> None:
            for part, data in (("train", self.speech.train), ("test", self.speech.test)):
                _write_inputs(model, data, folder / part)

        folder = self.cache / f"input-{key}"
        title = f"what the encoder reads: {features.kind}, normalised ({features.cmvn})"
        subject = self._vectors("input", title, key, folder / "train", folder / "test", features.grid.period)
        self._work[subject.key] = lambda: self._once(folder, make)
        return subject

    def lda(self, codes: int, period: float) -> Subject:
        """Return k-means of unsupervised LDA of floored MFCC, at a rate of units."""
        stride = max(round(period / FLOORED.grid.period), 1)
        title = f"unsupervised LDA ({LDA.passes} times, +-{LDA.splice} frames) and k-means of floored MFCC by speaker"
        return self._kmeans("lda", title, replace(FLOORED, cmvn="speaker"), codes, stride, LDA)

    def kmeans(self, model: UnitModel, codes: int) -> Subject:
        """Return k-means of what a model's encoder reads, at the model's rate of units."""
        features = model.config.features
        return self._kmeans("kmeans", "k-means of what the encoder reads", features, codes, model.stride, PLAIN)

    def _places(self, features: FeatureConfig) -> tuple[Path, Path]:
        """Return the data directories with features of a kind: themselves if they have them, else copies."""
        if all(_has(part, features) for part in (self.speech.train, self.speech.test)):
            return self.speech.train.path, self.speech.test.path
        folder = self.cache / f"{features.kind}-{self._key(features)}"
        return folder / "train", folder / "test"

    def _with_features(self, features: FeatureConfig) -> tuple[Path, Path]:
        data, places = (self.speech.train, self.speech.test), self._places(features)
        if places[0] == data[0].path:
            return places

        def make(folder: Path) -> None:
            for part, directory in zip(("train", "test"), data, strict=True):
                copy = subset(directory, folder / part, directory.utts)
                config = ExtractConfig(features)
                jobs = self.jobs if self.device == "cpu" else 1
                extract(copy, config, jobs, force=True, max_failed=self.max_failed, device=self.device)

        self._once(places[0].parent, make)
        return places

    def _kmeans(
        self, name: str, title: str, features: FeatureConfig, codes: int, stride: int, lda: LdaConfig
    ) -> Subject:
        key = self._key(features, configs.to_tree(features), codes, stride, configs.to_tree(lda), self.seed)

        def make(folder: Path) -> None:
            train, test = self._with_features(features)
            config = Config(
                ModelConfig(features=features, quantizer=KMeansConfig(codes=codes), decoder=NoDecoderConfig())
            )
            fit_kmeans(config, folder, train, codes, seed=self.seed, lda=lda, stride=stride, force=True)
            for part, data in (("train", train), ("test", test)):
                options = EncodeOptions(max_failed=self.max_failed)
                encode(folder, data, folder / "units" / part, options, jobs=self.jobs, force=True)

        folder = self.cache / f"{name}-{codes}-{key}"
        self._work[key] = lambda: self._once(folder, make)
        units = folder / "units"
        return Subject(
            f"{name}-{codes}",
            title,
            key,
            self.cache / "scores",
            features.grid.period * stride,
            vectors_of(units / "test"),
            vectors_of(units / "train"),
            units / "test" / "units.jsonl",
            units / "train" / "units.jsonl",
            codes,
            folder,
        )

    def _once(self, folder: Path, make: Callable[[Path], None]) -> None:
        def told(folder: Path) -> None:
            self.say(f"making {folder}")
            make(folder)

        once(folder, told)

    def _key(self, features: FeatureConfig, *parts: object) -> str:
        return key_of(self.speech.key, archive_tree(features), *parts)

    def _vectors(self, name: str, title: str, key: str, train: Path, test: Path, period: float) -> Subject:
        vectors = (test / "feats.scp", train / "feats.scp")
        return Subject(name, title, key_of(name, key), self.cache / "scores", period, *vectors)


def _has(data: DataDir, features: FeatureConfig) -> bool:
    try:
        check_manifest(data.path, features, "feats")
    except DataError:
        return False
    return True


def _write_inputs(model: UnitModel, data: DataDir, out: Path) -> None:
    """Write the frames of each utterance, normalised."""
    frames = open_features(model.config.features, data)

    def inputs() -> Iterator[tuple[str, np.ndarray]]:
        for utt in data.utts:
            if utt in frames:
                yield utt, model.normalise(torch.from_numpy(frames[utt]).to(model.mean.device)).cpu().numpy()

    out.mkdir(parents=True, exist_ok=True)
    write_features(out / "feats", inputs())
    with whole_file(out / "feats.json") as file:
        json.dump({"period": model.grid.period, "offset": model.grid.offset}, file)
