"""A decoder of samples that is told the pitch: it learns with it, is sampled with it, and converts with any."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, save_with_voices, tiny_model
from test_convert import harmonic_sound

from unitdisc.convert import ConvertOptions, convert
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.batches import Chunk
from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.decoders.configs import WaveformDecoderConfig
from unitdisc.errors import DataError
from unitdisc.features.excitation import DIM, VOICING
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.intonation import Intonation
from unitdisc.model import UnitModel
from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.draws import output_uniforms
from unitdisc.sampling.reference import sample as sample_by_reference
from unitdisc.sampling.request import Request
from unitdisc.speaking import Line, speak_units
from unitdisc.voices import PitchRange, Voices

SMALL = WaveNetConfig(layers=3, cycles=1, residual=8, gate=16, skip=8, hidden=8)
SETTINGS = tiny_model(decoder=WaveformDecoderConfig(wavenet=SMALL, pitch=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    data = make_data(tmp_path_factory.mktemp("data") / "d", 3, features=False)
    archives = SETTINGS.decoder.archives(SETTINGS.targets)
    assert list(archives) == ["excitation"]
    extract(data, replace(ExtractConfig(SETTINGS.features), **archives))
    return DataDir.read(data.path)


@pytest.fixture(scope="module")
def model(data: DataDir) -> UnitModel:
    torch.manual_seed(0)
    model = UnitModel(SETTINGS, ["a", "b"])
    fit_normalisation_(model, data)
    return model


@pytest.fixture(scope="module")
def exp(model: UnitModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_voices(model, tmp_path_factory.mktemp("exp") / "checkpoints" / "00000001.pt")


def test_its_loss_depends_on_the_pitch_of_each_unit_and_of_no_padding(model: UnitModel, data: DataDir):
    corpus = open_corpus(model.config, data, model)
    batch = corpus.batch([Chunk(data.utts[0], 2, 9), Chunk(data.utts[1], 0, 14)])  # 5 and 7 units
    assert batch.told is not None
    assert batch.told.shape == (2, 14, DIM)
    assert batch.targets is not None
    assert batch.targets.shape == (2, 14 * model.grid.hop)
    batch.told.requires_grad_()
    model.eval()
    model.loss(batch).total.backward()
    moved = batch.told.grad
    assert moved is not None
    assert bool((moved[0, :9, 0] != 0).all())
    assert not moved[0, 10:].any()  # beyond the last unit
    without = UnitModel(tiny_model(decoder=WaveformDecoderConfig(wavenet=SMALL)), ["a", "b"])
    assert open_corpus(without.config, data, without).batch([Chunk(data.utts[0], 0, 8)]).told is None


def test_all_samplers_hear_the_pitch(model: UnitModel):
    content, lengths = torch.arange(6)[None, :, None] % 8, torch.tensor([6])
    told = torch.randn(1, 12, DIM, generator=torch.Generator().manual_seed(1))
    seeds, speaker = torch.tensor([5]), torch.tensor([1])
    said = model.generate(content, lengths, speaker, seeds, told=told)
    decoder, condition = model._condition(content, lengths, speaker, told)
    steps = lengths * decoder.hold
    uniforms = output_uniforms(seeds, int(steps), decoder.output.uniforms)
    wanted = sample_by_reference(
        Request.of(decoder.wavenet, decoder.output, condition, steps, uniforms=uniforms, hop=decoder.hold)
    )
    torch.testing.assert_close(said, decoder.output.decode(wanted))
    assert not torch.equal(said, model.generate(content, lengths, speaker, seeds, told=-told))
    with pytest.raises(DataError, match="told the pitch of each frame, which units alone do not have"):
        model.generate(content, lengths, speaker, seeds)


def test_it_converts_with_any_pitch_and_does_not_speak_without_one(exp: Path, data: DataDir, tmp_path: Path):
    waves = {}
    for wanted in ("source", "flat", "none"):
        (made,) = convert(exp, [data.source(data.utts[0]).path], tmp_path / wanted, ["b"], ConvertOptions(pitch=wanted))
        assert made.pitch == wanted
        waves[wanted] = soundfile.read(tmp_path / wanted / made.path)[0]
        assert np.isfinite(waves[wanted]).all()
    assert not np.array_equal(waves["source"], waves["none"])
    with pytest.raises(DataError, match="told the pitch"):
        speak_units(exp, [Line("x", np.arange(4))], tmp_path / "said", "a")


def test_what_it_is_told_lies_in_the_range_of_the_voice_to_be_heard():
    time = np.arange(24000) / 16000
    wave = harmonic_sound(120 * np.exp(0.1 * np.sin(2 * np.pi * 2 * time)))
    data = DataDir(Path(), utts=["x"], utt2spk={"x": "x"}, spk2utt={"x": ["x"]})
    known = Voices(torch.tensor([120.0]).log(), torch.tensor([0.07]))
    grid, target = FrameGrid(16000, 160, 400), PitchRange(5.4, 0.2)
    told = {
        pitch: Intonation(pitch, data, grid, ("x",), known).frames(wave, "x", target)
        for pitch in ("source", "flat", "none")
    }
    voiced = told["source"][:, VOICING] > 0.5
    assert voiced.float().mean() > 0.8
    assert abs(float(told["source"][voiced, 0].mean())) < 0.2
    assert float(told["source"][voiced, 0].std()) > 0.5
    assert float(told["flat"][voiced, 0].abs().max()) < 1e-4
    assert not told["none"][:, VOICING].any()
