"""Random numbers by row: those of splitmix64, uniform, and never shared by two uses."""

import ast
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TOP
from reference_networks import splitmix

from unitdisc.networks.configs import PerturbationConfig
from unitdisc.networks.draws import RandomStream, draw_seeds, output_uniforms, row_dropout, row_uniforms
from unitdisc.networks.jitter import drop_frames
from unitdisc.networks.perturb import Perturbation

OWN_FUNCTION = (RandomStream.OUTPUT, RandomStream.LAYER_DROPOUT)  # of draws.py: nobody else draws from them
PACKAGE = TOP / "unitdisc"


@given(seeds=st.lists(st.integers(0, 2**62 - 1), min_size=1, max_size=3), stream=st.sampled_from(RandomStream))
@settings(max_examples=30, deadline=None)
def test_uniforms_are_splitmix_of_seed_and_time(seeds: list[int], stream: RandomStream):
    u = row_uniforms(torch.tensor(seeds), 5, stream)
    assert u.tolist() == [[splitmix(seed, t, stream) for t in range(5)] for seed in seeds]


def test_an_output_draws_from_the_streams_above_all_others():
    seeds = draw_seeds(2, torch.Generator().manual_seed(1))
    u = output_uniforms(seeds, 4, 3)
    assert u.tolist() == [[[splitmix(s, t, 16 + k) for k in range(3)] for t in range(4)] for s in seeds.tolist()]
    assert max(stream for stream in RandomStream if stream is not RandomStream.OUTPUT) < RandomStream.OUTPUT


def test_uniforms_are_uniform_and_rows_and_streams_independent():
    seeds = draw_seeds(200, torch.Generator().manual_seed(1))
    one, two = row_uniforms(seeds, 500, RandomStream(1)).double(), row_uniforms(seeds, 500, RandomStream(2)).double()
    assert 0 <= one.min() < one.max() < 1
    counts = torch.histc(one.flatten(), 50, 0, 1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 100  # chi-square of 49 degrees of freedom: 85 at 0.1 %
    flat = torch.stack([one.flatten(), two.flatten(), one.roll(1, 0).flatten(), one.roll(1, 1).flatten()])
    correlation = torch.corrcoef(flat) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 4.5 / 100_000**0.5


def test_seeds_follow_the_generator():
    one, two = (draw_seeds(4, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert len(one.unique()) == 4


@pytest.mark.parametrize("stream", RandomStream)
def test_draws_of_a_row_do_not_depend_on_padding_or_on_other_rows(stream: RandomStream):
    seeds = draw_seeds(3, torch.Generator().manual_seed(5))
    assert torch.equal(row_uniforms(seeds, 9, stream)[1:2, :4], row_uniforms(seeds[1:2], 4, stream))


def uses(source: str) -> tuple[Counter[str], list[int]]:
    """Return how often code draws from each stream, and the lines where a stream is not named."""
    named: Counter[str] = Counter()
    unnamed = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "row_uniforms":
            stream = ([*node.args[2:], *(k.value for k in node.keywords if k.arg == "stream")] or [None])[0]
            if isinstance(stream, ast.Attribute) and getattr(stream.value, "id", "") == "RandomStream":
                named[stream.attr] += 1
            else:
                unnamed.append(node.lineno)
    return named, unnamed


def test_no_two_uses_share_a_stream():
    total: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        named, unnamed = uses(path.read_text("utf-8"))
        assert not unnamed, f"{path}: a stream without a name in line {unnamed}"
        total += named
    assert total == Counter(stream.name for stream in RandomStream if stream not in OWN_FUNCTION)
    assert uses("row_uniforms(s, 1, 3); row_uniforms(s, 1, stream=RandomStream.A)") == (Counter({"A": 1}), [1])


def test_rows_without_past_are_stretched_as_any_others_are():
    seeds = draw_seeds(4000, torch.Generator().manual_seed(2))
    hidden = drop_frames(torch.ones(4000, 1, 1), 0.0, 0.2, seeds)[:, 0, 0] == 0
    stretch = Perturbation(PerturbationConfig(warp=0.2), torch.linspace(100, 8000, 40)).train()
    frames = torch.linspace(0, 1, 40).expand(4000, 1, 40)
    change = (stretch(frames, seeds) - frames).mean((1, 2))  # grows with the stretch
    assert change.abs().max() > 0.01
    difference = change[hidden].mean() - change[~hidden].mean()
    assert difference.abs() < 4 * change.std() / (0.16 * 4000) ** 0.5


def test_dropout_keeps_the_mean_and_draws_numbers_one_by_one():
    seeds = draw_seeds(40, torch.Generator().manual_seed(1))
    dropped = row_dropout(torch.ones(40, 50, 30), 0.25, seeds, 0)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=4.5 * (0.25 / 0.75 / dropped.numel()) ** 0.5)
    other = row_dropout(torch.ones(40, 50, 30), 0.25, seeds, 1)
    both = [dropped, other, dropped.roll(1, 0), dropped.roll(1, 1), dropped.roll(1, 2), dropped.roll(4, 2)]
    correlation = torch.corrcoef(torch.stack([x.flatten() for x in both])) - torch.eye(len(both))
    assert correlation.abs().max() < 4.5 / dropped.numel() ** 0.5


def test_dropout_of_a_row_does_not_depend_on_padding_or_on_other_rows():
    seeds = draw_seeds(3, torch.Generator().manual_seed(5))
    x = torch.randn(3, 9, 6)
    assert torch.equal(row_dropout(x, 0.5, seeds, 2)[1:2, :4], row_dropout(x[1:2, :4], 0.5, seeds[1:2], 2))
