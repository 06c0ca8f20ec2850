"""Configuration: frozen dataclasses hold the defaults, YAML files hold differences.

A field typed as a union of dataclasses is chosen by `kind`, a `Literal` field that each of them starts with:

    quantizer: {kind: ema, codes: 512}

`include: other.yaml` (or a list of files) is read first, relative to the file that names it.
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from unitdisc.errors import ConfigError

C = TypeVar("C")


def load(path: str | Path, cls: type[C], overrides: Iterable[str] = ()) -> C:
    """Read a YAML file, its includes and `a.b=value` overrides into a config."""
    tree = read_tree(Path(path))
    for override in overrides:
        _apply_override(tree, override)
    return from_tree(cls, tree, str(path))


def read_tree(path: Path, parents: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file with its includes merged under it."""
    if path.resolve() in parents:
        raise ConfigError(f"{path}: includes itself by way of {parents[-1]}; remove one of the includes")
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such config file" + (f" (included by {parents[-1]})" if parents else "")
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, got {type(tree).__name__}")
    include = tree.pop("include", [])
    merged: dict[str, Any] = {}
    for name in [include] if isinstance(include, str) else include:
        merged = merge(merged, read_tree(path.parent / name, (*parents, path.resolve())))
    return merge(merged, tree)


def merge(base: dict[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with delta laid over it; a changed `kind` replaces the whole section."""
    merged = dict(base)
    for key, value in delta.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict) and value.get("kind") in (None, below.get("kind")):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected KEY.KEY=VALUE")
    *sections, last = path.strip().split(".")
    for section in sections:
        inner = tree.get(section)
        tree[section] = dict(inner) if isinstance(inner, Mapping) else {}
        tree = tree[section]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {text!r} is not a YAML value; quote it") from None
    tree.update(merge(tree, {last: value}))


def from_tree(cls: type[C], tree: Any, where: str) -> C:
    """Build a config dataclass from plain dicts, lists and scalars, refusing what it does not know."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: expected a section for {cls.__name__}, got {tree!r}")
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in tree.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{_nearest(str(key), known)}")
        values[key] = _value(hints[key], value, f"{where}: {key}")
    missing = [
        name
        for name, field in known.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {cls.__name__} needs a value for {', '.join(missing)}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _nearest(key: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_tree(typing.cast("type[Any]", hint), value, where)
    if origin in (Union, types.UnionType):
        return _union(args, value, where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(str, args))}{_hint_for(value, args)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {value!r}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_value(hint, v, where) for hint, v in zip(inner, value, strict=True))
    return _scalar(hint, value, where)


def _hint_for(value: Any, args: tuple[Any, ...]) -> str:
    near = difflib.get_close_matches(str(value), [str(a) for a in args], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    classes = {_kind_of(a): typing.cast("type[Any]", a) for a in args if dataclasses.is_dataclass(a)}
    if not classes:
        scalars = [a for a in args if a is not type(None)]
        for hint in scalars[:-1]:
            try:
                return _value(hint, value, where)
            except ConfigError:
                continue
        return _value(scalars[-1], value, where)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a section, got {value!r}")
    if len(classes) == 1:
        return from_tree(next(iter(classes.values())), value, where)
    kind = value.get("kind", next(iter(classes)))
    if kind not in classes:
        raise ConfigError(f"{where}: unknown kind {kind!r}{_nearest(str(kind), classes)}")
    return from_tree(classes[kind], value, where)


def _kind_of(cls: Any) -> str:
    for field in dataclasses.fields(cls):
        if field.name == "kind":
            return str(field.default)
    return cls.__name__


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML reads 1e-3 as a string
        try:
            value = float(value)
        except ValueError:
            raise ConfigError(f"{where}: expected a number, got {value!r}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is Path and isinstance(value, str):
        value = Path(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def to_tree(config: Any) -> Any:
    """Turn a config into plain dicts, lists and scalars."""
    if dataclasses.is_dataclass(config):
        return {field.name: to_tree(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_tree(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def dump(config: Any) -> str:
    """Write a config, defaults included, as YAML that `load` reads back to an equal config."""
    return yaml.safe_dump(to_tree(config), sort_keys=False, allow_unicode=True)


def digest(config: Any) -> str:
    """Hash a config, defaults included, to 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(to_tree(config), sort_keys=True).encode()).hexdigest()[:12]
