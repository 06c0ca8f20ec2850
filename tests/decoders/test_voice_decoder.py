"""A decoder that says log-mel and its excitation: learns both, minds no padding, and speaks units from anywhere."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, save_with_voices, tiny_model

from unitdisc import checkpoint, config, load_model
from unitdisc.cli import main
from unitdisc.convert import ConvertOptions, convert
from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.data.batches import Chunk
from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.decoders.configs import EXCITATION, LOG_MEL, VoiceDecoderConfig
from unitdisc.errors import ConfigError, DataError
from unitdisc.features.excitation import DIM, VOICING
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.features.pitch import pitch
from unitdisc.model import UnitModel
from unitdisc.model_config import LossWeights, ModelConfig
from unitdisc.speaking import Line, SpeakOptions, open_lines, read_text, speak_units
from unitdisc.speech_model import SpeechModel
from unitdisc.voices import MOST, OwnRange, PitchRange, predicted

SMALL = VoiceDecoderConfig(channels=16, hidden=16, units=(1, 2), frames=(1,), kernel=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    return make_data(tmp_path_factory.mktemp("data") / "d", 5)


@pytest.fixture(scope="module")
def settings(data: DataDir) -> ModelConfig:
    settings = tiny_model(decoder=SMALL)
    excitation = settings.decoder.streams(settings.targets)[1].features
    extract(data, ExtractConfig(settings.features, settings.targets, excitation), force=True)
    return settings


@pytest.fixture(scope="module")
def model(settings: ModelConfig, data: DataDir) -> UnitModel:
    torch.manual_seed(0)
    model = UnitModel(settings, ["a", "b"])
    fit_normalisation_(model, data)
    return model


@pytest.fixture(scope="module")
def exp(model: UnitModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_voices(model, tmp_path_factory.mktemp("exp") / "checkpoints" / "00000001.pt")


def test_what_it_learns_from_is_log_mel_with_the_pitch_in_its_speakers_range(model: UnitModel, data: DataDir):
    corpus = open_corpus(model.config, data, model)
    mels = model.config.targets.mels
    assert corpus.targets is not None
    frames = np.concatenate([corpus.targets[utt] for utt in data.utts])
    assert frames.shape[1] == mels + DIM
    voicing, log = frames[:, mels + VOICING], frames[:, mels]
    assert set(np.unique(voicing)) <= {0.0, 1.0}
    if voicing.sum() > 50:
        assert abs(np.median(log[voicing > 0])) < 0.7
    batch = corpus.batch([Chunk(data.utts[0], 0, 8)])
    assert batch.targets is not None
    assert batch.targets.shape == (1, 8, mels + DIM)


def test_a_range_of_its_own_turns_any_voice_into_the_same_numbers():
    contour = np.log(100.0) + 0.1 * np.sin(np.arange(60) / 5)

    class Archive(dict[str, np.ndarray]):
        def frames(self, utt: str) -> int:
            return len(self[utt])

    rows = {}
    for speaker, above in (("low", 0.0), ("high", 0.7)):
        rows[speaker] = np.zeros((60, DIM), np.float32)
        rows[speaker][:, 0], rows[speaker][:, VOICING] = contour + above, 1
    data = DataDir(Path(), utts=["high", "low"], utt2spk={s: s for s in rows}, spk2utt={s: [s] for s in rows})
    reader = OwnRange(Archive(rows), data)
    np.testing.assert_allclose(reader["low"][:, 0], reader["high"][:, 0], atol=1e-4)
    assert abs(np.median(reader["low"][:, 0])) < 0.05
    np.testing.assert_array_equal(reader["low"][:, 1:], rows["low"][:, 1:])


def test_padding_changes_neither_the_loss_nor_what_is_said(model: UnitModel):
    decoder = model.decoder
    assert decoder is not None
    assert model.conditioning is not None
    dim, columns = model.conditioning.dim, model.config.targets.mels + DIM
    condition = torch.randn(2, 9, dim)
    targets = torch.rand(2, 9 * decoder.hold, columns)
    units = torch.tensor([9, 5])
    short = condition[1:, :5].clone(), targets[1:, : 5 * decoder.hold].clone()
    condition[1, 5:] = 100.0
    with torch.no_grad():
        together = decoder.loss(targets, condition, None, units)[1, : 5 * decoder.hold]
        alone = decoder.loss(short[1], short[0], None, torch.tensor([5]))[0]
    torch.testing.assert_close(together, alone)
    said, said_alone = decoder.say(condition, units), decoder.say(short[0], torch.tensor([5]))
    for name in (LOG_MEL, EXCITATION):
        torch.testing.assert_close(said[name][1, : 5 * decoder.hold], said_alone[name][0])


def test_it_learns_pitch_voicing_and_aperiodicity(model: UnitModel):
    """Overfit a few units whose pitch and voicing follow from what they are."""
    decoder = model.decoder
    assert decoder is not None
    assert model.conditioning is not None
    torch.manual_seed(0)
    condition = torch.randn(1, 20, model.conditioning.dim)
    frames, mels = 20 * decoder.hold, model.config.targets.mels
    targets = torch.zeros(1, frames, mels + DIM)
    targets[..., :mels] = decoder.get_buffer("mean")
    voiced = (torch.arange(frames) // decoder.hold % 3 > 0).float()
    targets[0, :, mels + VOICING] = voiced
    targets[0, :, mels] = condition[0, :, 0].repeat_interleave(decoder.hold)
    targets[0, :, mels + 2 :] = 0.8
    optimizer = torch.optim.Adam(decoder.parameters(), 1e-2)
    for _ in range(300):
        loss = decoder.loss(targets, condition).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = decoder.say(condition, torch.tensor([20]))[EXCITATION][0]
    assert ((said[:, VOICING] > 0.5).float() == voiced).float().mean() > 0.95
    heard, wanted = said[voiced > 0, 0], targets[0, voiced > 0, mels]
    assert float(torch.corrcoef(torch.stack([heard, wanted]))[0, 1]) > 0.95
    assert float((said[voiced > 0, 2:] - 0.8).abs().mean()) < 0.1


def test_a_pitch_that_is_too_flat_is_stretched_into_the_range_of_the_voice():
    frames = torch.zeros(100, DIM)
    frames[:, VOICING] = 1.0
    frames[:20, VOICING] = 0.2
    frames[:, 0] = 0.8 * np.sqrt(2) * torch.sin(torch.arange(100) / 4)
    target = PitchRange(np.log(200.0), 0.1)
    heard = predicted(frames, target)
    assert not heard.frequency[:20].any()
    assert bool((heard.aperiodicity[:20] == 1).all())
    logs = heard.frequency[20:].log()
    assert float(logs.std()) == pytest.approx(0.1, rel=0.05)
    frames[:, 0] *= 0.1  # very flat: not all of it is given back
    assert float(predicted(frames, target).frequency[20:].log().std()) == pytest.approx(0.008 * MOST, rel=0.1)


@pytest.mark.parametrize("wanted", ["predicted", "source", "flat", "none"])
def test_it_converts(wanted: str, exp: Path, data: DataDir, tmp_path: Path):
    made = convert(exp, [data.path], tmp_path, ["b"], ConvertOptions(pitch=wanted, iterations=3))
    assert {row.pitch for row in made} == {wanted}
    for row in made:
        wave = soundfile.read(tmp_path / row.path)[0]
        assert len(wave) == len(data.source(row.source).load(16000))
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() > 0.01


def test_a_decoder_may_learn_from_vectors_and_say_them(settings: ModelConfig, data: DataDir, tmp_path: Path):
    torch.manual_seed(0)
    settings = replace(settings, vectors=1.0, jitter=0.0)
    model = UnitModel(settings, ["a", "b"]).train()
    fit_normalisation_(model, data)
    corpus = open_corpus(settings, data, model)
    batch = corpus.batch([Chunk(utt, 0, 16) for utt in data.utts])
    for step in range(3):  # past the warm-up
        model.begin_step_(step)
        model.loss(batch, torch.Generator().manual_seed(0))
    other = UnitModel(replace(settings, vectors=0.0), ["a", "b"]).train()
    other.load_state_dict(model.state_dict())
    losses = [m.loss(batch, torch.Generator().manual_seed(0)) for m in (model, other)]
    assert losses[0].parts["reconstruction"] != losses[1].parts["reconstruction"]
    for (name, ours), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name  # statistics were taken once
    losses[0].total.backward()
    only_units = UnitModel(replace(settings, vectors=1.0, weights=LossWeights(quantizer=0.0)), ["a", "b"]).train()
    only_units.load_state_dict(model.state_dict())
    only_units.loss(batch, torch.Generator().manual_seed(0)).total.backward()
    gradients = {name: p.grad for name, p in only_units.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(name.startswith("decoder.") for name in gradients)
    assert not any(name.startswith(("encoder.", "quantizer.")) for name in gradients)

    tree = {"config": {"model": config.to_tree(settings)}, "speakers": ["a", "b"], "phones": []}
    checkpoint.save(tmp_path / "m.pt", {**tree, "model": model.state_dict(), "average": None, "step": 3})
    by = {way: convert(tmp_path / "m.pt", [data.path], tmp_path / str(way), ["b"], ConvertOptions(vectors=way))
          for way in (False, True, None)}  # fmt: skip
    units, vectors, usual = (soundfile.read(tmp_path / str(way) / rows[0].path)[0] for way, rows in by.items())
    assert not np.allclose(units, vectors, atol=1e-3)
    np.testing.assert_array_equal(usual, vectors)  # what it has heard in training
    assert [rows[0].content for rows in by.values()] == ["units", "vectors", "vectors"]
    tree["config"] = {"model": config.to_tree(replace(settings, vectors=0.0))}
    checkpoint.save(tmp_path / "n.pt", {**tree, "model": model.state_dict(), "average": None, "step": 3})
    with pytest.raises(ConfigError, match=r"has heard units only; train with model\.vectors above 0"):
        convert(tmp_path / "n.pt", [data.path], tmp_path / "x", ["b"], ConvertOptions(vectors=True))


def test_only_who_says_a_pitch_can_be_asked_for_it(data: DataDir, tmp_path: Path):
    model = UnitModel(tiny_model(), ["a", "b"])
    tree = {"config": {"model": config.to_tree(model.config)}, "speakers": ["a", "b"], "phones": []}
    checkpoint.save(tmp_path / "frame.pt", {**tree, "model": model.state_dict(), "average": None, "step": 1})
    with pytest.raises(ConfigError, match=r"this decoder says none; train with decoder\.kind voice"):
        convert(tmp_path / "frame.pt", [data.path], tmp_path / "out", ["b"], ConvertOptions(pitch="predicted"))
    made = speak_units(tmp_path / "frame.pt", [Line("x", np.arange(4))], tmp_path / "said", "a", SpeakOptions())
    assert made[0].seconds > 0  # a whisper


def test_units_are_spoken_from_files_text_and_pipes(exp: Path, model: UnitModel, data: DataDir, tmp_path: Path, capsys):
    frames = np.array([0, 0, 1, 2, 2, 2, 3, 1] * 5)
    header = UnitHeader(model.unit_grid.period, model.quantizer.codes, codebook=model.codebook_hash())
    write_units(tmp_path / "units.jsonl", header, [UnitLine.of_frames("u", frames)])
    text = "u " + " ".join(["0x2 1 2x3 3 1"] * 5)
    (tmp_path / "units.txt").write_text(text + "\n")
    waves = []
    for source in ("units.jsonl", "units.txt", "-"):
        lines, codebook = open_lines("-" if source == "-" else tmp_path / source, io.StringIO(text))
        assert codebook == (header.codebook if source == "units.jsonl" else "")
        made = speak_units(exp, lines, tmp_path / f"out{source}", "b", codebook=codebook)
        waves.append(soundfile.read(tmp_path / f"out{source}" / "u.wav")[0])
        assert made[0].seconds == pytest.approx(len(frames) * model.unit_grid.period)
    assert np.array_equal(waves[0], waves[1])
    assert np.array_equal(waves[0], waves[2])
    assert DataDir.read(tmp_path / "out-").utt2spk == {"b-u": "b"}
    with pytest.raises(SystemExit) as stop:
        main(
            ["speak", str(exp), str(tmp_path / "units.txt"), str(tmp_path / "cli"), "--speaker", "a", "--pitch", "1.2"]
        )
    assert stop.value.code == 0
    assert json.loads((tmp_path / "cli" / "manifest.jsonl").read_text())["pitch"] == "1.2"


def test_a_flat_pitch_of_units_is_that_of_the_voice(exp: Path, tmp_path: Path):
    speak_units(exp, [Line("u", np.arange(60) % 4)], tmp_path, "b", SpeakOptions(pitch="flat"))
    heard = pitch(soundfile.read(tmp_path / "u.wav")[0], FrameGrid(16000, 160, 400))
    if (heard > 0).sum() > 10:  # an untrained decoder may say that nothing is voiced
        assert np.median(heard[heard > 0]) == pytest.approx(220, rel=0.03)


def test_units_that_are_not_the_models_are_refused(exp: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"has units of codebook 0123, .* encode with the same checkpoint"):
        speak_units(exp, [Line("u", np.array([1]))], tmp_path / "x", "a", codebook="0123")
    with pytest.raises(DataError, match=r"units must lie in 0\.\."):
        speak_units(exp, [Line("u", np.array([10**6]))], tmp_path / "x", "a")
    with pytest.raises(DataError, match="--to nobody: neither an audio file nor a speaker"):
        speak_units(exp, [Line("u", np.array([1]))], tmp_path / "x", "nobody")
    with pytest.raises(DataError, match=r"units must lie in 0\.\..*, got -1;"):
        speak_units(exp, [Line("u", np.array([-1, 2]))], tmp_path / "x", "a")
    with pytest.raises(DataError, match="--speaker all: expected one voice"):
        speak_units(exp, [Line("u", np.array([1]))], tmp_path / "x", "all")
    with pytest.raises(DataError, match="speaker 'all': expected one voice, of a, b"):
        load_model(exp).convert(np.zeros(8000), 16000, "all")
    with pytest.raises(ConfigError, match="units have no recording to take it from"):
        SpeakOptions(pitch="source")
    assert not (tmp_path / "x" / "manifest.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 x\n", "text:1: expected units as 7 or 7x3, got 'x'"), ("a 1x0\n", "got '1x0'"), ("a\n", "behind 'a'"),
        ("a 1\na 2\n", "text:2: a stands there twice"), ("\n", "text: has no units"), ("a -1\n", "got '-1'"),
        (f"a {'9' * 20}\n", "got '99999999999999999999'"), ("7x99999999999\n", "text:1: .* got '7x99999999999'"),
    ],
)  # fmt: skip
def test_text_that_is_no_units_is_refused(text: str, message: str):
    with pytest.raises(DataError, match=message):
        list(read_text(text.splitlines(), "text"))


def test_a_line_without_a_name_has_its_number():
    lines = list(read_text(["1 2x3", "", "a 4"], "text", repeat=2))
    assert [(line.utt, line.frames.tolist()) for line in lines] == [("line-0001", [1, 1, 2, 2, 2]), ("a", [4, 4])]


def test_a_model_in_python_speaks_as_the_command_does(exp: Path, tmp_path: Path):
    units = np.array([1, 1, 4, 2, 2, 7, 3, 3, 0, 5])
    (made,) = speak_units(exp, [Line("u", units)], tmp_path, "b")
    theirs, _ = soundfile.read(tmp_path / made.path)
    ours = load_model(exp).speak(units, speaker="b")
    np.testing.assert_allclose(ours * made.gain, theirs, atol=1e-4)


def test_a_voice_is_moved_on_from_the_mean_of_all(model: UnitModel, tmp_path: Path):
    speaking = SpeechModel(tmp_path, model.eval(), None, None)
    units, lengths, seeds = torch.tensor([[[1], [2], [3]]]), torch.tensor([3]), torch.tensor([0])
    table = model.conditioning.table.weight.detach()
    own, usual = (model.say(units, lengths, voice)[LOG_MEL] for voice in (torch.tensor([1]), table.mean(0)[None]))
    plain, more, default = (
        speaking.say(units, lengths, torch.tensor([1]), seeds, emphasis=by)[LOG_MEL] for by in (0.0, 2.0, None)
    )
    assert torch.equal(plain, own)
    torch.testing.assert_close(more, own + 2 * (own - usual))
    torch.testing.assert_close(default, own + 0.5 * (own - usual))
