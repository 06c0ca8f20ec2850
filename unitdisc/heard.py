"""A voice that a model was not trained on, from a recording of it.

A model with a table of speakers has no vector for a new one: it is found by gradient descent, from the mean of all
voices, as the one that lets the decoder say the recording best. What the decoder cannot do with it, a correction does,
which is learnt from the recording, and the postfilter, which gives what is decoded later the recording's own moments.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unitdisc.correction import Correction, fit_correction
from unitdisc.decoders.configs import LOG_MEL
from unitdisc.features.build import build_raw_features
from unitdisc.features.configs import ExcitationConfig
from unitdisc.features.pitch import pitch
from unitdisc.model import UnitModel
from unitdisc.networks.blocks import one_thread
from unitdisc.postfilter import Heard, heard_moments
from unitdisc.speech_model import SpeechModel
from unitdisc.voices import UNKNOWN, PitchRange, in_range_, pitch_range

STEPS, RATE = 60, 0.03  # of Adam
PULL = 0.003  # weight of the distance from the mean of all voices, in deviations of theirs


class HeardVoice(NamedTuple):
    """What is known of a voice from a recording."""

    speaker: Tensor  # [S]
    pitch: PitchRange | None
    moments: Heard | None = None  # none, if the decoder says no log-mel, as the next
    correction: Correction | None = None


@torch.no_grad()
def hear_voice(
    speaking: SpeechModel,
    frames: Tensor,
    wave: np.ndarray,
    vectors: bool | None = None,
    emphasis: float | None = None,
) -> HeardVoice:
    """Return the voice of a recording: the model's frames [T, D] of it, and its samples at the model's rate.

    The rest is what the voice will be told to say, as `UnitModel.content` and `SpeechModel.say` take it.
    """
    model = speaking.network
    lengths = torch.tensor([len(frames)], device=frames.device)
    own = pitch_range([pitch(wave, model.grid)])
    streams = {} if model.decoder is None else _streams(model, wave, own or UNKNOWN)
    if streams and model.conditioning is not None and model.conditioning.table is not None:
        speaker = _fitted(model, frames[None], lengths, torch.cat(list(streams.values()), 1)[None])
    else:
        speaker = model.speaker_vectors(frames[None], lengths)[0]
    if LOG_MEL not in streams:
        return HeardVoice(speaker, own)
    content, units = model.content(frames[None], lengths, vectors)
    said = speaking.say(content, units, speaker[None], torch.zeros_like(units), emphasis=emphasis)[LOG_MEL][0]
    values = model.content_vectors(content)[0]
    correction = fit_correction(said, streams[LOG_MEL].to(said), values, speaking.decoder.hold)
    return HeardVoice(speaker, own, heard_moments(streams[LOG_MEL]), correction)


def _streams(model: UnitModel, wave: np.ndarray, own: PitchRange) -> dict[str, Tensor]:
    """Return what the decoder should say of a recording, as it learns it, [T, D] each; nothing of a waveform."""
    assert model.decoder is not None
    samples, streams = torch.from_numpy(wave)[None], {}
    for stream in model.decoder.streams:
        if stream.features is None:
            return {}
        frames = build_raw_features(stream.features)(samples, torch.tensor([len(wave)])).frames[0]
        if isinstance(stream.features, ExcitationConfig):
            in_range_(frames, own)
        streams[stream.name] = frames
    return streams


def _fitted(model: UnitModel, frames: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    """Return the vector [S] with which the decoder says targets [1, T, D] best."""
    decoder, conditioning = model.decoder, model.conditioning
    assert decoder is not None
    assert conditioning is not None
    assert conditioning.table is not None
    content, units = model.content(frames, lengths)
    values = model.content_vectors(content)
    table = conditioning.table.weight.detach()
    mean, deviation = table.mean(0), table.std(0, correction=0).clamp(min=1e-3)
    training = model.training
    model.eval()
    with one_thread(frames.device), torch.enable_grad():
        told = conditioning.content(values, units).detach()
        speaker = mean.clone().requires_grad_()
        optimizer = torch.optim.Adam([speaker], RATE)
        for _ in range(STEPS):
            loss = decoder.loss(targets.to(frames.device), conditioning(told, speaker[None]), None, units).mean()
            loss = loss + PULL * ((speaker - mean) / deviation).square().mean()
            (speaker.grad,) = torch.autograd.grad(loss, [speaker])  # the model's own parameters get none
            optimizer.step()
    model.train(training)
    return speaker.detach()
