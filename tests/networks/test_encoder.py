"""Encoders: the time contract, padding, receptive fields, and blocks that give the same bits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unitdisc.batch_norm import BatchNorm
from unitdisc.config import from_tree
from unitdisc.errors import ConfigError
from unitdisc.networks.blocks import BlockEncoder, one_thread
from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.build import build_encoder
from unitdisc.networks.encoders.configs import (
    ConvEncoderConfig,
    ConvLSTMEncoderConfig,
    GatedEncoderConfig,
    LinearEncoderConfig,
)
from unitdisc.networks.padding import masked, padding_mask

SMALL = {
    "50": ConvEncoderConfig(channels=8),
    "33": ConvEncoderConfig(channels=8, strides=(3,)),
    "25": ConvEncoderConfig(channels=8, strides=(2, 2), before=1, after=1),
    "12.5": ConvEncoderConfig(channels=8, strides=(2, 2, 2), pointwise=0),
    "5 in one": ConvEncoderConfig(channels=8, strides=(5,)),
    "100": ConvEncoderConfig(channels=8, strides=()),
    "gated": GatedEncoderConfig(channels=8, dilations=(1, 3)),
    "gated 3": GatedEncoderConfig(channels=8, stride=3, dilations=(1, 2)),
    "linear": LinearEncoderConfig(splice=2, dim=7, stride=2),
    "spliced": LinearEncoderConfig(splice=1, stride=3),
    "lstm": ConvLSTMEncoderConfig(channels=3, cells=5, layers=2),
    "lstm 2x2": ConvLSTMEncoderConfig(channels=3, cells=5, layers=1, time_strides=(2, 2), kernel=5),
}
STRIDES = {
    "50": 2,
    "33": 3,
    "25": 4,
    "12.5": 8,
    "5 in one": 5,
    "100": 1,
    "gated": 2,
    "gated 3": 3,
    "linear": 2,
    "spliced": 3,
    "lstm": 3,
    "lstm 2x2": 4,
}


def encoder_of(name: str, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    encoder = build_encoder(SMALL[name], 12).double().eval()
    if name == "linear":
        encoder.directions.normal_()
    return encoder


@pytest.mark.parametrize("name", SMALL)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), extra=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_padding_and_batch_change_nothing_and_units_are_ceil(name: str, lengths: list[int], extra: int):
    encoder = encoder_of(name)
    assert encoder.stride == STRIDES[name]
    x = torch.randn(len(lengths), max(lengths) + extra, 12, dtype=torch.float64)  # what lies on padding is noise
    n = torch.tensor(lengths)
    y, units = encoder(x, n)
    assert units.tolist() == [-(-t // encoder.stride) for t in lengths]
    assert y.shape == (len(lengths), -(-x.shape[1] // encoder.stride), encoder.dim)
    for row, length in enumerate(lengths):
        alone, _ = encoder(x[row : row + 1, :length], n[row : row + 1])
        torch.testing.assert_close(y[row, : units[row]], alone[0])
        assert (y[row, units[row] :] == 0).all()


def frames_that_matter(encoder: Encoder, unit: int, frames: int) -> list[int]:
    """Return the frames on which a unit has a gradient, for a row of many random inputs."""
    x = torch.randn(64, frames, 12, dtype=torch.float64, requires_grad=True)
    encoder(x, torch.full((64,), frames))[0][:, unit].square().sum().backward()
    assert x.grad is not None
    return x.grad.abs().sum((0, 2)).nonzero().flatten().tolist()


@pytest.mark.parametrize("name", [name for name in SMALL if "lstm" not in name])
def test_the_receptive_field_is_exact_and_centred_on_the_units_own_frames(name: str):
    encoder = encoder_of(name)
    context, stride = encoder.context, encoder.stride
    assert context is not None
    assert encoder.receptive_field == 2 * context + stride
    unit = -(-context // stride) + 1
    frames = (unit + 1) * stride + context + 5
    expected = list(range(unit * stride - context, (unit + 1) * stride + context))
    assert frames_that_matter(encoder, unit, frames) == expected


def test_receptive_fields_by_hand():
    # before 2 x width 3: 5 frames; width 4 by 2: + 3; then 2 x width 3 at every other frame: + 2 x 2 x 2.
    assert build_encoder(ConvEncoderConfig(channels=4), 5).receptive_field == 16
    # 5 + (5 - 1) + 2 x 2 x 3
    assert build_encoder(ConvEncoderConfig(channels=4, strides=(3,)), 5).receptive_field == 21
    assert build_encoder(ConvLSTMEncoderConfig(channels=2, cells=2), 12).receptive_field is None


@pytest.mark.parametrize("name", ["lstm", "lstm 2x2"])
def test_the_convolutions_before_the_lstm_are_centred_too(name: str):
    encoder = encoder_of(name)
    encoder.lstms = nn.ModuleList()  # without them the outputs are the convolutions' own
    seen = frames_that_matter(encoder, 5, 60)
    centre = (seen[0] + seen[-1]) / 2
    assert centre == 5 * encoder.stride + (encoder.stride - 1) / 2
    assert seen == list(range(seen[0], seen[-1] + 1))


def test_an_lstm_encoder_reads_the_whole_utterance():
    assert frames_that_matter(encoder_of("lstm"), 0, 31) == list(range(31))


@pytest.mark.parametrize("name", SMALL)
def test_empty_utterances_in_a_batch_are_zero(name: str):
    encoder = encoder_of(name)
    y, units = encoder(torch.randn(2, 9, 12, dtype=torch.float64), torch.tensor([9, 0]))
    assert units.tolist() == [-(-9 // encoder.stride), 0]
    assert (y[1] == 0).all()


def batch_norm_oracle(norm: BatchNorm, x: Tensor, mask: Tensor) -> Tensor:
    """Pack the valid frames, and let torch's own batch normalisation do it."""
    packed = x.transpose(1, 2)[mask]  # [N, C, F]
    torch_norm = nn.BatchNorm1d(x.shape[1]).double()
    torch_norm.weight.data, torch_norm.bias.data = norm.weight.data.double(), norm.bias.data.double()
    y = torch.zeros_like(x, dtype=torch.float64).transpose(1, 2).clone()
    y[mask] = torch_norm(packed.double())
    return torch.cat([y.transpose(1, 2).flatten(), torch_norm.running_mean, torch_norm.running_var])


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_masked_batch_norm_is_torchs_over_the_valid_frames(lengths: list[int], seed: int):
    if sum(lengths) < 1:
        return
    torch.manual_seed(seed)
    frames = max(lengths) + 2
    x = torch.randn(len(lengths), 3, frames, 4) * 2 + 5
    mask = torch.arange(frames) < torch.tensor(lengths)[:, None]
    norm = BatchNorm(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    y = masked(norm(x, mask), mask, time=2)
    ours = torch.cat([y.flatten(), norm.running_mean, norm.running_var]).double()
    torch.testing.assert_close(ours, batch_norm_oracle(norm, x, mask), rtol=1e-4, atol=1e-5)


def test_masked_batch_norm_has_torchs_gradient():
    torch.manual_seed(1)
    norm, x = BatchNorm(2).double(), torch.randn(2, 2, 5, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    assert torch.autograd.gradcheck(lambda x: masked(norm(x, mask), mask, time=2), (x,))
    full = torch.ones(2, 5, dtype=torch.bool)
    one, two = BatchNorm(2).double(), BatchNorm(2).double()
    torch.testing.assert_close(one(x, full), two(x, None))
    torch.testing.assert_close(one.running_var, two.running_var)


def test_no_mask_is_made_when_every_row_is_full():
    assert padding_mask(torch.tensor([4, 5]), 4) is None
    mask = padding_mask(torch.tensor([4, 2]), 4)
    assert mask is not None
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]


@pytest.mark.parametrize(
    "config",
    [
        ConvEncoderConfig(channels=32),
        ConvEncoderConfig(channels=16, strides=(3, 2)),
        GatedEncoderConfig(channels=16, dilations=(1, 4, 2)),
        GatedEncoderConfig(channels=8, stride=3, dilations=(2,)),
    ],
)
@given(frames=st.integers(1, 700), pieces=st.lists(st.integers(1, 300), max_size=6), block=st.sampled_from([48, 100]))
@settings(max_examples=20, deadline=None)
def test_blocks_equal_the_whole_utterance_and_streams_give_the_same_bits(
    config: ConvEncoderConfig | GatedEncoderConfig, frames: int, pieces: list[int], block: int
):
    torch.manual_seed(2)
    encoder = build_encoder(config, 6).eval()
    x = torch.randn(frames, 6)

    def compute(x: Tensor, lengths: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        return (encoder.between(x, lengths, first, last),)

    def joined(done: list[tuple[Tensor, ...]]) -> Tensor:
        return torch.cat([part for (part,) in done], 1)[0]

    assert encoder.context is not None
    blocks = BlockEncoder(compute, encoder.stride, encoder.context, block)
    with torch.no_grad(), one_thread(x.device):
        whole = joined(blocks.push(x) + blocks.finish())
        done, rest = [], x
        for piece in pieces:  # the same object takes the next utterance
            done += blocks.push(rest[:piece])
            rest = rest[piece:]
        streamed = joined(done + blocks.push(rest) + blocks.finish())
        reference, _ = encoder(x[None], torch.tensor([frames]))
    assert len(whole) == -(-frames // encoder.stride)
    torch.testing.assert_close(whole, reference[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(whole, streamed)


@pytest.mark.parametrize("change", ["copied", "loaded", "trained", "trained by one kernel", "added to"])
def test_a_gated_encoder_in_blocks_follows_its_weights(change: str):
    torch.manual_seed(0)
    encoder = build_encoder(GatedEncoderConfig(channels=8, dilations=(1, 2)), 3)
    frames, lengths = torch.randn(1, 40, 3), torch.tensor([40])

    def check() -> Tensor:
        encoder.eval()
        with torch.no_grad():
            whole, blocks = encoder(frames, lengths)[0], encoder.between(frames, lengths, 0, 20)
        torch.testing.assert_close(blocks, whole)
        return blocks

    before = check()
    weights = [block.conv.weight for block in encoder.blocks]
    if change == "loaded":
        encoder.load_state_dict({name: 1.1 * value for name, value in encoder.state_dict().items()})
    elif change.startswith("trained"):
        encoder.train()
        optimizer = torch.optim.AdamW(encoder.parameters(), 0.1, fused="kernel" in change)
        encoder(frames, lengths)[0].square().sum().backward()
        optimizer.step()
    else:
        with torch.no_grad():
            for weight in weights:
                weight.copy_(2 * weight) if change == "copied" else torch._foreach_add_([weight], 0.1)
    assert not torch.allclose(check(), before)


def test_half_precision_keeps_the_gradient_of_a_gated_encoder():
    torch.manual_seed(0)
    encoder = build_encoder(GatedEncoderConfig(), 39)
    x, lengths, wanted = torch.randn(16, 160, 39), torch.full((16,), 160), 1 + torch.randn(16, 80, encoder.dim)

    def gradient(half: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y, _ = encoder(x, lengths)
        assert y.dtype == torch.float32
        return torch.cat([g.flatten() for g in torch.autograd.grad((y * wanted).sum(), list(encoder.parameters()))])

    exact = gradient(False)
    assert (gradient(True) - exact).norm() < 0.02 * exact.norm()  # 0.15 if its norms are in half precision, too


def test_a_last_block_is_computed_in_steps_and_not_to_the_full():
    asked: list[tuple[int, int]] = []

    def compute(x: Tensor, lengths: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        asked.append((first, last))
        return (x[:, : last - first],)

    blocks = BlockEncoder(compute, stride=1, context=2, block=128)
    made = [len(part[0]) for (part,) in blocks.push(torch.zeros(128 + 40, 3)) + blocks.finish()]
    assert made == [128, 40]
    assert asked == [(0, 128), (2, 2 + 64)]


def test_a_block_reads_no_more_frames_than_it_must():
    blocks = BlockEncoder(lambda *_: (), stride=2, context=7, block=100)
    assert blocks.width == (50 + 2 * 4) * 2


def test_one_thread_gives_the_threads_back_after_an_error():
    before = torch.get_num_threads()

    def fail() -> None:
        with one_thread(torch.device("cpu")):
            raise ZeroDivisionError(torch.get_num_threads())

    with pytest.raises(ZeroDivisionError, match=r"^1$"):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"strides": [0]}, "strides must be 1 or more"),
        ({"channels": 0}, "channels and before above 0"),
    ],
)
def test_conv_configs_that_cannot_be(tree: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        from_tree(ConvEncoderConfig, tree, "test")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"time_strides": [1, 3, 1]}, "give both the same length"),
        ({"kernel": 3}, "a kernel above every stride"),
    ],
)
def test_lstm_configs_that_cannot_be(tree: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        from_tree(ConvLSTMEncoderConfig, tree, "test")


def test_features_that_do_not_divide_into_planes_are_refused():
    with pytest.raises(ConfigError, match=r"set encoder\.planes to 3"):
        build_encoder(ConvLSTMEncoderConfig(), 40)
