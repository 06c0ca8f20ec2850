"""UnitModel: one loss for any padding and any split, the same units for anything, hashes, sound, and errors."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import FIXTURES
from torch import Tensor

from unitdisc.config import from_tree, to_tree
from unitdisc.data.batches import Batch
from unitdisc.errors import ConfigError, DataError
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.networks.draws import draw_seeds

SPEAKERS, PHONES = ("ada", "bo", "cy"), ("AA", "B", "K")
QUANTIZER = {"codes": 16, "dim": 6, "schedule": {"warm_up": 0, "until": 0}}
WAVENET = {"layers": 2, "cycles": 1, "residual": 8, "gate": 8, "skip": 8, "hidden": 8}
BASE: dict[str, Any] = {
    "features": {"mels": 8, "ceps": 3},
    "targets": {"mels": 5},
    "encoder": {"channels": 16},
    "quantizer": QUANTIZER,
    "conditioning": {"channels": 8, "speaker_dim": 3, "reference_channels": 6},
    "decoder": {"kind": "frame", "wavenet": WAVENET},
    "heads": {"channels": 6},
}
HOP = 4
VARIANTS: dict[str, dict[str, Any]] = {
    "frame": {},
    "frame, laplace, reference": {
        "decoder": {"kind": "frame", "wavenet": WAVENET, "output": {"loss": "laplace"}},
        "conditioning": {"speaker": "reference"},
    },
    "frame, all losses, 33 Hz": {
        "encoder": {"strides": [3]},
        "weights": {"ctc": 2.0, "framewise": 0.5, "input_reconstruction": 0.3},
    },
    "frame, no quantiser": {"quantizer": {"kind": "none"}},
    "frame, ema": {"quantizer": {"kind": "ema", **QUANTIZER}, "conditioning": {"speaker": "none"}},
    "waveform": {"features": {"hop": HOP, "window": 400}, "decoder": {"kind": "waveform", "wavenet": WAVENET}},
    "waveform, mixture": {
        "features": {"hop": HOP, "window": 400},
        "decoder": {"kind": "waveform", "wavenet": WAVENET, "output": {"kind": "mixture", "components": 2}},
    },
    "supervised, lstm": {
        "encoder": {"kind": "conv-lstm", "channels": 4, "cells": 6, "layers": 1},
        "decoder": {"kind": "none"},
        "weights": {"ctc": 50.0},
    },
    "supervised, no quantiser": {
        "quantizer": {"kind": "none"},
        "decoder": {"kind": "none"},
        "weights": {"ctc": 1.0, "framewise": 1.0},
    },
}


def config_of(name: str, **more: Any) -> ModelConfig:
    tree = copy.deepcopy(BASE)
    for key, value in {**VARIANTS[name], **more}.items():
        same = isinstance(value, dict) and tree.get(key, {}).get("kind") in (value.get("kind"), None)
        tree[key] = {**tree.get(key, {}), **value} if same and "kind" not in value else value
    return from_tree(ModelConfig, tree, name)


def model_of(name: str = "frame", seed: int = 0, **more: Any) -> UnitModel:
    torch.manual_seed(seed)
    model = UnitModel(config_of(name, **more), SPEAKERS, PHONES)
    model.set_normalisation_(torch.randn(model.dim_in), torch.rand(model.dim_in) + 0.5)
    return model


def batch_of(model: UnitModel, lengths: list[int], extra: int = 0, seed: int = 0) -> Batch:
    """Make a batch whose padding is noise, so that looking at it would show; each row depends on its place alone."""
    rows = [torch.Generator().manual_seed(100 * seed + row) for row in range(len(lengths))]
    frames = torch.stack([torch.randn(99, model.dim_in, generator=g) for g in rows])[:, : max(lengths) + extra]
    waves = model.decoder is not None and not model.decoder.needs_pitch
    per_frame = model.grid.hop if waves else 1
    shape = (99 * per_frame,) if waves else (99, 5)
    targets = torch.stack([torch.randn(shape, generator=g).clamp(-1, 1) for g in rows])
    n = torch.tensor(lengths)
    units = (max(lengths) + extra + model.stride - 1) // model.stride
    labels = torch.stack([torch.randint(-1, 3, (99,), generator=g) for g in rows])[:, :units]
    return Batch(
        [f"u{row}" for row in range(len(lengths))],
        frames,
        n,
        speakers=torch.arange(len(lengths)) % 4 - 1,
        targets=targets[:, : frames.shape[1] * per_frame],
        target_lengths=n * per_frame,
        phones=torch.stack([torch.randint(0, 3, (2,), generator=g) for g in rows]),
        phone_lengths=torch.full((len(lengths),), 2),
        frame_phones=labels,
    )


def rows_of(batch: Batch, first: int, last: int) -> Batch:
    part = batch.rows(first, last)
    return replace(part, frames=part.frames[:, : int(part.lengths.max())])


def gradient_of(model: UnitModel, *losses: Tensor) -> Tensor:
    model.zero_grad()
    for loss in losses:
        loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def assert_near(one: Tensor, two: Tensor) -> None:
    """Compare as wholes: what stands next to a kink of a ReLU may move more than the rounding that moves it."""
    assert one.shape == two.shape
    assert (one - two).double().norm() <= 1e-4 * two.double().norm()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_takes_a_step_and_its_parts_add_up(name: str):
    model = model_of(name)
    optimizer = torch.optim.Adam(model.parameter_groups(1e-2))
    batch = batch_of(model, [12, 30])
    totals = []
    for step in range(12):
        assert model.begin_step_(step) is None
        loss = model.loss(batch, torch.Generator().manual_seed(0))
        weighted = sum(float(part) * getattr(model.config.weights, key) for key, part in loss.parts.items())
        assert float(loss.total.detach()) == pytest.approx(weighted, rel=1e-4, abs=1e-6)
        assert int(loss.weight) == 42
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        totals.append(float(loss.total.detach()))
    assert totals[-1] < totals[0]
    wanted = {"quantizer"} | {
        key for key in ("ctc", "framewise", "input_reconstruction") if getattr(model.config.weights, key)
    }
    assert set(loss.parts) == wanted | ({"reconstruction"} if model.decoder else set())


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_neither_loss_nor_gradient_nor_statistics(name: str, training: bool):
    seeds = draw_seeds(3, torch.Generator().manual_seed(1))
    results = []
    for extra in (0, 5):
        model = model_of(name).train(training)
        model.begin_step_(0)
        loss = model.loss(batch_of(model, [9, 20, 14], extra), seeds)
        gradient = gradient_of(model, loss.total)
        buffers = torch.cat([b.flatten().double() for b in model.buffers()])
        results.append([loss.total.detach(), gradient, buffers, loss.weight, *loss.parts.values()])
    for one, two in zip(*results, strict=True):
        assert_near(one, two)


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_of_a_batch_weighted_by_their_frames_give_its_gradient(name: str):
    model = model_of(name).eval()  # statistics over the whole batch are the norms' own affair
    batch, seeds = batch_of(model, [9, 20, 14]), draw_seeds(3, torch.Generator().manual_seed(1))
    whole = model.loss(batch, seeds)
    expected = gradient_of(model, whole.total)
    parts = [model.loss(rows_of(batch, a, b), seeds[a:b]) for a, b in ((0, 1), (1, 3))]
    weights = [float(part.weight / whole.weight) for part in parts]
    assert sum(weights) == pytest.approx(1.0)
    gradient = gradient_of(model, *(part.total * w for part, w in zip(parts, weights, strict=True)))
    assert_near(gradient, expected)
    total = sum(float(part.total.detach()) * w for part, w in zip(parts, weights, strict=True))
    assert total == pytest.approx(float(whole.total.detach()), rel=1e-5)


def test_two_processes_give_the_gradient_of_the_whole_batch(tmp_path: Path):
    program = FIXTURES / "model_over_processes.py"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    outcome = subprocess.run(run, capture_output=True, text=True, cwd=program.parent.parent, timeout=120)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert outcome.stdout.count("same") == 6


@pytest.mark.parametrize("name", VARIANTS)
def test_half_precision_comes_near(name: str):
    model = model_of(name).eval()
    batch = batch_of(model, [13, 30])
    exact = model.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.loss(batch)
    assert float(half.total.detach()) == pytest.approx(float(exact.total.detach()), rel=0.05)
    assert torch.isfinite(gradient_of(model, half.total)).all()


def test_the_reconstruction_is_the_mean_over_valid_frames():
    model = model_of("frame").eval()
    batch = batch_of(model, [9, 20])
    loss = model.loss(batch)
    assert batch.targets is not None
    total = 0.0
    for row, n in enumerate([9, 20]):
        values = model.quantizer(model.encoder(model.normalise(batch.frames[row : row + 1, :n]), torch.tensor([n]))[0])
        units = torch.tensor([-(-n // 2)])
        assert model.conditioning is not None
        assert model.decoder is not None
        speaker = model.conditioning.speaker_vectors(batch.speakers[row : row + 1], strict=False)
        condition = model.conditioning(model.conditioning.content(values.values, units), speaker)
        target = batch.targets[row : row + 1, :n]
        past = torch.cat([torch.zeros(1, 1, 5), target[:, :-1]], 1)
        predicted = model.decoder.wavenet(past, condition.repeat_interleave(2, 1)[:, :n])
        total += float((predicted - target).abs().mean(-1).sum().detach())
    assert float(loss.parts["reconstruction"]) == pytest.approx(total / 29, rel=1e-4)


def test_targets_are_normalised_in_and_out():
    model = model_of("frame").eval()
    batch = batch_of(model, [9, 20])
    before = float(model.loss(batch).parts["reconstruction"])
    assert batch.targets is not None
    mean, std = torch.randn(5), torch.rand(5) + 0.5
    model.set_target_normalisation_(mean, std)
    moved = replace(batch, targets=batch.targets * std + mean)
    assert float(model.loss(moved).parts["reconstruction"]) == pytest.approx(before, rel=1e-4)


def test_samples_past_the_last_frame_are_left_out():
    model = model_of("waveform").eval()
    batch = batch_of(model, [9])
    assert batch.targets is not None
    assert batch.target_lengths is not None
    longer = replace(batch, targets=torch.cat([batch.targets, torch.ones(1, 1)], 1), target_lengths=torch.tensor([37]))
    assert float(model.loss(longer).total.detach()) == pytest.approx(float(model.loss(batch).total.detach()), rel=1e-6)


# Units


ENCODERS = ("frame", "frame, all losses, 33 Hz", "frame, ema", "supervised, lstm", "frame, no quantiser")


@pytest.mark.parametrize("name", ENCODERS)
@given(lengths=st.lists(st.integers(1, 99), min_size=1, max_size=4), extra=st.integers(0, 9))
@settings(max_examples=8, deadline=None)
def test_units_and_values_are_the_same_bits_for_any_batch(name: str, lengths: list[int], extra: int):
    model = model_of(name)
    batch = batch_of(model, lengths, min(extra, 99 - max(lengths)))
    encoded = model.encode(batch.frames, batch.lengths)
    assert model.training
    assert encoded.lengths.tolist() == [-(-n // model.stride) for n in lengths]
    for row, n in enumerate(lengths):
        alone = model.encode(batch.frames[row : row + 1, :n], batch.lengths[row : row + 1])
        units = int(encoded.lengths[row])
        assert torch.equal(encoded.units[row, :units], alone.units[0])
        assert torch.equal(encoded.values[row, :units], alone.values[0])
        assert (encoded.units[row, units:] == -1).all()
        assert (encoded.values[row, units:] == 0).all()


@given(frames=st.integers(0, 900), pieces=st.lists(st.integers(1, 400), max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_stream_gives_the_units_of_the_whole_utterance(frames: int, pieces: list[int]):
    model = model_of(encoder={"channels": 24})
    x = torch.randn(frames, model.dim_in, generator=torch.Generator().manual_seed(1))
    whole = model.encode(x[None], torch.tensor([frames]))
    stream = model.stream()
    for _ in range(2):  # a stream takes one utterance after another
        rest, units, values = x, [], []
        for piece in pieces:
            encoded = stream.push(rest[:piece])
            units, values, rest = [*units, encoded.units], [*values, encoded.values], rest[piece:]
        for encoded in (stream.push(rest), stream.finish()):
            units, values = [*units, encoded.units], [*values, encoded.values]
        assert torch.equal(torch.cat(units, 1), whole.units)
        assert torch.equal(torch.cat(values, 1), whole.values)


def test_units_do_not_depend_on_the_number_of_threads():
    model = model_of(encoder={"channels": 256})
    x, n = torch.randn(3, 300, model.dim_in), torch.tensor([300, 200, 77])
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append((model.encode(x, n).units, model.probe(x, n, "projection")[0]))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for units, vectors in results[1:]:
        assert torch.equal(units, results[0][0])
        assert torch.equal(vectors, results[0][1])


@pytest.mark.parametrize("name", ENCODERS)
def test_units_are_those_of_encoder_and_quantiser(name: str):
    model = model_of(name)
    batch = batch_of(model, [99, 40])
    encoded = model.encode(batch.frames, batch.lengths)
    model.eval()
    y, _ = model.encoder(model.normalise(batch.frames), batch.lengths)
    mask = encoded.lengths[:, None] > torch.arange(y.shape[1])
    expected = model.quantizer(y, mask)
    same = (encoded.units == expected.units).all(-1)
    assert same.double().mean() > 0.97  # near ties may fall either way
    torch.testing.assert_close(encoded.values[same], expected.values[same], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strides", [(2,), (3,), (2, 2), (2, 2, 2)])
@given(samples=st.integers(0, 3000))
@settings(max_examples=10, deadline=None)
def test_the_number_of_units_follows_from_the_number_of_samples(strides: tuple[int, ...], samples: int):
    model = model_of(encoder={"channels": 4, "strides": list(strides)})
    frames = model.grid.frames(samples)
    encoded = model.encode(torch.randn(1, frames, model.dim_in), torch.tensor([frames]))
    assert encoded.units.shape[1] == int(encoded.lengths) == model.unit_grid.frames(samples)
    assert model.unit_grid.rate == pytest.approx(100 / model.stride)


def test_probe_points():
    model = model_of()
    batch = batch_of(model, [30, 11])
    encoded = model.encode(batch.frames, batch.lengths)
    probes = {p: model.probe(batch.frames, batch.lengths, p) for p in ("encoder", "projection", "vq", "conditioning")}
    assert {p: vectors.shape[2] for p, (vectors, _) in probes.items()} == {
        "encoder": 16, "projection": 6, "vq": 6, "conditioning": 8,
    }  # fmt: skip
    for vectors, lengths in probes.values():
        assert vectors.shape[:2] == (2, 15)
        assert lengths.tolist() == [15, 6]
        assert (vectors[1, 6:] == 0).all()
    assert torch.equal(probes["vq"][0], encoded.values)
    nearest = torch.cdist(probes["projection"][0][0], model.quantizer.codebook[0]).argmin(-1)
    assert torch.equal(nearest, encoded.units[0, :, 0])
    with pytest.raises(ConfigError, match="there are encoder, projection, vq, conditioning"):
        model.probe(batch.frames, batch.lengths, "decoder")  # type: ignore[arg-type]
    supervised = model_of("supervised, no quantiser")
    with pytest.raises(ConfigError, match="this model has no decoder"):
        supervised.probe(batch.frames, batch.lengths, "conditioning")


def test_in_the_warm_up_there_are_no_units_but_vectors():
    model = model_of(quantizer={**QUANTIZER, "schedule": {"warm_up": 5, "until": 10}})
    model.begin_step_(0)
    batch = batch_of(model, [30])
    encoded = model.encode(batch.frames, batch.lengths)
    assert (encoded.units == -1).all()
    assert torch.equal(encoded.values, model.probe(batch.frames, batch.lengths, "projection")[0])


# Sound


@pytest.mark.parametrize("name", [name for name in VARIANTS if "supervised" not in name])
def test_generated_sound_covers_the_units_and_is_silent_on_padding(name: str):
    model = model_of(name)
    batch = batch_of(model, [13, 8])
    encoded = model.encode(batch.frames, batch.lengths)
    kind = model.config.conditioning.speaker
    speaker = {"table": torch.tensor([0, 2]), "none": None, "reference": None}[kind]
    if kind == "reference":
        speaker = model.speaker_vectors(batch.frames, batch.lengths)
        assert speaker.shape == (2, 3)
    sound = model.generate(encoded.values, encoded.lengths, speaker, torch.Generator().manual_seed(0))
    steps = encoded.lengths * model.decoder.hold  # type: ignore[union-attr]
    assert sound.shape[:2] == (2, int(steps[0]))
    assert (sound[1, int(steps[1]) :] == 0).all()
    assert torch.isfinite(sound).all()
    if model.quantizer.codes:
        again = model.generate(encoded.units, encoded.lengths, speaker, torch.Generator().manual_seed(0))
        assert torch.equal(again, sound)
    pieces = model.generate_stream(encoded.values, encoded.lengths, speaker, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cat(list(pieces), 1)[0, : int(steps[0])], sound[0])


@pytest.mark.parametrize("window", [1, 40, 2**15])
def test_means_are_generated_from_the_units_alone(window: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("unitdisc.decoders.autoregressive.WINDOW", window)
    model = model_of("frame")
    mean, std = torch.randn(5), torch.rand(5) + 0.5
    model.set_target_normalisation_(mean, std)
    batch = batch_of(model, [30])
    encoded = model.encode(batch.frames, batch.lengths)
    mels = model.generate(encoded.units, encoded.lengths, torch.tensor([1]))
    assert model.decoder is not None
    assert model.conditioning is not None
    content = model.conditioning.content(encoded.values, encoded.lengths)
    condition = model.conditioning(content, model.conditioning.speaker_vectors(torch.tensor([1])))
    predicted = model.decoder.wavenet(torch.zeros(1, 30, 5), condition.repeat_interleave(2, 1))
    torch.testing.assert_close(mels, predicted * std + mean)


def test_drawn_frames_are_those_of_the_density_given_what_was_drawn():
    decoder = {"kind": "frame", "wavenet": WAVENET, "output": {"loss": "laplace"}}
    model = model_of("frame", decoder=decoder)
    batch = batch_of(model, [13])
    encoded = model.encode(batch.frames, batch.lengths)
    mels = model.generate(encoded.units, encoded.lengths, torch.tensor([1]), temperature=0.0)
    model.eval()
    fixed = replace(batch, targets=mels[:, :13], speakers=torch.tensor([1]))
    # Drawn at temperature 0, every frame is its density's mode: no other frames have a smaller loss.
    modes = float(model.loss(fixed).parts["reconstruction"])
    for _ in range(5):
        moved = replace(fixed, targets=mels[:, :13] + 0.1 * torch.randn(1, 13, 5))
        assert float(model.loss(moved).parts["reconstruction"]) > modes


def test_who_the_decoder_cannot_voice_is_said():
    model, batch_model = model_of("frame"), model_of("frame, laplace, reference")
    units, lengths = torch.zeros(1, 3, 1, dtype=torch.int64), torch.tensor([3])
    with pytest.raises(DataError, match="knows only the 3 speakers"):
        model.generate(units, lengths, torch.tensor([-1]))
    with pytest.raises(DataError, match="needs to know the speaker"):
        model.generate(units, lengths)
    with pytest.raises(DataError, match="Give a recording"):
        batch_model.generate(units, lengths, torch.tensor([0]))
    with pytest.raises(ConfigError, match=r"conditioning\.speaker: reference"):
        model.speaker_vectors(torch.zeros(1, 9, 9), torch.tensor([9]))
    with pytest.raises(ConfigError, match="has no decoder"):
        model_of("supervised, lstm").generate(units, lengths)


def test_phones_are_heard_after_training():
    model = model_of("supervised, no quantiser", jitter=0.0)
    batch = batch_of(model, [30, 24])
    optimizer = torch.optim.Adam(model.parameter_groups(1e-2))
    for _ in range(120):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.total.backward()
        optimizer.step()
    assert batch.phones is not None
    assert model.decode_phones(batch.frames, batch.lengths) == batch.phones.tolist()
    with pytest.raises(ConfigError, match="no CTC head"):
        model_of("frame").decode_phones(batch.frames, batch.lengths)


# State


def test_hashes_change_with_what_units_depend_on_and_with_nothing_else():
    model = model_of("frame, all losses, 33 Hz")
    model.begin_step_(0)
    codebook, whole = model.codebook_hash(), model.model_hash()
    assert len(codebook) == len(whole) == 12
    same = model_of("frame, all losses, 33 Hz", seed=9)
    assert (same.codebook_hash() != codebook) and (same.model_hash() != whole)  # noqa: PT018
    same.load_state_dict(model.state_dict())
    assert (same.codebook_hash(), same.model_hash()) == (codebook, whole)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            before, changes = (model.codebook_hash(), model.model_hash()), name.startswith(("encoder.", "quantizer."))
            parameter.view(-1)[-1] += 0.5
            after = (model.codebook_hash(), model.model_hash())
            assert (after[1] != before[1]) == changes, name
            assert (after[0] != before[0]) == (name == "quantizer.codebook"), name
    whole = model.model_hash()
    model.mean[0] += 1
    assert model.model_hash() != whole


def test_training_state_that_changes_no_unit_changes_no_hash():
    model = model_of(quantizer={**QUANTIZER, "schedule": {"warm_up": 0, "every": 50, "until": 100}})
    model.begin_step_(0)
    batch = batch_of(model, [30, 30])
    # What a pass through the quantiser leaves behind, its normalisation's statistics apart: usage, reservoir.
    model.quantizer.front.norm.momentum = 0.0
    before = model.codebook_hash(), model.model_hash()
    model.loss(batch)
    assert (model.codebook_hash(), model.model_hash()) == before


def test_settings_that_change_units_change_the_hash():
    one = model_of()
    two = model_of(features={"mels": 8, "ceps": 3, "cmvn": "speaker"})
    two.load_state_dict(one.state_dict())
    assert two.codebook_hash() == one.codebook_hash()
    assert two.model_hash() != one.model_hash()


@pytest.mark.parametrize("name", VARIANTS)
def test_optimiser_groups_hold_every_parameter_once(name: str):
    model = model_of(name)
    groups = model.parameter_groups(1e-3)
    held = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert [g["name"] for g in groups] == (["model", "codebook"] if len(groups) == 2 else ["model"])
    if model.quantizer.codebook_parameters():
        assert groups[1]["lr"] == pytest.approx(1e-2)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_config_survives_yaml_and_a_state_dict_gives_the_units_back(name: str):
    model = model_of(name)
    config = from_tree(ModelConfig, to_tree(model.config), "again")
    assert config == model.config
    other = UnitModel(config, SPEAKERS, PHONES)
    other.load_state_dict(model.state_dict())
    batch = batch_of(model, [40, 22])
    one, two = model.encode(batch.frames, batch.lengths), other.encode(batch.frames, batch.lengths)
    assert torch.equal(one.units, two.units)
    assert torch.equal(one.values, two.values)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"targets": {"hop": 200}}, "targets need the same frames as features"),
        ({"decoder": {"kind": "none"}}, "nothing to learn"),
        ({"jitter": 2.0}, "jitter is a probability"),
        ({"weights": {"ctc": -1.0}}, "weights must be 0 or more"),
        ({"decoder": {"dropout": 1.5}}, "shares between 0 and 1"),
        ({"decoder": {"blind": -0.1}}, "shares between 0 and 1"),
    ],
)
def test_configs_that_cannot_be(tree: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        from_tree(ModelConfig, tree, "test")


def test_what_the_loss_misses_is_said():
    with pytest.raises(ConfigError, match="no phones were given"):
        UnitModel(config_of("supervised, lstm"), SPEAKERS)
    model = model_of("frame, all losses, 33 Hz")
    model.begin_step_(0)
    batch = batch_of(model, [20])
    for missing, message in (("targets", "no targets"), ("phones", "phone sequences"), ("frame_phones", "framewise")):
        with pytest.raises(DataError, match=message):
            model.loss(replace(batch, **{missing: None}))
    with pytest.raises(ConfigError, match="expected \\(9,\\) values"):
        model.set_normalisation_(torch.zeros(5), torch.ones(5))
    with pytest.raises(DataError, match="not above 0"):
        model.set_normalisation_(torch.zeros(9), torch.zeros(9))
    with pytest.raises(ConfigError, match="only a frame decoder"):
        model_of("waveform").set_target_normalisation_(torch.zeros(5), torch.ones(5))
    with pytest.raises(ConfigError, match="needs whole utterances"):
        model_of("supervised, lstm").stream()


@pytest.mark.parametrize("name", ["frame", "waveform", "waveform, mixture"])
@pytest.mark.parametrize("window", [1, 40, 2**16])
def test_without_gradients_the_loss_is_computed_in_windows(name: str, window: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("unitdisc.decoders.autoregressive.WINDOW", window)
    model = model_of(name).eval()
    batch = batch_of(model, [13, 30])
    with torch.no_grad():
        windowed = model.loss(batch).total
    assert float(windowed) == pytest.approx(float(model.loss(batch).total.detach()), rel=1e-5)


@pytest.mark.gpu
def test_lengths_and_seeds_may_lie_on_the_cpu_while_the_model_is_on_a_gpu():
    model = model_of("frame").eval().cuda()
    frames, lengths = torch.randn(2, 30, model.dim_in), torch.tensor([30, 17])
    encoded = model.encode(frames.cuda(), lengths)
    assert encoded.lengths.tolist() == [-(-30 // model.stride), -(-17 // model.stride)]
    assert (encoded.units[1, int(encoded.lengths[1]) :] == -1).all()
    for point in ("encoder", "projection", "vq", "conditioning"):
        assert model.probe(frames.cuda(), lengths, point)[0].is_cuda
    made = model.generate(encoded.units, encoded.lengths.cpu(), torch.tensor([0, 0]).cuda(), torch.tensor([1, 2]))
    assert made.is_cuda
