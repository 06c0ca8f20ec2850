"""Unsupervised speech unit discovery with robustly trained vector-quantised bottlenecks.

The names below are the public ones; each is imported when it is first asked for, so that `import unitdisc` is instant.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_PUBLIC = {
    "UnitdiscError": "unitdisc.errors",
    "DataDir": "unitdisc.data.kaldi",
    "read_alignment": "unitdisc.data.alignment",
    "read_units": "unitdisc.data.units",
    "build_features": "unitdisc.features.frames",
    "VQ": "unitdisc.quantizers.vq",
    "VQConfig": "unitdisc.quantizers.configs",
    "UnitModel": "unitdisc.model",
    **dict.fromkeys(
        (
            "Model",
            "load_model",
            "train_model",
            "abx",
            "clusters",
            "pnmi",
            "per",
            "boundaries",
            "bitrate",
            "usage",
            "speaker_leak",
        ),
        "unitdisc.api",
    ),
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unitdisc' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
