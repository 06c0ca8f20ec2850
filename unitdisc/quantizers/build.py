"""From a configuration to a quantiser."""

from dataclasses import dataclass
from typing import Literal

import torch

from unitdisc.errors import ConfigError
from unitdisc.quantizers.base import Identity, Quantizer
from unitdisc.quantizers.ema import EMA, EMAConfig
from unitdisc.quantizers.fsq import FSQ, FSQConfig
from unitdisc.quantizers.kmeans import KMeans, KMeansConfig
from unitdisc.quantizers.residual import ResidualVQ, ResidualVQConfig
from unitdisc.quantizers.vq import VQ, VQConfig


@dataclass(frozen=True)
class IdentityConfig:
    """No bottleneck."""

    kind: Literal["none"] = "none"


QuantizerConfig = VQConfig | EMAConfig | ResidualVQConfig | FSQConfig | KMeansConfig | IdentityConfig


def build_quantizer(config: QuantizerConfig, dim_in: int, generator: torch.Generator | None = None) -> Quantizer:
    """Return the quantiser that a configuration asks for; `generator` draws its first weights."""
    if isinstance(config, VQConfig):
        return VQ(dim_in, config, generator)
    if isinstance(config, EMAConfig):
        return EMA(dim_in, config, generator)
    if isinstance(config, ResidualVQConfig):
        return ResidualVQ(dim_in, config, generator)
    if isinstance(config, FSQConfig):
        return FSQ(dim_in, config, generator)
    if isinstance(config, KMeansConfig):
        return KMeans(dim_in, config)
    if isinstance(config, IdentityConfig):
        return Identity(dim_in)
    raise ConfigError(f"quantizer: no quantiser is built from {type(config).__name__}")
