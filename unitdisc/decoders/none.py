"""No decoder."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from unitdisc.decoders.base import DecoderSettings, Stream
from unitdisc.features.configs import LogMelConfig


@dataclass(frozen=True)
class NoDecoderConfig(DecoderSettings):
    """No reconstruction: the units are learned through a prediction or supervised heads alone."""

    kind: Literal["none"] = "none"

    speaks: ClassVar[bool] = False

    def streams(self, targets: LogMelConfig) -> tuple[Stream, ...]:
        """Return nothing."""
        return ()
