"""Defaults stand in one place: what an option and a dataclass both have is the same in both."""

import argparse
import ast
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from unitdisc import cli
from unitdisc.compare.options import CompareOptions, ScoreOptions
from unitdisc.convert import ConvertOptions
from unitdisc.data.foreign.importing import ImportOptions
from unitdisc.data.foreign.options import ReadOptions
from unitdisc.encode import EncodeOptions
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.probe import ProbeConfig
from unitdisc.evaluate.suite import Sides, SuiteOptions
from unitdisc.evaluate.word_options import WordOptions
from unitdisc.pack import PackOptions
from unitdisc.report.options import ReportOptions
from unitdisc.speaking import SpeakOptions

# The dataclasses that verbs hand their options to.
VERBS: dict[str, tuple[type, ...]] = {
    "compare": (CompareOptions, ScoreOptions),
    "convert": (ConvertOptions,),
    "encode": (EncodeOptions,),
    "import-units": (ImportOptions, ReadOptions),
    "pack": (PackOptions,),
    "report": (ReportOptions,),
    "score abx": (AbxOptions,),
    "score all": (Sides, SuiteOptions),
    "score boundaries": (Sides,),
    "score per": (Sides, ProbeConfig),
    "speak": (SpeakOptions,),
    "words": (WordOptions,),
}
RENAMED = {"probe": "kind", "trained_on": "data"}  # options whose field has another name
# What verbs read from a configuration, or make of options that mean something else.
OTHERS = {
    "Config", "ExtractConfig", "LayersConfig", "LdaConfig", "LogMelConfig", "MfccConfig", "ModelConfig",
    "SSLConfig",
}  # fmt: skip


def verb_parser(name: str) -> argparse.ArgumentParser:
    parser = cli.parser()
    for word in name.split():
        (verbs,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
        parser = verbs.choices[word]
    return parser


def defaults(verb: str, options: type) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each option that is a field, too, its default, and that of the field.

    An option without a default is left out: the verb leaves the field to the dataclass.
    """
    of_field = {field.name: field.default for field in fields(options) if field.default is not MISSING}
    for action in verb_parser(verb)._actions:
        name = RENAMED.get(action.dest, action.dest)
        if name in of_field and action.default not in (None, "", (), []):
            yield name, action.default, of_field[name]
        elif name.startswith("no_") and isinstance(of_field.get(name.removeprefix("no_")), bool):
            yield name, not action.default, of_field[name.removeprefix("no_")]


@pytest.mark.parametrize(("verb", "options"), [(verb, one) for verb, all_ in VERBS.items() for one in all_])
def test_an_option_has_the_default_of_its_dataclass(verb: str, options: type):
    for name, of_option, of_field in defaults(verb, options):
        assert of_option == of_field, name


def test_all_dataclasses_of_verbs_are_compared():
    imported = {
        alias.name
        for path in Path(cli.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.endswith(("Options", "Config"))
    }
    assert imported <= OTHERS | {one.__name__ for all_ in VERBS.values() for one in all_}
    assert len([name for verb, all_ in VERBS.items() for one in all_ for name in defaults(verb, one)]) > 30
