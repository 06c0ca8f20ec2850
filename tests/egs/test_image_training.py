"""Training in the recipes of images: interrupted or not, every configuration with every row."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import binary_version, put_lines, recipe, render, some_images, tiny_images, tiny_lines
from recipe_files import EGS

from unitdisc import config as configs
from unitdisc.config import read_tree
from unitdisc.errors import ConfigError, UnitdiscError

RECIPES = ("cifar10", "scribblelens")


@pytest.fixture(scope="module")
def cifar10() -> SimpleNamespace:
    return recipe("cifar10")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return some_images()


@pytest.fixture(scope="module")
def scribblelens() -> SimpleNamespace:
    return recipe("scribblelens")


@pytest.fixture(scope="module")
def lines_data(scribblelens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = render(scribblelens, tmp_path_factory.mktemp("rendered"))
    return put_lines(scribblelens, corpus, tmp_path_factory.mktemp("lines") / "data")


class Killed(Exception):
    """Stands for a kill."""


def train_killed_at(recipe: SimpleNamespace, config: object, exp: Path, data: Path, step: int) -> None:
    """Train, and be killed when the batch of a step is asked for."""
    fit = recipe.train.fit

    def killed(model: object, config: object, exp: Path, batch_of: object, validate: object) -> None:
        def batch(now: int) -> torch.Tensor:
            if now == step:
                raise Killed
            return batch_of(now)

        fit(model, config, exp, batch, validate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe.train, "fit", killed)
        with pytest.raises(Killed):
            recipe.train.train(config, exp, data)


def same(one: object, other: object, where: str = "") -> None:
    """Compare checkpoints, all but the time that they took."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"seconds"}:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for n, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}[{n}]")
    else:
        assert one == other, where


def last_checkpoint(exp: Path) -> dict[str, object]:
    return torch.load(exp / "checkpoints" / "00000006.pt", weights_only=True)


def test_an_interrupted_training_of_images_ends_as_an_uninterrupted_one(cifar10, images, tmp_path: Path):
    data = tmp_path / "data"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    config = tiny_images(cifar10)
    cifar10.train.train(config, tmp_path / "whole", data)
    train_killed_at(cifar10, config, tmp_path / "killed", data, step=3)  # saved after step 2, re-estimated at 3 and 5
    cifar10.train.train(config, tmp_path / "killed", data)
    same(last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "killed"))
    other = tiny_images(cifar10, model={"width": 5})
    with pytest.raises(ConfigError, match="holds a training of another model"):
        cifar10.train.train(other, tmp_path / "whole", data)


def test_an_interrupted_training_of_lines_ends_as_an_uninterrupted_one(scribblelens, lines_data: Path, tmp_path: Path):
    config = tiny_lines(scribblelens, train={"schedule": {"kind": "plateau"}, "clip": 1})
    scribblelens.train.train(config, tmp_path / "whole", lines_data)
    train_killed_at(scribblelens, config, tmp_path / "killed", lines_data, step=5)
    scribblelens.train.train(config, tmp_path / "killed", lines_data)
    same(last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "killed"))


def test_scoring_before_training_says_so(cifar10, tmp_path: Path):
    with pytest.raises(UnitdiscError, match="--stage train"):
        cifar10.networks.load(tmp_path)


def test_a_training_that_never_left_the_warm_up_is_not_encoded(cifar10, images, tmp_path: Path):
    data = tmp_path / "data"
    cifar10.prepare.prepare(binary_version(tmp_path / "bin", images), data)
    late = {"quantizer": {"schedule": {"warm_up": 50}}}
    cifar10.train.train(tiny_images(cifar10, model=late, train={"steps": 1}), tmp_path / "exp", data)
    with pytest.raises(UnitdiscError, match="still warming up"):
        cifar10.encode.encode(tmp_path / "exp", data, tmp_path / "units")


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_an_epoch_meets_each_place_once(cifar10, count: int, batch: int, seed: int):
    training = cifar10.training
    order = training.Shuffled(count, batch, seed)
    per_epoch = max(count // batch, 1)
    for epoch in (0, 1):
        met = np.concatenate([order.places(epoch * per_epoch + step) for step in range(per_epoch)])
        assert len(set(met.tolist())) == len(met) == min(count, per_epoch * batch)
    np.testing.assert_array_equal(order.places(1), training.Shuffled(count, batch, seed).places(1))


def rows() -> list[str]:
    return sorted(path.stem for path in (EGS / "common" / "conf" / "ablation").glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("row", rows())
def test_every_config_is_valid_with_every_row(name: str, row: str):
    code = recipe(name)
    change = read_tree(EGS / "common" / "conf" / "ablation" / f"{row}.yaml")
    for path in (EGS / name / "conf").glob("*.yaml"):
        tree = code.rows.compose(read_tree(path), change)
        config = configs.from_tree(code.networks.Config, tree, f"{path} with {row}")
        if path.stem == "small":
            model = (code.networks.ImageModel if name == "cifar10" else code.networks.LineModel)(config.model)
            model.quantizer.begin_step_(10**6)
            shape = (2, 3, 32, 32) if name == "cifar10" else (2, 32, 16)
            loss = model.loss(torch.randint(256, shape, dtype=torch.uint8))
            loss.total.backward()
            assert torch.isfinite(loss.total)
            assert sum(len(group["params"]) for group in model.parameter_groups(1.0)) == len(list(model.parameters()))
