"""The verbs of cli/train.py: what they print, and what they refuse before anything is loaded."""

from pathlib import Path

import pytest

from unitdisc import config
from unitdisc.cli import main
from unitdisc.train_config import Config


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Return exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    code = end.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def test_config_prints_all_keys_and_their_defaults(tmp_path: Path, capsys):
    code, out, _ = run(capsys, "config")
    assert code == 0
    assert "  quantizer:  # kind: vq | ema | " in out
    (tmp_path / "all.yaml").write_text(out)
    assert config.load(tmp_path / "all.yaml", Config) == Config()


def test_config_prints_what_a_file_and_changes_make_of_it(tmp_path: Path, capsys):
    (tmp_path / "a.yaml").write_text("model: {jitter: 0.5}\n")
    changes = ("--set", "train.steps=7", "model.quantizer={kind: ema, codes: 9}", "--set", "train.seed=3")
    code, out, _ = run(capsys, "config", tmp_path / "a.yaml", *changes)
    assert code == 0
    (tmp_path / "b.yaml").write_text(out)
    made = config.load(tmp_path / "b.yaml", Config)
    assert (made.train.steps, made.train.seed, made.model.jitter) == (7, 3, 0.5)
    assert (made.model.quantizer.kind, made.model.quantizer.codes) == ("ema", 9)
    assert run(capsys, "config", "--set", "train.sed=1")[::2] == (
        1,
        "unitdisc config: --set: train: unknown key 'sed'; did you mean 'seed'?\n",
    )


def test_what_is_no_change_is_not_taken_for_one(capsys):
    code, _, err = run(capsys, "train", "--train", "a", "--dev", "b", "--set", "train.steps=7", "my.yaml", "exp")
    assert code == 2
    assert "expected A.B=C, got 'my.yaml'; what is no change stands before --set" in err


def test_an_average_that_is_there_is_replaced_only_with_force(tmp_path: Path, capsys):
    code, _, err = run(capsys, "average", tmp_path / "no", "--last", 2)
    wanted = f"{tmp_path}/no: expected the folder of a training run, got none of its checkpoints"
    assert (code, err) == (1, f"unitdisc average: {wanted}\n")
    (tmp_path / "average-2.pt").write_text("mine")
    code, _, err = run(capsys, "average", tmp_path, "--last", 2)
    assert (code, err) == (1, f"unitdisc average: {tmp_path}/average-2.pt: there already; --force replaces it\n")
    code, _, err = run(capsys, "average", tmp_path, "--last", 2, "--force")
    assert (code, err[:60]) == (1, f"unitdisc average: {tmp_path}: asked to average 2 checkpoints"[:60])
