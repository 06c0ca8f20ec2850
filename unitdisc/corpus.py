"""A data directory opened the way a model's configuration asks: its frames, targets and labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unitdisc import dist
from unitdisc.data.alignment import Interval, frame_labels, read_alignment
from unitdisc.data.batches import Corpus, FrameReader, PhoneLabels
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.data.phones import SILENCE, SILENCES
from unitdisc.data.subsets import subset
from unitdisc.decoders.configs import Stream
from unitdisc.errors import DataError, counted
from unitdisc.features.cmvn import global_normalisation, load_normalised
from unitdisc.features.configs import ExcitationConfig, FeatureConfig, LogMelConfig
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.manifest import archive_of, check_manifest
from unitdisc.files import whole_file
from unitdisc.live import LiveFrames
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.straight import sampled_normalisation, straight_frames
from unitdisc.voices import OwnRange

ALIGNMENT = "phones.ctm"  # where a data directory keeps its phone alignment
# Not learnt by a supervised model: silence, except TIMIT's own, which its published PERs count as a phone.
UNLEARNT = SILENCES - {"sil", "h#", "pau", "epi"}


def open_corpus(config: ModelConfig, data: DataDir, model: UnitModel, counts: Path | None = None) -> Corpus:
    """Open what a model trains on or is validated with; archives must have been made by `unitdisc features`.

    With `counts`, where numbers of frames are kept, there are none: frames are made of audio as they are read.
    """
    streams, features = config.decoder.streams(config.targets), config.features
    frames: FrameReader = (
        load_normalised(data.path, features) if counts is None else straight_frames(features, data, counts)
    )
    return Corpus(
        data,
        frames,
        model.speakers,
        targets=_opened(streams, data, counts),
        told=_opened(config.told, data, counts),
        waveform=(model.grid.sample_rate, model.grid.hop) if any(s.features is None for s in streams) else None,
        phones=PhoneTable(data, model) if model.phones else None,
        stride=model.encoder.stride,
    )


def _opened(streams: Sequence[Stream], data: DataDir, counts: Path | None) -> FrameReader | None:
    """Open the archives of streams side by side, or what makes their frames; None if there are none."""
    wanted = [(s.features, s.archive) for s in streams if s.features is not None]
    if counts is not None:
        made = [features for features, _ in wanted if isinstance(features, LogMelConfig)]  # others were refused
        return SideBySide.of([straight_frames(features, data, counts) for features in made])
    return SideBySide.of([open_stream(features, archive, data) for features, archive in wanted])


def with_features(config: ModelConfig, data: DataDir, folder: Path, jobs: int, say: Callable[[str], None]) -> DataDir:
    """Return a data directory with features: itself, or one in a folder, for whose utterances they are made here."""
    archives: dict[str, Any] = config.decoder.archives(config.targets)
    wanted = replace(ExtractConfig(config.features), **archives)
    if any((data.path / f"{name}.json").exists() for name in wanted.archives):
        return data  # whether they are the right ones is seen when they are read
    if dist.is_main():
        mark, digest = folder / "origin", data_digest(data.path)
        if not mark.is_file() or mark.read_text("utf-8") != digest:
            mark.unlink(missing_ok=True)
            subset(data, folder, data.utts)
            with whole_file(mark) as out:
                out.write(digest)
        made = extract(DataDir.read(folder), wanted, jobs)
        if made.made:
            say(f"{data.path}: has no features; they are made in {folder}, of {counted(made.utterances, 'utterance')}")
        for utt, reason in made.failed.items():
            say(f"{data.path}: {utt} is left out: {reason}")
    dist.barrier()
    return DataDir.read(folder)


def fit_normalisation_(model: UnitModel, data: DataDir, straight: bool = False) -> None:
    """Set what the model normalises its input and targets by, from the statistics of the training data.

    Straight from audio, those of a sample of the recordings stand for it.
    """
    config = model.config
    if straight:
        if config.features.cmvn == "global":
            norm = sampled_normalisation(config.features, data, config.features.cmvn_variance)
            model.set_normalisation_(torch.from_numpy(norm.mean), torch.from_numpy(norm.std))
        if isinstance(targets := config.decoder.archives(config.targets).get("targets"), LogMelConfig):
            norm = sampled_normalisation(targets, data)
            model.set_target_normalisation_(torch.from_numpy(norm.mean), torch.from_numpy(norm.std))
        return
    if (data.path / "feats.json").exists():
        check_manifest(data.path, config.features, "feats")  # before statistics of other features are taken
    if config.features.cmvn == "global":
        mean, std = global_normalisation([data.path], config.features.cmvn_variance)
        model.set_normalisation_(torch.from_numpy(mean), torch.from_numpy(std))
    archives = [s.archive for s in config.decoder.streams(config.targets) if s.features is not None]
    if archives:
        parts = [global_normalisation([data.path], True, archive) for archive in archives]
        mean, std = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        model.set_target_normalisation_(torch.from_numpy(mean), torch.from_numpy(std))


def open_stream(config: LogMelConfig | ExcitationConfig, archive: str, data: DataDir) -> FrameReader:
    """Open what a decoder is to say: log-mel as it is, the pitch in its speaker's own range."""
    frames = load_normalised(data.path, config, archive)
    return OwnRange(frames, data) if isinstance(config, ExcitationConfig) else frames


class SideBySide:
    """The frames of several archives of a data directory as one, [T, D1 + D2 + ...]."""

    def __init__(self, archives: Sequence[FrameReader]) -> None:
        self._archives = archives

    @classmethod
    def of(cls, archives: Sequence[FrameReader]) -> "FrameReader | None":
        """Return one reader of all archives; None of none."""
        return cls(archives) if len(archives) > 1 else (archives[0] if archives else None)

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return an utterance's frames."""
        return np.concatenate([archive[utt] for archive in self._archives], axis=1)

    def __contains__(self, utt: object) -> bool:
        """Tell whether all archives have an utterance."""
        return all(utt in archive for archive in self._archives)

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames."""
        return self._archives[0].frames(utt)


def phone_set(config: ModelConfig, data: DataDir) -> list[str]:
    """Return the phones of a supervised model, silence left out; none for an unsupervised one."""
    if config.weights.ctc == config.weights.framewise == 0:
        return []
    path = data.path / ALIGNMENT
    if not path.is_file():
        raise DataError(f"{path}: no such file; a ctc or framewise loss needs the phones of its training data there")
    alignment = read_alignment(path)
    return sorted({interval.label for utt in alignment for interval in alignment[utt]} - UNLEARNT)


class PhoneTable(Mapping[str, PhoneLabels]):
    """The phones of each utterance as numbers, read when asked for."""

    def __init__(self, data: DataDir, model: UnitModel) -> None:
        self._alignment = read_alignment(data.path / ALIGNMENT)
        self._grid = model.unit_grid
        self._number = {phone: n for n, phone in enumerate(model.phones)}

    def __getitem__(self, utt: str) -> PhoneLabels:
        """Return an utterance's phones."""
        return label_numbers(self._alignment[utt], self._grid.period, self._grid.offset, self._number)

    def __iter__(self) -> Iterator[str]:
        """Go through the utterances that have an alignment."""
        return iter(self._alignment)

    def __len__(self) -> int:
        """Return their number."""
        return len(self._alignment)

    def __contains__(self, utt: object) -> bool:
        """Tell whether an utterance has an alignment."""
        return utt in self._alignment


def label_numbers(
    intervals: Sequence[Interval], period: float, offset: float, number: Mapping[str, int]
) -> PhoneLabels:
    """Turn an utterance's alignment into label numbers, in sequence and per unit; unknown labels are left out."""
    known = [i for i in intervals if i.label in number]
    sequence = [number[i.label] for i in known]
    places = [((i.start + i.end) / 2 - offset) / period for i in known]
    frames = int(np.ceil((intervals[-1].end - offset) / period)) if intervals else 0
    labels = frame_labels(intervals, frames, period, offset, SILENCE)
    return PhoneLabels(
        np.array(sequence, dtype=np.int64),
        np.array([number.get(x, -1) for x in labels], dtype=np.int64),
        np.floor(places).astype(np.int64),
    )


def open_features(config: FeatureConfig, data: DataDir, change: str = "", device: str = "cpu") -> FrameReader:
    """Return the frames of a data directory: from its archive if it has one, else computed as they are asked for.

    With `change`, a name of data/change.py, they are computed from audio changed so.
    """
    archive = None if change else archive_of(data.path, config)
    if archive is not None:
        return load_normalised(data.path, config, archive)
    return LiveFrames(config, data, change, device)
