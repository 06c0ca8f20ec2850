"""Moving-average codebooks: Proposition 1, the usual implementation, and the traps it has."""

import reference_quantizers as reference
import torch

from unitdisc.quantizers import EMA, OFF, VQ, EMAConfig, ScheduleConfig, VQConfig


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def plain(dim: int, codes: int, decay: float, **options) -> EMA:
    q = EMA(dim, EMAConfig(codes=codes, dim=None, norm="none", decay=decay, schedule=OFF, **options))
    q.codebook.copy_(draw(*q.codebook.shape, seed=1))
    return q


def test_proposition_1_constant_counts_of_one_are_sgd_at_half_of_one_minus_decay():
    decay, codes, dim = 0.9, 12, 5
    words = draw(codes, dim) * 20  # far apart: each vector belongs to the codeword that it was made from
    ema = plain(dim, codes, decay)
    ema.codebook.copy_(words[None])
    sgd = VQ(dim, VQConfig(codes=codes, dim=None, norm="none", loss="vector-sum", schedule=OFF))
    sgd.codebook.data.copy_(words[None])
    # The loss is a mean over vectors, the proposition's a sum over them.
    optimizer = torch.optim.SGD([sgd.codebook], lr=(1 - decay) / 2 * codes)
    for step in range(8):
        x = (words + draw(codes, dim, seed=step))[None]
        ema(x)
        optimizer.zero_grad()
        sgd(x).loss.backward()
        optimizer.step()
        assert (ema.usage_average == 1).all()
        torch.testing.assert_close(ema.codebook, sgd.codebook.detach(), rtol=1e-5, atol=1e-5)
    assert (ema.codebook[0] - words).abs().max() > 0.1


def test_proposition_1_in_general_the_step_is_inverse_to_recent_usage():
    decay = 0.8
    q = plain(3, 10, decay)
    for step in range(8):
        x = draw(1, 37, 3, seed=step)
        words, average = q.codebook[0].clone(), q.usage_average[0].clone()
        units = q(x).units[0, :, 0]
        for i in range(10):
            mine = x[0, units == i]
            expected = words[i]
            if len(mine):
                new = decay * average[i] + (1 - decay) * len(mine)
                expected = words[i] + (1 - decay) * len(mine) / new * (mine.mean(0) - words[i])
            torch.testing.assert_close(q.codebook[0, i], expected, rtol=1e-5, atol=1e-5)


def test_equal_to_the_pair_of_averages():
    q = plain(4, 9, 0.9)
    words, average = q.codebook[0].double(), q.usage_average[0].double()
    for step in range(20):
        x = draw(1, 50, 4, seed=step)
        words, average = reference.ema(words, average, x[0].double(), 0.9)
        q(x)
        torch.testing.assert_close(q.codebook[0].double(), words, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(q.usage_average[0].double(), average, rtol=1e-4, atol=1e-5)


def test_equal_to_vector_quantize_pytorch_step_by_step():
    from vector_quantize_pytorch import VectorQuantize

    codes, dim = 24, 6
    peer = VectorQuantize(dim, codes, decay=0.9, eps=0.0, commitment_weight=0.25, rotation_trick=False)
    q = plain(dim, codes, 0.9)
    peer._codebook.embed.copy_(q.codebook)
    peer._codebook.embed_avg.copy_(q.codebook)
    for step in range(25):
        x = draw(2, 40, dim, seed=step) + 0.1 * step
        ours_in, theirs_in = x.clone().requires_grad_(), x.clone().requires_grad_()
        weight = draw(2, 40, dim, seed=step + 100)
        out = q(ours_in)
        values, units, loss = peer(theirs_in)
        ((out.values * weight).sum() + out.loss).backward()
        ((values * weight).sum() + loss.sum()).backward()
        assert torch.equal(out.units[..., 0], units)
        torch.testing.assert_close(out.values, values, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(out.loss, loss.sum(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(q.codebook, peer._codebook.embed, rtol=1e-4, atol=1e-5)


def test_codewords_that_nobody_uses_stay_where_they_are():
    q = plain(3, 10, 0.5)
    q.codebook[0, 5:] += 1000
    before = q.codebook[0, 5:].clone()
    for step in range(400):  # their usage averages underflow
        q(draw(1, 20, 3, seed=step))
    assert torch.equal(q.codebook[0, 5:], before)
    assert torch.isfinite(q.codebook).all()
    x = torch.full((1, 4, 3), 1000.0)
    q(x)  # and one that is found again comes back to its vectors at once
    assert (q.codebook[0] - 1000).abs().amin(0).max() < 1e-2


def test_reestimation_leaves_no_stale_averages():
    schedule = ScheduleConfig(warm_up=0, every=4, until=4)
    q = EMA(6, EMAConfig(codes=8, dim=None, norm="none", decay=0.9, schedule=schedule), seeded(0))
    for step in range(4):
        q.begin_step_(step)
        q(draw(2, 40, 6, seed=step) * 5)
    q.begin_step_(4)
    after = q.codebook.clone()
    # 80 vectors came at each step, and so many the averages expect.
    assert abs(float(q.usage_average.sum()) - 80) < 1e-3
    q(draw(2, 40, 6, seed=9) * 5)
    assert (q.codebook - after).norm() < 0.2 * after.norm()


def test_a_codebook_that_is_set_from_a_sample_is_not_forgotten_at_once():
    schedule = ScheduleConfig(warm_up=0, every=4, until=4)
    q = EMA(6, EMAConfig(codes=8, dim=None, norm="none", schedule=schedule), seeded(0))
    q.begin_step_(0)
    q.begin_(draw(200, 6), seeded(1))  # nothing has been seen by the reservoir
    assert abs(float(q.usage_average.sum()) - 8) < 1e-3
    before = q.codebook.clone()
    q(draw(1, 64, 6, seed=9))
    assert (q.codebook - before).norm() < 0.1 * before.norm()


def test_only_the_commitment_is_counted_and_pulls_x_alone():
    q = plain(4, 9, 0.9)
    x = draw(1, 30, 4).requires_grad_()
    words = q.codebook[0].clone()
    out = q(x)
    expected = 0.25 * (x.detach()[0] - words[out.units[0, :, 0]]).square().mean()
    assert torch.isclose(out.loss, expected)
    assert q.codebook_parameters() == []
    assert list(q.parameters()) == []
