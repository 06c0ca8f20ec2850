"""The WaveNet: causal, conditioned at every step, with the receptive field that its dilations say."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.errors import ConfigError
from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.wavenet import WaveNet

SMALL = WaveNetConfig(layers=6, cycles=2, residual=5, gate=8, skip=6, hidden=7)


@st.composite
def configs(draw: st.DrawFn) -> WaveNetConfig:
    cycles, width = draw(st.integers(1, 2)), st.integers(1, 6)
    return WaveNetConfig(
        layers=cycles * draw(st.integers(1, 4)),
        cycles=cycles,
        residual=draw(width),
        gate=2 * draw(width),
        skip=draw(width),
        hidden=draw(width),
        kernel=draw(st.integers(1, 4)),
    )


@settings(deadline=None, max_examples=40)
@given(config=configs(), prefix=st.integers(1, 20), seed=st.integers(0, 99))
def test_prefix_in_prefix_out(config: WaveNetConfig, prefix: int, seed: int):
    torch.manual_seed(seed)
    net = WaveNet(config, dim_in=3, dim_out=4, dim_condition=2)
    x, condition = torch.randn(2, 21, 3), torch.randn(2, 21, 2)
    whole = net(x, condition)[:, :prefix]
    torch.testing.assert_close(net(x[:, :prefix], condition[:, :prefix]), whole, atol=1e-6, rtol=1e-5)


def test_default_receptive_field_by_hand():
    # Two cycles of 1 + 2 + ... + 512 = 1023 steps back, one more by the input convolution, and the newest step.
    assert WaveNetConfig().receptive_field == 2 * 1023 + 1 + 1
    assert WaveNetConfig(layers=3, cycles=1, kernel=3).receptive_field == 2 * (1 + 2 + 4) + 2 + 1
    assert WaveNetConfig(layers=3, cycles=1, kernel=1).receptive_field == 1


@settings(deadline=None, max_examples=20)
@given(config=configs(), seed=st.integers(0, 99))
def test_gradient_reaches_the_receptive_field_and_no_further(config: WaveNetConfig, seed: int):
    torch.manual_seed(seed)
    net = WaveNet(config, dim_in=2, dim_out=3).double()
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 0.3)  # with inputs above zero no ReLU shuts
    field = net.receptive_field
    x = torch.rand(1, field + 3, 2, dtype=torch.float64, requires_grad=True)
    (reached,) = torch.autograd.grad(net(x)[0, -1].abs().sum(), x)
    assert reached[0, -field].abs().sum() > 0
    assert reached[0, :-field].abs().sum() == 0


def test_a_step_alone_equals_teacher_forcing():
    net = WaveNet(SMALL, dim_in=3, dim_out=4, dim_condition=2)
    x, condition = torch.randn(2, 40, 3), torch.randn(2, 40, 2)
    whole = net(x, condition)
    for t in range(40):
        first = max(0, t + 1 - net.receptive_field)
        alone = net(x[:, first : t + 1], condition[:, first : t + 1])[:, -1]
        torch.testing.assert_close(alone, whole[:, t], atol=1e-6, rtol=1e-5)


def test_padding_behind_changes_nothing():
    net = WaveNet(SMALL, dim_in=3, dim_out=4)
    x = torch.randn(2, 12, 3)
    torch.testing.assert_close(net(F.pad(x, (0, 0, 0, 9), value=1e3))[:, :12], net(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_classes_equal_one_hot_vectors(kernel: int):
    config = WaveNetConfig(layers=2, cycles=1, residual=5, gate=4, skip=3, hidden=3, kernel=kernel)
    by_class = WaveNet(config, dim_in=7, dim_out=7, embed=True)
    by_vector = WaveNet(config, dim_in=7, dim_out=7)
    by_vector.load_state_dict(by_class.state_dict())
    x = torch.randint(7, (2, 9))
    torch.testing.assert_close(by_class(x), by_vector(F.one_hot(x, 7).float()))


def test_a_condition_holds_for_as_many_steps_as_there_are_to_each():
    net = WaveNet(SMALL, dim_in=3, dim_out=4, dim_condition=2)
    x, condition = torch.randn(2, 12, 3), torch.randn(2, 4, 2)
    torch.testing.assert_close(net(x, condition), net(x, condition.repeat_interleave(3, 1)))


def test_every_layer_sees_the_condition():
    net = WaveNet(SMALL, dim_in=3, dim_out=4, dim_condition=2)
    net(torch.randn(1, 5, 3), torch.randn(1, 5, 2)).square().sum().backward()
    assert net.condition is not None
    assert (net.condition.weight.grad.view(SMALL.layers, -1).abs().sum(1) > 0).all()


def test_layers_as_written_in_the_docstring():
    config = WaveNetConfig(layers=2, cycles=1, residual=3, gate=4, skip=2, hidden=3)
    net = WaveNet(config, dim_in=1, dim_out=1, dim_condition=2)
    x, condition = torch.randn(1, 6, 1), torch.randn(1, 6, 2)
    weights = {name: value.detach() for name, value in net.state_dict().items()}

    def at(sequence: list[torch.Tensor], t: int) -> torch.Tensor:
        return sequence[t] if t >= 0 else torch.zeros_like(sequence[0])

    steps = list(x[0])
    hs = [weights["input.weight"] @ torch.cat([at(steps, t - 1), steps[t]]) + weights["input.bias"] for t in range(6)]
    skips = [torch.zeros(2)] * 6
    for layer, dilation in enumerate((1, 2)):
        conditions = weights["condition.weight"][4 * layer : 4 * layer + 4]
        pre = [
            weights[f"dilated.{layer}.weight"] @ torch.cat([at(hs, t - dilation), hs[t]])
            + weights[f"dilated.{layer}.bias"]
            + conditions @ condition[0, t]
            for t in range(6)
        ]
        mixed = [
            weights[f"mix.{layer}.weight"] @ (torch.tanh(p[:2]) * torch.sigmoid(p[2:])) + weights[f"mix.{layer}.bias"]
            for p in pre
        ]
        skips = [skip + m[-2:] for skip, m in zip(skips, mixed, strict=True)]
        hs = [h + m[:3] for h, m in zip(hs, mixed, strict=True)] if layer == 0 else hs
    hidden = [F.relu(weights["hidden.weight"] @ F.relu(s) + weights["hidden.bias"]) for s in skips]
    wanted = torch.stack([weights["output.weight"] @ h + weights["output.bias"] for h in hidden])
    torch.testing.assert_close(net(x, condition)[0], wanted, atol=1e-6, rtol=1e-5)


def test_widths_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="3 layers do not divide into 2 cycles"):
        WaveNetConfig(layers=3, cycles=2)
    with pytest.raises(ConfigError, match="so it is even; got 5"):
        WaveNetConfig(gate=5)
    with pytest.raises(ConfigError, match="kernel must be at least 1, got 0"):
        WaveNetConfig(kernel=0)
