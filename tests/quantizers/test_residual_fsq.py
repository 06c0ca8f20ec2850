"""Residual and finite scalar quantisation behind the same interface."""

import pytest
import torch

from unitdisc.quantizers import (
    FSQ,
    OFF,
    EMAConfig,
    FSQConfig,
    IdentityConfig,
    KMeansConfig,
    ResidualVQ,
    ResidualVQConfig,
    ScheduleConfig,
    VQConfig,
    build_quantizer,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def test_residual_by_hand():
    q = ResidualVQ(1, ResidualVQConfig(codes=2, codebooks=2, dim=None, norm="none", schedule=OFF))
    q.codebook.data.copy_(torch.tensor([[[0.0], [10.0]], [[-1.0], [2.0]]]))
    x = torch.tensor([[[1.0], [9.5]]], requires_grad=True)
    out = q(x)
    assert out.units[0].tolist() == [[0, 1], [1, 0]]
    assert out.values[0, :, 0].tolist() == [2.0, 9.0]
    # Left over: 1 and -0.5 after the first codebook, -1 and 0.5 after the second.
    assert out.loss.item() == pytest.approx(1.25 * ((1 + 0.25) / 2 + (1 + 0.25) / 2))
    out.loss.backward()
    assert q.codebook.grad.flatten().tolist() == pytest.approx([-1.0, 0.5, -0.5, 1.0])
    # Each codebook pulls x towards its own codeword.
    assert x.grad.flatten().tolist() == pytest.approx([0.25 * (1 - 1), 0.25 * (-0.5 + 0.5)])


def test_each_codebook_of_a_residual_quantiser_leaves_less():
    q = ResidualVQ(8, ResidualVQConfig(codes=16, codebooks=4, dim=None, schedule=ScheduleConfig(1, 1, 1.0, 1)))
    q.begin_step_(0)
    q(draw(4, 200, 8))
    q.begin_step_(1)
    x = draw(4, 200, 8)
    units = q(x).units
    z = q.project(x)
    errors = []
    for used in range(5):
        values = sum(q.codebook[g][units[..., g]] for g in range(used)) if used else torch.zeros_like(z)
        errors.append(float((values - z).detach().square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < 0.5 * errors[1]


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3, 4), (4,)])
def test_fsq_equals_vector_quantize_pytorch(levels):
    from vector_quantize_pytorch import FSQ as Peer

    q = FSQ(len(levels), FSQConfig(levels=levels, norm="none"))
    q.front.projection = None
    peer = Peer(list(levels))
    x = draw(3, 50, len(levels)) * 2
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, (values, units) = q(ours), peer(theirs)
    torch.testing.assert_close(out.values, values)
    assert torch.equal(out.units[..., 0], units.long())
    weight = draw(3, 50, len(levels), seed=1)
    (out.values * weight).sum().backward()
    (values * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert torch.equal(q.decode(out.units), out.values.detach())


def test_every_unit_of_fsq_decodes_to_its_own_point():
    q = FSQ(3, FSQConfig(levels=(4, 3, 5)))
    points = q.decode(torch.arange(60).view(1, 60, 1))[0]
    assert len(points.unique(dim=0)) == 60
    assert points.abs().max() == 1


@pytest.mark.parametrize(
    "config",
    [
        VQConfig(codes=5, codebooks=2, dim=6, schedule=OFF),
        EMAConfig(codes=5, dim=6, schedule=OFF),
        ResidualVQConfig(codes=5, codebooks=3, dim=6, schedule=OFF),
        FSQConfig(levels=(4, 3)),
        KMeansConfig(codes=5),
        IdentityConfig(),
    ],
    ids=lambda config: config.kind,
)
def test_values_are_made_of_codewords(config):
    quantizer = build_quantizer(config, 6, torch.Generator().manual_seed(0)).eval()
    if isinstance(config, KMeansConfig):
        quantizer.codebook.normal_()
    words = quantizer.codewords()
    assert [len(w) for w in words] == list(quantizer.codes)
    if not words:
        return
    units = torch.stack([torch.randint(k, (1, 20)) for k in quantizer.codes], 2)
    chosen = [w[units[0, :, group]] for group, w in enumerate(words)]
    wanted = sum(chosen) if config.kind == "rvq" else torch.cat(chosen, 1)
    torch.testing.assert_close(quantizer.decode(units)[0], wanted)
