"""A voice from a recording, for a model that has a table of voices: its decoder says the recording better with it."""

from pathlib import Path

import pytest
import torch
from made_up import make_data, tiny_model

from unitdisc.corpus import fit_normalisation_
from unitdisc.data.kaldi import DataDir
from unitdisc.decoders.configs import VoiceDecoderConfig
from unitdisc.errors import ConfigError
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.heard import _streams, hear_voice
from unitdisc.live import LiveFrames
from unitdisc.model import UnitModel
from unitdisc.networks.configs import ConditioningConfig
from unitdisc.postfilter import HEARD_PRIOR, Heard, Postfilter, cosines, heard_moments
from unitdisc.speech_model import SpeechModel
from unitdisc.voices import UNKNOWN

SMALL = VoiceDecoderConfig(channels=16, hidden=16, units=(1, 2), frames=(1,), kernel=3)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return make_data(tmp_path / "d", 3)


def model_of(data: DataDir, **parts: object) -> UnitModel:
    torch.manual_seed(0)
    settings = tiny_model(decoder=SMALL, **parts)
    archives = [stream.features for stream in settings.decoder.streams(settings.targets)]
    extract(data, ExtractConfig(settings.features, *archives), force=True)
    model = UnitModel(settings, ["a", "b"])
    fit_normalisation_(model, data)
    return model


def test_the_voice_of_a_recording_is_the_one_that_says_it_best(data: DataDir):
    model, utt = model_of(data), data.utts[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wave = data.source(utt).load(16000)
    frames = torch.from_numpy(LiveFrames(model.config.features, data)[utt])
    speaking = SpeechModel(Path(), model.train(), None, None)
    voice, again = (hear_voice(speaking, frames, wave) for _ in range(2))
    assert torch.equal(voice.speaker, again.speaker)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    streams = _streams(model, wave, voice.pitch or UNKNOWN)
    assert voice.correction is not None
    assert all(map(torch.equal, voice.correction[:-1], again.correction[:-1]))
    content, units = model.content(frames[None], torch.tensor([len(frames)]))
    model.eval()

    def loss(speaker: torch.Tensor) -> float:
        with torch.no_grad():
            decoder, told = model._condition(content, units, speaker[None], None)
            return float(decoder.loss(torch.cat(list(streams.values()), 1)[None], told, None, units).mean())

    table = model.conditioning.table.weight
    assert loss(voice.speaker) < min(loss(known) for known in (table.mean(0), *table))


def test_what_is_decoded_gets_the_moments_of_the_recording():
    torch.manual_seed(0)
    log_mel, real = torch.randn(400, 40), 2 * torch.randn(500, 40) + 3
    same = torch.zeros(3, 1, 40)
    postfilter = Postfilter(same, same, torch.zeros(1))
    moments = heard_moments(real)
    assert moments.trust == pytest.approx(500 / (500 + HEARD_PRIOR))
    torch.testing.assert_close(moments.moments[0], (real @ cosines(40).float().T).mean(0), atol=0.05, rtol=0)
    aim = heard_moments(postfilter(log_mel, None, Heard(moments.moments, 1.0)))
    torch.testing.assert_close(aim.moments[0], moments.moments[0], atol=0.05, rtol=0)
    assert float(aim.moments[1:].sum()) == pytest.approx(float(moments.moments[1:].sum()), rel=0.2)
    own = postfilter(log_mel)
    torch.testing.assert_close(heard_moments(own).moments[0], heard_moments(log_mel).moments[0], atol=0.05, rtol=0)


def test_a_model_without_voices_has_none_for_a_recording(data: DataDir):
    model, utt = model_of(data, conditioning=ConditioningConfig(channels=8, speaker="none")), data.utts[0]
    frames = torch.from_numpy(LiveFrames(model.config.features, data)[utt])
    with pytest.raises(ConfigError, match="takes no voice from speech"):
        hear_voice(SpeechModel(Path(), model, None, None), frames, data.source(utt).load(16000))
