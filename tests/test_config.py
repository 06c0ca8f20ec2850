"""Configs: strict, typed, includable, and equal after a round trip."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from unitdisc import config
from unitdisc.errors import ConfigError


@dataclass(frozen=True)
class One:
    kind: Literal["one"] = "one"
    codes: int = 256


@dataclass(frozen=True)
class Two:
    kind: Literal["two"] = "two"
    decay: float = 0.99


@dataclass(frozen=True)
class Top:
    rate: float = 4e-4
    steps: int = 10
    halve_at: tuple[int, ...] = ()
    quantizer: One | Two = field(default_factory=One)
    device: str | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_dump_and_load_give_an_equal_config(tmp_path: Path):
    made = Top(rate=1e-3, halve_at=(3, 5), quantizer=Two(decay=0.9), whole=True)
    assert config.load(write(tmp_path, "a.yaml", config.dump(made)), Top) == made


def test_yaml_holds_differences_and_includes_are_laid_under(tmp_path: Path):
    write(tmp_path, "base.yaml", "steps: 5\nquantizer: {codes: 64}\n")
    path = write(tmp_path, "delta.yaml", "include: base.yaml\nrate: 1e-3\n")
    assert config.load(path, Top) == Top(rate=1e-3, steps=5, quantizer=One(codes=64))


def test_another_kind_drops_the_keys_of_the_first(tmp_path: Path):
    write(tmp_path, "base.yaml", "quantizer: {codes: 64}\n")
    path = write(tmp_path, "delta.yaml", "include: base.yaml\nquantizer: {kind: two}\n")
    assert config.load(path, Top).quantizer == Two()


def test_overrides_reach_into_sections(tmp_path: Path):
    path = write(tmp_path, "a.yaml", "steps: 5\n")
    loaded = config.load(path, Top, ["quantizer.codes=8", "halve_at=[1, 2]", "rate=1e-2", "device=cpu"])
    assert loaded == Top(rate=0.01, steps=5, halve_at=(1, 2), quantizer=One(codes=8), device="cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 5", "unknown key 'stepz'; did you mean 'steps'?"),
        ("steps: many", "steps: expected int, got 'many'"),
        ("steps: true", "steps: expected int, got True"),
        ("steps: 0", "steps must be at least 1"),
        ("quantizer: {kind: tow}", "unknown kind 'tow'; did you mean 'two'?"),
        ("quantizer: {kind: two, codes: 3}", "unknown key 'codes'"),
        ("quantizer: 7", "expected a section, got 7"),
        ("halve_at: 7", "expected a list, got 7"),
        ("- a", "expected 'key: value' lines, got list"),
        ("a: [", "cannot be read as YAML"),
        ("include: none.yaml", "none.yaml: no such config file (included by"),
        ("include: a.yaml", "includes itself"),
    ],
)
def test_a_wrong_config_is_refused_with_its_place(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, "a.yaml", text), Top)
    assert message in str(caught.value)
    assert ".yaml" in str(caught.value)


def test_an_override_without_value_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected KEY"):
        config.load(write(tmp_path, "a.yaml", ""), Top, ["steps"])


def test_digest_tells_configs_apart():
    assert config.digest(Top()) == config.digest(Top(steps=10)) != config.digest(Top(steps=11))
