"""Units of a trained model, taken over by another: a decoder may be trained long after the units that it speaks."""

from pathlib import Path

from unitdisc import config as configs
from unitdisc.checkpoint import load_model
from unitdisc.errors import ConfigError
from unitdisc.model import UnitModel

PARTS = ("features", "encoder", "quantizer")  # of the configuration: what units depend on


def take_units_(model: UnitModel, path: str | Path) -> None:
    """Give a model the input normalisation, encoder and codebook of a trained one, whose units it then has."""
    theirs = load_model(path)
    for part in PARTS:
        wanted, there = (configs.to_tree(getattr(m.config, part)) for m in (model, theirs))
        if wanted != there:
            key = next(k for k in {**there, **wanted} if there.get(k) != wanted.get(k))
            raise ConfigError(
                f"train.units_of: {path} has model.{part}.{key} {there.get(key)}, the configuration {wanted.get(key)}; "
                "features, encoder and quantizer must be those of the model whose units are taken"
            )
    if theirs.quantizer.held:
        raise ConfigError(f"train.units_of: {path} has no codebook yet; train it to its end first")
    model.set_normalisation_(theirs.mean, theirs.std)
    model.encoder.load_state_dict(theirs.encoder.state_dict())
    model.quantizer.load_state_dict(theirs.quantizer.state_dict())
