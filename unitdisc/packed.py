"""A packed model: a folder to give away, without optimiser, reservoir or heads of training, and without code.

    model.json         format, version, speakers, phones, hashes, what was left out
    model.safetensors  weights, and what was fitted beside them for the voices
    config.yaml        the configuration, defaults included
    codebook.npy       the codewords, for other programs
    README.md          the model card
    features/          weights of a self-supervised model, where one makes the features

Nothing in it is a pickle or is run, so a folder of unknown origin does no more than fail to load.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from unitdisc import __version__
from unitdisc import config as configs
from unitdisc.errors import CheckpointError, shown
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading

FORMAT = "unitdisc-model-1"
ABOUT, WEIGHTS, CONFIG, CODEBOOK, CARD, FEATURES = (
    "model.json", "model.safetensors", "config.yaml", "codebook.npy", "README.md", "features",
)  # fmt: skip
FILES = (ABOUT, WEIGHTS, CONFIG, CODEBOOK, CARD, f"{FEATURES}/*")
PARTS = ("prediction", "input_reconstruction", "decoder", "conditioning")  # of a model, that may be left out
BESIDE = ("postfilter", "voices")  # what a checkpoint has beside the network, tensors by name each
KEPT = ("speakers", "phones", "step", "codebook", "model", "without")


def is_packed(path: Path) -> bool:
    """Tell whether a folder holds a packed model."""
    return (path / ABOUT).is_file()


def write(
    folder: Path, tree: Mapping[str, Any], about: Mapping[str, Any], codebook: np.ndarray, features: Path | None
) -> None:
    """Write a model: what a checkpoint holds of it, and facts (KEPT) for model.json, which is written last.

    Features are the file or folder of a self-supervised model's weights.
    """
    from safetensors.torch import save

    tensors = {f"model.{name}": value for name, value in tree["model"].items()}
    for kind in BESIDE:
        tensors |= {f"{kind}.{name}": value for name, value in (tree.get(kind) or {}).items()}
    blob = save({name: value.cpu().contiguous().clone() for name, value in tensors.items()}, {"format": "pt"})
    config = dict(tree["config"])
    if features is not None:
        _copy_features(features, folder / FEATURES)
        own = {**config["model"]["features"], "checkpoint": _name_of_features(features)}
        config["model"] = {**config["model"], "features": own}
    with whole_file(folder / WEIGHTS, binary=True) as out:
        out.write(blob)
    with whole_file(folder / CODEBOOK, binary=True) as out:
        np.save(out, codebook, allow_pickle=False)
    with whole_file(folder / CONFIG) as out:
        yaml.safe_dump(config, out, sort_keys=False, allow_unicode=True)
    facts = {"format": FORMAT, "version": __version__, **about, "sha256": hashlib.sha256(blob).hexdigest()}
    with whole_file(folder / ABOUT) as out:
        out.write(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _name_of_features(features: Path) -> str:
    return FEATURES if features.is_dir() else f"{FEATURES}/{features.name}"


def _copy_features(features: Path, out: Path) -> None:
    """Copy the files that a self-supervised model is loaded from: all, as their hash is that of the units."""
    out.mkdir(parents=True, exist_ok=True)
    for file in [path for path in features.iterdir() if path.is_file()] if features.is_dir() else [features]:
        copyfile(file, out / file.name)


def read(folder: Path) -> dict[str, Any]:
    """Read a packed model as a checkpoint would hold it; `without` names the parts that it lacks."""
    about = _about(folder / ABOUT)
    tensors = _tensors(folder / WEIGHTS, about["sha256"])
    config = configs.read_alone(folder / CONFIG)
    _at_home(config, folder)
    tree: dict[str, Any] = {"config": config, "average": None, **{key: about[key] for key in KEPT[:3]}}
    tree["without"] = tuple(configs.RENAMED.get(part, part) for part in about["without"])
    for kind in ("model", *BESIDE):
        tree[kind] = {name[len(kind) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{kind}.")}
    tree["model"] = configs.renamed(tree["model"])
    return tree


def _about(path: Path) -> dict[str, Any]:
    with reading(path, "the description of a packed model", advice="pack or fetch it again", error=CheckpointError):
        about = parse_json(path.read_text("utf-8"))
        if about["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: expected a model of format {FORMAT}, got {str(about['format'])[:40]!r}; "
                f"unitdisc {__version__} is too old or too new for it"
            )
        missing = [key for key in (*KEPT, "sha256") if key not in about]
        if missing or not set(about["without"]) <= {*PARTS, *configs.RENAMED}:
            raise KeyError(missing[0] if missing else "without")
        names = [*about["speakers"], *about["phones"]]
        if not all(isinstance(name, str) for name in names) or not isinstance(about["step"], int):
            raise TypeError("values of other types")
        return dict(about)


def _tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    from safetensors.torch import load

    with reading(path, "weights", advice="pack or fetch it again", error=CheckpointError):
        blob = path.read_bytes()
        if hashlib.sha256(blob).hexdigest() != sha256:
            raise CheckpointError(f"{path}: damaged: its SHA-256 is not that of {ABOUT}; pack or fetch it again")
        return load(blob)


def _at_home(config: dict[str, Any], folder: Path) -> None:
    """Let features be made by weights that lie in the folder, and by no others."""
    what = "a model whose features are made by its own files"
    with reading(folder / CONFIG, what, got="another", error=CheckpointError):
        features = config["model"]["features"]
        if "checkpoint" not in features:
            return
        here = Path(features["checkpoint"])
        if here.parts[0] != FEATURES or len(here.parts) > 2 or ".." in here.parts:
            raise ValueError(shown(str(here)))
        features["checkpoint"] = str(folder / here)
