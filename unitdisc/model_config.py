"""Everything that a model's shape and behaviour depend on."""

from dataclasses import dataclass, field

from unitdisc.decoders.configs import DecoderConfig, FrameDecoderConfig, Stream
from unitdisc.errors import ConfigError
from unitdisc.features.configs import FbankConfig, FeatureConfig, LogMelConfig, MfccConfig
from unitdisc.networks.configs import (
    ConditioningConfig,
    HeadConfig,
    InputReconstructionConfig,
    PerturbationConfig,
    PredictionConfig,
)
from unitdisc.networks.encoders.configs import ConvEncoderConfig, EncoderConfig
from unitdisc.quantizers.configs import KMeansConfig, QuantizerConfig, VQConfig


@dataclass(frozen=True)
class LossWeights:
    """What each part of the loss counts; a head is built if its weight is above 0."""

    reconstruction: float = 1.0
    quantizer: float = 1.0
    ctc: float = 0.0
    framewise: float = 0.0
    input_reconstruction: float = 0.0  # of the encoder's own input, by each unit alone
    prediction: float = 0.0  # of the clusters that units of the unchanged utterance belong to

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            numbers = ", ".join(f"{name} {value:g}" for name, value in vars(self).items())
            raise ConfigError(f"weights must be 0 or more, got {numbers}")

    @property
    def on_values(self) -> float:
        """Return the largest weight of the losses that are made of quantised values without a decoder."""
        others = ("reconstruction", "quantizer", "prediction")
        return max(weight for name, weight in vars(self).items() if name not in others)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that the model's shape and behaviour depend on."""

    features: FeatureConfig = field(default_factory=MfccConfig)
    targets: LogMelConfig = field(default_factory=LogMelConfig)  # of a decoder of frames
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)
    encoder: EncoderConfig = field(default_factory=ConvEncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=VQConfig)
    jitter: float = 0.12  # probability that a unit's vector is replaced by its neighbour's while training
    # Share of the rows whose vectors the decoder hears before they are quantised, while training: it then speaks from
    # both (`unitdisc convert --vectors`).
    vectors: float = 0.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    decoder: DecoderConfig = field(default_factory=FrameDecoderConfig)
    heads: HeadConfig = field(default_factory=HeadConfig)
    input_reconstruction: InputReconstructionConfig = field(default_factory=InputReconstructionConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter <= 1.0:
            raise ConfigError(f"jitter is a probability between 0 and 1, got {self.jitter}")
        if not 0.0 <= self.vectors <= 1.0:
            raise ConfigError(f"vectors is a share between 0 and 1, got {self.vectors}")
        if self.perturbation.on and (not isinstance(self.features, FbankConfig) or self.features.energy):
            raise ConfigError("perturbation stretches log mel filter banks: set features.kind to fbank, without energy")
        ours = self.features.grid
        for stream in (*self.decoder.streams(self.targets), *self.told):
            theirs = ours if stream.features is None else stream.features.grid
            if (ours.sample_rate, ours.hop, ours.snip_edges) != (theirs.sample_rate, theirs.hop, theirs.snip_edges) or (
                ours.snip_edges and ours.window != theirs.window
            ):
                raise ConfigError(
                    f"targets need the same frames as features: features have {ours}, targets {theirs}; "
                    "set targets.sample_rate, hop, snip_edges (and window, with snip_edges) to those of features"
                )
        if not isinstance(self.quantizer, KMeansConfig) and not self.learns:
            raise ConfigError(
                "nothing to learn: decoder.kind is none; set one of weights.prediction, input_reconstruction, ctc and "
                "framewise above 0"
            )

    @property
    def told(self) -> tuple[Stream, ...]:
        """Return what the decoder is told of each frame beside units and speaker."""
        return self.decoder.told(self.targets)

    @property
    def learns(self) -> bool:
        """Tell whether there is a loss to learn by."""
        return self.decoder.speaks or max(self.weights.on_values, self.weights.prediction) > 0

    @property
    def needs_phones(self) -> bool:
        """Tell whether training takes phone labels."""
        return self.weights.ctc > 0 or self.weights.framewise > 0
