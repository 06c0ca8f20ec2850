"""Decoders: what they say, and that nobody else asks which kind a model has."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from places import TOP

from unitdisc.corpus import SideBySide
from unitdisc.data.timing import FrameGrid
from unitdisc.decoders.base import Fit, Voicing
from unitdisc.decoders.build import DECODERS, build_decoder
from unitdisc.decoders.configs import (
    LOG_MEL,
    WAVE,
    DecoderConfig,
    DecoderSettings,
    FrameDecoderConfig,
    NoDecoderConfig,
    WaveformDecoderConfig,
)
from unitdisc.decoders.frame import FrameDecoder
from unitdisc.errors import ConfigError
from unitdisc.features.build import FEATURES
from unitdisc.features.configs import ArchiveConfig, LogMelConfig
from unitdisc.features.invert import griffin_lim
from unitdisc.networks.configs import FramesConfig, WaveNetConfig
from unitdisc.networks.encoders.build import ENCODERS
from unitdisc.networks.encoders.configs import EncoderConfig
from unitdisc.quantizers.build import QUANTIZERS
from unitdisc.quantizers.configs import QuantizerConfig
from unitdisc.registry import Registry

PACKAGE = TOP / "unitdisc"
SMALL = WaveNetConfig(layers=2, cycles=1, residual=8, gate=16, skip=8, hidden=8)
TARGETS = LogMelConfig(mels=5)
FIT = Fit(TARGETS, FrameGrid(16000, 160, 400), 2, 6)


def frame_decoder(loss: str = "l1") -> FrameDecoder:
    torch.manual_seed(0)
    config = FrameDecoderConfig(wavenet=SMALL, output=FramesConfig(loss=loss))  # type: ignore[arg-type]
    decoder = build_decoder(config, FIT)
    assert isinstance(decoder, FrameDecoder)
    return decoder.eval()


@pytest.mark.parametrize(
    ("registry", "union"),
    [(DECODERS, DecoderConfig), (ENCODERS, EncoderConfig), (QUANTIZERS, QuantizerConfig), (FEATURES, ArchiveConfig)],
    ids=["decoder", "encoder", "quantizer", "features"],
)
def test_every_kind_that_a_config_may_name_is_built(registry, union):
    assert set(registry.configs) == set(get_args(union))
    assert len(set(registry.kinds)) == len(registry.kinds)


@pytest.mark.parametrize("registry", [DECODERS, ENCODERS, QUANTIZERS, FEATURES], ids=lambda r: r.section)
def test_what_nobody_knows_is_an_error(registry: Registry[object]):
    @dataclass(frozen=True)
    class StrangeConfig:
        kind: Literal["strange"] = "strange"

    with pytest.raises(ConfigError, match=f"{registry.section}: nothing is built from StrangeConfig; there are "):
        registry.build(StrangeConfig(), 1)


def test_nobody_else_asks_for_a_decoders_kind():
    outside = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "decoders"]
    asks = re.compile(r"isinstance\([^()]*Decoder|\.decoder\.kind")
    assert not [str(path) for path in outside if asks.search(path.read_text("utf-8"))]
    assert asks.search("isinstance(config.decoder, NoDecoderConfig)")


def test_streams_are_stated_before_anything_is_built():
    assert [(s.name, s.archive) for s in FrameDecoderConfig().streams(TARGETS)] == [(LOG_MEL, "targets")]
    assert [(s.name, s.features) for s in WaveformDecoderConfig().streams(TARGETS)] == [(WAVE, None)]
    assert NoDecoderConfig().streams(TARGETS) == ()
    assert not NoDecoderConfig.speaks
    assert build_decoder(NoDecoderConfig(), FIT) is None
    assert all(issubclass(config, DecoderSettings) for config in DECODERS.configs)


def test_means_and_densities_are_told_apart():
    assert frame_decoder("l1").says_means
    assert not frame_decoder("laplace").says_means
    assert frame_decoder().needs_pitch
    waveform = build_decoder(WaveformDecoderConfig(wavenet=SMALL), FIT)
    assert waveform is not None
    assert not waveform.says_means
    assert not waveform.needs_pitch
    assert (frame_decoder().hold, waveform.hold) == (2, 320)


def test_what_is_said_piece_by_piece_is_what_is_said():
    decoder = frame_decoder("laplace")
    condition, units = torch.randn(1, 7, 6), torch.tensor([7])
    with torch.no_grad():
        whole = decoder.say(condition, units, torch.Generator().manual_seed(3))[LOG_MEL]
        pieces = [p[LOG_MEL] for p in decoder.say_by_piece(condition, units, torch.Generator().manual_seed(3))]
    assert whole.shape == (1, 14, 5)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)


def test_a_whisper_is_what_griffin_lim_makes():
    decoder, log_mel = frame_decoder(), torch.randn(12, 5)
    sound = decoder.sound({LOG_MEL: log_mel}, Voicing(None, seed=4, iterations=3))
    torch.testing.assert_close(sound, griffin_lim(log_mel, TARGETS, 3, 4))


def test_a_waveform_sounds_as_it_is():
    decoder, wave = build_decoder(WaveformDecoderConfig(wavenet=SMALL), FIT), torch.randn(100)
    assert decoder is not None
    assert decoder.sound({WAVE: wave}, Voicing()) is wave


class Rows(dict[str, np.ndarray]):
    def frames(self, utt: str) -> int:
        return len(self[utt])


def test_archives_lie_side_by_side():
    one, other = Rows(a=np.ones((3, 2)), b=np.ones((4, 2))), Rows(a=np.zeros((3, 1)))
    both = SideBySide.of([one, other])
    assert both is not None
    np.testing.assert_array_equal(both["a"], [[1, 1, 0]] * 3)
    assert "a" in both
    assert "b" not in both
    assert both.frames("a") == 3
    assert SideBySide.of([one]) is one
    assert SideBySide.of([]) is None
