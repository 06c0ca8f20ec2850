"""Muon: what PyTorch's own does with matrices, what AdamW does with the rest, and what the definition says."""

import copy

import pytest
import torch
from torch import Tensor

from unitdisc.muon import ITERATIONS, QUINTIC, Muon, orthogonal

RATE, DECAY, MOMENTUM = 0.01, 0.1, 0.9


def muon(groups: list[dict], matrices: list[Tensor], **more: object) -> Muon:
    return Muon(groups, matrices, RATE, (0.9, 0.98), DECAY, 1.0, MOMENTUM, **more)  # type: ignore[arg-type]


def gradients(parameters: list[Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
@pytest.mark.parametrize("shape", [(6, 24), (24, 7), (16, 16)])
def test_a_matrix_takes_the_steps_of_pytorchs_muon(shape: tuple[int, int]):
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, shape[0] * shape[1]).reshape(shape)) for _ in range(2))
    start = ours.detach().clone()
    mine = muon([{"params": [ours]}], [ours], dtype=torch.bfloat16)
    peer = torch.optim.Muon([theirs], RATE, DECAY, MOMENTUM)
    for seed in range(5):
        gradients([ours], seed)
        theirs.grad = ours.grad.clone()
        mine.step()
        peer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), atol=0.1 * RATE, rtol=0)  # 8 bits of precision
    assert (ours.detach() - start).abs().max() > RATE


@pytest.mark.parametrize("shape", [(3, 5, 9), (2, 9, 5), (1, 8, 8)])
def test_singular_values_go_through_the_polynomial_and_vectors_stay(shape: tuple[int, int, int]):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, values, right = torch.linalg.svd(x.double(), full_matrices=False)
    values = values / values.square().sum(1, keepdim=True).sqrt()
    for _ in range(ITERATIONS):
        values = QUINTIC[0] * values + QUINTIC[1] * values**3 + QUINTIC[2] * values**5
    wanted = left @ torch.diag_embed(values) @ right
    torch.testing.assert_close(orthogonal([x])[0].double(), wanted, atol=2e-5, rtol=0)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_stacks_of_several_shapes_come_back_in_their_order():
    shapes = [(2, 4, 6), (1, 6, 4), (1, 3, 3), (3, 4, 6)]
    stacks = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate(shapes)]
    for stack, found in zip(stacks, orthogonal(stacks), strict=True):
        for one, alone in zip(stack, found, strict=True):
            torch.testing.assert_close(orthogonal([one[None]])[0][0], alone, atol=1e-5, rtol=0)


def test_gates_are_matrices_of_their_own_and_taps_are_inputs():
    whole = torch.nn.Parameter(torch.zeros(8, 4, 3))  # of a convolution with three taps and a gate
    halves = [torch.nn.Parameter(torch.zeros(4, 12)) for _ in range(2)]
    gradients([whole], 0)
    for half, gradient in zip(halves, whole.grad.chunk(2), strict=True):
        half.grad = gradient.reshape(4, 12).clone()
    muon([{"params": [whole]}], [whole]).step()
    muon([{"params": halves}], halves).step()
    torch.testing.assert_close(whole.detach().reshape(8, 12), torch.cat(halves).detach())


def test_the_rest_takes_the_steps_of_adamw():
    ours, theirs = ([torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(4, 4))] for _ in range(2))
    mine = muon([{"params": ours}], [ours[1]])
    peer = torch.optim.AdamW(theirs, RATE, (0.9, 0.98), weight_decay=DECAY)
    for seed in range(4):
        gradients(ours, seed)
        gradients(theirs, seed)
        mine.step()
        peer.step()
    torch.testing.assert_close(ours[0], theirs[0])
    assert not torch.allclose(ours[1], theirs[1])
    assert ours[1].grad is not None


def test_a_group_has_its_own_rate_and_a_matrix_without_gradient_stays():
    slow, fast, still = (torch.nn.Parameter(torch.eye(4)) for _ in range(3))
    gradients([slow], 0)
    fast.grad = slow.grad.clone()
    optimizer = muon([{"params": [slow, still]}, {"params": [fast], "lr": 10 * RATE}], [slow, fast, still])
    optimizer.step()
    torch.testing.assert_close((fast - still).detach(), 10 * (slow - still).detach(), atol=1e-6, rtol=1e-4)
    assert torch.equal(still, torch.eye(4))


def test_what_was_saved_goes_on_the_same():
    ours, again = ([torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.eye(4))] for _ in range(2))
    first, second = muon([{"params": ours}], ours[1:]), muon([{"params": again}], again[1:])
    gradients(ours, 0)
    first.step()
    with torch.no_grad():
        for one, other in zip(again, ours, strict=True):
            one.copy_(other)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for parameters, optimizer in ((ours, first), (again, second)):
        gradients(parameters, 1)
        optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, again, strict=True))


def test_a_step_that_is_left_out_changes_nothing():
    matrix = torch.nn.Parameter(torch.eye(4))
    optimizer = muon([{"params": [matrix]}], [matrix])
    gradients([matrix], 0)
    matrix.grad[0] = float("nan")
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert torch.equal(matrix, torch.eye(4))
    assert not optimizer.state[matrix]["momentum"].any()
    gradients([matrix], 0)
    optimizer.found_inf = torch.zeros(())
    optimizer.step()
    assert not torch.equal(matrix, torch.eye(4))
