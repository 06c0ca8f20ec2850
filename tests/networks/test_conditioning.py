"""Time jitter, hidden frames, the convolution over units, and where the voice comes from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_networks import jitter_sources, pooled

from unitdisc.errors import ConfigError, DataError
from unitdisc.networks.conditioning import Conditioning
from unitdisc.networks.configs import ConditioningConfig
from unitdisc.networks.draws import RandomStream, draw_seeds, row_uniforms
from unitdisc.networks.jitter import TimeJitter, drop_frames

SMALL = {"channels": 6, "speaker_dim": 4, "reference_channels": 5}


@given(
    lengths=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    probability=st.sampled_from([0.12, 0.5, 1.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=50, deadline=None)
def test_jitter_takes_neighbours_within_the_utterance(lengths: list[int], extra: int, probability: float, seed: int):
    frames = max(lengths) + extra
    seeds = draw_seeds(len(lengths), torch.Generator().manual_seed(seed))
    x = torch.arange(len(lengths) * frames * 2.0).view(len(lengths), frames, 2)
    y = TimeJitter(probability).train()(x, torch.tensor(lengths), seeds)
    u = row_uniforms(seeds, frames, RandomStream.TIME_JITTER).tolist()
    for row, length in enumerate(lengths):
        sources = jitter_sources(length, frames, u[row], probability)
        assert torch.equal(y[row], x[row, sources])


def test_jitter_replaces_at_the_asked_rate_only_while_training():
    x = torch.arange(100_000.0).view(10, 10_000, 1)
    lengths, seeds = torch.full((10,), 10_000), draw_seeds(10, torch.Generator().manual_seed(3))
    jitter = TimeJitter(0.12)
    moved = jitter(x, lengths, seeds) - x
    assert abs((moved != 0).double().mean() - 0.12) < 4 * (0.12 * 0.88 / 1e5) ** 0.5
    assert abs((moved > 0).double().mean() - 0.06) < 4 * (0.06 * 0.94 / 1e5) ** 0.5
    assert torch.equal(jitter.eval()(x, lengths, seeds), x)
    assert torch.equal(TimeJitter(0.0).train()(x, lengths, seeds), x)


def test_hidden_frames_are_whole_and_as_many_as_asked():
    seeds = draw_seeds(8, torch.Generator().manual_seed(2))
    y = drop_frames(torch.ones(8, 5000, 3), 0.3, 0.0, seeds)
    assert set(y.sum(2).unique().tolist()) == {0.0, 3.0}
    assert abs((y[:, :, 0] == 0).double().mean() - 0.3) < 4 * (0.21 / 40_000) ** 0.5


def test_rows_are_hidden_whole():
    seeds = draw_seeds(4000, torch.Generator().manual_seed(2))
    y = drop_frames(torch.ones(4000, 5, 3), 0.0, 0.2, seeds)
    assert set(y.sum((1, 2)).unique().tolist()) == {0.0, 15.0}
    assert abs((y[:, 0, 0] == 0).double().mean() - 0.2) < 4 * (0.16 / 4000) ** 0.5


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), extra=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_content_does_not_depend_on_padding(lengths: list[int], extra: int):
    torch.manual_seed(0)
    conditioning = Conditioning(ConditioningConfig(**SMALL), 5, 7, 3).double()
    values = torch.randn(len(lengths), max(lengths) + extra, 5, dtype=torch.float64)
    y = conditioning.content(values, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        torch.testing.assert_close(y[row, :n], conditioning.content(values[row : row + 1, :n], torch.tensor([n]))[0])
        assert (y[row, n:] == 0).all()


def test_content_is_a_convolution_of_three_units():
    torch.manual_seed(0)
    conditioning = Conditioning(ConditioningConfig(**SMALL), 5, 7, 3)
    values = torch.randn(1, 9, 5, requires_grad=True)
    conditioning.content(values, torch.tensor([9]))[:, 4].sum().backward()
    assert values.grad is not None
    assert values.grad.abs().sum((0, 2)).nonzero().flatten().tolist() == [3, 4, 5]


def test_every_unit_is_told_the_speaker():
    torch.manual_seed(0)
    conditioning = Conditioning(ConditioningConfig(**SMALL), 5, 7, 3)
    speaker = conditioning.speaker_vectors(torch.tensor([2, 0]))
    content = torch.randn(2, 4, 6)
    y = conditioning(content, speaker)
    assert y.shape == (2, 4, conditioning.dim) == (2, 4, 10)
    assert torch.equal(y[:, :, :6], content)
    assert conditioning.table is not None
    assert torch.equal(y[0, 3, 6:], conditioning.table.weight[2])


def test_a_table_refuses_strangers_and_says_what_to_do():
    conditioning = Conditioning(ConditioningConfig(**SMALL), 5, 7, 3)
    for stranger in (-1, 3):
        with pytest.raises(DataError, match=r"knows only the 3 speakers.*conditioning\.speaker: reference"):
            conditioning.speaker_vectors(torch.tensor([0, stranger]))
    assert conditioning.table is not None
    mean = conditioning.speaker_vectors(torch.tensor([-1, 1]), strict=False)
    assert mean is not None
    torch.testing.assert_close(mean[0], conditioning.table.weight.mean(0))
    torch.testing.assert_close(mean[1], conditioning.table.weight[1])


def test_a_table_without_speakers_is_refused():
    with pytest.raises(ConfigError, match="has no speakers"):
        Conditioning(ConditioningConfig(), 5, 7, 0)


def test_the_kinds_of_speaker_say_what_they_need():
    content = torch.randn(1, 4, 6)
    none = Conditioning(ConditioningConfig(speaker="none", **SMALL), 5, 7, 0)
    assert none.dim == 6
    assert none.speaker_vectors(torch.tensor([5])) is None
    assert torch.equal(none(content, None), content)
    reference = Conditioning(ConditioningConfig(speaker="reference", **SMALL), 5, 7, 0)
    with pytest.raises(DataError, match="Give a recording"):
        reference.speaker_vectors(torch.tensor([0]))
    with pytest.raises(DataError, match="needs to know the speaker"):
        reference(content, None)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), extra=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_a_reference_vector_does_not_depend_on_padding_and_pools_over_time(lengths: list[int], extra: int):
    torch.manual_seed(0)
    encoder = Conditioning(ConditioningConfig(speaker="reference", **SMALL), 5, 7, 0).double().reference
    assert encoder is not None
    frames = torch.randn(len(lengths), max(lengths) + extra, 7, dtype=torch.float64)
    vectors = encoder(frames, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        x = frames[row : row + 1, :n].transpose(1, 2)
        hidden = encoder.second(encoder.first(x).relu()).relu()[0].T
        torch.testing.assert_close(vectors[row], encoder.output(pooled(hidden)))
