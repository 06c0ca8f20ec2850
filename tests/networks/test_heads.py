"""The supervised heads: CTC against all paths, the classifier of every unit, and padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_networks import ctc_nll

from unitdisc.config import from_tree
from unitdisc.errors import ConfigError
from unitdisc.networks.configs import HeadConfig
from unitdisc.networks.heads import CTCHead, FramewiseHead

SMALL = HeadConfig(channels=6, layers=2)


def ctc_head() -> CTCHead:
    torch.manual_seed(0)
    return CTCHead(SMALL, 5, 2).double()


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    phones=st.lists(st.lists(st.integers(0, 1), max_size=4), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_ctc_is_the_sum_over_all_paths_and_counts_what_cannot_be_said(
    lengths: list[int], phones: list[list[int]], seed: int
):
    head, phones = ctc_head(), phones[: len(lengths)]
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), max(lengths) + 1, 5, dtype=torch.float64, generator=generator)
    n = torch.tensor(lengths)
    labels = torch.full((len(phones), 5), -1)
    for row, own in enumerate(phones):
        labels[row, : len(own)] = torch.tensor(own, dtype=torch.int64)
    loss = head.loss(values, n, labels, torch.tensor([len(own) for own in phones]))
    log_p = head(values, n).log_softmax(-1).detach()
    each = [ctc_nll(log_p[row, :length], own) for row, (length, own) in enumerate(zip(lengths, phones, strict=True))]
    possible = [x for x, length in zip(each, lengths, strict=True) if x < float("inf") and length > 0]
    assert float(loss.total.detach()) == pytest.approx(sum(possible), rel=1e-5, abs=1e-5)
    assert int(loss.used) == len(possible)
    assert int(loss.left_out) == len(lengths) - len(possible)


def test_an_impossible_utterance_gives_no_gradient_and_no_nan():
    head = ctc_head()
    values = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 0, 1], [1, -1, -1]])  # 0, 0 needs a blank between: four units for three phones
    loss = head.loss(values, torch.tensor([3, 3]), labels, torch.tensor([3, 1]))
    loss.total.backward()
    assert values.grad is not None
    assert (values.grad[0] == 0).all()
    assert (values.grad[1] != 0).any()
    assert torch.isfinite(values.grad).all()
    assert (int(loss.used), int(loss.left_out)) == (1, 1)


def test_best_path_merges_equal_neighbours_and_drops_blanks():
    head = ctc_head()
    path = [0, 1, 1, 0, 1, 2, 2, 0]  # blank, phone 0 twice, blank, phone 0, phone 1 twice, blank
    head.forward = lambda values, lengths: torch.nn.functional.one_hot(torch.tensor([path, path]), 3)  # type: ignore
    assert head.decode(torch.zeros(2, 8, 5), torch.tensor([8, 5])) == [[0, 0, 1], [0, 0]]


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4), extra=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_framewise_is_the_cross_entropy_of_labelled_units_within_the_utterances(
    lengths: list[int], extra: int, seed: int
):
    torch.manual_seed(seed)
    head = FramewiseHead(SMALL, 5, 3).double()
    frames = max(lengths) + extra
    values, n = torch.randn(len(lengths), frames, 5, dtype=torch.float64), torch.tensor(lengths)
    labels = torch.randint(-1, 3, (len(lengths), frames))
    loss = head.loss(values, n, labels)
    total, used = 0.0, 0
    for row, length in enumerate(lengths):
        log_p = head(values[row : row + 1, :length], n[row : row + 1])[0].log_softmax(-1).detach()
        for t in range(length):
            if labels[row, t] >= 0:
                total, used = total - float(log_p[t, labels[row, t]]), used + 1
    assert float(loss.total.detach()) == pytest.approx(total, rel=1e-5, abs=1e-6)
    assert int(loss.used) == used
    assert int(loss.left_out) == sum(lengths) - used


def test_an_alignment_may_be_shorter_or_longer_than_the_units():
    torch.manual_seed(0)
    head, values, n = FramewiseHead(SMALL, 5, 3), torch.randn(1, 4, 5), torch.tensor([4])
    labels = torch.tensor([[0, 1, 2, 0, 1, 1]])
    exact = head.loss(values, n, labels[:, :4])
    assert torch.equal(head.loss(values, n, labels).total, exact.total)
    short = head.loss(values, n, labels[:, :3])
    assert (int(short.used), int(short.left_out)) == (3, 1)


def test_a_head_may_be_linear_only():
    head = CTCHead(HeadConfig(layers=0), 5, 2)
    assert [name for name, _ in head.named_parameters()] == ["output.weight", "output.bias"]
    assert head(torch.randn(2, 4, 5), torch.tensor([4, 2])).shape == (2, 4, 3)


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match="the kernel odd"):
        from_tree(HeadConfig, {"kernel": 4}, "test")
