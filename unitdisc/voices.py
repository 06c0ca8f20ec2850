"""How high and how lively the model's voices speak: mean and deviation of log F0.

Taken from the training speech after training, and kept in the checkpoint. A pitch contour is moved from one voice to
another by mean and deviation.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from unitdisc.data.batches import FrameReader
from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.errors import CheckpointError, DataError
from unitdisc.features.excitation import VOICING, Excitation
from unitdisc.features.pitch import Array, pitch

Frames = TypeVar("Frames", np.ndarray, Tensor)

PER_VOICE, IN_ALL = 10, 500  # utterances whose pitch is tracked, at most
MOST = 1.6  # times that a contour's movements may be made larger, or smaller
LOWEST, HIGHEST = 45.0, 600.0  # Hz, of a moved contour
FEW = 20  # voiced frames under which a voice has no range


class PitchRange(NamedTuple):
    """Where a voice's pitch lies."""

    mean: float  # of log F0
    deviation: float


UNKNOWN = PitchRange(math.log(150.0), 0.2)  # of a voice that nothing is known of


@dataclass(frozen=True)
class Voices:
    """Pitch ranges of the model's speakers, in the order of its list; NaN of who has none."""

    mean: Tensor  # [V]
    deviation: Tensor  # [V]

    def of(self, voice: int) -> PitchRange | None:
        """Return the range of a voice, if it has one."""
        mean, deviation = float(self.mean[voice]), float(self.deviation[voice])
        return None if math.isnan(mean) else PitchRange(mean, deviation)

    def tree(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds."""
        return {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Tensor]) -> "Voices":
        """Take up what a checkpoint holds."""
        try:
            return cls(**tree)
        except TypeError:
            raise CheckpointError(f"the checkpoint's voices are of another version, with {', '.join(tree)}") from None


def fit_voices(data: DataDir, speakers: Sequence[str], grid: FrameGrid) -> Voices:
    """Track the pitch of some utterances of every speaker; who has no audio, or no voiced speech, has no range."""
    known = [data.spk2utt.get(speaker, []) for speaker in speakers]
    most = most_of_each(map(len, known), PER_VOICE, IN_ALL)
    ranges = [pitch_range(pitches(data, spread(utts, most), grid)) for utts in known]
    columns = torch.tensor([found or (math.nan, math.nan) for found in ranges], dtype=torch.float32).reshape(-1, 2)
    return Voices(columns[:, 0].clone(), columns[:, 1].clone())


def pitches(data: DataDir, utts: Iterable[str], grid: FrameGrid) -> Iterator[Array]:
    """Yield the pitch of each utterance whose audio can be read, in Hz, 0 where there is none."""
    for utt in utts:
        try:
            wave = data.source(utt).load(grid.sample_rate)
        except DataError:
            continue
        yield pitch(wave, grid)


def spread(utts: Sequence[str], most: int) -> list[str]:
    """Return at most so many utterances, from everywhere in the list."""
    return list(utts[:: math.ceil(len(utts) / most) or 1])


def most_of_each(counts: Iterable[int], most: int, in_all: int) -> int:
    """Return how many utterances to take of each voice that has so many: `most`, or fewer (at least 1) for `in_all`."""
    counts = list(counts)
    return next((each for each in range(most, 1, -1) if sum(min(n, each) for n in counts) <= in_all), 1)


def pitch_range(contours: Iterable[Array]) -> PitchRange | None:
    """Return the range of contours in Hz, 0 where unvoiced; none if hardly anything is voiced."""
    voiced = np.concatenate([np.zeros(0), *(np.log(contour[contour > 0]) for contour in contours)])
    if len(voiced) < FEW:
        return None
    # Halved and doubled periods are outliers: the middle and the spread are taken by quantiles.
    low, middle, high = np.quantile(voiced, [0.16, 0.5, 0.84]).tolist()
    return PitchRange(middle, max((high - low) / 2, 0.02))


def moved(excitation: Excitation, source: PitchRange | None, target: PitchRange | None) -> Excitation:
    """Move a contour from one range to another; without both it stays where it is."""
    if source is None or target is None:
        return excitation
    factor = min(max(target.deviation / source.deviation, 1 / MOST), MOST)
    return _changed(excitation, lambda log: target.mean + factor * (log - source.mean))


def scaled(excitation: Excitation, factor: float) -> Excitation:
    """Multiply a pitch."""
    return _changed(excitation, lambda log: log + math.log(factor))


def flat(excitation: Excitation, level: PitchRange | None) -> Excitation:
    """Let the pitch be the same everywhere: the middle of a range, or of the contour itself."""
    own = excitation.frequency[excitation.frequency > 0].log()
    if not len(own):
        return excitation
    mean = float(own.median()) if level is None else level.mean
    return _changed(excitation, lambda log: torch.full_like(log, mean))


def _changed(excitation: Excitation, change: Callable[[Tensor], Tensor]) -> Excitation:
    voiced = excitation.frequency > 0
    log = change(torch.where(voiced, excitation.frequency, 1.0).log())
    return excitation._replace(frequency=torch.where(voiced, log.exp().clamp(LOWEST, HIGHEST), 0.0))


def in_range_(frames: Frames, own: PitchRange) -> Frames:
    """Put the log F0 of frames [T, DIM] of an excitation in a voice's own range: by its mean and deviation."""
    frames[:, 0] = (frames[:, 0] - own.mean) / own.deviation
    return frames


class OwnRange:
    """Excitation [T, DIM] of each utterance with log F0 by its speaker's mean and deviation: what a decoder learns."""

    def __init__(self, excitation: FrameReader, data: DataDir) -> None:
        self._excitation, self._data = excitation, data
        self._ranges: dict[str, PitchRange] = {}

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return an utterance's frames."""
        frames = np.array(self._excitation[utt])
        return in_range_(frames, self._range(self._data.utt2spk[utt]))

    def __contains__(self, utt: object) -> bool:
        """Tell whether there are frames of an utterance."""
        return utt in self._excitation

    def frames(self, utt: str) -> int:
        """Return an utterance's number of frames."""
        return self._excitation.frames(utt)

    def _range(self, speaker: str) -> PitchRange:
        if speaker not in self._ranges:
            known = [utt for utt in self._data.spk2utt[speaker] if utt in self._excitation]
            rows = (self._excitation[utt].astype(np.float64) for utt in spread(known, PER_VOICE))
            contours = (np.where(row[:, VOICING] > 0.5, np.exp(row[:, 0]), 0.0) for row in rows)
            # Who hardly speaks with a voice has no range, and hardly a frame in which the pitch counts.
            self._ranges[speaker] = pitch_range(contours) or UNKNOWN
        return self._ranges[speaker]


def predicted(frames: Tensor, target: PitchRange | None) -> Excitation:
    """Return what a decoder said [T, DIM], its pitch no flatter than speech and in a voice's range."""
    mean, deviation = target or UNKNOWN
    voiced = frames[:, VOICING] > 0.5
    own = frames[voiced, 0].double()
    stretch = 1.0
    if len(own) >= FEW:
        stretch = min(max(1.0 / max(float(own.std()), 1e-3), 1.0), MOST)
    middle = float(own.mean()) if len(own) else 0.0
    log = mean + deviation * (middle + stretch * (frames[:, 0].double() - middle))
    beside = torch.where(voiced[:, None], frames[:, VOICING + 1 :].clamp(0.0, 1.0), 1.0)
    return Excitation(torch.where(voiced, log.exp().clamp(LOWEST, HIGHEST), 0.0), beside)
