"""What archives of features a data directory is to have; light to import."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from unitdisc.errors import ConfigError
from unitdisc.features.configs import (
    ArchiveConfig,
    ExcitationConfig,
    FeatureConfig,
    LogMelConfig,
    MfccConfig,
    SSLConfig,
)
from unitdisc.features.manifest import layer_archive, read_manifest
from unitdisc.features.partial import parts_of
from unitdisc.processes import Part

POOL = 64  # utterances whose frames are made together, where that is faster: always the same ones, for the same bits


@dataclass(frozen=True)
class ExtractConfig:
    """The parts of a model's config that features follow from."""

    features: FeatureConfig = field(default_factory=MfccConfig)
    targets: LogMelConfig | None = None
    excitation: ExcitationConfig | None = None

    def __post_init__(self) -> None:
        one = self.features.grid
        for name, config in self.archives.items():
            other = config.grid
            same = (one.rate, one.offset, one.snip_edges) == (other.rate, other.offset, other.snip_edges)
            if not same or self.features.sample_rate != config.sample_rate:
                raise ConfigError(
                    f"{name} need the frames of the features: features have {one}; {name} have {other}. Set hop, "
                    f"sample_rate and snip_edges (and window, with snip_edges) of {name} to those of features"
                )

    @property
    def archives(self) -> dict[str, ArchiveConfig]:
        """Return what is made, by the name of its archive."""
        wanted = {"feats": self.features, "targets": self.targets, "excitation": self.excitation}
        return {name: config for name, config in wanted.items() if config is not None}


@dataclass(frozen=True)
class LayersConfig:
    """Several layers of a self-supervised model, in archives side by side: layer-6.scp, layer-9.scp."""

    features: SSLConfig
    layers: tuple[int, ...]

    @property
    def archives(self) -> dict[str, ArchiveConfig]:
        """Return what is made, by the name of its archive."""
        return {layer_archive(layer): replace(self.features, layer=layer) for layer in self.layers}


def is_to_compute(data_dir: Path, config: ExtractConfig | LayersConfig, part: Part | None = None) -> bool:
    """Tell whether there are features to compute, by one of several jobs or, where no jobs have left parts, by all."""
    missing = any(read_manifest(data_dir, name) is None for name in config.archives)
    return missing and (part is not None or not parts_of(data_dir))
