"""From a configuration to features: a new kind is a file of its own, its config in configs.py, a line here."""

from typing import Any

from unitdisc.features.acoustic import KaldiFeatures, LogMel
from unitdisc.features.base import FeatureModule
from unitdisc.features.configs import (
    ArchiveConfig,
    ExcitationConfig,
    FbankConfig,
    HubertConfig,
    LogMelConfig,
    MfccConfig,
    Wav2Vec2Config,
    WavLMConfig,
)
from unitdisc.registry import Registry


def _excitation(config: ExcitationConfig) -> FeatureModule:
    from unitdisc.features.excitation import ExcitationFeatures  # its analysis takes scipy, which is slow to import

    return ExcitationFeatures(config)


def _self_supervised(config: Any) -> FeatureModule:
    from unitdisc.features.ssl import SelfSupervised  # with it comes torchaudio

    return SelfSupervised(config)


FEATURES: Registry[FeatureModule] = Registry(
    "features",
    {
        MfccConfig: KaldiFeatures,
        FbankConfig: KaldiFeatures,
        LogMelConfig: LogMel,
        ExcitationConfig: _excitation,
        HubertConfig: _self_supervised,
        WavLMConfig: _self_supervised,
        Wav2Vec2Config: _self_supervised,
    },
)


def build_raw_features(config: ArchiveConfig, warp: float = 1.0) -> FeatureModule:
    """Make the module that a config names: `.dim`, `.grid`, forward(waves [B, S], samples [B]) -> Features.

    The filters of fbank and MFCC may be warped, as in Kaldi's vocal tract length normalisation.
    """
    return FEATURES.build(config, *([] if warp == 1.0 else [warp]))


def feature_dim(config: ArchiveConfig) -> int:
    """Return the width of the frames that a config names, without loading a self-supervised model's weights."""
    if isinstance(config, (HubertConfig, WavLMConfig, Wav2Vec2Config)):
        from unitdisc.features.ssl import frame_width

        return frame_width(config)
    return int(str(build_raw_features(config).dim))
