"""Quantisers that cannot silently die: `from unitdisc.quantizers import VQ, VQConfig`; see docs/method.md.

Each name is imported when it is first asked for, so that configurations are read without torch.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    **dict.fromkeys(("Identity", "Quantized", "Quantizer", "Reestimation"), "base"),
    "build_quantizer": "build",
    **dict.fromkeys(
        (
            "EMAConfig",
            "FSQConfig",
            "IdentityConfig",
            "KMeansConfig",
            "QuantizerConfig",
            "ResidualVQConfig",
            "VQConfig",
        ),
        "configs",
    ),
    "EMA": "ema",
    "FSQ": "fsq",
    **dict.fromkeys(("KMeans", "kmeans_of_stream"), "kmeans"),
    "ResidualVQ": "residual",
    **dict.fromkeys(("OFF", "ScheduleConfig"), "schedule"),
    "VQ": "vq",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unitdisc.quantizers' has no attribute {name!r}")
    return getattr(import_module(f"unitdisc.quantizers.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
