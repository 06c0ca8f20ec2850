"""From a configuration to a quantiser: a new kind is a file of its own, a class in configs.py, and a line here."""

import torch

from unitdisc.quantizers.base import Identity, Quantizer
from unitdisc.quantizers.configs import (
    EMAConfig,
    FSQConfig,
    IdentityConfig,
    KMeansConfig,
    QuantizerConfig,
    ResidualVQConfig,
    VQConfig,
)
from unitdisc.quantizers.ema import EMA
from unitdisc.quantizers.fsq import FSQ
from unitdisc.quantizers.kmeans import KMeans
from unitdisc.quantizers.residual import ResidualVQ
from unitdisc.quantizers.vq import VQ
from unitdisc.registry import Registry

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
