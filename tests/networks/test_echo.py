"""The echo: what each unit says of its own frames."""

import numpy as np
import pytest
import torch

from unitdisc.decoders.none import NoDecoderConfig
from unitdisc.errors import ConfigError
from unitdisc.model_config import LossWeights, ModelConfig
from unitdisc.networks.echo import Echo, EchoConfig

STRIDE, CHANNELS, DIM = 3, 5, 4


def echo(context: int) -> Echo:
    torch.manual_seed(0)
    return Echo(EchoConfig(context, hidden=7), DIM, STRIDE, CHANNELS)


@pytest.mark.parametrize("context", [0, 1, 2, 5])
def test_the_loss_is_the_mean_error_of_all_units_that_speak_of_a_frame(context: int):
    network, lengths = echo(context), [7, 4, 9]  # none a whole number of units but the last
    values, frames = torch.randn(3, 3, DIM), torch.randn(3, 9, CHANNELS)
    wanted = 0.0
    with torch.no_grad():
        got = float(network.loss(values, frames, torch.tensor(lengths)))
        for row, length in enumerate(lengths):
            units = -(-length // STRIDE)
            for unit in range(units):
                said = network.layers(values[row, unit]).view(2 * context + 1, STRIDE, CHANNELS).numpy()
                for n in range(length):
                    away = n // STRIDE - unit
                    if abs(away) <= context:
                        error = np.abs(said[away + context, n % STRIDE] - frames[row, n].numpy()).mean()
                        wanted += float(error) / (2 * context + 1)
    assert got == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("context", [0, 2])
def test_what_lies_on_padding_changes_nothing(context: int):
    network = echo(context)
    values, frames, lengths = torch.randn(2, 3, DIM), torch.randn(2, 8, CHANNELS), torch.tensor([8, 5])
    wanted = network.loss(values, frames, lengths)
    values[1, 2], frames[1, 5:] = 1e6, -1e6
    torch.testing.assert_close(network.loss(values, frames, lengths), wanted)


def test_an_echo_is_something_to_learn_without_a_decoder_and_without_phones():
    with pytest.raises(ConfigError, match="nothing to learn"):
        ModelConfig(decoder=NoDecoderConfig())
    config = ModelConfig(decoder=NoDecoderConfig(), weights=LossWeights(echo=1.0))
    assert not config.needs_phones
    with pytest.raises(ConfigError, match="context must be 0 or more and hidden above 0, got 3 and 0"):
        EchoConfig(hidden=0)
