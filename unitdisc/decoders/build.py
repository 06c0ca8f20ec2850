"""From a configuration to a decoder: a new kind is a file of its own, a class in configs.py, and a line here."""

from unitdisc.decoders.base import Decoder, Fit
from unitdisc.decoders.configs import (
    DecoderConfig,
    FrameDecoderConfig,
    NoDecoderConfig,
    VoiceDecoderConfig,
    WaveformDecoderConfig,
)
from unitdisc.decoders.frame import FrameDecoder
from unitdisc.decoders.voice import VoiceDecoder
from unitdisc.decoders.waveform import WaveformDecoder
from unitdisc.registry import Registry

DECODERS: Registry[Decoder | None] = Registry(
    "decoder",
    {
        FrameDecoderConfig: FrameDecoder,
        VoiceDecoderConfig: VoiceDecoder,
        WaveformDecoderConfig: WaveformDecoder,
        NoDecoderConfig: lambda config, fit: None,
    },
)


def build_decoder(config: DecoderConfig, fit: Fit) -> Decoder | None:
    """Return the decoder that a config asks for; None for none."""
    return DECODERS.build(config, fit)
