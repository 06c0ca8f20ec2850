"""Densities of the next step: against numerical integration, torch's distributions, and their own draws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from unitdisc.errors import ConfigError
from unitdisc.networks import mixture
from unitdisc.networks.configs import FramesConfig, MixtureConfig, SoftmaxConfig
from unitdisc.networks.outputs import FrameOutput, Mixture, Softmax, build_output


def values(levels: int) -> torch.Tensor:
    return -1.0 + 2.0 * torch.arange(levels, dtype=torch.float64) / (levels - 1)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), components=st.integers(1, 4), levels=st.integers(2, 40))
def test_mixture_equals_the_integral_of_its_density(seed: int, components: int, levels: int):
    generator = torch.Generator().manual_seed(seed)
    params = torch.randn(3 * components, generator=generator, dtype=torch.float64) * 1.5
    weights = torch.softmax(params[:components], 0).numpy()
    means, scales = params[components : 2 * components].numpy(), np.exp(params[2 * components :].numpy())

    def density(x: float) -> float:
        u = np.exp(-np.abs(x - means) / scales)
        return float((weights * u / (scales * (1 + u) ** 2)).sum())

    level = int(torch.randint(levels, (), generator=generator))
    half, value = 1.0 / (levels - 1), float(values(levels)[level])
    low = -np.inf if level == 0 else value - half
    high = np.inf if level == levels - 1 else value + half
    mass, error = integrate.quad(density, low, high, epsabs=1e-12, epsrel=1e-10, limit=200)
    got = mixture.log_likelihood(params, torch.tensor(value, dtype=torch.float64), levels)
    assert math.exp(got) == pytest.approx(mass, rel=1e-6, abs=10 * error)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), spread=st.sampled_from([0.1, 1.0, 10.0]), levels=st.sampled_from([2, 3, 256, 4096]))
def test_mixture_sums_to_one(seed: int, spread: float, levels: int):
    params = torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread
    assert mixture.log_likelihood(params, values(levels), levels).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_mixture_is_finite_with_a_gradient_where_it_has_no_mass():
    params = torch.tensor([0.0, 0.0, 50.0, -40.0, -30.0, 30.0], requires_grad=True)  # far and sharp; far and flat
    for x in (-1.0, 0.0, 1.0):
        nll = -mixture.log_likelihood(params, torch.tensor(x), 65536)
        (gradient,) = torch.autograd.grad(nll, params)
        assert nll.isfinite()
        assert gradient.isfinite().all()
    # In float32 a sharp logistic far away: ln sigma(-z) is close to -z, where a difference of sigmoids would be zero.
    params = torch.tensor([0.0, 0.5, -6.0])
    got = mixture.log_likelihood(params, torch.tensor(0.0), 65536)
    z, width = 0.5 * math.exp(6.0), 2 / 65535 * math.exp(6.0)
    assert got.item() == pytest.approx(-z + math.log(2 * math.sinh(width / 2)), rel=1e-4)


def test_mixture_draws_follow_its_likelihood():
    levels, n = 9, 200_000
    params = torch.tensor([0.3, -0.5, -0.6, 0.4, -2.0, -1.0])
    output = Mixture(components=2, levels=levels)
    uniforms = torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    drawn = output.draw(params.expand(1, n, -1), output.noise(uniforms))
    counted = torch.bincount(((drawn[0] + 1) * (levels - 1) / 2).round().long(), minlength=levels) / n
    wanted = mixture.log_likelihood(params.double(), values(levels), levels).exp()
    assert (counted - wanted).abs().max() < 5 * math.sqrt(0.25 / n)


def test_mixture_at_temperature_zero_takes_the_mean_of_the_likeliest_component():
    params = torch.tensor([[0.0, 2.0, 0.1, -0.5, 0.0, 0.0]])
    drawn = mixture.draw(params, torch.tensor([0.01]), torch.tensor([9.0]), 65536, temperature=0.0)
    assert drawn.item() == pytest.approx(-0.5, abs=2e-5)


def test_inverse_cdf_by_hand():
    logits = torch.log(torch.tensor([0.2, 0.3, 0.5])).expand(7, 3)
    uniforms = torch.tensor([0.0, 0.19, 0.21, 0.49, 0.51, 0.99, 1.0])
    assert mixture.inverse_cdf(logits, uniforms).tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert mixture.inverse_cdf(logits, uniforms, temperature=0.0).tolist() == [2] * 7
    # Temperature 1/2 squares the probabilities: 0.04, 0.09, 0.25 of 0.38.
    assert mixture.inverse_cdf(logits[:2], torch.tensor([0.10, 0.11]), temperature=0.5).tolist() == [0, 1]


def test_impossible_classes_are_never_drawn():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf]]).expand(3, 3)
    assert mixture.inverse_cdf(logits, torch.tensor([0.0, 0.5, 0.999])).tolist() == [1, 1, 1]


@pytest.mark.parametrize("classes", [2, 15, 256, 1024])
def test_mu_law_round_trip(classes: int):
    output = Softmax(classes)
    all_classes = torch.arange(classes)
    assert torch.equal(output.encode(output.decode(all_classes)), all_classes)
    assert output.encode(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [
        0, 0, output.silence, classes - 1, classes - 1,
    ]  # fmt: skip


def test_mu_law_by_hand():
    # f(0.1) = ln(1 + 25.5) / ln 256 = 0.5909; (1.5909 / 2) * 255 + 1/2 = 203.3
    assert Softmax(256).encode(torch.tensor([0.1])).item() == 203


def test_shifting_delays_by_one_with_silence_first():
    assert Softmax(256).shifted(torch.tensor([[5, 6, 7]])).tolist() == [[128, 5, 6]]
    assert Mixture().shifted(torch.tensor([[0.5, 0.25]])).tolist() == [[[0.0], [0.5]]]
    assert FrameOutput(2).shifted(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist() == [[[0.0, 0.0], [1.0, 2.0]]]


def test_softmax_loss_is_minus_log_probability():
    params, classes = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    wanted = -torch.log_softmax(params, -1).gather(-1, classes[..., None])[..., 0]
    torch.testing.assert_close(Softmax(5).nll(params, classes), wanted)


@pytest.mark.parametrize(("loss", "law"), [("gaussian", "Normal"), ("laplace", "Laplace")])
def test_frames_with_a_scale_are_torch_distributions(loss: str, law: str):
    output = build_output(FramesConfig(loss=loss), dim=3)  # type: ignore[arg-type]
    params, frames = torch.randn(2, 4, 6), torch.randn(2, 4, 3)
    density = getattr(torch.distributions, law)(params[..., :3], params[..., 3:].exp())
    torch.testing.assert_close(output.nll(params, frames), -density.log_prob(frames).mean(-1))
    uniforms = torch.rand(2, 4, 3) * 0.98 + 0.01
    torch.testing.assert_close(
        output.draw(params, output.noise(uniforms)), density.icdf(uniforms), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(output.draw(params, output.noise(uniforms), 0.0), params[..., :3])


@pytest.mark.parametrize(("loss", "wanted"), [("l1", (1.0 + 3.0) / 2), ("l2", (1.0 + 9.0) / 2)])
def test_frames_without_a_scale_are_their_mean(loss: str, wanted: float):
    output = FrameOutput(2, loss)  # type: ignore[arg-type]
    params, frames = torch.tensor([[[1.0, 5.0]]]), torch.tensor([[[2.0, 2.0]]])
    assert output.nll(params, frames).item() == wanted
    assert output.uniforms == 0
    assert torch.equal(output.draw(params, output.noise(torch.zeros(1, 1, 0))), params)


@pytest.mark.parametrize("loss", ["gaussian", "laplace"])
def test_noise_is_finite_at_the_ends_of_the_uniforms(loss: str):
    assert FrameOutput(2, loss).noise(torch.tensor([[[0.0, 1.0]]])).isfinite().all()  # type: ignore[arg-type]
    assert Mixture().noise(torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])).isfinite().all()


def test_configs_build_their_outputs_and_refuse_nonsense():
    assert isinstance(build_output(SoftmaxConfig(classes=32)), Softmax)
    assert build_output(MixtureConfig(components=4)).dim_out == 12
    assert build_output(FramesConfig(), dim=40).dim_out == 40
    with pytest.raises(ConfigError, match="classes must be at least 2, got 1"):
        SoftmaxConfig(classes=1)
    with pytest.raises(ConfigError, match="needs 1 component and 2 levels, got 0 and 1"):
        MixtureConfig(components=0, levels=1)
