"""A training step on a GPU: the host waits for it once a log interval, and the numbers are those of the CPU."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_gpu import FakeGpu, fake_gpu
from made_up import make_data
from places import TOP
from torch import Tensor

from unitdisc import config, train
from unitdisc.corpus import fit_normalisation_, open_corpus, phone_set, with_features
from unitdisc.data.kaldi import DataDir
from unitdisc.model import UnitModel
from unitdisc.runlog import RunLog, read_metrics
from unitdisc.state import State
from unitdisc.stopping import Stop
from unitdisc.train_config import Config

STEPS = 8
EVERY = ["batch=4", "log_every=4", "validate_every=99", "save_every=99", "device=cpu", "precision=float32"]
WAVENET = "{layers: 4, cycles: 2, residual: 8, gate: 16, skip: 8, hidden: 8, kernel: 2}"
SMALL = ["encoder.channels=16", "prediction.clusters=[4, 6]"]
TARGETS = "train.targets={at: [0], classes: 4, dim: 4}"
SCHEDULE = "{warm_up: 2, every: 3, until: 6, reservoir: 64}"
# A configuration, what makes it small, and the step that the loop is watched from.
CASES: dict[str, tuple[str, list[str]]] = {
    "prediction": ("librispeech/conf/small.yaml", [*SMALL, TARGETS]),
    "codebook-later": (
        "librispeech/conf/small.yaml",
        [*SMALL, TARGETS, "weights.input_reconstruction=1", "train.freeze=0.02", "train.steps=100", "quantizer.codes=8",
         "train.thaw=0.1"],
    ),
    "frame-decoder": (
        "librispeech/conf/vqvae.yaml",
        ["encoder.channels=16", f"quantizer.schedule={SCHEDULE}", "quantizer.codes=8", f"decoder.wavenet={WAVENET}"],
    ),
    "waveform": (
        "librispeech/conf/paper.yaml",
        ["encoder.channels=16", f"quantizer.schedule={SCHEDULE}", "quantizer.codes=8", f"decoder.wavenet={WAVENET}"],
    ),
    "conv-lstm": (
        "wsj/conf/base.yaml",
        ["encoder.channels=2", "encoder.cells=8", "quantizer.codes=8", "weights.ctc=0", "weights.framewise=1",
         "train.chunk=15", f"quantizer.schedule={SCHEDULE}"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_data(root / "train", 6, features=False)
    make_data(root / "dev", 2, seed=1, features=False)
    return root


def tiny(case: str) -> Config:
    name, changes = CASES[case]
    changes = [c if c.startswith("train.") else f"model.{c}" for c in changes]
    return config.load(TOP / "egs" / name, Config, ["train.chunk=16", *changes, *(f"train.{c}" for c in EVERY)])


class Enough(Stop):
    """Ends a training after some steps."""

    asked = False


def run(case: str, data: Path, exp: Path, device: torch.device, marks: list[int], gpu: Any = None) -> dict[str, Any]:
    """Train some steps; note how often the host had waited when each begins. Return the state."""
    options, stop = tiny(case), Enough()
    dirs = [with_features(options.model, DataDir.read(data / d), data / case / d, 1, print) for d in ("train", "dev")]
    torch.manual_seed(0)
    model = UnitModel(options.model, sorted(dirs[0].spk2utt), phone_set(options.model, dirs[0]))
    fit_normalisation_(model, dirs[0])
    state = State(model.to(device), options.train)
    step = train.train_step

    def watched(state: State, *rest: Any) -> None:
        marks.append(len(gpu.waits) if gpu else 0)
        step(state, *rest)
        stop.asked = state.step + 1 == STEPS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_step", watched)
        patch.setattr(train, "save_state", lambda *_: None)
        log = RunLog(exp)
        with pytest.raises(KeyboardInterrupt):
            train.run_steps(
                state, options, *(open_corpus(options.model, d, model) for d in dirs), exp, log, device, stop
            )
        log.close()
    return {name: value.inner if isinstance(value, FakeGpu) else value for name, value in model.state_dict().items()}


@pytest.mark.parametrize("case", CASES)
def test_the_host_waits_for_a_gpu_once_a_log_interval(
    case: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marks: list[int] = []
    with fake_gpu(monkeypatch) as gpu:
        there = run(case, data, tmp_path / "gpu", torch.device("cuda:0"), marks, gpu)
    waits = {step: gpu.waits[a:b] for step, (a, b) in enumerate(pairwise(marks))}
    assert sorted(waits) == list(range(STEPS - 1))
    logged = waits.pop(3)
    assert 1 <= len(logged) <= 2, logged  # the numbers of the steps, then those of the codebook
    # Codebooks are made anew a few times in a training.
    for row in read_metrics(tmp_path / "gpu"):
        if row["kind"] in ("reestimation", "codebook"):
            assert waits.pop(row["step"] - 1)
    assert not any(waits.values()), waits
    here = run(case, data, tmp_path / "cpu", torch.device("cpu"), [])
    for name, value in here.items():
        assert isinstance(value, Tensor)
        # A normalisation takes the biases before it away, so that rounding alone moves them.
        if not re.search(r"convs.*bias|norms.*running_mean", name):
            torch.testing.assert_close(there[name], value, rtol=1e-4, atol=1e-5, msg=name)
    rows = [[r for r in read_metrics(tmp_path / d) if r["kind"] == "train"] for d in ("gpu", "cpu")]
    for one, two in zip(*rows, strict=True):
        names = one.keys() - {"kind", "steps_per_second"}
        assert [two[k] for k in names] == pytest.approx([one[k] for k in names], rel=1e-3)


@pytest.mark.parametrize("encoder", ["conv", "gated"])
def test_a_gpu_encodes_many_blocks_at_once_to_the_units_of_one_at_a_time(encoder: str, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    tree = {
        "encoder": {"kind": encoder, "channels": 16},
        "decoder": {"kind": "none"},
        "weights": {"input_reconstruction": 1.0},
    }
    tree["quantizer"] = {"kind": "vq", "codes": 32, "schedule": {"warm_up": 0, "until": 0}}
    options = config.from_tree(Config, {"model": tree}, "").model
    model = UnitModel(options, ["a"]).eval()
    lengths = torch.tensor([1, 700, 256, 513, 2])
    frames = torch.randn(5, 700, model.dim_in)
    here, vectors = model.encode(frames, lengths), model.probe(frames, lengths, "encoder")[0]
    with fake_gpu(monkeypatch):
        there = model.to("cuda:0").encode(frames.to("cuda:0"), lengths)
        outputs = model.probe(frames.to("cuda:0"), lengths, "encoder")[0]
    assert torch.equal(there.units.inner, here.units)
    torch.testing.assert_close(there.values.inner, here.values)
    torch.testing.assert_close(outputs.inner, vectors, rtol=1e-4, atol=1e-5)
