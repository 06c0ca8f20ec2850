"""Training to packed model: averaged weights, what they are of, how good they are, and how to use them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc import packed
from unitdisc.card import Facts, card, training_facts
from unitdisc.checkpoint import build_model, load_tree
from unitdisc.encode import codebook_of
from unitdisc.errors import CheckpointError, DataError
from unitdisc.files import whole_file
from unitdisc.model import UnitModel


@dataclass(frozen=True)
class PackOptions:
    """What to give away, and what to say of it."""

    decoder: bool = True  # False: units only, no voices and no names of speakers
    name: str = ""  # title of the card; by default that of the folder
    licence: str = ""  # as in "cc-by-4.0"; by default not stated
    data: str = ""  # what it was trained on, in words; by default the name of the data directory


class PackedModel(NamedTuple):
    """What was packed."""

    parameters: int
    weights: int  # bytes
    total: int  # bytes of the whole folder
    codebook: str  # its hash, that of unit files
    model: str


def pack(exp: str | Path, out: str | Path, options: PackOptions | None = None, *, force: bool = False) -> PackedModel:
    """Write a packed model of a training's newest checkpoint, or of a checkpoint file, with its averaged weights."""
    exp, out, options = Path(exp), Path(out), options or PackOptions()
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder to write to, got a file")
    if packed.is_packed(out) and not force:
        raise DataError(f"{out}: there is a packed model already; --force replaces it")
    if packed.is_packed(exp):
        raise CheckpointError(f"{exp}: packed already; copy the folder, or pack the training that it is of")
    tree = load_tree(exp)
    model = build_model(tree)
    if model.quantizer.codes and getattr(model.quantizer, "warming_up", model.quantizer.held):
        raise CheckpointError(f"{exp}: its training was still in the warm-up, before the codebook is used; train on")
    slim = _slim_(model, tree, options.decoder)
    (out / packed.ABOUT).unlink(missing_ok=True)  # what is replaced is no model any more until all of it is there
    about = {key: slim[key] for key in ("speakers", "phones", "step", "codebook", "model_hash", "without")}
    about["model"] = about.pop("model_hash")
    facts = Facts(options.name or out.resolve().name, options.licence, options.data, training_facts(exp))
    with whole_file(out / packed.CARD) as file:
        file.write(card(model, about, facts))
    features = getattr(model.config.features, "checkpoint", None)
    packed.write(out, slim, about, codebook_of(model), features)
    weights = sum(tensor.nbytes for tensor in slim["model"].values())
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return PackedModel(sum(p.numel() for p in model.parameters()), weights, total, about["codebook"], about["model"])


def _slim_(model: UnitModel, tree: dict[str, Any], decoder: bool) -> dict[str, Any]:
    """Take from a model what only its training needs; return what is packed of its checkpoint."""
    unwanted = ("prediction", "input_reconstruction") if decoder else packed.PARTS
    without = [part for part in unwanted if getattr(model, part) is not None]
    hashes = {"codebook": model.codebook_hash(), "model_hash": model.model_hash()}
    for part in without:
        setattr(model, part, None)
    reservoir = getattr(model.quantizer, "reservoir", None)
    if reservoir is not None:
        reservoir.reset_()
    kept = {kind: tree.get(kind) if decoder else None for kind in packed.BESIDE}
    about = {"phones": list(tree["phones"]), "step": int(tree.get("step", 0)), "without": without}
    speakers = list(tree["speakers"]) if decoder else []
    return {**about, **hashes, **kept, "speakers": speakers, "config": tree["config"], "model": model.state_dict()}
