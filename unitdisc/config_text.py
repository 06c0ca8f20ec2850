"""A configuration as text for people: YAML, and behind each key what the code says of it."""

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

import yaml

from unitdisc.config import kind_of, to_tree


def describe(config: Any) -> str:
    """Write a config as `dump` does, with what the code says of each key: the choices, other kinds, its comment."""
    return "".join(f"{line}\n" for line in _described(config, ""))


def _described(config: Any, indent: str) -> Iterator[str]:
    hints, comments = typing.get_type_hints(type(config)), _comments(type(config))
    fields = sorted(dataclasses.fields(config), key=lambda field: field.name != "kind")
    for field in fields:
        value, hint = getattr(config, field.name), hints[field.name]
        if dataclasses.is_dataclass(value):
            kinds = [kind_of(arg) for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)]
            about = f"kind: {' | '.join(kinds)}" if len(kinds) > 1 else ""
            yield _line(f"{indent}{field.name}:", about, comments.get(field.name, ""))
            yield from _described(value, indent + "  ") if dataclasses.fields(value) else [f"{indent}  {{}}"]
            continue
        text = yaml.safe_dump(to_tree(value), default_flow_style=True, allow_unicode=True, width=1 << 20)
        about = "" if field.name == "kind" else _choices(hint)
        yield _line(
            f"{indent}{field.name}: {text.removesuffix('...' + chr(10)).strip()}", about, comments.get(field.name, "")
        )


def _line(text: str, *notes: str) -> str:
    note = "; ".join(note for note in notes if note)
    return f"{text}  # {note}" if note else text


def _choices(hint: Any) -> str:
    """Name the values of a Literal, or the types of what may be null."""
    if typing.get_origin(hint) is Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (Union, types.UnionType):
        names = [
            _choices(arg) or getattr(arg, "__name__", "") for arg in typing.get_args(hint) if arg is not type(None)
        ]
        return " | ".join([*names, "null"] if type(None) in typing.get_args(hint) else names)
    return ""


def _comments(cls: Any) -> dict[str, str]:
    """Return the comments of a dataclass's fields: behind them, or on the lines above."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(typing.cast("type[Any]", base)))
        except OSError:  # an installation without sources
            continue
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        notes = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
        (body,) = ast.parse(source).body
        assert isinstance(body, ast.ClassDef)
        for node in body.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = _comment_of(node, notes, source.splitlines())
    return found


def _comment_of(node: ast.AnnAssign, notes: Mapping[int, str], lines: list[str]) -> str:
    first = node.lineno
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return " ".join(notes[n] for n in range(first, (node.end_lineno or node.lineno) + 1) if n in notes)
