"""From a configuration to a quantiser: a new kind is a file of its own, and a name in both lists here."""

from dataclasses import dataclass
from typing import Literal

import torch

from unitdisc.quantizers.base import Identity, Quantizer
from unitdisc.quantizers.ema import EMA, EMAConfig
from unitdisc.quantizers.fsq import FSQ, FSQConfig
from unitdisc.quantizers.kmeans import KMeans, KMeansConfig
from unitdisc.quantizers.residual import ResidualVQ, ResidualVQConfig
from unitdisc.quantizers.vq import VQ, VQConfig
from unitdisc.registry import Registry


@dataclass(frozen=True)
class IdentityConfig:
    """No bottleneck."""

    kind: Literal["none"] = "none"


QuantizerConfig = VQConfig | EMAConfig | ResidualVQConfig | FSQConfig | KMeansConfig | IdentityConfig

QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer",
    {
        VQConfig: lambda config, dim_in, generator: VQ(dim_in, config, generator),
        EMAConfig: lambda config, dim_in, generator: EMA(dim_in, config, generator),
        ResidualVQConfig: lambda config, dim_in, generator: ResidualVQ(dim_in, config, generator),
        FSQConfig: lambda config, dim_in, generator: FSQ(dim_in, config, generator),
        KMeansConfig: lambda config, dim_in, generator: KMeans(dim_in, config),
        IdentityConfig: lambda config, dim_in, generator: Identity(dim_in),
    },
)


def build_quantizer(config: QuantizerConfig, dim_in: int, generator: torch.Generator | None = None) -> Quantizer:
    """Return the quantiser that a configuration asks for; `generator` draws its first weights."""
    return QUANTIZERS.build(config, dim_in, generator)
