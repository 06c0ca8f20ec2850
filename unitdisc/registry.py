"""One way from a configuration to what it names: quantisers, encoders, decoders and features are all found so."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

from unitdisc.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """What is built from each class of configuration."""

    def __init__(self, section: str, builders: Mapping[type, Callable[..., T]]) -> None:
        """Name the section of a config, and for each of its kinds what is called with the config to build it."""
        self.section, self._builders = section, dict(builders)

    def build(self, config: object, *arguments: Any) -> T:
        """Return what a configuration names; an unknown class of configuration is an error."""
        builder = self._builders.get(type(config))
        if builder is None:
            raise ConfigError(
                f"{self.section}: nothing is built from {type(config).__name__}; there are {', '.join(self.kinds)}"
            )
        return builder(config, *arguments)

    @property
    def kinds(self) -> list[str]:
        """Return the kinds that there are."""
        return [str(next(f.default for f in fields(cls) if f.name == "kind")) for cls in self._builders]

    @property
    def configs(self) -> tuple[type, ...]:
        """Return the classes of configuration that there are."""
        return tuple(self._builders)
