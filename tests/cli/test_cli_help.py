"""The help of every verb: each argument has one and says its default; wrong values end with 2 at once."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from unitdisc.cli import main, parser
from unitdisc.data.change import CHANGES
from unitdisc.dist import group
from unitdisc.errors import ConfigError


def verbs(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Go through all verbs and their sub-verbs."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield verb
                yield from verbs(verb)


@pytest.mark.parametrize("verb", list(verbs(parser())), ids=lambda verb: verb.prog)
def test_every_argument_has_help_and_says_its_default(verb: argparse.ArgumentParser):
    verb.format_help()  # a stray % would fail here
    for action in verb._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, f"{verb.prog} {action.dest}"
        if action.option_strings and not action.required and action.default not in (None, "", (), argparse.SUPPRESS):
            shown = isinstance(action.default, (bool, list)) or "(default: %(default)s)" in action.help
            assert shown, f"{verb.prog} {action.option_strings[0]}: {action.help}"


def test_the_help_of_encode_names_all_changes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["encode", "--help"])
    said = capsys.readouterr().out.replace("-\n", "-").split()
    assert {word.strip(",:") for word in said} >= CHANGES.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("encode e d o --jobs 0", "--jobs: expected a number, 1 or more; got '0'"),
        ("encode e d o --device gpu", "--device: expected cpu, cuda or cuda:N, got 'gpu'"),
        ("encode e d o --max-failed 2", "--max-failed: expected a share as 0.01 or 1%, got '2'"),
        ("features c d --jobs two", "--jobs: expected a number, 1 or more; got 'two'"),
        ("kmeans c e --train d --codes 0", "--codes: expected a number, 1 or more; got '0'"),
        ("average e --last -1", "--last: expected a number, 1 or more; got '-1'"),
        ("subset d o --random 0", "--random: expected a number, 1 or more; got '0'"),
        ("score abx f i --frame-shift 0", "--frame-shift: expected a number above 0, got '0'"),
        ("score abx f i --max-group 0", "--max-group: expected a number above 0, or none; got '0'"),
        ("score boundaries u --alignment a --tolerance nan", "--tolerance: expected a number, 0 or more; got 'nan'"),
        ("segment u o --rate 0", "--rate: expected a number above 0, got '0'"),
        ("convert e s o --to same --temperature -1", "--temperature: expected a number, 0 or more; got '-1'"),
        ("subset d o --random 1 --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("kmeans c e --train d --codes 2 --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("score abx f i --frame-shift 1 --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("score bitrate u --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("compare e --train d --test d --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("convert e s o --to same --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("speak e u --speaker s --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("report e --out o --seed -1", "--seed: expected a number, 0 or more; got '-1'"),
        ("report e --out o --max-mb x", "--max-mb: expected a number, 0 or more; got 'x'"),
    ],
)
def test_wrong_values_are_refused_with_what_was_wanted(arguments: str, message: str, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["encode e d o", "convert e d o --to same", "features c d"])
def test_a_device_that_is_not_there_is_said_to_be_so_and_nothing_is_left(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--device", "cuda"])
    assert end.value.code == 1
    assert "device: cuda is not there: PyTorch finds 0 GPUs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_device_of_a_configuration_is_refused():
    with pytest.raises(ConfigError, match="device: expected cpu, cuda or cuda:N, got 'gpu'"), group("gpu"):
        pass


@pytest.mark.parametrize("words", [["inspect", "u.jsonl"], ["score", "usage", "u.jsonl"], ["check", "data"]])
def test_an_unknown_option_prints_the_usage_of_its_own_verb(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--no-such-option"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: unitdisc {words[0]}")
    assert "--no-such-option" in said


def test_a_mistake_of_ours_is_one_line_that_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    def broken(options: argparse.Namespace) -> None:
        raise KeyError("no\nsuch\nkey")

    monkeypatch.setattr("unitdisc.cli.units.run_inspect", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "u.jsonl"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unitdisc inspect: KeyError: ")
    assert "please report it" in line
    kept = Path(line.rpartition(" ")[2])
    assert kept.parent == tmp_path
    assert "in broken" in kept.read_text()
