"""Batches for training: random chunks or whole utterances, as a pure function of (seed, step).

Since a step's batch depends on nothing that came before it, a resumed run needs no saved position, and several
processes agree on a global batch without talking: each takes its share of the same plan.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from unitdisc.data.kaldi import DataDir
from unitdisc.devices import sent
from unitdisc.errors import DataError

R = TypeVar("R")


class FrameReader(Protocol):
    """What a corpus reads its frames from, for example a feature archive."""

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return all frames of an utterance, [T, D] float32."""
        ...

    def __contains__(self, utt: object) -> bool:
        """Tell whether there are frames of an utterance."""
        ...

    def frames(self, utt: str) -> int:
        """Return the number of frames without reading them."""
        ...


class VersionReader(Protocol):
    """What a corpus reads changed utterances from."""

    count: int  # versions of each utterance
    retimed: bool  # whether some are faster or slower; if not, all have the frames of the unchanged utterance

    def frames(self, utt: str, version: int) -> np.ndarray:
        """Return all frames of a version of an utterance, [T, D] float32."""
        ...

    def tempo(self, utt: str, version: int) -> float:
        """Return how many times as fast as the utterance a version is."""
        ...


class Chunk(NamedTuple):
    """A stretch of an utterance."""

    utt: str
    first: int  # frame
    frames: int


@dataclass
class Batch:
    """Utterances or chunks of them, padded at the end."""

    utts: list[str]
    frames: Tensor  # [B, T, D] the encoder's input
    lengths: Tensor  # [B] int64
    speakers: Tensor  # [B] int64; -1 for a speaker that the model does not know
    seeds: Tensor | None = None  # [B] int64: what is random about each row while training
    targets: Tensor | None = None  # [B, T, M] log-mel, or [B, T * hop] waveform
    target_lengths: Tensor | None = None  # [B]
    told: Tensor | None = None  # [B, T, D] what the decoder is told of each frame
    phones: Tensor | None = None  # [B, N] int64 label sequence without silence, -1 on padding
    phone_lengths: Tensor | None = None  # [B]
    frame_phones: Tensor | None = None  # [B, T'] int64 at the units' rate, -1 where there is none
    heard: Tensor | None = None  # [B, T, D] what the encoder reads in place of the frames: the same speech, changed
    units: Tensor | None = None  # [B, T'] int64 which unit of its whole utterance each is; -1 on padding
    labels: Tensor | None = None  # [B, T', S] int64 clusters at the units' rate, -1 where there is none

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on another device; the lengths stay with the host, which goes by them."""
        tensors = {k: v for k, v in vars(self).items() if isinstance(v, Tensor) and k != "lengths"}
        return replace(self, **{k: sent(v, torch.device(device)) for k, v in tensors.items()})  # type: ignore[arg-type]

    def pinned(self) -> "Batch":
        """Return the batch where a GPU can fetch it by itself."""
        return replace(self, **{k: v.pin_memory() for k, v in vars(self).items() if isinstance(v, Tensor)})  # type: ignore[arg-type]

    def rows(self, first: int, last: int) -> "Batch":
        """Return some of the utterances, the padding as it is."""
        cut = {k: v[first:last] for k, v in vars(self).items() if v is not None}
        return replace(self, **cut)


class PhoneLabels(NamedTuple):
    """An utterance's phones as numbers."""

    sequence: np.ndarray  # [N] int64, silence left out
    frames: np.ndarray  # [T'] int64 at the units' rate, -1 where there is none
    places: np.ndarray | None = None  # [N] int64: the unit in which each phone has its middle; none: not to be cut


class Corpus:
    """What is needed to make batches of a data directory; reads features and audio only when asked."""

    def __init__(
        self,
        data: DataDir,
        frames: FrameReader,
        speakers: Sequence[str],
        *,
        targets: FrameReader | None = None,
        waveform: tuple[int, int] | None = None,  # (sample rate, samples per frame): targets are the audio itself
        told: FrameReader | None = None,  # what a decoder is told of each frame
        phones: Mapping[str, PhoneLabels] | None = None,
        stride: int = 1,  # frames per unit
        min_frames: int = 1,
        versions: VersionReader | None = None,  # what an encoder hears while it learns
    ) -> None:
        self.data, self.frames, self.targets, self._waveform = data, frames, targets, waveform
        self.versions = versions
        self._told = told
        self._phones, self._stride = phones, stride
        self._speaker_number = {speaker: number for number, speaker in enumerate(speakers)}
        # An utterance whose features failed is listed beside them, and is not there.
        present = [u for u in data.utts if u in frames and (phones is None or u in phones)]
        self.utts = [u for u in present if frames.frames(u) >= min_frames]
        self.left_out = sorted(set(data.utts) - set(self.utts))
        self.lengths = np.array([frames.frames(utt) for utt in self.utts], dtype=np.int64)
        if not self.utts:
            why = "have phone labels and " if phones is not None else ""
            raise DataError(f"{data.path}: none of its {len(data.utts)} utterances {why}are {min_frames} frames long")

    def batch(self, chunks: Sequence[Chunk], versions: Sequence[int] = ()) -> Batch:
        """Read chunks into a padded batch; with versions, the encoder hears these, one for each chunk."""
        reader = self.versions if versions else None
        if reader is not None and reader.retimed:  # the unchanged frames are not those of the same moments
            frames, units = self._heard(chunks, versions, reader)
        else:
            whole = (self.frames[c.utt][c.first : c.first + c.frames] for c in chunks)
            frames = [torch.from_numpy(np.ascontiguousarray(f)) for f in whole]
            units = [self._units(c.first, len(f)) for c, f in zip(chunks, frames, strict=True)]
        batch = Batch(
            [c.utt for c in chunks],
            pad(frames),
            torch.tensor([len(f) for f in frames]),
            torch.tensor([self._speaker_number.get(self.data.utt2spk[c.utt], -1) for c in chunks]),
            units=pad(units, value=-1),
        )
        if reader is not None:
            batch.heard = batch.frames if reader.retimed else pad(self._heard(chunks, versions, reader)[0])
        if self.targets is not None:
            targets = [self.targets[c.utt][c.first : c.first + c.frames] for c in chunks]
            batch.targets = pad([torch.from_numpy(np.ascontiguousarray(t)) for t in targets])
            batch.target_lengths = torch.tensor([len(t) for t in targets])
        elif self._waveform is not None:
            waves = [self._wave(c) for c in chunks]
            batch.targets = pad(waves)
            batch.target_lengths = torch.tensor([len(w) for w in waves])
        if self._told is not None:
            batch.told = pad([torch.from_numpy(self._told[c.utt][c.first : c.first + c.frames]) for c in chunks])
        if self._phones is not None:
            self._add_phones(batch, chunks, self._phones)
        return batch

    def _heard(
        self, chunks: Sequence[Chunk], versions: Sequence[int], reader: VersionReader
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the frames of versions of chunks, and which units of their utterances these are."""
        heard, units = [], []
        for chunk, version in zip(chunks, versions, strict=True):
            whole, tempo = reader.frames(chunk.utt, version), reader.tempo(chunk.utt, version)
            last = max(len(whole) - 1, 0) // self._stride * self._stride
            first = min(int(chunk.first / tempo) // self._stride * self._stride, last)
            heard.append(torch.from_numpy(whole[first : first + chunk.frames]))
            units.append(((self._units(first, len(heard[-1])) + 0.5) * tempo).long())
        return heard, units

    def _units(self, first: int, frames: int) -> Tensor:
        return first // self._stride + torch.arange(-(-frames // self._stride))

    def _wave(self, chunk: Chunk) -> Tensor:
        rate, hop = self._waveform or (0, 0)
        source = self.data.source(chunk.utt)
        wave = source.load(rate, first=chunk.first * hop, count=chunk.frames * hop)
        missing = chunk.frames * hop - len(wave)  # the last frame may stick out over the end by half a hop
        return torch.from_numpy(np.pad(wave, (0, max(missing, 0))))

    def _add_phones(self, batch: Batch, chunks: Sequence[Chunk], phones: Mapping[str, PhoneLabels]) -> None:
        labels = [phones[c.utt] for c in chunks]
        first = [c.first // self._stride for c in chunks]
        count = [-(-c.frames // self._stride) for c in chunks]
        # A chunk says the phones whose middle lies in it; the last one also what an alignment has after the audio.
        ends = [c.first + c.frames == self.frames.frames(c.utt) for c in chunks]
        spans = [(f, None if end else f + n) for f, n, end in zip(first, count, ends, strict=True)]
        sequences = [phones_between(label, *span) for label, span in zip(labels, spans, strict=True)]
        batch.phones = pad([torch.from_numpy(sequence) for sequence in sequences], value=-1)
        batch.phone_lengths = torch.tensor([len(sequence) for sequence in sequences])
        batch.frame_phones = pad(
            [torch.from_numpy(x.frames[f : f + n]) for x, f, n in zip(labels, first, count, strict=True)], value=-1
        )


def phones_between(labels: PhoneLabels, first: int, last: int | None) -> np.ndarray:
    """Return the phones [N] whose middle lies in the units first..last-1 (None: up to the end)."""
    if labels.places is None:
        return labels.sequence
    inside = (labels.places >= first) & (True if last is None else labels.places < last)
    return labels.sequence[inside]


def pad(items: Sequence[Tensor], value: float = 0) -> Tensor:
    """Stack tensors of different first dimension, padded at the end."""
    return torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True, padding_value=value)


class ChunkPlan:
    """Random chunks of at most a fixed length; every frame of the corpus is as likely as any other.

    Chunks of one length only would starve the ends of utterances, which fewer of them reach. So each draw cuts the
    whole utterance at random places into one chunk more than would fill it, and takes one of them.

    With a window, the steps go through the corpus window by window, in another order in each epoch: what a run of steps
    reads lies together, as behind a shuffle buffer of so many utterances.
    """

    def __init__(self, corpus: Corpus, batch: int, chunk: int, seed: int, align: int = 1, window: int = 0) -> None:
        """Chunks start at multiples of `align` frames, so that they hold whole units; window 0: the whole corpus."""
        self._corpus, self.batch, self.seed, self._align = corpus, batch, seed, align
        self._units = chunk // align  # of a chunk
        units = -(-corpus.lengths // align)
        more = 1 if self._units > 1 else 0  # a chunk of one unit cannot be shorter
        self._pieces = np.where(units <= self._units, 1, units // self._units + more)
        self._cumulative = np.cumsum(self._pieces)
        rows = np.arange(0, len(units), window or len(units))
        self._edges = np.r_[0, self._cumulative][np.r_[rows, len(units)]]  # [W + 1] pieces before each window
        self._steps = np.maximum(np.rint(np.diff(self._edges) / batch), 1).astype(np.int64)  # [W] in an epoch

    def chunks(self, step: int) -> list[Chunk]:
        """Return the global batch of a step."""
        random = np.random.default_rng([self.seed, step])
        numbers = random.integers(*self._window(step), size=self.batch)
        rows = np.searchsorted(self._cumulative, numbers, side="right")
        places = numbers - (self._cumulative[rows] - self._pieces[rows])
        return [self._piece(int(row), int(place), random) for row, place in zip(rows, places, strict=True)]

    def _window(self, step: int) -> tuple[int, int]:
        """Return the first piece of a step's window, and the first behind it."""
        if len(self._steps) == 1:
            return 0, int(self._edges[-1])
        epoch, place = divmod(step, int(self._steps.sum()))
        order = np.random.default_rng([self.seed, epoch, 2]).permutation(len(self._steps))
        window = order[np.searchsorted(np.cumsum(self._steps[order]), place, side="right")]
        return int(self._edges[window]), int(self._edges[window + 1])

    def _piece(self, row: int, place: int, random: np.random.Generator) -> Chunk:
        """Cut an utterance anew and return the piece of this number."""
        length, pieces = int(self._corpus.lengths[row]), int(self._pieces[row])
        spare = pieces * self._units - -(-length // self._align)  # units by which the pieces are shorter than a chunk
        missing = np.zeros(pieces + 1, np.int64)  # of the pieces so far
        missing[-1] = spare
        while pieces > 1:
            missing[1:-1] = np.sort(random.integers(spare + 1, size=pieces - 1))
            if np.diff(missing).max() < self._units:  # no piece is empty
                break
        cuts = self._units * np.arange(pieces) - missing[:-1]
        first = int(cuts[place]) * self._align
        last = length if place == pieces - 1 else int(cuts[place + 1]) * self._align
        return Chunk(self._corpus.utts[row], first, last - first)


class WholePlan:
    """Whole utterances in batches of similar length; each epoch visits every utterance once, in its own order."""

    def __init__(self, corpus: Corpus, batch: int, seed: int) -> None:
        self._corpus, self.batch, self.seed = corpus, min(batch, len(corpus.utts)), seed
        self._epoch = -1
        self._batches: list[np.ndarray] = []

    def chunks(self, step: int) -> list[Chunk]:
        """Return the global batch of a step."""
        per_epoch = len(self._corpus.utts) // self.batch
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._batches, self._epoch = self._epoch_batches(epoch, per_epoch), epoch
        lengths = self._corpus.lengths
        return [Chunk(self._corpus.utts[row], 0, int(lengths[row])) for row in self._batches[place]]

    def _epoch_batches(self, epoch: int, per_epoch: int) -> list[np.ndarray]:
        random = np.random.default_rng([self.seed, epoch])
        # The few utterances that do not fill a last batch are others in each epoch.
        rows = random.permutation(len(self._corpus.utts))[: per_epoch * self.batch]
        noisy = self._corpus.lengths[rows] * random.uniform(0.9, 1.1, len(rows))
        batches = np.split(rows[np.argsort(noisy, kind="stable")], per_epoch)
        return [batches[i] for i in random.permutation(per_epoch)]


def in_order(corpus: Corpus, batch: int, limit: int | None = None) -> Iterator[list[Chunk]]:
    """Yield all utterances once, by length, in batches; with a limit, that many spread evenly over the corpus."""
    rows = np.arange(len(corpus.utts))
    if limit is not None and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, limit).astype(int)]
    rows = rows[np.argsort(corpus.lengths[rows], kind="stable")]
    for first in range(0, len(rows), batch):
        yield [Chunk(corpus.utts[r], 0, int(corpus.lengths[r])) for r in rows[first : first + batch]]


def share(rows: list[R], part: int, parts: int) -> list[R]:
    """Return one of `parts` equal, contiguous shares of a global batch."""
    return rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
