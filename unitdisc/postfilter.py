"""Decoded log-mel made as lively as speech.

A decoder that predicts means predicts too little movement, and what is too flat is heard as somebody else. After
training, the deviations of decoded frames are compared with those of the training data, voice by voice, over the cosine
transform of log-mel, its slow part (a running mean) and its fast part (the rest) apart; what is decoded later is
stretched by their ratio. This is the global variance of statistical speech synthesis, with a little of its modulation
spectrum.
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

WINDOW = 9  # frames of the running mean
MOST_SLOW, MOST_FAST = 3.0, 2.0  # times that a deviation may be stretched; half of what is fast is noise, not movement
PRIOR = 500.0  # frames of all voices that are counted in with those of each
PER_VOICE, IN_ALL = 20, 1000  # utterances that are decoded to fit the filter, at most


class Pair(NamedTuple):
    """What an utterance was decoded to, and what it is."""

    voice: int  # its speaker's place in the model's list
    made: Tensor  # [T, M]
    real: Tensor  # [T, M]


@dataclass(frozen=True)
class Postfilter:
    """A row for each voice of the model, and a last one for voices that it does not know; all [V + 1, M]."""

    centre: Tensor  # mean of what is decoded
    shift: Tensor  # to the mean of what is real
    slow: Tensor  # factors of the slow part's deviation
    fast: Tensor

    def __call__(self, log_mel: Tensor, voice: int | None = None) -> Tensor:
        """Return decoded log-mel [T, M] in a voice, None for an unknown one, with the deviations of real speech."""
        if not len(log_mel):
            return log_mel
        row = -1 if voice is None else voice
        centre, shift, by_slow, by_fast = (part[row].to(log_mel) for part in self.tree().values())
        transform = cosines(log_mel.shape[1]).to(log_mel)
        cepstra = log_mel @ transform.T
        if voice is None:  # the voice's mean is not known, but the utterance's is near it
            centre = cepstra.mean(0)
        slow = running_mean(cepstra)
        return (centre + shift + (slow - centre) * by_slow + (cepstra - slow) * by_fast) @ transform

    def tree(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds."""
        return {"centre": self.centre, "shift": self.shift, "slow": self.slow, "fast": self.fast}

    @classmethod
    def of_tree(cls, tree: Mapping[str, Tensor]) -> "Postfilter":
        """Take up what a checkpoint holds."""
        try:
            return cls(**tree)
        except TypeError:
            raise CheckpointError(f"the checkpoint's postfilter has other parts: {', '.join(tree)}") from None


def fit_postfilter(pairs: Iterable[Pair], voices: int, mels: int) -> Postfilter:
    """Compare decoded with real utterances of so many voices."""
    frames = torch.zeros(voices + 1, 1, dtype=torch.float64)
    sums = torch.zeros(3, 2, voices + 1, mels, dtype=torch.float64)  # of values, slow and fast squares; made, real
    transform = cosines(mels)
    for pair in pairs:
        cepstra = torch.stack([pair.made, pair.real]).double() @ transform.T
        slow = torch.stack([running_mean(side) for side in cepstra])
        for voice in (pair.voice, voices):  # the last row is of all voices
            frames[voice] += len(pair.made)
            for place, part in enumerate((cepstra, slow.square(), (cepstra - slow).square())):
                sums[place, :, voice] += part.sum(1)
    mean, slow_power, fast_power = sums / frames.clamp(min=1)
    trust = frames / (frames + PRIOR)
    trust[-1] = 0.0  # no shift for who is unknown

    def factors(variance: Tensor, most: float) -> Tensor:
        made, real = trust * variance + (1 - trust) * variance[:, -1:]
        return ((real.clamp(min=0) + 1e-8) / (made.clamp(min=0) + 1e-8)).sqrt().clamp(1 / most, most)

    shift = trust * (mean[1] - mean[0])
    parts = (mean[0], shift, factors(slow_power - mean.square(), MOST_SLOW), factors(fast_power, MOST_FAST))
    return Postfilter(*(part.float() for part in parts))


def decoded_pairs(model: UnitModel, data: DataDir, frames: FrameReader, targets: FrameReader) -> Iterable[Pair]:
    """Decode some utterances of every voice that the model knows, in their own voices."""
    most = max(1, min(PER_VOICE, IN_ALL // max(len(model.speakers), 1)))
    for voice, speaker in enumerate(model.speakers):
        known = [utt for utt in data.spk2utt.get(speaker, []) if utt in frames and utt in targets]
        for utt in known[:: math.ceil(len(known) / most) or 1]:
            real, heard = torch.from_numpy(targets[utt]), torch.from_numpy(frames[utt])[None].to(model.mean.device)
            encoded = model.encode(heard, torch.tensor([heard.shape[1]], device=heard.device))
            content = encoded.units if model.quantizer.codes else encoded.values
            made = model.generate(content, encoded.lengths, own_voice(model, voice, heard))[0].cpu()
            yield Pair(voice, made[: len(real)], real[: len(made)])


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


def running_mean(x: Tensor) -> Tensor:
    """Return means over windows of frames [T, D]; at the ends, of those that there are."""
    half = WINDOW // 2
    padded = torch.nn.functional.pad(x, (0, 0, half, half))
    counts = torch.nn.functional.pad(x.new_ones(len(x), 1), (0, 0, half, half))
    return padded.unfold(0, WINDOW, 1).sum(-1) / counts.unfold(0, WINDOW, 1).sum(-1)
