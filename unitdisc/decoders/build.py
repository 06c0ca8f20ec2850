"""From a configuration to a decoder: a new kind is a file of its own, and a name in both lists here."""

from unitdisc.decoders.base import Decoder, Fit
from unitdisc.decoders.frame import FrameDecoder, FrameDecoderConfig
from unitdisc.decoders.none import NoDecoderConfig
from unitdisc.decoders.voice import VoiceDecoder, VoiceDecoderConfig
from unitdisc.decoders.waveform import WaveformDecoder, WaveformDecoderConfig
from unitdisc.registry import Registry

DecoderConfig = FrameDecoderConfig | VoiceDecoderConfig | WaveformDecoderConfig | NoDecoderConfig

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
