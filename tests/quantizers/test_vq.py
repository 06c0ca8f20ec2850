"""The gradient codebook: equal to the oracle, and unmoved by what must not matter."""

import copy

import pytest
import reference_quantizers as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unitdisc.errors import CheckpointError, ConfigError, UnitdiscError
from unitdisc.quantizers import (
    EMA,
    OFF,
    VQ,
    EMAConfig,
    FSQConfig,
    IdentityConfig,
    KMeansConfig,
    ResidualVQConfig,
    ScheduleConfig,
    VQConfig,
    build_quantizer,
)
from unitdisc.quantizers.search import CPU_CHUNK, nearest, nearest_units

QUICK = ScheduleConfig(warm_up=3, every=3, until=9, reservoir=300)
TRAINED = (
    VQConfig(codes=20, dim=8, schedule=QUICK),
    VQConfig(codes=20, codebooks=2, dim=8, norm="before-vq", schedule=QUICK),
    EMAConfig(codes=20, dim=8, schedule=QUICK),
    ResidualVQConfig(codes=20, codebooks=2, dim=8, schedule=QUICK),
    FSQConfig(levels=(4, 3)),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def plain(dim: int, codes: int, **options) -> VQ:
    """Return a VQ without normalisation, projection and schedule, its codewords as wide as the data."""
    q = VQ(dim, VQConfig(codes=codes, dim=None, norm="none", schedule=OFF, **options), seeded(0))
    q.codebook.data.copy_(draw(*q.codebook.shape, seed=1))
    return q


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    codes=st.integers(1, 130),
    books=st.integers(1, 3),
    inner=st.integers(1, 5),
    scale=st.sampled_from([1e-3, 1.0, 300.0]),
    shift=st.sampled_from([0.0, 50.0]),
    per_vector=st.booleans(),
    commitment=st.sampled_from([0.0, 0.25, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_values_units_loss_and_gradients_equal_the_oracle(
    n, codes, books, inner, scale, shift, per_vector, commitment, seed
):
    dim = books * inner
    q = plain(dim, codes, codebooks=books, commitment=commitment, loss="vector-sum" if per_vector else "element-mean")
    q.codebook.data.copy_(draw(books, codes, inner, seed=seed) * scale + shift)
    x = draw(1, n, dim, seed=seed + 1) * scale + shift
    for group in range(books):
        part = x[0].view(n, books, inner)[:, group]
        distances = reference.search(part, q.codebook[group].detach())[1]
        if reference.ties(distances / scale**2).any():
            return  # a tie may go either way
    weight = draw(1, n, dim, seed=seed + 2)
    x = x.requires_grad_()
    out = q(x)
    (out.loss + (out.values * weight).sum()).backward()

    x64 = x.detach()[0].double().requires_grad_()
    words = q.codebook.detach().double().requires_grad_()
    values, units, loss = reference.vq(x64, words, commitment, per_vector)
    (loss + (values * weight[0]).sum()).backward()

    assert torch.equal(out.units[0], units)
    assert torch.equal(out.values[0].detach(), torch.cat([w[u] for w, u in zip(q.codebook, units.T, strict=True)], 1))
    assert torch.isclose(out.loss.double(), loss, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(x.grad[0].double(), x64.grad, rtol=1e-3, atol=1e-4 * (1 + scale))
    torch.testing.assert_close(q.codebook.grad.double(), words.grad, rtol=1e-3, atol=1e-5 * (1 + scale + shift))


def test_a_case_by_hand():
    q = plain(1, 2)
    q.codebook.data.copy_(torch.tensor([[[0.0], [10.0]]]))
    x = torch.tensor([[[1.0], [9.0], [4.0]]], requires_grad=True)
    out = q(x)
    assert out.units[0, :, 0].tolist() == [0, 1, 0]
    assert out.values[0, :, 0].tolist() == [0, 10, 0]
    assert out.loss.item() == pytest.approx(1.25 * (1 + 1 + 16) / 3)
    out.loss.backward()
    assert x.grad[0, :, 0].tolist() == pytest.approx([0.25 * 2 * d / 3 for d in (1, -1, 4)])
    assert q.codebook.grad[0, :, 0].tolist() == pytest.approx([2 * (-1 - 4) / 3, 2 * 1 / 3])
    assert out.stats["used"] == 1.0
    assert out.stats["perplexity"] == pytest.approx(3 / 4 ** (1 / 3))  # exp of the entropy of (2/3, 1/3)


def test_of_equal_codewords_the_first_is_taken():
    words = torch.zeros(200, 3)
    assert nearest_units(draw(50, 3), words).unique().tolist() == [0]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 30), codes=st.integers(1, 200), floats=st.integers(1, 2000), seed=st.integers(0, 10**6))
def test_the_search_does_not_depend_on_its_chunks(n, codes, floats, seed):
    x, words = draw(n, 4, seed=seed), draw(codes, 4, seed=seed + 1)
    units, distances = nearest(x, words, floats)
    known, all_distances = reference.search(x, words)
    clear = ~reference.ties(all_distances)
    assert torch.equal(units[clear], known[clear])
    torch.testing.assert_close(distances.double(), all_distances.min(1).values, rtol=1e-4, atol=1e-4)


class LargestTensor(torch.utils._python_dispatch.TorchDispatchMode):
    """Note the elements of the largest tensor that any operation returns."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.size = max(self.size, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def test_distances_never_take_more_than_the_chunk():
    x, words = draw(5000, 8), draw(1024, 8, seed=1)
    with LargestTensor() as largest:
        nearest(x, words, floats=2**16)
    assert largest.size <= 2**16


def test_a_training_step_and_a_reestimation_never_hold_all_distances():
    q = VQ(8, VQConfig(codes=2048, dim=None, schedule=ScheduleConfig(warm_up=1, every=9, until=9, reservoir=4096)))
    with LargestTensor() as largest:
        for step in range(2):
            q.begin_step_(step)
            x = draw(2, 2048, 8).requires_grad_()
            out = q(x)
            (out.loss + out.values.sum()).backward()
    assert largest.size <= CPU_CHUNK < 4096 * 2048


@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
def test_padding_changes_nothing(config):
    one, other = (build_quantizer(config, 6, seeded(0)) for _ in range(2))
    lengths = torch.tensor([7, 1, 4])
    for step in range(7):
        x = draw(3, 7, 6, seed=step)
        wide = torch.cat([x, torch.full((3, 5, 6), 1e6)], 1)
        results = []
        for q, frames in ((one, x), (other, wide)):
            q.begin_step_(step)
            frames = frames.clone()
            mask = torch.arange(frames.shape[1]) < lengths[:, None]
            frames[~mask] += torch.rand(int((~mask).sum()), 1) * 100
            frames.requires_grad_()
            out = q(frames, mask)
            (out.loss + out.values.square().sum()).backward()
            results.append((out, frames.grad))
            assert (out.units[~mask] == -1).all()
            assert (out.values[~mask] == 0).all()
            assert (frames.grad[~mask] == 0).all()
        (a, grad_a), (b, grad_b) = results
        assert torch.equal(a.values, b.values[:, :7])
        assert torch.equal(a.units, b.units[:, :7])
        assert torch.equal(a.loss, b.loss)
        assert torch.equal(grad_a, grad_b[:, :7])
        assert a.stats == b.stats
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
def test_units_do_not_depend_on_the_batch(config):
    q = trained(config)
    x = draw(4, 9, 6, seed=50)
    whole = q.encode(x)
    assert torch.equal(whole, torch.cat([q.encode(row[None]) for row in x]))
    assert torch.equal(whole, torch.cat([q.encode(x[:, :4]), q.encode(x[:, 4:])], 1))
    assert torch.equal(whole, q(x).units)
    assert torch.equal(q.decode(whole), q(x).values)
    assert whole.shape == (4, 9, len(q.codes))
    assert all(whole[..., g].min() >= 0 and whole[..., g].max() < k for g, k in enumerate(q.codes))


def trained(config):
    q = build_quantizer(config, 6, seeded(0))
    for step in range(5):
        q.begin_step_(step)
        q(draw(4, 20, 6, seed=step))
    return q.eval()


def test_the_warm_up_passes_projected_vectors_on_and_then_ends_with_kmeans():
    q = VQ(6, VQConfig(codes=20, dim=8, schedule=QUICK), seeded(0))
    first = q.codebook.detach().clone()
    for step in range(3):
        assert q.begin_step_(step) is None
        x = draw(4, 20, 6, seed=step)
        out = q(x)
        assert (out.units == -1).all()
        assert out.loss == 0
        assert out.values.shape == (4, 20, 8)
        out.loss.backward()
        assert (q.codebook.grad == 0).all()
    assert torch.equal(q.codebook, first)
    event = q.begin_step_(3)
    assert (event.step, event.vectors) == (3, 240)
    assert event.used_after == 1
    assert event.used_before < 1
    assert event.perplexity_after > event.perplexity_before
    assert (q(draw(4, 20, 6)).units >= 0).all()


def test_a_schedule_that_nobody_drives_is_an_error():
    with pytest.raises(UnitdiscError, match="begin_step_"):
        VQ(6, VQConfig(codes=20))(draw(1, 5, 6))


def test_the_codebook_is_an_optimiser_group_of_its_own():
    q = VQ(6, VQConfig(codes=20, dim=8, learning_rate_factor=10))
    rest, codebook = q.parameter_groups(1e-3)
    assert codebook["lr"] == pytest.approx(1e-2)
    assert codebook["params"] == [q.codebook]
    assert rest["lr"] == 1e-3
    assert sum(p.numel() for p in rest["params"]) + q.codebook.numel() == sum(p.numel() for p in q.parameters())


@pytest.mark.parametrize("norm", ["before-projection", "before-vq"])
def test_normalisation_stands_where_it_should(norm):
    q = VQ(6, VQConfig(codes=20, dim=8, norm=norm, schedule=OFF), seeded(0))
    x = draw(4, 50, 6) * 7 + 3
    z = q.project(x)
    if norm == "before-vq":
        assert z.mean((0, 1)).abs().max() < 1e-4
        assert (z.var((0, 1), correction=0) - 1).abs().max() < 1e-2
    else:
        normal = torch.nn.functional.batch_norm(x.flatten(0, 1), None, None, training=True)
        torch.testing.assert_close(z.flatten(0, 1), q.front.projection(normal))


def test_codebooks_may_share_their_normalisation():
    q = VQ(12, VQConfig(codes=20, codebooks=4, dim=None, norm="each-codebook", schedule=OFF), seeded(0))
    x = draw(4, 50, 12) * 7 + torch.arange(12) % 3
    z = q.project(x)
    normal = torch.nn.functional.batch_norm(x.reshape(-1, 3), None, None, training=True)
    torch.testing.assert_close(z.reshape(-1, 3), normal)
    assert q.front.norm.running_mean.shape == (3,)


@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_is_refused_before_it_reaches_any_state(config, bad):
    q = build_quantizer(config, 6, seeded(0))
    for step in range(4):
        q.begin_step_(step)
        q(draw(4, 20, 6, seed=step))
    state = copy.deepcopy(q.state_dict())
    x = draw(2, 5, 6)
    x[1, 2, 3] = bad
    with pytest.raises(UnitdiscError, match="1 of 10 vectors of the encoder output hold NaN"):
        q(x)
    assert all(torch.equal(tensor, state[name]) for name, tensor in q.state_dict().items())
    q(x, torch.tensor([[True] * 5, [True, True, False, True, True]]))  # on padding it does not matter


@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
def test_one_frame_and_no_frame_at_all(config):
    q = build_quantizer(config, 6, seeded(0))
    for step, mask in enumerate([True, False, True, True, False, True, True]):
        q.begin_step_(step)
        x = draw(1, 1, 6, seed=step).requires_grad_()
        out = q(x, torch.tensor([[mask]]))
        (out.loss + out.values.sum()).backward()
        assert torch.isfinite(out.loss)
        assert torch.isfinite(out.values).all()
        assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(t).all() for t in q.state_dict().values())


@pytest.mark.parametrize("config", TRAINED[:4], ids=lambda c: c.kind)
def test_fewer_vectors_than_codes(config):
    q = build_quantizer(config, 6, seeded(0))
    for step in range(3):
        q.begin_step_(step)
        q(draw(1, 2, 6, seed=step))
    event = q.begin_step_(3)
    assert event.vectors == 6
    assert event.inertia < 1e-6
    assert torch.isfinite(q.codebook).all()
    if config.kind != "rvq":  # whose second codebook has nothing left to tell apart
        assert len(q.codebook.detach().flatten(0, 1).unique(dim=0)) == q.codebook.shape[0] * 20


@pytest.mark.parametrize("cls", [VQConfig, EMAConfig, ResidualVQConfig])
def test_a_single_code(cls):
    q = build_quantizer(cls(codes=1, codebooks=1, dim=8, schedule=QUICK), 6, seeded(0))
    for step in range(7):
        q.begin_step_(step)
        out = q(draw(2, 5, 6, seed=step))
    assert (out.units == 0).all()
    assert out.stats == {"perplexity": pytest.approx(1.0), "used": 1.0}


@pytest.mark.parametrize("config", TRAINED[:4], ids=lambda c: c.kind)
def test_a_state_dict_of_another_codebook_says_so(config):
    theirs = type(config)(codes=30, codebooks=config.codebooks, dim=8, schedule=QUICK)
    with pytest.raises(CheckpointError, match=r"expected . x 20 codes of dimension \d, the checkpoint has . x 30"):
        build_quantizer(config, 6).load_state_dict(build_quantizer(theirs, 6).state_dict())


@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_precision_inputs(config, dtype):
    q, same = trained(config).train(), trained(config).train()
    x = draw(3, 8, 6, seed=9).to(dtype)
    q.begin_step_(5)
    same.begin_step_(5)
    with torch.autocast("cpu", dtype=dtype):
        half = q(x.requires_grad_())
        (half.loss + half.values.float().sum()).backward()
    full = same(x.detach().float())
    assert torch.equal(half.units, full.units)
    assert torch.equal(half.values, full.values.to(dtype))
    assert half.loss.dtype == torch.float32
    assert torch.equal(half.loss, full.loss)
    assert torch.isfinite(x.grad).all()


def test_decode_refuses_units_that_cannot_be():
    q = plain(4, 5)
    assert (q.decode(torch.full((1, 2, 1), -1)) == 0).all()
    for units in (torch.full((1, 2, 1), 5), torch.zeros(1, 2, 3, dtype=torch.int64)):
        with pytest.raises(UnitdiscError, match=r"expected units -1\.\.4 of 1 codebooks"):
            q.decode(units)


def test_inputs_of_a_wrong_shape_say_which():
    q = plain(4, 5)
    with pytest.raises(UnitdiscError, match=r"\[B, T, 4\], got \[2, 3, 5\]"):
        q(draw(2, 3, 5))
    with pytest.raises(UnitdiscError, match=r"mask of shape \[2, 3\], got torch.int64"):
        q(draw(2, 3, 4), torch.ones(2, 3, dtype=torch.int64))


def test_wrong_numbers_in_a_configuration():
    with pytest.raises(ConfigError, match="codes and codebooks"):
        VQConfig(codes=0)
    with pytest.raises(ConfigError, match="divide dim"):
        VQConfig(codebooks=3, dim=64)
    with pytest.raises(ConfigError, match="divide dim"):
        VQ(7, VQConfig(codebooks=2, dim=None))
    with pytest.raises(ConfigError, match="growth"):
        ScheduleConfig(growth=0.5)
    with pytest.raises(ConfigError, match="levels"):
        FSQConfig(levels=(8, 2))


def test_identity_passes_everything():
    q = build_quantizer(IdentityConfig(), 6)
    x = draw(2, 3, 6)
    out = q(x)
    assert out.values is x
    assert out.units.shape == (2, 3, 0)
    assert q.codes == ()
    assert q.parameter_groups(1.0) == []


def test_every_kind_is_built():
    kinds = {c.kind for c in (*TRAINED, KMeansConfig(), IdentityConfig())}
    assert kinds == {"vq", "ema", "rvq", "fsq", "kmeans", "none"}
    assert isinstance(build_quantizer(EMAConfig(), 6), EMA)


def test_the_same_generator_gives_the_same_quantiser():
    states = [build_quantizer(TRAINED[0], 6, seeded(3)).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.gpu
@pytest.mark.parametrize("config", TRAINED, ids=lambda c: c.kind)
def test_a_gpu_does_what_the_processor_does(config):
    here, there = build_quantizer(config, 6, seeded(0)), build_quantizer(config, 6, seeded(0)).cuda()
    mask = torch.arange(20) < torch.tensor([[20], [9], [1]])
    for step in range(5):
        x = draw(3, 20, 6, seed=step)
        for q, device in ((here, "cpu"), (there, "cuda")):
            q.begin_step_(step)
            q(x.to(device), mask.to(device))
    for name, tensor in here.state_dict().items():
        if name.startswith("front"):
            torch.testing.assert_close(there.state_dict()[name].cpu(), tensor, rtol=1e-4, atol=1e-4)
    there.load_state_dict(here.state_dict())
    x = draw(3, 20, 6, seed=9)
    assert (there.eval().encode(x.cuda()).cpu() == here.eval().encode(x)).float().mean() > 0.99
