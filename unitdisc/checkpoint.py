"""Checkpoints: written whole or not at all, loaded without pickle, averaged only where codes mean the same.

A checkpoint is one file, EXP/checkpoints/00001000.pt: the configuration as YAML, speakers and phones, the weights,
their running average, and all that a resumed training needs.
"""

import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unitdisc import __version__, hub, packed
from unitdisc import config as configs
from unitdisc.buffers import averaged_state
from unitdisc.errors import CheckpointError
from unitdisc.files import whole_file
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.reading import reading

FORMAT = "unitdisc-checkpoint-1"


def save(path: Path, tree: dict[str, Any]) -> None:
    """Write a checkpoint under a temporary name, flush it to the disk, and rename it."""
    try:
        with whole_file(path, binary=True) as out:
            torch.save({"format": FORMAT, **tree}, out)
    except (OSError, RuntimeError) as error:  # torch's writer tells of a full disk by a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else "is the disk full?"
        others = [*path.parent.glob("*.pt"), *step_files(path.parent)]  # an average lies beside their folder
        kept = "other checkpoints are untouched" if others else "there is none before it"
        raise CheckpointError(f"{path}: cannot be written: {reason}; {kept}") from None


def load(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read one checkpoint file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    with reading(path, "a checkpoint", got="another file, or a damaged one", error=CheckpointError):
        with zipfile.ZipFile(path) as archive:  # torch's own reader takes no notice of the checksums
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {broken!r} does not fit")
        tree = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a file of format {FORMAT}")
    return {**tree, **{key: configs.renamed(tree[key]) for key in ("config", "model", "average") if key in tree}}


def step_files(exp: Path) -> list[Path]:
    """List the checkpoints of an experiment, oldest first."""
    return sorted(p for p in (exp / "checkpoints").glob("*.pt") if p.stem.isdigit())


def newest(
    exp: Path, device: str | torch.device = "cpu", say: Callable[[str], None] = lambda _: None
) -> dict[str, Any] | None:
    """Load the newest whole checkpoint, passing over damaged ones and saying so; None if there is none at all."""
    files = step_files(exp)
    for path in reversed(files):
        try:
            return load(path, device)
        except CheckpointError as error:
            say(f"{error}; trying the one before")
    if files:
        raise CheckpointError(f"{exp}: none of its {len(files)} checkpoints can be read; start anew in another folder")
    return None


def prune(exp: Path, keep: int) -> None:
    """Delete all but the newest checkpoints."""
    for path in step_files(exp)[:-keep]:
        path.unlink()


def build_model(tree: dict[str, Any], *, averaged: bool = True) -> UnitModel:
    """Make the model of a checkpoint, with its averaged weights if it has them."""
    what, advice = f"one of unitdisc {__version__}", "it was written by another program or version"
    with reading("checkpoint", what, got="another", advice=advice, error=CheckpointError):
        config = configs.from_tree(ModelConfig, tree["config"]["model"], "checkpoint")
        without = tree.get("without", ())  # of a packed model
        # A decoder that is left out has no voices, but cannot be built without one.
        model = UnitModel(config, tree["speakers"] or [""] * ("decoder" in without), tree["phones"])
        model.speakers = tuple(tree["speakers"])
        for part in without:
            setattr(model, part, None)
        weights = dict(tree["model"])
        if averaged and tree.get("average"):
            weights.update(tree["average"]["values"])
        model.load_state_dict(weights)
    return model.eval()


def load_model(path: str | Path, device: str | torch.device = "cpu") -> UnitModel:
    """Load a model for use: of a run's newest whole checkpoint, of a checkpoint file, or packed (a folder, hf://...)."""
    return build_model(load_tree(path, device)).to(device)


def _warn(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def load_tree(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Load a run's newest whole checkpoint, a checkpoint file, or a packed model: its folder, or hf://NAME/NAME."""
    path = hub.local(path)
    if packed.is_packed(path):
        return packed.read(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint, training or packed model{hub.hint(path)}")
    tree = newest(path, device, _warn) if path.is_dir() else load(path, device)
    if tree is None:
        raise CheckpointError(
            f"{path}: no checkpoint in it; train first: unitdisc train CONFIG {path} --train DATA --dev DATA"
        )
    return tree


def average_last(exp: Path, last: int) -> Path:
    """Average the weights of the last checkpoints into EXP/average-N.pt; refuse a range across a re-estimation."""
    files = step_files(exp)
    if last < 1 or len(files) < last:
        raise CheckpointError(
            f"{exp}: asked to average {last} checkpoints, found {len(files)}; raise train.keep to keep more"
        )
    trees = [load(path) for path in files[-last:]]
    marks = [tree["reestimated_at"] for tree in trees]
    if len(set(marks)) > 1:
        whole = sum(mark == marks[-1] for mark in marks)
        raise CheckpointError(
            f"{exp}: the codebook was re-estimated at step {marks[-1]}, within the last {last} checkpoints, "
            f"and its codes have other meanings before and after; average at most the last {whole}"
        )
    names = [name for name, _ in averaged_state(build_model(trees[-1], averaged=False))]
    merged = dict(trees[-1]["model"])
    for name in names:
        merged[name] = torch.stack([tree["model"][name].double() for tree in trees]).mean(0).to(merged[name].dtype)
    path = exp / f"average-{last}.pt"
    last_of_all = ("config", "speakers", "phones", "step", "reestimated_at", "postfilter", "voices")
    kept = {key: trees[-1].get(key) for key in last_of_all}
    save(path, {**kept, "model": merged, "average": None, "averaged_steps": [tree["step"] for tree in trees]})
    return path


class Polyak:
    """A running average of the weights, which restarts where the codebook is made anew.

    Averaged are the parameters and the buffers that modules name (buffers.py); other buffers are taken as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in averaged_state(model)}
        self.updates = dict.fromkeys(self.values, 0)

    @torch.no_grad()
    def update_(self, model: nn.Module) -> None:
        """Move towards the model's weights; young averages move faster, so that the start is forgotten."""
        by_age: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        for name, value in averaged_state(model):
            ours, theirs = by_age.setdefault(self.updates[name], ([], []))
            ours.append(self.values[name])
            theirs.append(value)
            self.updates[name] += 1
        for age, (ours, theirs) in by_age.items():
            torch._foreach_lerp_(ours, theirs, 1 - min(self.decay, (1 + age) / (10 + age)))

    @torch.no_grad()
    def restart_(self, model: nn.Module, prefix: str) -> None:
        """Forget the average of the weights below a prefix."""
        for name, value in averaged_state(model):
            if name.startswith(prefix):
                self.values[name].copy_(value)
                self.updates[name] = 0

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Put the averaged weights into the model for the length of a with block."""
        own = {name: value.detach().clone() for name, value in averaged_state(model)}
        self._put_(model, self.values)
        try:
            yield
        finally:
            self._put_(model, own)

    def give_(self, model: nn.Module) -> None:
        """Put the averaged weights into the model for good."""
        self._put_(model, self.values)

    @staticmethod
    @torch.no_grad()
    def _put_(model: nn.Module, values: dict[str, Tensor]) -> None:
        for name, value in averaged_state(model):
            value.copy_(values[name])

    def state_dict(self) -> dict[str, Any]:
        """Return all state, for a checkpoint."""
        return {"decay": self.decay, "values": self.values, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any], model: nn.Module) -> None:
        """Take up the state of a checkpoint; the average of what it has none of begins at the model's own value."""
        for name, value in averaged_state(model):
            self.values[name].copy_(state["values"].get(name, value))
            self.updates[name] = state["updates"].get(name, 0)
