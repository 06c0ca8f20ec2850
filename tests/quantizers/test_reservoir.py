"""The reservoir is uniform, exact, and a function of what came, not of how it came."""

import reference_quantizers as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.quantizers.reservoir import Reservoir


def numbered(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32)[:, None]


def filled(capacity: int, blocks: list[int], seed: int) -> Reservoir:
    reservoir = Reservoir(capacity, 1, seed)
    start = 0
    for count in blocks:
        reservoir.add_(numbered(start, count))
        start += count
    return reservoir


@settings(max_examples=60, deadline=None)
@given(capacity=st.integers(1, 30), blocks=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 1000))
def test_equal_to_algorithm_r_one_by_one_for_any_blocks(capacity, blocks, seed):
    total = sum(blocks)
    draws = torch.rand(total, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).tolist()
    seen, held = reference.reservoir(0, [], capacity, list(range(total)), draws)
    reservoir = filled(capacity, blocks, seed)
    assert reservoir.seen == seen
    assert reservoir.vectors.flatten().tolist() == held


def test_each_vector_is_kept_with_the_same_probability():
    capacity, total, runs = 20, 160, 3000
    counts = torch.zeros(total)
    for seed in range(runs):
        kept = filled(capacity, [7, 50, 60, 43], seed).vectors.flatten().long()
        assert len(kept.unique()) == capacity
        counts[kept] += 1
    share = capacity / total
    expected = runs * share
    # Draws without replacement: the statistic below has `total - 1` degrees of freedom.
    chi2 = float(((counts - expected) ** 2 / (expected * (1 - share))).sum()) * (total - 1) / total
    assert abs(chi2 - (total - 1)) < 4 * (2 * (total - 1)) ** 0.5


def test_state_goes_on_bit_for_bit():
    whole = filled(10, [30, 30, 30], 5)
    half = filled(10, [30], 5)
    resumed = Reservoir(10, 1, 99)
    resumed.load_state_dict(half.state_dict())
    resumed.add_(numbered(30, 30))
    resumed.add_(numbered(60, 30))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


def test_what_is_saved_does_not_change_afterwards():
    reservoir = filled(10, [30], 5)
    state = reservoir.state_dict()
    before = state["vectors"].clone()
    reservoir.add_(numbered(100, 200))
    assert torch.equal(state["vectors"], before)


def test_reset_forgets_the_vectors_but_not_the_generator():
    reservoir = filled(10, [30], 5)
    reservoir.reset_()
    assert (reservoir.seen, len(reservoir.vectors)) == (0, 0)
    other = filled(10, [], 5)
    reservoir.add_(numbered(0, 30))
    other.add_(numbered(0, 30))
    assert not torch.equal(reservoir.vectors, other.vectors)
