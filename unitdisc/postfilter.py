"""Decoded log-mel made as lively as speech.

A decoder that predicts means predicts too little movement, and what is too flat is heard as somebody else. After
training, moments of decoded utterances and of real ones are taken, voice by voice, over the cosine transform of
log-mel: the mean, and the variances of its slow part (a running mean) and of its fast part (the rest). What is decoded
later is moved and stretched from its own moments to those of the real voice, except in its pauses. This is the global
variance of statistical speech synthesis, with a little of its modulation spectrum.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unitdisc.data.batches import FrameReader
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import CheckpointError
from unitdisc.model import UnitModel
from unitdisc.voices import most_of_each, spread

WINDOW = 9  # frames of the running mean
MOST_SLOW, MOST_FAST = 3.0, 4.0  # times that a deviation may be stretched, or shrunk
PRIOR = 500.0  # frames of a voice at which its moments count half
HEARD_PRIOR = 50.0  # the same of a recording whose voice is wanted: it is all there is to go by
UTTERANCE = 100.0  # frames at which an utterance's own moments count as much as those of all that was decoded
LOUD, FADE = 30.0, 10.0  # dB below the loudest frame that all count; dB further down where none does
DECIBEL = math.log(10) / 20  # of magnitudes, in nats
PER_VOICE, IN_ALL = 20, 1000  # utterances that are decoded to fit the filter, at most


class Pair(NamedTuple):
    """What an utterance was decoded to, and what it is."""

    voice: int  # its speaker's place in the model's list
    made: Tensor  # [T, M]
    real: Tensor  # [T, M]


class Heard(NamedTuple):
    """Moments of a voice from a recording of it."""

    moments: Tensor  # [3, M]
    trust: float


@dataclass(frozen=True)
class Postfilter:
    """Moments of decoded and of real speech, a row for each voice of the model and a last one, the mean of all."""

    made: Tensor  # [3, V + 1, M]: mean, variance of the slow part, variance of the fast part
    real: Tensor  # [3, V + 1, M]
    trust: Tensor  # [V + 1]: how much to make of a row, 0 to 1; of the last one, which is nobody's voice, nothing

    def __call__(self, log_mel: Tensor, voice: int | None = None, heard: Heard | None = None) -> Tensor:
        """Return decoded log-mel [T, M] in a voice, None for an unknown one, with the moments of real speech.

        A voice that is not known keeps the utterance's mean, and gets from the others how much livelier speech is; one
        that was heard elsewhere gets the moments that it had there.
        """
        if not len(log_mel):
            return log_mel
        row = -1 if voice is None else voice
        made, real = self.made.to(log_mel), self.real.to(log_mel)
        trust = float(self.trust[row])
        transform = cosines(log_mel.shape[1]).to(log_mel)
        cepstra = log_mel @ transform.T
        weights = speech_weights(log_mel)
        slow = running_mean(cepstra, weights)
        own = _moments(cepstra, slow, weights)
        lively = torch.cat([own[:1], own[1:] * _ratio(real[1:, -1], made[1:, -1])])
        wanted, by = (real[:, row], trust) if heard is None else (heard.moments.to(log_mel), heard.trust)
        aim = lively + by * (wanted - lively)
        now = own + trust * UTTERANCE / (weights.sum() + UTTERANCE) * (made[:, row] - own)
        by_slow = _ratio(aim[1], now[1]).sqrt().clamp(1 / MOST_SLOW, MOST_SLOW)
        by_fast = _ratio(aim[2], now[2]).sqrt().clamp(1 / MOST_FAST, MOST_FAST)
        moved = (aim[0] + (slow - now[0]) * by_slow + (cepstra - slow) * by_fast) @ transform
        return log_mel + weights[:, None] * (moved - log_mel)

    def tree(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds."""
        return {"made": self.made, "real": self.real, "trust": self.trust}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Tensor]) -> "Postfilter":
        """Take up what a checkpoint holds."""
        try:
            return cls(**tree)
        except TypeError:
            raise CheckpointError(
                f"the checkpoint's postfilter is of another version, with {', '.join(tree)}; "
                "convert with --no-postfilter, or train anew"
            ) from None


def heard_moments(log_mel: Tensor) -> Heard:
    """Return the moments of a voice from log-mel [T, M] of a recording of it."""
    cepstra, weights = log_mel @ cosines(log_mel.shape[1]).to(log_mel).T, speech_weights(log_mel)
    moments = _moments(cepstra, running_mean(cepstra, weights), weights)
    return Heard(moments, len(log_mel) / (len(log_mel) + HEARD_PRIOR))


def fit_postfilter(pairs: Iterable[Pair], voices: int, mels: int) -> Postfilter:
    """Take the moments of decoded and real utterances of so many voices."""
    frames = torch.zeros(voices, dtype=torch.float64)
    moments = torch.zeros(2, 3, voices, mels, dtype=torch.float64)  # made, real
    transform = cosines(mels)
    for pair in pairs:
        count = len(pair.made)
        if not count:
            continue
        frames[pair.voice] += count
        for side, log_mel in enumerate((pair.made.double(), pair.real.double())):
            cepstra, weights = log_mel @ transform.T, speech_weights(log_mel)
            new = _moments(cepstra, running_mean(cepstra, weights), weights)
            moments[side, :, pair.voice] += (new - moments[side, :, pair.voice]) * count / frames[pair.voice]
    together = (moments * frames[:, None]).sum(2, keepdim=True) / frames.sum().clamp(min=1)
    made, real = torch.cat([moments, together], 2).float()
    trust = torch.cat([frames / (frames + PRIOR), frames.new_zeros(1)])
    return Postfilter(made, real, trust.float())


def speech_weights(log_mel: Tensor) -> Tensor:
    """Return how much of a frame is speech [T], 0 to 1, by its level: a pause is not to become livelier."""
    level = log_mel.logsumexp(1) / DECIBEL
    return ((level - level.max() + LOUD + FADE) / FADE).clamp(0.0, 1.0)


def _moments(cepstra: Tensor, slow: Tensor, weights: Tensor) -> Tensor:
    """Return mean, variance of the slow part and variance of the fast part [3, M] of an utterance [T, M]."""
    share = (weights / weights.sum())[:, None]
    mean = (share * cepstra).sum(0)
    squares = ((slow - mean).square(), (cepstra - slow).square())
    return torch.stack([mean, *((share * square).sum(0) for square in squares)])


def _ratio(wanted: Tensor, present: Tensor) -> Tensor:
    return (wanted + 1e-8) / (present + 1e-8)


def decoded_pairs(model: UnitModel, data: DataDir, frames: FrameReader, targets: FrameReader) -> Iterable[Pair]:
    """Decode some utterances of every voice that the model knows, in their own voices."""
    usable = [
        [utt for utt in data.spk2utt.get(speaker, []) if utt in frames and utt in targets] for speaker in model.speakers
    ]
    most = most_of_each(map(len, usable), PER_VOICE, IN_ALL)
    for voice, known in enumerate(usable):
        for utt in spread(known, most):
            real, heard = torch.from_numpy(targets[utt]), torch.from_numpy(frames[utt])[None].to(model.mean.device)
            content, lengths = model.content(heard, torch.tensor([heard.shape[1]], device=heard.device))
            made = model.generate(content, lengths, own_voice(model, voice, heard))[0].cpu()
            yield Pair(voice, made[: len(real)], real[: len(made), : made.shape[1]])  # there may be more streams


def own_voice(model: UnitModel, voice: int, heard: Tensor) -> Tensor | None:
    """Return a known speaker as the model's decoder wants to be told of it: a number, a vector, or nothing."""
    assert model.conditioning is not None
    if model.conditioning.reference is not None:
        return model.speaker_vectors(heard, torch.tensor([heard.shape[1]], device=heard.device))
    return None if model.conditioning.table is None else torch.tensor([voice], device=heard.device)


def cosines(size: int) -> Tensor:
    """Return the orthonormal cosine transform [size, size]; a row's product with its transpose turns it back."""
    places = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (places + 0.5) * places[:, None]) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows


def running_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Return weighted means over windows of frames [T, D]; at the ends, of those that there are."""
    half = WINDOW // 2
    weights = weights.clamp(min=1e-3)[:, None]  # in the midst of a pause, all frames count alike
    padded = (torch.nn.functional.pad(part, (0, 0, half, half)) for part in (weights * x, weights))
    sums, counts = (part.unfold(0, WINDOW, 1).sum(-1) for part in padded)
    return sums / counts
