"""The echo: what each unit says of its own frames."""

import numpy as np
import pytest
import torch

from unitdisc.errors import ConfigError
from unitdisc.model_config import LossWeights, ModelConfig
from unitdisc.networks.decoder import NoDecoderConfig
from unitdisc.networks.echo import Echo, EchoConfig

STRIDE, CHANNELS, DIM = 3, 5, 4


@pytest.fixture
def echo() -> Echo:
    torch.manual_seed(0)
    return Echo(EchoConfig(hidden=7), DIM, STRIDE, CHANNELS)


def test_the_loss_is_the_mean_error_over_channels_summed_over_the_frames_that_count(echo: Echo):
    lengths = [7, 4, 9]  # none a whole number of units but the last
    values, frames = torch.randn(3, 3, DIM), torch.randn(3, 9, CHANNELS)
    wanted = 0.0
    with torch.no_grad():
        got = float(echo.loss(values, frames, torch.tensor(lengths)))
        for row, length in enumerate(lengths):
            for n in range(length):
                said = echo.layers(values[row, n // STRIDE]).numpy()[n % STRIDE * CHANNELS :][:CHANNELS]
                wanted += float(np.abs(said - frames[row, n].numpy()).mean())
    assert got == pytest.approx(wanted, rel=1e-5)


def test_what_lies_on_padding_changes_nothing(echo: Echo):
    values, frames, lengths = torch.randn(2, 3, DIM), torch.randn(2, 8, CHANNELS), torch.tensor([8, 5])
    wanted = echo.loss(values, frames, lengths)
    values[1, 2], frames[1, 5:] = 1e6, -1e6
    torch.testing.assert_close(echo.loss(values, frames, lengths), wanted)


def test_each_unit_answers_for_its_own_frames_alone(echo: Echo):
    values = torch.randn(1, 3, DIM)
    before = echo(values)
    values[0, 1] += 1
    changed = (echo(values) != before).any(-1)[0]
    assert changed.tolist() == [False] * STRIDE + [True] * STRIDE + [False] * STRIDE


def test_an_echo_is_something_to_learn_without_a_decoder_and_without_phones():
    with pytest.raises(ConfigError, match="nothing to learn"):
        ModelConfig(decoder=NoDecoderConfig())
    config = ModelConfig(decoder=NoDecoderConfig(), weights=LossWeights(echo=1.0))
    assert not config.needs_phones
    with pytest.raises(ConfigError, match="echo: hidden must be above 0, got 0"):
        EchoConfig(hidden=0)
