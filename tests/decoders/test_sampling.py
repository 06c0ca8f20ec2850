"""Sampling: all ways draw the same samples from the same uniforms, for any network, batch, length and chunking."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unitdisc import sampling
from unitdisc.errors import UnitdiscError
from unitdisc.networks.configs import WaveNetConfig
from unitdisc.networks.outputs import FrameOutput, Mixture, Output, Softmax
from unitdisc.networks.wavenet import WaveNet
from unitdisc.sampling import Request, fast, graphs, reference

OUTPUTS = (
    lambda n: Softmax(n + 1),
    lambda n: Mixture(components=n, levels=17 * n),
    lambda n: FrameOutput(n, "l1"),
    lambda n: FrameOutput(n, "laplace"),
    lambda n: FrameOutput(n, "gaussian"),
)


@st.composite
def requests(draw: st.DrawFn, batch: int = 10) -> dict:
    """Any small network, conditions, lengths and uniforms."""
    cycles, width = draw(st.integers(1, 2)), st.integers(1, 40)
    config = WaveNetConfig(
        layers=cycles * draw(st.integers(1, 5)), cycles=cycles, residual=draw(width), gate=2 * draw(width),
        skip=draw(width), hidden=draw(width), kernel=draw(st.integers(1, 4)),
    )  # fmt: skip
    output = draw(st.sampled_from(OUTPUTS))(draw(st.integers(1, 40)))
    torch.manual_seed(draw(st.integers(0, 999)))
    channels, hop = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    lengths = torch.tensor(draw(st.lists(st.integers(0, 30), min_size=1, max_size=batch)))
    rows = -(-int(lengths.max()) // hop)
    return {
        "wavenet": output.network(config, channels).eval(),
        "output": output,
        "condition": torch.randn(len(lengths), rows, channels) if channels else None,
        "lengths": lengths,
        "uniforms": torch.rand(len(lengths), int(lengths.max()), output.uniforms),
        "temperature": draw(st.sampled_from([0.0, 0.7, 1.0])),
        "hop": hop,
    }


def assert_same(got: Tensor, wanted: Tensor, request: dict) -> None:
    """Compare samples; a draw on the border of two classes or levels may fall to either side: that ends the test."""
    output: Output = request["output"]
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    if isinstance(output, FrameOutput):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3)
        return
    for row in range(len(got)):
        differs = ((got[row] - wanted[row]).abs() > 1e-5).nonzero()
        if len(differs):
            assert on_a_border(request, wanted, row, int(differs[0])), f"utterance {row} differs at step {differs[0]}"


def on_a_border(request: dict, samples: Tensor, row: int, t: int) -> bool:
    """Tell whether noise, or parameters, a hair away draw something else."""
    output, condition = request["output"], request["condition"]
    given = None if condition is None else condition[row : row + 1].repeat_interleave(request["hop"], 1)[:, : t + 1]
    params = request["wavenet"](output.shifted(samples[row : row + 1, : t + 1]), given)[:, -1]
    noise = output.noise(request["uniforms"][row : row + 1, t : t + 1])[:, 0]
    drawn = {
        output.draw(params + a * torch.randn_like(params), noise + a * torch.randn_like(noise), request["temperature"])
        for a in [1e-5] * 200
    }
    return len({float(d) for d in drawn}) > 1


@settings(deadline=None, max_examples=60)
@given(request=requests())
@torch.no_grad()
def test_fast_equals_reference(request: dict):
    asked = Request.of(**request)
    assert_same(fast.sample(asked), reference.sample(asked), request)


@settings(deadline=None, max_examples=25)
@given(request=requests())
@torch.no_grad()
def test_static_steps_equal_reference(request: dict):
    asked = Request.of(**request)
    assert_same(graphs.sample(asked), reference.sample(asked), request)


@settings(deadline=None, max_examples=25)
@given(request=requests(batch=8), block=st.integers(1, 40))
@torch.no_grad()
def test_streams_equal_reference(request: dict, block: int):
    wanted = reference.sample(Request.of(**request))
    for stream in (fast.stream, graphs.stream):
        blocks = list(stream(Request.of(**request), block))
        if int(request["lengths"].max()):
            assert all(b.shape[1] == block for b in blocks[:-1])
            assert_same(torch.cat(blocks, 1), wanted, request)
        else:
            assert not blocks


@settings(deadline=None, max_examples=20)
@given(request=requests())
@torch.no_grad()
def test_neighbours_in_a_batch_change_nothing(request: dict):
    together = fast.sample(Request.of(**request))
    for row, length in enumerate(request["lengths"].tolist()):
        condition = request["condition"]
        alone = dict(request, lengths=torch.tensor([length]), uniforms=request["uniforms"][row : row + 1, :length])
        alone["condition"] = None if condition is None else condition[row : row + 1]
        part = {**request, "uniforms": request["uniforms"][row : row + 1], "condition": alone["condition"]}
        assert_same(fast.sample(Request.of(**alone)), together[row : row + 1, :length], part)


@pytest.mark.parametrize(
    "output", [Softmax(20), Mixture(3, 300), FrameOutput(5, "laplace")], ids=["classes", "mix", "frames"]
)
@torch.no_grad()
def test_teacher_forced_parameters_give_the_samples_back(output: Output):
    config = WaveNetConfig(layers=8, cycles=2, residual=16, gate=32, skip=16, hidden=16)
    net = output.network(config, 4)
    condition, uniforms = torch.randn(3, 50, 4), torch.rand(3, 50, output.uniforms)
    samples = fast.sample(Request.of(net, output, condition, uniforms=uniforms))
    again = output.draw(net(output.shifted(samples), condition), output.noise(uniforms))
    request = {
        "wavenet": net, "output": output, "condition": condition, "uniforms": uniforms, "temperature": 1.0, "hop": 1,
    }  # fmt: skip
    assert_same(samples, again, request)


@torch.no_grad()
def test_the_default_decoder_in_full_width():
    output = Softmax(256)
    torch.manual_seed(1)
    net = output.network(WaveNetConfig(), 8)
    for parameter in net.parameters():
        parameter.mul_(1.5)  # livelier than at the start, so that all layers matter
    request = {
        "wavenet": net, "output": output, "condition": torch.randn(2, 4, 8), "lengths": torch.tensor([60, 41]),
        "uniforms": torch.rand(2, 60, 1), "temperature": 1.0, "hop": 16,
    }  # fmt: skip
    # compared with the reference above; here the past is longer than is cheap there
    wanted = graphs.sample(Request.of(**request))
    assert wanted.unique().numel() > 30
    assert_same(fast.sample(Request.of(**request)), wanted, request)
    assert_same(sampling.sample(Request.of(**request)), wanted, request)
    assert_same(torch.cat(list(sampling.stream(Request.of(**request))), 1), wanted, request)


@torch.no_grad()
def test_beyond_the_receptive_field():
    output = Softmax(8)
    net = output.network(WaveNetConfig(layers=5, cycles=1, residual=8, gate=16, skip=8, hidden=8), 0)
    request = {
        "wavenet": net, "output": output, "condition": None, "lengths": torch.tensor([150]),
        "uniforms": torch.rand(1, 150, 1), "temperature": 1.0, "hop": 1,
    }  # fmt: skip
    assert net.receptive_field == 33
    wanted = reference.sample(Request.of(**request))
    assert_same(fast.sample(Request.of(**request)), wanted, request)
    assert_same(graphs.sample(Request.of(**request)), wanted, request)


@torch.no_grad()
def test_the_gate_saturates_as_tanh_and_sigmoid_do():
    output = FrameOutput(4, "l1")
    net = output.network(WaveNetConfig(layers=3, cycles=1, residual=8, gate=16, skip=8, hidden=8), 2)
    condition = torch.tensor([[[1e4, -1e4], [30.0, 80.0], [-9.0, 2.0], [1e-4, -1e-4], [-1e5, 1e5]]])
    request = Request.of(net, output, condition)
    torch.testing.assert_close(fast.sample(request), reference.sample(request), atol=1e-5, rtol=1e-4)


def small() -> tuple[WaveNet, Output]:
    output = Softmax(9)
    return output.network(WaveNetConfig(layers=2, cycles=1, residual=4, gate=4, skip=4, hidden=4), 2), output


def test_a_generator_draws_the_uniforms():
    net, output = small()
    condition = torch.randn(2, 7, 2)
    uniforms = torch.rand(2, 7, 1, generator=torch.Generator().manual_seed(3))
    request = Request.of(net, output, condition, generator=torch.Generator().manual_seed(3))
    drawn = fast.sample(request)
    assert torch.equal(drawn, reference.sample(request))
    assert torch.equal(drawn, fast.sample(Request.of(net, output, condition, uniforms=uniforms)))


def test_steps_beyond_a_length_are_silence():
    net, output = small()
    drawn = fast.sample(Request.of(net, output, torch.randn(2, 7, 2), torch.tensor([3, 7])))
    assert drawn[0, 3:].tolist() == [output.silence] * 4  # type: ignore[attr-defined]


def test_conditions_may_come_bit_by_bit():
    net, output = small()
    condition, uniforms = torch.randn(3, 29, 2), torch.rand(3, 29, 1)
    sampler = fast.Sampler(net, output, batch=3)
    parts = [
        sampler.push(condition[:, a:b], output.noise(uniforms[:, a:b])) for a, b in [(0, 1), (1, 6), (6, 6), (6, 29)]
    ]
    assert torch.equal(torch.cat(parts, 1), fast.sample(Request.of(net, output, condition, uniforms=uniforms)))


def test_threads_share_the_groups(monkeypatch: pytest.MonkeyPatch):
    net, output = small()
    condition, uniforms = torch.randn(5, 20, 2), torch.rand(5, 20, 1)
    wanted = fast.sample(Request.of(net, output, condition, uniforms=uniforms))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(fast.sample(Request.of(net, output, condition, uniforms=uniforms)), wanted)


def test_requests_that_cannot_be_met():
    net, output = small()
    with pytest.raises(UnitdiscError, match="the WaveNet maps 9 to 9, but Mixture wants 1 to 30"):
        fast.sample(Request.of(net, Mixture(), torch.randn(1, 4, 2)))
    with pytest.raises(UnitdiscError, match="conditions have 3 channels, the WaveNet takes 2"):
        fast.sample(Request.of(net, output, torch.randn(1, 4, 3)))
    with pytest.raises(UnitdiscError, match=r"need conditions \[1, 5, 2\], got \[1, 4, 2\]"):
        fast.sample(Request.of(net, output, torch.randn(1, 4, 2), torch.tensor([9]), hop=2))
    with pytest.raises(UnitdiscError, match=r"wanted uniforms of shape \[1, 4, 1\], got \[1, 4, 2\]"):
        fast.sample(Request.of(net, output, torch.randn(1, 4, 2), uniforms=torch.rand(1, 4, 2)))
    with pytest.raises(UnitdiscError, match=r"temperature >= 0, got -1\.0"):
        fast.sample(Request.of(net, output, torch.randn(1, 4, 2), temperature=-1.0))
    with pytest.raises(UnitdiscError, match="1 to 8 utterances go side by side, got 9"):
        fast.Sampler(net, output, batch=9)
    free = output.network(WaveNetConfig(layers=1, cycles=1), 0)
    with pytest.raises(UnitdiscError, match="say how many steps"):
        fast.sample(Request.of(free, output))
    torch.nn.init.constant_(net.hidden.bias, float("nan"))
    with pytest.raises(UnitdiscError, match=r"weight hidden.bias of the WaveNet is not finite"):
        fast.sample(Request.of(net, output, torch.randn(1, 4, 2)))


def test_numba_is_imported_only_to_sample():
    code = "import sys, unitdisc.sampling, unitdisc.sampling.reference; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
@torch.no_grad()
def test_recorded_steps_on_a_gpu_equal_the_cpu():
    output = Softmax(256)
    torch.manual_seed(1)
    net = output.network(WaveNetConfig(layers=8, cycles=2), 8)
    request = {
        "wavenet": net, "output": output, "condition": torch.randn(3, 100, 8),
        "lengths": torch.tensor([200, 33, 150]), "uniforms": torch.rand(3, 200, 1), "temperature": 1.0, "hop": 2,
    }  # fmt: skip
    wanted = fast.sample(Request.of(**request))
    there = {k: v.cuda() if isinstance(v, Tensor) else v for k, v in request.items()} | {"wavenet": net.cuda()}
    got = sampling.sample(Request.of(**there))
    assert got.is_cuda
    net.cpu()
    assert_same(got.cpu(), wanted, request)
