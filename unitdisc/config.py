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

from unitdisc.errors import ConfigError, clipped, shown
from unitdisc.reading import reading

C = TypeVar("C")
RENAMED = {"echo": "input_reconstruction"}  # keys of version 0.1.0, wherever they stand


def load(path: str | Path, cls: type[C], overrides: Iterable[str] = ()) -> C:
    """Read a YAML file, its includes and `a.b=value` overrides into a config."""
    return of_tree(cls, read_tree(Path(path)), str(path), overrides)


def of_tree(cls: type[C], tree: dict[str, Any], where: str, overrides: Iterable[str] = ()) -> C:
    """Make a config of what stands in a file, or would, and of `a.b=value` overrides."""
    overrides = list(overrides)
    changed = with_overrides(cls, tree, overrides)
    try:
        return from_tree(cls, changed, where)
    except ConfigError:
        if overrides:
            from_tree(cls, tree, where)
        # The file itself is sound, or there is nothing else.
        return from_tree(cls, changed, f"{where} with --set {' '.join(overrides)}" if overrides else where)


def of_overrides(cls: type[C], overrides: Iterable[str]) -> C:
    """Make a config of defaults and `a.b=value` overrides."""
    return from_tree(cls, _tree_of(overrides), "--set")


def read_alone(path: Path) -> dict[str, Any]:
    """Read a YAML file that may be anybody's: what it includes is not looked for."""
    return _read_yaml(path, ())


def with_overrides(cls: type | None, tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lay `a.b=value` overrides over a tree; without its class, a section without its kind may be lost."""
    changes = _tree_of(overrides)
    return merge(tree if cls is None else _with_kinds(cls, tree), changes) if changes else tree


def read_tree(path: Path, parents: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file with its includes merged under it."""
    if path.resolve() in parents:
        raise ConfigError(f"{path}: includes itself by way of {parents[-1]}; remove one of the includes")
    tree = _read_yaml(path, parents)
    include = tree.pop("include", [])
    names = [include] if isinstance(include, str) else include
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: include: expected a file, or a list of files, got {shown(include)}")
    merged: dict[str, Any] = {}
    for name in names:
        merged = merge(merged, read_tree(path.parent / name, (*parents, path.resolve())))
    return merge(merged, tree)


MOST_NODES = 100_000  # of a YAML file, its aliases written out


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Return how many values a node holds, aliases written out; infinite for one that is part of itself."""
    if id(node) not in sizes:
        sizes[id(node)] = float("inf")  # until it is known, which it is not yet for one that is met below itself
        below: Iterable[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            below = (part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in below)
    return sizes[id(node)]


class _Loader(yaml.SafeLoader):
    """YAML, but of two lines for one key the first is not dropped in silence."""

    def get_single_node(self) -> yaml.Node | None:
        """Refuse aliases that stand for more than a configuration can hold, or for themselves."""
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MOST_NODES:
            raise yaml.constructor.ConstructorError(
                None, None, f"aliases make more than {MOST_NODES} values of it", node.start_mark
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path, parents: tuple[Path, ...]) -> dict[str, Any]:
    none = f"it is included by {parents[-1]}" if parents else "expected a configuration"
    with reading(path, "YAML", none=none, error=ConfigError):
        try:
            tree = yaml.load(path.read_text("utf-8"), _Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
            what = clipped(" ".join(word for word in (error.context, error.problem) if word))
            raise ConfigError(f"{where}: cannot be read as YAML: {what}") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, got {type(tree).__name__}")
    return renamed(tree)


def renamed(tree: Any) -> Any:
    """Return a tree with the keys of today in place of old ones; of dotted names the first word counts."""
    return {_key_of_today(key): renamed(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def _key_of_today(key: Any) -> Any:
    if not isinstance(key, str):
        return key
    first, dot, rest = key.partition(".")
    return RENAMED.get(first, first) + dot + rest


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


def _tree_of(overrides: Iterable[str]) -> dict[str, Any]:
    """Return the tree of `a.b=value` overrides: what a YAML file would hold that says the same."""
    tree: dict[str, Any] = {}
    for override in overrides:
        _apply_override(tree, override)
    return tree


def _with_kinds(cls: Any, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Name the kind of each section that leaves it to the defaults, so that another kind is known for another."""
    named = dict(tree)
    if not dataclasses.is_dataclass(cls):
        return named
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        section = tree.get(field.name)
        if not isinstance(section, Mapping):
            continue
        classes = _classes(hints[field.name])
        kind = section.get("kind", _default_kind(classes, _default(field)))
        if isinstance(kind, str) and kind in classes:
            inner = _with_kinds(classes[kind], section)
            named[field.name] = {"kind": kind, **inner} if len(classes) > 1 else inner
    return named


def _classes(hint: Any) -> dict[str, Any]:
    """Return the dataclasses that a field may hold, by kind."""
    args = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    return {kind_of(arg): arg for arg in args if dataclasses.is_dataclass(arg)}


def _default_kind(classes: Mapping[str, Any], base: Any) -> str:
    """Return the kind of a section that names none: that of the default, or the first."""
    kind = kind_of(type(base)) if dataclasses.is_dataclass(base) else ""
    return kind if kind in classes else next(iter(classes), "")


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected KEY.KEY=VALUE")
    *sections, last = (RENAMED.get(key, key) for key in path.strip().split("."))
    for section in sections:
        inner = tree.get(section)
        tree[section] = dict(inner) if isinstance(inner, Mapping) else {}
        tree = tree[section]
    with reading(f"--set {override}", "a YAML value", got=shown(text), advice="quote it", error=ConfigError):
        value = renamed(yaml.load(text, _Loader))
    tree.update(merge(tree, {last: value}))


def from_tree(cls: type[C], tree: Any, where: str, base: C | None = None) -> C:
    """Build a config dataclass from plain dicts, lists and scalars, refusing what it does not know.

    What a tree leaves out is as in `base`, or by default. A section within starts from the default of its own field,
    which may be another than that of its class.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: expected a section for {cls.__name__}, got {shown(tree)}")
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in tree.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {shown(key)}{_nearest(str(key), known)}")
        inner = _default(known[key]) if base is None else getattr(base, key)
        values[key] = _value(hints[key], value, f"{where}: {key}", inner)
    if base is not None:
        values = {name: getattr(base, name) for name in known} | values
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


def _value(hint: Any, value: Any, where: str, base: Any = None) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where, base)
    if origin in (Union, types.UnionType):
        return _union(hint, value, where, base)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: {shown(value)} is none of {', '.join(map(str, args))}{_hint_for(value, args)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {shown(value)}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {shown(value)}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_value(hint, v, where) for hint, v in zip(inner, value, strict=True))
    return _scalar(hint, value, where)


def _hint_for(value: Any, args: tuple[Any, ...]) -> str:
    near = difflib.get_close_matches(str(value), [str(a) for a in args], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _section(cls: Any, value: Any, where: str, base: Any) -> Any:
    return from_tree(cls, value, where, base if type(base) is cls else None)


def _union(hint: Any, value: Any, where: str, base: Any) -> Any:
    args, classes = typing.get_args(hint), _classes(hint)
    if value is None and type(None) in args:
        return None
    if not classes:
        scalars = [a for a in args if a is not type(None)]
        for scalar in scalars[:-1]:
            try:
                return _value(scalar, value, where)
            except ConfigError:
                continue
        return _value(scalars[-1], value, where)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a section, got {shown(value)}")
    if len(classes) == 1:
        return _section(next(iter(classes.values())), value, where, base)
    kind = value.get("kind", _default_kind(classes, base))
    if not isinstance(kind, str) or kind not in classes:
        raise ConfigError(f"{where}: unknown kind {shown(kind)}{_nearest(str(kind), classes)}")
    return _section(classes[kind], value, where, base)


def kind_of(cls: Any) -> str:
    """Return the name by which a dataclass is chosen: its `kind`, or its own name."""
    for field in dataclasses.fields(cls):
        if field.name == "kind":
            return str(field.default)
    return cls.__name__


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML reads 1e-3 as a string
        try:
            value = float(value)
        except ValueError:
            raise ConfigError(f"{where}: expected a number, got {shown(value)}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 1023 else float("inf")
    if hint is Path and isinstance(value, str):
        value = Path(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {shown(value)}")
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
