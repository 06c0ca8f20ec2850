"""From a configuration to features: a new kind is a file of its own, its config in configs.py, a line here."""

from collections.abc import Sequence

from unitdisc.features.acoustic import KaldiFeatures, LogMel
from unitdisc.features.base import FeatureModule
from unitdisc.features.configs import (
    ArchiveConfig,
    Data2VecConfig,
    ExcitationConfig,
    FbankConfig,
    HubertConfig,
    LogMelConfig,
    MfccConfig,
    Wav2Vec2Config,
    WavLMConfig,
)
from unitdisc.features.ssl import SelfSupervised
from unitdisc.features.ssl_weights import frame_width
from unitdisc.registry import Registry


def _excitation(config: ExcitationConfig) -> FeatureModule:
    from unitdisc.features.excitation import ExcitationFeatures  # its analysis takes scipy, which is slow to import

    return ExcitationFeatures(config)


FEATURES: Registry[FeatureModule] = Registry(
    "features",
    {
        MfccConfig: KaldiFeatures,
        FbankConfig: KaldiFeatures,
        LogMelConfig: LogMel,
        ExcitationConfig: _excitation,
        HubertConfig: SelfSupervised,
        WavLMConfig: SelfSupervised,
        Wav2Vec2Config: SelfSupervised,
        Data2VecConfig: SelfSupervised,
    },
)


def build_raw_features(config: ArchiveConfig, warp: float = 1.0, layers: Sequence[int] = ()) -> FeatureModule:
    """Make the module that a config names: `.dim`, `.grid`, forward(waves [B, S], samples [B]) -> Features.

    The filters of fbank and MFCC may be warped, as in Kaldi's vocal tract length normalisation; of a self-supervised
    model several layers may be made at once (`of_layers`).
    """
    if layers:
        return FEATURES.build(config, layers)
    return FEATURES.build(config, *([] if warp == 1.0 else [warp]))


def feature_dim(config: ArchiveConfig) -> int:
    """Return the width of the frames that a config names, without loading a self-supervised model's weights."""
    if isinstance(config, (HubertConfig, WavLMConfig, Wav2Vec2Config, Data2VecConfig)):
        return frame_width(config)
    return int(str(build_raw_features(config).dim))
