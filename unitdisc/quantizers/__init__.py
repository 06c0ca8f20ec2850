"""Quantisers that cannot silently die: `from unitdisc.quantizers import VQ, VQConfig`; see docs/method.md."""

from unitdisc.quantizers.base import Identity, Quantized, Quantizer, Reestimation
from unitdisc.quantizers.build import IdentityConfig, QuantizerConfig, build_quantizer
from unitdisc.quantizers.ema import EMA, EMAConfig
from unitdisc.quantizers.fsq import FSQ, FSQConfig
from unitdisc.quantizers.kmeans import KMeans, KMeansConfig, kmeans_of_stream
from unitdisc.quantizers.residual import ResidualVQ, ResidualVQConfig
from unitdisc.quantizers.schedule import OFF, ScheduleConfig
from unitdisc.quantizers.vq import VQ, VQConfig

__all__ = [
    "EMA",
    "FSQ",
    "OFF",
    "VQ",
    "EMAConfig",
    "FSQConfig",
    "Identity",
    "IdentityConfig",
    "KMeans",
    "KMeansConfig",
    "Quantized",
    "Quantizer",
    "QuantizerConfig",
    "Reestimation",
    "ResidualVQ",
    "ResidualVQConfig",
    "ScheduleConfig",
    "VQConfig",
    "build_quantizer",
    "kmeans_of_stream",
]
