"""A packed model: the same units to the last frame, small, without code, and damage is said in one line."""

import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_up import make_data, tiny_model
from places import TOP

import unitdisc
from unitdisc import checkpoint, packed
from unitdisc import config as configs
from unitdisc.cli import main
from unitdisc.convert import ConvertOptions, convert
from unitdisc.data.units import read_header, read_units
from unitdisc.encode import encode
from unitdisc.errors import CheckpointError, ConfigError, DataError, UnitdiscError
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.scores import write_scores
from unitdisc.model import ModelConfig, UnitModel
from unitdisc.pack import PackOptions, pack
from unitdisc.train import TrainConfig, train
from unitdisc.train_config import Config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train/, exp/ with its units and scores, test/ without features, and packed/."""
    root = tmp_path_factory.mktemp("pack")
    make_data(root / "train")
    options = TrainConfig(steps=6, batch=4, chunk=40, save_every=6, validate_every=6, log_every=6, device="cpu")
    train(Config(tiny_model(), options), root / "exp", root / "train", root / "train")
    make_data(root / "test", 4, seed=3, features=False)
    encode(root / "exp", root / "test", root / "exp" / "units" / "test")
    write_scores(root / "exp" / "scores" / "bits.json", bitrate_scores(root / "exp" / "units" / "test"))
    pack(root / "exp", root / "packed", PackOptions(licence="cc0-1.0"))
    return root


def test_units_and_hashes_are_kept_to_the_last_frame(run: Path, tmp_path: Path):
    encode(run / "packed", run / "test", tmp_path / "units")
    old, new = run / "exp" / "units" / "test", tmp_path / "units"
    assert read_header(old) == replace(read_header(new), origin=read_header(old).origin)
    for one, other in zip(read_units(old), read_units(new), strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
    for name in ("codebook.npy", "vectors/00000.ark", "units.ctm"):
        assert (old / name).read_bytes() == (new / name).read_bytes()
    np.testing.assert_array_equal(np.load(run / "packed" / "codebook.npy"), np.load(old / "codebook.npy"))


def test_what_is_packed_are_averaged_weights(run: Path):
    tree, ours = checkpoint.load_tree(run / "exp"), checkpoint.load_model(run / "packed").state_dict()
    moved = 0
    for name, value in tree["average"]["values"].items():
        assert torch.equal(ours[name], value)
        moved += not torch.equal(value, tree["model"][name])
    assert moved > 0


def test_it_speaks_and_converts_as_before(run: Path, tmp_path: Path):
    for name in ("exp", "packed"):
        convert(run / name, [run / "test"], tmp_path / name, ["a"], ConvertOptions(iterations=2, pitch="none"))
    waves = sorted((tmp_path / "exp").rglob("*.wav"))
    assert len(waves) == 4
    for path in waves:
        assert path.read_bytes() == (tmp_path / "packed" / path.relative_to(tmp_path / "exp")).read_bytes()
    models = [unitdisc.load_model(run / name) for name in ("exp", "packed")]
    said = [model.speak([1, 1, 2, 2, 3], speaker="b") for model in models]
    np.testing.assert_array_equal(*said)
    assert models[1].speakers == ("a", "b")


def test_without_a_decoder_the_units_are_the_same_and_no_speaker_is_named(run: Path, tmp_path: Path):
    pack(run / "exp", tmp_path / "units-only", PackOptions(decoder=False))
    whole, units = unitdisc.load_model(run / "packed"), unitdisc.load_model(tmp_path / "units-only")
    wave, rate = soundfile.read(run / "test" / "a-00.wav", dtype="float32")
    np.testing.assert_array_equal(whole.units(wave, rate), units.units(wave, rate))
    assert whole.network.model_hash() == units.network.model_hash()
    assert units.speakers == ()
    with pytest.raises(ConfigError, match="has no decoder"):
        units.speak([1, 2])
    size = {name: (path / "model.safetensors").stat().st_size for name, path in
            (("whole", run / "packed"), ("units", tmp_path / "units-only"))}  # fmt: skip
    assert size["units"] < size["whole"]


def test_it_is_hardly_larger_than_its_weights(tmp_path: Path):
    model = UnitModel(ModelConfig(), ["a", "b"])
    model.begin_step_(2000)
    for reservoir in (part for part in model.modules() if type(part).__name__ == "Reservoir"):
        reservoir.add_(torch.randn(5000, 64))
    tree = {"config": {"model": {}}, "speakers": ["a", "b"], "phones": [], "step": 7, "model": model.state_dict()}
    tree["optimizer"] = {name: torch.randn_like(value) for name, value in model.named_parameters()}
    checkpoint.save(tmp_path / "exp" / "checkpoints" / "00000007.pt", {**tree, "average": None})
    done = pack(tmp_path / "exp", tmp_path / "out")
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    total = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert weights < total == done.total < 1.05 * weights
    assert done.parameters * 4 == weights


def test_the_card_says_what_it_is_and_its_code_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    card = (run / "packed" / "README.md").read_text("utf-8")
    assert card.startswith('---\nlicense: "cc0-1.0"\n')
    seconds = sum(soundfile.info(path).duration for path in (run / "train").glob("*.wav"))
    assert f"`train`, {seconds / 3600:.2f} h, 6 utterances, 2 speakers" in card
    score = bitrate_scores(run / "exp" / "units" / "test")[0]
    assert f"| {score.definition} | {score.value:.4g} | {score.interval.low:.4g} to {score.interval.high:.4g} |" in card
    assert str(run) not in card  # where it was made is nobody's business
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run / "packed", "packed")
    shutil.copy(run / "test" / "a-00.wav", "speech.wav")
    names: dict = {}
    exec(code, names)
    assert len(names["units"]) > 10
    (shell,) = re.findall(r"```bash\n(.*?)```", card, re.S)
    shutil.copytree(run / "test", "DATA")
    for line in shell.splitlines():
        with pytest.raises(SystemExit) as end:
            main(line.partition("#")[0].split()[1:] + (["--force"] if "convert" in line else []))
        assert end.value.code == 0


def test_the_configuration_is_that_of_the_training(run: Path):
    assert configs.load(run / "packed" / "config.yaml", Config) == configs.load(run / "exp" / "config.yaml", Config)


def test_nothing_in_the_folder_is_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    shutil.copytree(run / "packed", tmp_path / "m")
    for name in ("unitdisc.py", "modeling.py", "hubconf.py", "setup.py"):
        (tmp_path / "m" / name).write_text("raise SystemExit('run')")
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    wave, rate = soundfile.read(run / "test" / "a-00.wav", dtype="float32")
    assert len(unitdisc.load_model(tmp_path / "m").units(wave, rate))


def _one_line(error: pytest.ExceptionInfo[UnitdiscError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("where", [0.02, 0.5, 0.999])
def test_damaged_weights_are_one_line(run: Path, tmp_path: Path, where: float):
    shutil.copytree(run / "packed", tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    blob = bytearray(path.read_bytes())
    blob[int(where * len(blob))] ^= 1
    path.write_bytes(blob)
    with pytest.raises(CheckpointError, match="damaged: its SHA-256") as error:
        unitdisc.load_model(tmp_path / "m")
    assert str(path) in _one_line(error)


def _of(folder: Path, **changes: object) -> None:
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: (m / "model.safetensors").unlink(), "no such file"),
        (lambda m: (m / "model.json").write_text("{"), "expected the description of a packed model"),
        (lambda m: (m / "model.json").write_text("[" * 10**5), "expected the description of a packed model"),
        (lambda m: (m / "model.json").write_text("[1]"), "expected the description of a packed model"),
        (lambda m: _of(m, format="unitdisc-model-9"), "expected a model of format unitdisc-model-1, got"),
        (lambda m: _of(m, without=["encoder"]), "expected the description of a packed model"),
        (lambda m: _of(m, speakers=[1]), "expected the description of a packed model"),
        (lambda m: _of(m, speakers=["a"]), "expected one of unitdisc"),
        (lambda m: (m / "config.yaml").write_text("model: [1"), "cannot be read as YAML"),
        (lambda m: (m / "config.yaml").write_text("include: ../other.yaml"), "expected a model whose features"),
        (lambda m: (m / "config.yaml").write_text("model: {features: {kind: mfcc, hops: 3}}"), "unknown key 'hops'"),
        (lambda m: (m / "config.yaml").write_text("model: {features: {checkpoint: /etc}}"), "made by its own files"),
        (lambda m: (m / "config.yaml").write_text("model: {features: {checkpoint: features/..}}"), "its own files"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_in_order_is_one_line(run: Path, tmp_path: Path, change, message: str):
    shutil.copytree(run / "packed", tmp_path / "m")
    (tmp_path / "other.yaml").write_text((run / "packed" / "config.yaml").read_text())
    change(tmp_path / "m")
    with pytest.raises(UnitdiscError, match=re.escape(message)) as error:
        unitdisc.load_model(tmp_path / "m")
    _one_line(error)


def test_weights_that_are_no_safetensors_are_one_line(run: Path, tmp_path: Path):
    shutil.copytree(run / "packed", tmp_path / "m")
    blob = b"\x08\0\0\0\0\0\0\0[[[[[[[["
    (tmp_path / "m" / "model.safetensors").write_bytes(blob)
    _of(tmp_path / "m", sha256=hashlib.sha256(blob).hexdigest())
    with pytest.raises(CheckpointError, match=r"model\.safetensors: expected weights, got ") as error:
        unitdisc.load_model(tmp_path / "m")
    _one_line(error)


def test_what_is_there_is_kept_and_what_is_packed_is_not_packed_again(run: Path, tmp_path: Path):
    with pytest.raises(DataError, match="--force replaces it"):
        pack(run / "exp", run / "packed")
    with pytest.raises(CheckpointError, match="packed already"):
        pack(run / "packed", tmp_path / "again")
    with pytest.raises(CheckpointError, match=r"no such checkpoint, training or packed model$"):
        pack(tmp_path / "none", tmp_path / "out")
    (file,) = (run / "exp" / "checkpoints").glob("*.pt")
    assert pack(file, tmp_path / "of-a-file").model == json.loads((run / "packed/model.json").read_text())["model"]
    assert "6 utterances" in (tmp_path / "of-a-file" / "README.md").read_text("utf-8")


def test_the_command_packs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["pack", str(run / "exp"), str(tmp_path / "out"), "--json", "--name", "Tones", "--data", "made-up tones"])
    assert end.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["codebook"] == read_header(run / "exp" / "units" / "test").codebook
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "# Tones\n" in card
    assert "Data: made-up tones, " in card
    assert "licence of the weights is not stated" in card


def test_a_repository_is_fetched_by_its_prefix_alone(run: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def snapshot_download(repo: str, revision: str | None = None, allow_patterns: list[str] | None = None) -> str:
        asked.append((repo, revision, allow_patterns))
        if repo == "no/network":
            raise OSError("We couldn't connect\n to the host")
        return str(run / "packed")

    fake = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    wave, rate = soundfile.read(run / "test" / "a-00.wav", dtype="float32")
    expected = unitdisc.load_model(run / "exp").units(wave, rate)
    np.testing.assert_array_equal(unitdisc.load_model("hf://some-org/units.v1@main").units(wave, rate), expected)
    np.testing.assert_array_equal(unitdisc.load_model(Path("hf://some-org/units")).units(wave, rate), expected)
    assert asked == [("some-org/units.v1", "main", list(packed.FILES)), ("some-org/units", None, list(packed.FILES))]
    with pytest.raises(CheckpointError, match=r"hf://no/network: cannot be fetched from .*: We couldn't connect to"):
        unitdisc.load_model("hf://no/network")
    with pytest.raises(CheckpointError, match="a repository of Hugging Face is named hf://exp/base-0"):
        unitdisc.load_model("exp/base-0")
    with pytest.raises(CheckpointError, match="expected hf://ORGANISATION/NAME"):
        unitdisc.load_model("hf://only-one")
    assert len(asked) == 3
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=re.escape("pip install 'unitdisc[hub]'")):
        unitdisc.load_model("hf://some-org/units")


def test_torch_hub_loads_it_from_a_checkout(run: Path):
    code = (
        "import sys, torch; m = torch.hub.load(sys.argv[1], 'model', sys.argv[2], source='local'); "
        "print(m.codes, m.period)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(TOP), str(run / "packed")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["8", "0.02"], done.stderr
