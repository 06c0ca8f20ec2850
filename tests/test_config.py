"""Configs: strict, typed, includable, and equal after a round trip."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from unitdisc import config
from unitdisc.config_text import describe
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
        ("a: [", "a.yaml:1:5: cannot be read as YAML: while parsing a flow node expected the node content"),
        ("steps: 5\nsteps: 6", "a.yaml:2:1: cannot be read as YAML: 'steps' stands twice"),
        ("include: 5", "a.yaml: include: expected a file, or a list of files, got 5"),
        ("include: none.yaml", "none.yaml: no such file; it is included by"),
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


def test_what_an_override_breaks_is_said_of_the_override(tmp_path: Path):
    path = write(tmp_path, "a.yaml", "steps: 5\n")
    with pytest.raises(ConfigError, match=r"a\.yaml with --set steps=0: steps must be at least 1"):
        config.load(path, Top, ["steps=0"])
    with pytest.raises(ConfigError, match=r"a\.yaml: unknown key 'stepz'"):
        config.load(write(tmp_path, "a.yaml", "stepz: 5\n"), Top, ["steps=0"])


@dataclass(frozen=True)
class Noted:
    # Shown above,
    # in two lines.
    rate: float = 4e-4
    device: str | None = None  # a name
    loss: Literal["l1", "l2"] = "l1"  # of frames
    at: tuple[int, ...] = (3, 4)
    part: One | Two = field(default_factory=One)
    empty: str = ""


def test_a_description_is_the_config_with_what_the_code_says_of_it(tmp_path: Path):
    text = describe(Noted(part=Two(decay=0.5)))
    assert text.splitlines() == [
        "rate: 0.0004  # Shown above, in two lines.",
        "device: null  # str | null; a name",
        "loss: l1  # l1 | l2; of frames",
        "at: [3, 4]",
        "part:  # kind: one | two",
        "  kind: two",
        "  decay: 0.5",
        "empty: ''",
    ]
    assert config.load(write(tmp_path, "a.yaml", text), Noted) == Noted(part=Two(decay=0.5))


@dataclass(frozen=True)
class Wave:
    layers: int = 20
    hidden: int = 256


@dataclass(frozen=True)
class Small:
    kind: Literal["small"] = "small"
    wave: Wave = field(default_factory=lambda: Wave(layers=6, hidden=64))


@dataclass(frozen=True)
class Large:
    kind: Literal["large"] = "large"
    wave: Wave = field(default_factory=Wave)


@dataclass(frozen=True)
class Nested:
    decoder: Large | Small = field(default_factory=Small)


def test_a_key_within_a_section_leaves_the_others_at_their_printed_defaults(tmp_path: Path):
    assert config.of_overrides(Nested, ["decoder.wave.layers=6"]) == Nested()
    empty = write(tmp_path, "a.yaml", "")
    assert config.load(empty, Nested, ["decoder.wave.layers=8"]).decoder == Small(wave=Wave(8, 64))
    assert config.load(write(tmp_path, "b.yaml", "decoder: {wave: {layers: 8}}"), Nested).decoder.wave.hidden == 64
    other = config.load(empty, Nested, ["decoder.kind=large", "decoder.wave.layers=8"])
    assert other.decoder == Large(wave=Wave(8, 256))


def test_every_printed_default_may_be_given_without_a_change():
    from unitdisc.train_config import Config

    for key, value in leaves(config.to_tree(Config())):
        assert config.of_overrides(Config, [f"{key}={value}"]) == Config(), key


def leaves(tree: object, key: str = "") -> list[tuple[str, str]]:
    if isinstance(tree, dict) and tree:
        return [leaf for name, value in tree.items() for leaf in leaves(value, f"{key}.{name}".lstrip("."))]
    return (
        []
        if tree == {}
        else [(key, config.yaml.safe_dump(tree, default_flow_style=True).removesuffix("...\n").strip())]
    )


@pytest.mark.parametrize("kind", ["fsq", "kmeans", "none", "ema", "rvq", "vq"])
def test_an_override_of_the_kind_does_what_a_delta_does(tmp_path: Path, kind: str):
    from unitdisc.train_config import Config

    text = "model: {quantizer: {codes: 64, learning_rate_factor: 3.0, schedule: {warm_up: 5}}}\n"
    base = write(tmp_path, "base.yaml", text)
    got = config.load(base, Config, [f"model.quantizer.kind={kind}"])
    if kind == "vq":  # the kind that it has already
        assert got == config.load(base, Config)
        return
    delta = write(tmp_path, "delta.yaml", f"include: base.yaml\nmodel: {{quantizer: {{kind: {kind}}}}}\n")
    assert got == config.load(delta, Config)
    assert got.model.quantizer.kind == kind


def test_the_order_of_overrides_of_one_section_does_not_matter(tmp_path: Path):
    path = write(tmp_path, "a.yaml", "quantizer: {codes: 64}\n")
    both = ["quantizer.decay=0.5", "quantizer.kind=two"]
    assert config.load(path, Top, both) == config.load(path, Top, both[::-1]) == Top(quantizer=Two(decay=0.5))
