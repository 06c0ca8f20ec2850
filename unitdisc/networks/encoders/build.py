"""From a configuration to an encoder: a new kind is a file of its own, and a name in both lists here."""

from unitdisc.networks.encoders.base import Encoder
from unitdisc.networks.encoders.conv import ConvEncoder, ConvEncoderConfig
from unitdisc.networks.encoders.conv_lstm import ConvLSTMEncoder, ConvLSTMEncoderConfig
from unitdisc.networks.encoders.gated import GatedEncoder, GatedEncoderConfig
from unitdisc.networks.encoders.linear import LinearEncoder, LinearEncoderConfig
from unitdisc.networks.encoders.none import NoEncoder, NoEncoderConfig
from unitdisc.registry import Registry

EncoderConfig = ConvEncoderConfig | GatedEncoderConfig | ConvLSTMEncoderConfig | LinearEncoderConfig | NoEncoderConfig

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
