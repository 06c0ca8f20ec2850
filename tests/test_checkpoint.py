"""Checkpoints: a damaged one is never used as if it were whole, and is told in one line."""

import random
from pathlib import Path

import pytest
import torch
from places import FIXTURES

from unitdisc import checkpoint
from unitdisc.errors import CheckpointError

OLD = FIXTURES / "version-0.1.0" / "conv-vq.pt"


def flip(blob: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(blob))
    blob[place] ^= 1 << draw.randrange(8)


def empty_page(blob: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(blob) // 512) * 512
    blob[place : place + 512] = bytes(min(512, len(blob) - place))


def cut(blob: bytearray, draw: random.Random) -> None:
    del blob[draw.randrange(len(blob)) :]


def garble(blob: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(blob))
    blob[place : place + 16] = draw.randbytes(min(16, len(blob) - place))


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("damage", [flip, empty_page, cut, garble])
def test_a_damaged_checkpoint_is_refused_or_the_damage_does_not_matter(damage, tmp_path: Path):
    whole, draw, path = checkpoint.load(OLD), random.Random(damage.__name__), tmp_path / "a.pt"
    blob, messages = OLD.read_bytes(), []
    for _ in range(60):
        broken = bytearray(blob)
        damage(broken, draw)
        path.write_bytes(broken)
        try:
            assert same(checkpoint.load(path), whole)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 5
    for message in messages:
        assert message.startswith(f"{path}: expected a checkpoint, got another file, or a damaged one: ")
        assert "\n" not in message


def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_one_told(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    blob = bytearray(OLD.read_bytes())
    (folder / "00000001.pt").write_bytes(blob)
    place = blob.index(b"data/3") + 200  # in the midst of a tensor
    blob[place] ^= 1
    (folder / "00000002.pt").write_bytes(blob)
    assert checkpoint.load_model(tmp_path).model_hash() == checkpoint.load_model(OLD).model_hash()
    assert "00000002.pt: expected a checkpoint, got another file, or a damaged one: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {}}, "no 'model'"),
        ({"config": None}, "expected one of unitdisc"),
        ({"speakers": 3}, "expected one of unitdisc"),
        ({"model": {}}, "Missing key"),
        ({"model": None}, "expected one of unitdisc"),
    ],
)
def test_a_file_of_another_program_is_told_in_one_line(change: dict, message: str, tmp_path: Path):
    tree = checkpoint.load(OLD) | change
    path = tmp_path / "a.pt"
    checkpoint.save(path, {k: v for k, v in tree.items() if k != "format"})
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load_model(path)
    assert "\n" not in str(caught.value)
