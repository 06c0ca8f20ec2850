"""What an encoder is asked to predict: the clusters of its training data, made anew at given steps.

    EXP/targets/00000300.npy   labels [N, S] of all units, one utterance after the other, of S clusterings
    EXP/targets/00000300.txt   '<utt> <units>', a line for each, in that order
    EXP/targets/00000300-dev.* the same of the dev set

The first are clusters of features, by unsupervised LDA: frames are clustered, the directions that tell these clusters
apart are taken for better features, twice. Later ones are clusters of the encoder's own outputs. All of it is of
unchanged speech, and normalised by speaker. They are a pure function of the seed and the model at that step, so that a
training that was killed while making them makes the same ones again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unitdisc import dist
from unitdisc.corpus import open_features
from unitdisc.data.batches import Batch, Corpus, FrameReader
from unitdisc.digests import add_file
from unitdisc.errors import CheckpointError
from unitdisc.features.cmvn import Cmvn, frame_sums
from unitdisc.files import whole_file
from unitdisc.model import UnitModel
from unitdisc.networks.blocks import one_thread
from unitdisc.quantizers.clustering import kmeans
from unitdisc.quantizers.lda import Vectors, projected, sample_of, unsupervised
from unitdisc.quantizers.search import nearest_units
from unitdisc.train_config import TargetsConfig

DIGITS = 12  # of a hash


class LabelFile(Mapping[str, np.ndarray]):
    """Labels [T', S] of each utterance; only the index is in memory."""

    def __init__(self, stem: Path) -> None:
        self._labels: np.ndarray = np.load(stem.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        self._places: dict[str, tuple[int, int]] = {}
        first = 0
        for line in stem.with_suffix(".txt").read_text("utf-8").splitlines():
            utt, count = line.split(" ")
            self._places[utt] = (first, first + int(count))
            first += int(count)
        if first != len(self._labels):
            raise ValueError(f"{len(self._labels)} labels, and an index of {first}")

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return an utterance's labels, [T', S] uint16."""
        first, last = self._places[utt]
        return self._labels[first:last]

    def __iter__(self) -> Iterator[str]:
        """Go through the utterances."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return their number."""
        return len(self._places)


def write_labels(stem: Path, utts: Mapping[str, int], clusterings: int, labels: Iterable[np.ndarray]) -> None:
    """Write the labels [T', S] of utterances, whose numbers of units are known."""
    shape = (sum(utts.values()), clusterings)
    with whole_file(stem.with_suffix(".npy"), binary=True) as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<u2", "fortran_order": False, "shape": shape})
        for (utt, count), part in zip(utts.items(), labels, strict=True):
            assert part.shape == (count, clusterings), utt
            out.write(part.astype("<u2").tobytes())
        with whole_file(stem.with_suffix(".txt")) as index:
            index.writelines(f"{utt} {count}\n" for utt, count in utts.items())


def files_hash(*stems: Path) -> str:
    """Return a hash of label files."""
    hasher = hashlib.sha256()
    for stem in stems:
        for suffix in (".txt", ".npy"):
            add_file(hasher, stem.with_suffix(suffix))
    return hasher.hexdigest()[:DIGITS]


class MadeTargets(NamedTuple):
    """Which targets a training is at."""

    step: int
    hash: str


class Targets:
    """The targets of a training, on its disk."""

    def __init__(self, folder: Path, config: TargetsConfig, steps: int, seed: int, train: Corpus, dev: Corpus) -> None:
        self.folder, self.config, self.steps, self.seed = folder, config, steps, seed
        self.corpora = {"": train, "-dev": dev}
        self._files: dict[str, LabelFile] = {}
        self._opened: MadeTargets | None = None

    def due(self, step: int, made: MadeTargets | None) -> bool:
        """Tell whether a step begins with new targets, if those there are were made so."""
        return made is None or any(made.step < start <= step for start in self.config.starts(self.steps))

    def make(self, step: int, model: UnitModel) -> MadeTargets:
        """Make the targets of a step by the model as it is then; the first ones by features alone."""
        if dist.is_main():
            with one_thread(model.mean.device):
                _make(self, step, model)
        dist.barrier()
        return MadeTargets(step, self._hash(step))

    def open_(self, made: MadeTargets) -> None:
        """Take up the targets that a checkpoint names; refuse others."""
        if made == self._opened:
            return
        try:
            same = self._hash(made.step) == made.hash
            files = {side: LabelFile(self.stem(made.step, side)) for side in self.corpora} if same else {}
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.stem(made.step)}.npy: the targets of this training are lost or damaged ({error}); "
                "delete the checkpoints after that step, or train in another folder"
            ) from None
        if not same:
            raise CheckpointError(
                f"{self.stem(made.step)}.npy: not the targets that the checkpoint was trained on; "
                "delete the checkpoints after that step, or train in another folder"
            )
        self._files, self._opened = files, made

    def label_(self, batch: Batch, side: str = "") -> Batch:
        """Add the labels [B, T', S] of a batch's units."""
        assert batch.units is not None
        file, rows = self._files[side], []
        for utt, units in zip(batch.utts, batch.units, strict=True):
            labels = np.asarray(file[utt]).astype(np.int64)
            rows.append(torch.from_numpy(labels)[units.clamp(0, len(labels) - 1)])
        batch.labels = torch.stack(rows).masked_fill((batch.units < 0)[:, :, None], -1)
        return batch

    def dev_label_(self, batch: Batch) -> Batch:
        """Add the labels of a batch of the dev set."""
        return self.label_(batch, "-dev")

    def stem(self, step: int, side: str = "") -> Path:
        """Return the path of a step's files without their endings."""
        return self.folder / f"{step:08d}{side}"

    def _hash(self, step: int) -> str:
        return files_hash(*(self.stem(step, side) for side in self.corpora))


def _make(targets: Targets, step: int, model: UnitModel) -> None:
    """Write the targets of a step, those of the dev set last."""
    config, clusters = targets.config, model.config.prediction.clusters
    random = np.random.default_rng([targets.seed, step, 2])
    train, dev = targets.corpora[""], targets.corpora["-dev"]
    stride = model.encoder.stride
    if step == 0:
        feature_vectors = {side: _feature_vectors(model, corpus) for side, corpus in targets.corpora.items()}
        projection = unsupervised(feature_vectors[""], _units(train, 1), config.lda, random)
        sides = {side: _pooled(projected(v, projection, config.splice), stride) for side, v in feature_vectors.items()}
    else:
        sides = {
            side: _output_vectors(model, corpus, targets.folder / f".outputs{side}.npy")
            for side, corpus in targets.corpora.items()
        }
    sample = sample_of(sides[""], _units(train, stride), config.sample, random)
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    centres = [kmeans(sample, count, generator).centres for count in clusters]
    for side, corpus in (("", train), ("-dev", dev)):
        vectors = sides[side]
        labels = (torch.stack([nearest_units(vectors(utt), c) for c in centres], 1).numpy() for utt in corpus.utts)
        write_labels(targets.stem(step, side), _units(corpus, stride), len(clusters), labels)
    for path in targets.folder.glob(".outputs*.npy"):
        path.unlink()


def _units(corpus: Corpus, stride: int) -> dict[str, int]:
    """Return the number of vectors of each utterance, one for so many frames."""
    return dict(zip(corpus.utts, (-(-corpus.lengths // stride)).tolist(), strict=True))


def _feature_vectors(model: UnitModel, corpus: Corpus) -> Vectors:
    """Return what reads the features of an utterance, normalised by speaker."""
    reader = open_features(replace(model.config.features, cmvn="speaker", cmvn_variance=True), corpus.data)
    return lambda utt: torch.from_numpy(reader[utt])


def _pooled(vectors: Vectors, stride: int) -> Vectors:
    """Return the means over each unit's frames; the last frame stands for those that are missing."""

    def pooled(utt: str) -> Tensor:
        x = vectors(utt)
        missing = -len(x) % stride
        return torch.cat([x, x[-1:].expand(missing, -1)]).unflatten(0, (-1, stride)).mean(1)

    return pooled


def _output_vectors(model: UnitModel, corpus: Corpus, path: Path) -> Vectors:
    """Encode a corpus into a file of half precision, and return what reads it, normalised by speaker."""
    counts = _units(corpus, model.encoder.stride)
    shape = (sum(counts.values()), model.encoder.dim)
    speaker_of, first = corpus.data.utt2spk, 0
    alone = {spk for spk, utts in corpus.data.spk2utt.items() if len(utts) == 1}
    sums: dict[str, Cmvn] = {}
    places: dict[str, tuple[int, int]] = {}
    with whole_file(path, binary=True) as out:  # one after the other: a full disk says so, where a map would kill
        np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for utt, count in counts.items():
            frames = torch.from_numpy(corpus.frames[utt]).to(model.mean.device)
            vectors, _ = model.probe(frames[None], torch.tensor([len(frames)], device=frames.device), "encoder")
            half = vectors[0].cpu().numpy().astype("<f2")
            assert half.shape == (count, shape[1]), utt
            out.write(half.tobytes())
            places[utt] = (first, first + count)
            first += count
            if speaker_of[utt] not in alone:  # others are normalised by themselves, so that memory stays flat
                sums.setdefault(speaker_of[utt], Cmvn(model.encoder.dim)).add_(half.astype(np.float32))
    outputs: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    by_speaker = {speaker: moments.normalisation() for speaker, moments in sums.items()}

    def normalised(utt: str) -> Tensor:
        x = outputs[slice(*places[utt])].astype(np.float32)
        moments = by_speaker.get(speaker_of[utt]) or Cmvn(frame_sums(x)).normalisation()
        return torch.from_numpy((x - moments.mean) / moments.std)

    return normalised


def output_sample(model: UnitModel, frames: FrameReader, utts: Iterable[str], wanted: int, seed: int) -> Tensor:
    """Return at most `wanted` of the encoder's outputs [N, D] of utterances as they are; the same in all processes."""
    device = model.mean.device

    def outputs(utt: str) -> Tensor:
        one = torch.from_numpy(frames[utt]).to(device)
        return model.probe(one[None], torch.tensor([len(one)], device=device), "encoder")[0][0]

    counts = {utt: -(-frames.frames(utt) // model.encoder.stride) for utt in utts}
    if dist.is_main():
        sample = sample_of(outputs, counts, wanted, np.random.default_rng([seed, 3]))
    else:
        sample = torch.empty(min(wanted, sum(counts.values())), model.encoder.dim, device=device)
    return dist.broadcast_(sample)
