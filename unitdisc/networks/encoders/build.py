"""From a configuration to an encoder: a new kind is a file of its own, a class in configs.py, and a line here."""

from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.configs import (
    ConvEncoderConfig,
    ConvLSTMEncoderConfig,
    EncoderConfig,
    GatedEncoderConfig,
    LinearEncoderConfig,
    NoEncoderConfig,
)
from unitdisc.networks.encoders.conv import ConvEncoder
from unitdisc.networks.encoders.conv_lstm import ConvLSTMEncoder
from unitdisc.networks.encoders.gated import GatedEncoder
from unitdisc.networks.encoders.linear import LinearEncoder
from unitdisc.networks.encoders.none import NoEncoder
from unitdisc.registry import Registry

ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    {
        ConvEncoderConfig: ConvEncoder,
        GatedEncoderConfig: GatedEncoder,
        ConvLSTMEncoderConfig: ConvLSTMEncoder,
        LinearEncoderConfig: LinearEncoder,
        NoEncoderConfig: NoEncoder,
    },
)


def build_encoder(config: EncoderConfig, dim_in: int) -> Encoder:
    """Return the encoder that a config asks for."""
    return ENCODERS.build(config, dim_in)
