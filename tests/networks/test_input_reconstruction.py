"""The units' own reconstruction of the input: what each unit says of its own frames, and its old name, echo."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from unitdisc import checkpoint, config
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.errors import ConfigError
from unitdisc.model import UnitModel
from unitdisc.model_config import LossWeights, ModelConfig
from unitdisc.networks.configs import InputReconstructionConfig
from unitdisc.networks.input_reconstruction import InputReconstruction
from unitdisc.train_config import Config

STRIDE, CHANNELS, DIM = 3, 5, 4


def built(context: int) -> InputReconstruction:
    torch.manual_seed(0)
    return InputReconstruction(InputReconstructionConfig(context, hidden=7), DIM, STRIDE, CHANNELS)


@pytest.mark.parametrize("context", [0, 1, 2, 5])
def test_the_loss_is_the_mean_error_of_all_units_that_speak_of_a_frame(context: int):
    network, lengths = built(context), [7, 4, 9]  # none a whole number of units but the last
    values, frames = torch.randn(3, 3, DIM), torch.randn(3, 9, CHANNELS)
    wanted = 0.0
    with torch.no_grad():
        got = float(network.loss(values, frames, torch.tensor(lengths)))
        for row, length in enumerate(lengths):
            units = -(-length // STRIDE)
            for unit in range(units):
                said = network.layers(values[row, unit]).view(2 * context + 1, STRIDE, CHANNELS).numpy()
                for n in range(length):
                    away = n // STRIDE - unit
                    if abs(away) <= context:
                        error = np.abs(said[away + context, n % STRIDE] - frames[row, n].numpy()).mean()
                        wanted += float(error) / (2 * context + 1)
    assert got == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("context", [0, 2])
def test_what_lies_on_padding_changes_nothing(context: int):
    network = built(context)
    values, frames, lengths = torch.randn(2, 3, DIM), torch.randn(2, 8, CHANNELS), torch.tensor([8, 5])
    wanted = network.loss(values, frames, lengths)
    values[1, 2], frames[1, 5:] = 1e6, -1e6
    torch.testing.assert_close(network.loss(values, frames, lengths), wanted)


def test_it_is_something_to_learn_without_a_decoder_and_without_phones():
    with pytest.raises(ConfigError, match="nothing to learn"):
        ModelConfig(decoder=NoDecoderConfig())
    made = ModelConfig(decoder=NoDecoderConfig(), weights=LossWeights(input_reconstruction=1.0))
    assert not made.needs_phones
    with pytest.raises(ConfigError, match="context must be 0 or more and hidden above 0, got 3 and 0"):
        InputReconstructionConfig(hidden=0)


OLD = "model: {weights: {echo: 0.5}, echo: {context: 1, hidden: 7}, decoder: {kind: none}}\n"


def test_the_old_name_still_reads_in_files_their_deltas_and_options(tmp_path: Path):
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text("include: old.yaml\nmodel: {weights: {input_reconstruction: 0.25}}\n")
    (tmp_path / "newer.yaml").write_text("include: new.yaml\nmodel: {weights: {echo: 0.75}}\n")
    read = [config.load(tmp_path / f"{name}.yaml", Config).model for name in ("old", "new", "newer")]
    assert [model.weights.input_reconstruction for model in read] == [0.5, 0.25, 0.75]
    assert read[0].input_reconstruction == InputReconstructionConfig(1, 7)
    changed = config.load(tmp_path / "new.yaml", Config, ["model.weights.echo=0.125", "model.echo.context=2"]).model
    assert (changed.weights.input_reconstruction, changed.input_reconstruction.context) == (0.125, 2)


def test_a_checkpoint_with_the_old_name_still_loads(tmp_path: Path):
    (tmp_path / "old.yaml").write_text(OLD)
    model = UnitModel(config.load(tmp_path / "old.yaml", Config).model, ["a"])

    def aged(tree: dict) -> dict:
        return {key.replace("input_reconstruction", "echo"): value for key, value in tree.items()}

    state = aged(model.state_dict())
    assert any(name.startswith("echo.") for name in state)
    average = {"values": {name: value + 1 for name, value in state.items() if name.startswith("echo.")}}
    tree = {"config": yaml.safe_load(OLD), "speakers": ["a"], "phones": [], "model": state, "average": average}
    checkpoint.save(tmp_path / "x.pt", tree)
    loaded = checkpoint.load_model(tmp_path / "x.pt")
    ours, theirs = model.state_dict(), loaded.state_dict()
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name] + name.startswith("input_reconstruction."))
