"""Lay changes, and a row of an ablation, over a recipe's configuration.

python rows.py BASE ROW OUT [A.B=C ...]    writes OUT, a configuration without includes; ROW may be -, for none

Changes A.B=C are of the base, so that a row keeps the last word. A row that changes the quantiser's kind keeps what
both kinds have: the number of codes, their dimension, ...
"""

import dataclasses
import typing
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from scripts import run

from unitdisc.config import merge, read_tree
from unitdisc.errors import ConfigError
from unitdisc.quantizers.configs import QuantizerConfig


def compose(base: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a row."""
    tree = merge(base, row)
    old = base.get("model", {}).get("quantizer", {})
    new = row.get("model", {}).get("quantizer", {})
    if "kind" in new and new["kind"] != old.get("kind", "vq"):
        kept = {key: value for key, value in old.items() if key in fields_of(new["kind"]) - {"kind"}}
        tree["model"]["quantizer"] = merge(kept, new)
    return tree


def changed(tree: dict[str, Any], change: str) -> dict[str, Any]:
    """Return a configuration with a change A.B=C made."""
    path, equals, value = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: expected KEY.KEY=VALUE")
    delta = yaml.safe_load(value)
    for key in reversed(path.split(".")):
        delta = {key: delta}
    return merge(tree, delta)


def fields_of(kind: str) -> set[str]:
    """Return the names of what can be set of a kind of quantiser."""
    for cls in typing.get_args(QuantizerConfig):
        fields = dataclasses.fields(cls)
        if fields[0].default == kind:
            return {field.name for field in fields}
    return set()  # an unknown kind: reading the configuration says so


def lay(base: Path, row: Path, out: Path, changes: list[str]) -> None:
    """Compose and write."""
    delta = {} if str(row) == "-" else read_tree(row)
    tree = compose(reduce(changed, changes, read_tree(base)), delta)
    kind = tree.get("model", {}).get("quantizer", {}).get("kind", "vq")
    if fields_of(kind) and (foreign := delta.get("model", {}).get("quantizer", {}).keys() - fields_of(kind)):
        raise ConfigError(
            f"{row}: a quantiser of kind {kind}, as in {base}, has no {', '.join(sorted(foreign))}; "
            "lay this row over a configuration of kind vq, as --config conf/ablation.yaml or conf/vqvae.yaml"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), "utf-8")


def main() -> None:
    """Parse and lay."""
    run(lay, "base", "row", "out", "changes", changes={"type": str, "nargs": "*", "default": [], "metavar": "A.B=C"})


if __name__ == "__main__":
    main()
