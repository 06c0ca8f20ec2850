"""Training: nothing is lost by a kill, a split of the batch or of the processes, and what is wrong is said."""

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up import make_data, tiny_model
from places import TESTS, TOP
from torch import Tensor

from unitdisc import checkpoint, config, dist
from unitdisc import train as train_module
from unitdisc.checkpoint import Polyak
from unitdisc.decoders.configs import NoDecoderConfig
from unitdisc.errors import CheckpointError, ConfigError, DataError, UnitdiscError
from unitdisc.files import locked
from unitdisc.model import UnitModel
from unitdisc.quantizers.configs import KMeansConfig
from unitdisc.quantizers.schedule import ScheduleConfig
from unitdisc.runlog import RunLog, read_metrics
from unitdisc.spikes import Norms
from unitdisc.state import State
from unitdisc.train import train
from unitdisc.train_config import AdamWConfig, Config, Halving, Plateau, TrainConfig

TRAIN = TrainConfig(
    steps=6,
    batch=4,
    chunk=16,
    warmup=2,
    validate_every=2,
    save_every=2,
    keep=9,
    log_every=2,
    tensorboard=False,
    device="cpu",
)
KILLER = """
import os, signal, sys
import torch
from unitdisc import checkpoint, config, train
torch.set_num_threads(1)
place = sys.argv[5]
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
def at(function, call):
    calls = []
    def wrapped(*a, **k):
        calls.append(1)
        if len(calls) == call:
            die()
        return function(*a, **k)
    return wrapped
if place == "validation":
    train.validate_state = at(train.validate_state, 2)
if place == "reestimation":
    train.report_reestimation = at(train.report_reestimation, 2)
if place == "checkpoint":
    whole = torch.save
    def half(tree, file):
        if tree["step"] == 4:
            file.write(b"half of it")
            file.flush()
            die()
        whole(tree, file)
    torch.save = half
train.train(config.load(sys.argv[1], train.Config), *sys.argv[2:5])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_data(root / "train", 6)
    make_data(root / "dev", 3, seed=1)
    return root


def run(data: Path, exp: Path, options: TrainConfig = TRAIN, **model: object) -> dict:
    train(Config(tiny_model(**model), options), exp, data / "train", data / "dev")
    return checkpoint.newest(exp)  # type: ignore[return-value]


def assert_same(one: object, other: object, path: str = "") -> None:
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys()  # type: ignore[attr-defined]
        for key, value in one.items():
            assert_same(value, other[key], f"{path}.{key}")  # type: ignore[index]
    elif isinstance(one, (list, tuple)):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):  # type: ignore[call-overload]
            assert_same(a, b, f"{path}[{number}]")
    else:
        assert one == other, path


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train without an interruption, in a process like the others."""
    exp = tmp_path_factory.mktemp("whole")
    drive(data, exp, "nowhere")
    return exp


def drive(data: Path, exp: Path, place: str) -> int:
    """Run a training in a process of its own that kills itself at a place."""
    path = exp.parent / f"{exp.name}.yaml"
    path.write_text(config.dump(Config(tiny_model(), TRAIN)))
    command = [sys.executable, "-c", KILLER, str(path), str(exp), str(data / "train"), str(data / "dev"), place]
    return subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


@pytest.mark.parametrize("place", ["validation", "checkpoint", "reestimation"])
def test_a_killed_and_resumed_training_equals_an_uninterrupted_one(data: Path, whole: Path, tmp_path: Path, place: str):
    exp = tmp_path / "killed"
    assert drive(data, exp, place) == -signal.SIGKILL
    assert drive(data, exp, "nowhere") == 0
    assert [p.name for p in checkpoint.step_files(exp)] == [p.name for p in checkpoint.step_files(whole)]
    assert_same(checkpoint.newest(exp), checkpoint.newest(whole))
    clocks = ("steps_per_second",)
    rows = [[{k: v for k, v in r.items() if k not in clocks} for r in read_metrics(e)] for e in (exp, whole)]
    assert [r for r in rows[0] if r["kind"] == "dev"] == [r for r in rows[1] if r["kind"] == "dev"]
    assert not list(exp.rglob("*.partial"))


def test_the_log_has_losses_usage_and_reestimations(whole: Path):
    rows = read_metrics(whole)
    assert [r["step"] for r in rows if r["kind"] == "reestimation"] == [1, 3, 5]
    dev = [r for r in rows if r["kind"] == "dev"]
    assert [r["step"] for r in dev] == [2, 4, 6]
    assert {"loss", "reconstruction", "quantizer", "perplexity", "used_codes", "pnmi"} <= dev[-1].keys()
    assert 0 <= dev[-1]["pnmi"] <= 1
    env = json.loads((whole / "env.json").read_text())
    assert env["starts"][0]["train"]["speakers"] == 2
    assert config.load(whole / "config.yaml", Config) == Config(tiny_model(), TRAIN)


def test_a_truncated_checkpoint_is_passed_over_and_said_so(data: Path, whole: Path, tmp_path: Path):
    exp = tmp_path / "exp"
    (exp / "checkpoints").mkdir(parents=True)
    for path in checkpoint.step_files(whole):
        content = path.read_bytes()
        (exp / "checkpoints" / path.name).write_bytes(
            content if path.stem != "00000006" else content[: len(content) // 2]
        )
    said: list[str] = []
    tree = checkpoint.newest(exp, say=said.append)
    assert tree is not None
    assert tree["step"] == 4
    assert "00000006.pt: expected a checkpoint, got another file, or a damaged one" in said[0]
    assert run(data, exp)["step"] == 6
    assert "trying the one before" in (exp / "log.txt").read_text()


def test_a_folder_of_damaged_checkpoints_is_refused(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "00000002.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="none of its 1 checkpoints can be read"):
        checkpoint.newest(tmp_path)


def test_a_pickle_is_not_read(tmp_path: Path):
    torch.save({"format": os.system}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="expected a checkpoint, got another file, or a damaged one"):
        checkpoint.load(tmp_path / "evil.pt")


def test_accumulated_parts_add_up_to_the_batch(data: Path, tmp_path: Path):
    # The quantiser's normalisation and reservoir see parts one after the other, so this holds without a quantiser.
    none = config.from_tree(Config, {"model": {"quantizer": {"kind": "none"}}}, "").model.quantizer
    one = run(data, tmp_path / "one", quantizer=none)
    two = run(data, tmp_path / "two", replace(TRAIN, accumulate=2), quantizer=none)
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], atol=2e-5), name


@pytest.mark.parametrize(
    "quantizer", [{"kind": "none"}, {"codes": 8, "dim": 8, "schedule": {"warm_up": 1, "until": 0}}]
)
def test_two_processes_train_as_one(data: Path, tmp_path: Path, quantizer: dict):
    changes = {"quantizer": config.from_tree(Config, {"model": {"quantizer": quantizer}}, "").model.quantizer}
    one = run(data, tmp_path / "one", **changes)
    path = tmp_path / "config.yaml"
    path.write_text(config.dump(Config(tiny_model(**changes), TRAIN)))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
        "-m", "unitdisc", "train", str(path), str(tmp_path / "two"),
        "--train", str(data / "train"), "--dev", str(data / "dev"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    two = checkpoint.newest(tmp_path / "two")
    assert two is not None
    for name, value in one["model"].items():
        if value.is_floating_point() and "reservoir" not in name:
            assert torch.allclose(value, two["model"][name], atol=2e-4), name


def test_ctrl_c_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path):
    path, exp = tmp_path / "config.yaml", tmp_path / "exp"
    path.write_text(
        config.dump(Config(tiny_model(), replace(TRAIN, steps=100_000, save_every=50_000, validate_every=50_000)))
    )
    command = [sys.executable, "-m", "unitdisc", "train", str(path), str(exp), "--train", str(data / "train"), "--dev"]
    process = subprocess.Popen([*command, str(data / "dev")], stderr=subprocess.PIPE, text=True)
    metrics = exp / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "and saved" in said
    step = checkpoint.newest(exp)["step"]  # type: ignore[index]
    assert 2 <= step < 50_000
    again = [*command, str(data / "dev"), "--set", f"train.steps={step + 2}"]
    assert subprocess.run(again, capture_output=True).returncode == 0
    assert checkpoint.newest(exp)["step"] == step + 2  # type: ignore[index]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_of_terminals_and_schedulers_save(data: Path, tmp_path: Path, number: int, monkeypatch):
    step = train_module.train_step

    def interrupted(state: State, *rest: object) -> None:
        step(state, *rest)
        if state.step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(train_module, "train_step", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, replace(TRAIN, save_every=6))
    assert signal.getsignal(number) == before
    assert checkpoint.newest(tmp_path)["step"] == 3  # type: ignore[index]


def test_nohup_keeps_a_training_alive(data: Path, tmp_path: Path, monkeypatch):
    step = train_module.train_step

    def hung_up(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        step(*arguments)

    monkeypatch.setattr(train_module, "train_step", hung_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(data, tmp_path)["step"] == TRAIN.steps
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_model_is_not_trained_in_the_same_folder(data: Path, whole: Path):
    with pytest.raises(ConfigError, match=r"another model .*model\.jitter: 0\.12 there, 0\.5 here"):
        run(data, whole, jitter=0.5)


def test_averages_never_cross_a_reestimation(data: Path, tmp_path: Path):
    exp = tmp_path / "exp"
    run(data, exp, replace(TRAIN, steps=10))  # saved at 2, 4, 6, 8, 10; the last re-estimation starts step 5
    path = checkpoint.average_last(exp, 3)
    trees = [checkpoint.load(p) for p in checkpoint.step_files(exp)[-3:]]
    name = next(n for n in trees[0]["model"] if n.startswith("encoder.") and n.endswith("weight"))
    wanted = torch.stack([t["model"][name] for t in trees]).mean(0)
    assert torch.allclose(checkpoint.load(path)["model"][name], wanted)
    assert checkpoint.load_model(path).codebook_hash()
    with pytest.raises(CheckpointError, match=r"re-estimated at step 5, within the last 4 .* at most the last 3"):
        checkpoint.average_last(exp, 4)
    with pytest.raises(CheckpointError, match="asked to average 7 checkpoints, found 5"):
        checkpoint.average_last(exp, 7)


def test_a_running_average_forgets_only_what_was_replaced():
    model = torch.nn.ModuleDict({"quantizer": torch.nn.Linear(1, 1), "other": torch.nn.Linear(1, 1)})
    average = Polyak(model, 0.9)
    for value in (1.0, 2.0, 3.0):
        for parameter in model.parameters():
            parameter.data.fill_(value)
        average.update_(model)
    before = average.values["other.weight"].clone()
    average.restart_(model, "quantizer.")
    assert average.values["quantizer.weight"].item() == 3.0
    assert torch.equal(average.values["other.weight"], before)
    assert 1.0 < before.item() < 3.0
    with average.swapped(model):
        assert torch.equal(model["other"].weight, before)
    assert model["other"].weight.item() == 3.0


def test_rates_rise_and_halve_and_the_codebook_keeps_its_factor():
    options = replace(TRAIN, learning_rate=1e-3, warmup=4, schedule=Halving(at=(6, 8)))
    state = State(UnitModel(tiny_model(), ["a"]), options)
    rates = []
    for state.step in range(10):
        rates.append(state.set_rates_())
        model, codebook = (group["lr"] for group in state.optimizer.param_groups)
        assert codebook == pytest.approx(10 * model)
    assert rates == pytest.approx([x * 1e-3 for x in (0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5, 0.25, 0.25)])
    state.config = replace(options, schedule=Plateau(factor=0.8, patience=1), warmup=0)
    for loss in (3.0, 2.0, 2.5, 2.5, 1.0):
        state.note_dev_loss_(loss)
    assert state.set_rates_() == pytest.approx(0.8e-3)


def test_a_step_that_explodes_is_left_out(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from unitdisc import step as module

    norms = iter(torch.tensor([1.0, float("nan"), 1.0, float("inf"), 1.0, 1.0]))
    monkeypatch.setattr(module, "sync_gradients_", lambda *_: next(norms))
    run(data, tmp_path / "exp")
    skipped = [r for r in read_metrics(tmp_path / "exp") if r["kind"] == "skipped"]
    assert [r["step"] for r in skipped] == [1, 3]
    assert skipped[0]["utts"]


def test_a_gradient_that_stays_high_is_no_spike():
    level = [1.0, 2.0, 1.5] * 20

    def is_spike(norm: float, norms: list[float], limit: float) -> bool:
        return bool(Norms(norms=norms).spike_(torch.tensor(norm), limit))

    assert not is_spike(29.0, level, 20)
    assert is_spike(31.0, level, 20)
    assert is_spike(31.0, [*level, 31.0, 40.0, 35.0, 33.0], 20)
    assert not is_spike(31.0, [*level, 31.0, 40.0, 35.0, 33.0, 36.0], 20)  # five in a row
    assert is_spike(31.0, [*level, 31.0, 40.0, 1.0, 35.0, 33.0, 36.0], 20)
    assert not is_spike(1e9, level[:49], 20)
    assert not is_spike(1e9, level, 0)
    assert is_spike(float("nan"), [], 0)


@given(st.lists(st.floats(0.0, 1e6, width=32) | st.just(float("nan")), max_size=130), st.floats(1.0, 50.0))
def test_norms_are_judged_as_the_median_of_the_last_hundred_says(norms: list[float], limit: float):
    kept, last = Norms(), []
    for norm in norms:
        level = limit * statistics.median(last) if len(last) >= 50 else math.inf
        wanted = not math.isfinite(norm) or (norm > level and min(last[-5:]) <= level)
        assert bool(kept.spike_(torch.tensor(norm), limit)) == wanted
        last = [*last, norm][-100:] if math.isfinite(norm) else last
    assert kept.tolist() == Norms(norms=kept.tolist()).tolist() == last


def test_a_training_that_only_explodes_stops_with_step_utterances_and_advice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from unitdisc import step as module

    monkeypatch.setattr(module, "sync_gradients_", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(UnitdiscError, match=r"step 10: the gradient exploded .* utterances [ab]-0.*learning_rate"):
        run(data, tmp_path / "exp", replace(TRAIN, steps=50, log_every=50, validate_every=50))


def test_whole_utterances_and_a_supervised_bottleneck_train(data: Path, tmp_path: Path):
    model = tiny_model()
    weights = replace(model.weights, ctc=1.0, framewise=1.0)
    tree = run(data, tmp_path / "exp", replace(TRAIN, chunk=0, batch=2), weights=weights)
    assert tree["phones"] == ["A", "B", "C", "D"]
    dev = [r for r in read_metrics(tmp_path / "exp") if r["kind"] == "dev"][-1]
    assert {"ctc", "framewise"} <= dev.keys()


def test_metrics_after_the_resumed_step_are_made_again(tmp_path: Path):
    log = RunLog(tmp_path)
    for step in (2, 4, 6):
        log.metrics(step, "train", {"loss": 1.0})
    (tmp_path / "metrics.jsonl").open("a").write('{"step": 8, "ki')
    log.rewind(4)
    log.metrics(6, "train", {"loss": 2.0})
    log.close()
    assert [(r["step"], r["loss"]) for r in read_metrics(tmp_path)] == [(2, 1.0), (4, 1.0), (6, 2.0)]


def test_events_of_the_step_that_follows_are_made_again(tmp_path: Path):
    log = RunLog(tmp_path)
    rows = [
        (4, "reestimation"),
        (4, "train"),
        (4, "collapse"),
        (4, "dev"),
        (4, "targets"),
        (4, "codebook"),
        (5, "train"),
    ]
    for step, kind in rows:
        log.metrics(step, kind, {})
    log.rewind(4)
    log.close()
    assert [(r["step"], r["kind"]) for r in read_metrics(tmp_path)] == rows[:4]


def test_phones_that_ctc_leaves_out_are_told(data: Path, tmp_path: Path):
    model = tiny_model()
    weights = replace(model.weights, ctc=1.0)
    slow = replace(model.encoder, strides=(2, 2, 2, 2))  # units of 160 ms, phones of 100 ms
    run(data, tmp_path / "exp", replace(TRAIN, chunk=0), weights=weights, encoder=slow)
    rows = read_metrics(tmp_path / "exp")
    assert {row["ctc_left_out"] for row in rows if row["kind"] in ("train", "dev")} == {1.0}
    said = (tmp_path / "exp" / "log.txt").read_text()
    assert said.count("100.0% of what was read has more phones than units") == 1


def test_what_is_held_still_stays_so_in_all_parts_of_a_batch(data: Path, tmp_path: Path):
    weights = replace(tiny_model().weights, reconstruction=1.0)
    run(data, tmp_path / "source", weights=weights)
    model = checkpoint.load_model(tmp_path / "source")
    options = replace(TRAIN, accumulate=2, units_of=str(tmp_path / "source"))
    run(data, tmp_path / "exp", options, weights=weights, vectors=0.5)
    assert checkpoint.load_model(tmp_path / "exp").model_hash() == model.model_hash()


def test_a_resumed_training_has_the_settings_that_are_asked_for_now(data: Path, tmp_path: Path):
    run(data, tmp_path / "exp", replace(TRAIN, optimizer=AdamWConfig(decay=0.3), average=0))
    tree = checkpoint.newest(tmp_path / "exp")
    model = UnitModel(tiny_model(), ["a", "b"])
    state = State(model, replace(TRAIN, optimizer=AdamWConfig(betas=(0.5, 0.6), decay=0.1), average=0.9))
    state.load_tree(tree)
    assert {(group["betas"], group["weight_decay"]) for group in state.optimizer.param_groups} == {((0.5, 0.6), 0.1)}
    with state.average.swapped(model):  # it begins where the weights are
        assert_same(dict(model.state_dict()), dict(tree["model"]))


def test_a_training_with_other_phones_is_not_gone_on_with(data: Path, tmp_path: Path):
    weights = replace(tiny_model().weights, ctc=1.0)
    run(data, tmp_path / "exp", weights=weights)
    shutil.copytree(data, tmp_path / "data")
    ctm = tmp_path / "data" / "train" / "phones.ctm"
    ctm.write_text(ctm.read_text().replace(" A\n", " E\n"))
    with pytest.raises(ConfigError, match=r"holds a training of another model .other phones."):
        run(tmp_path / "data", tmp_path / "exp", weights=weights)


def test_losses_of_another_codebook_are_not_compared():
    state = State(UnitModel(tiny_model(), ["a"]), replace(TRAIN, schedule=Plateau(factor=0.8, patience=1), warmup=0))
    state.note_dev_loss_(1.0)
    state.after_reestimation_()
    for loss in (3.0, 2.5, 2.0, 1.5):
        state.note_dev_loss_(loss)
    assert state.scale == 1.0


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_too_small_for_all_processes_is_refused(batch: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dist, "world_size", lambda: 2)
    corpus = SimpleNamespace(utts=["a", "b", "c", "d"], lengths=np.full(4, 100))
    with pytest.raises(ConfigError, match=rf"train.batch: {batch} .* leaves nothing for some of 2 processes x 2 parts"):
        train_module.batch_plan(corpus, replace(TRAIN, batch=batch, accumulate=2), 2)
    assert train_module.batch_plan(corpus, replace(TRAIN, batch=4, accumulate=2), 2).batch == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("clip", -1.0), ("validate_utts", 0), ("learning_rate", float("nan")), ("seed", -1), ("chunk", -16)],
)
def test_numbers_that_make_no_sense_are_refused(name: str, value: float):
    with pytest.raises(ConfigError, match=f"{name} must be"):
        train_module.check_schedule(Config(tiny_model(), replace(TRAIN, **{name: value})))


def test_a_training_without_a_loss_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing to train: k-means .* is fitted by `unitdisc kmeans`"):
        run(data, tmp_path / "exp", quantizer=KMeansConfig(codes=4), decoder=NoDecoderConfig())


def test_a_dying_codebook_is_told_once_with_advice(data: Path, tmp_path: Path):
    model = tiny_model()
    vanilla = replace(
        model.quantizer, codes=512, norm="none", learning_rate_factor=1.0, schedule=ScheduleConfig(0, 9, 1.0, 0)
    )
    run(
        data,
        tmp_path / "exp",
        replace(TRAIN, steps=130, log_every=10, validate_every=200, save_every=200),
        quantizer=vanilla,
    )
    told = [r for r in read_metrics(tmp_path / "exp") if r["kind"] == "collapse"]
    assert len(told) == 1
    assert told[0]["step"] >= 100
    assert "batch normalisation" in told[0]["advice"] or "norm" in told[0]["advice"]
    assert told[0]["advice"] in (tmp_path / "exp" / "log.txt").read_text()


def test_a_training_that_is_done_says_so(data: Path, tmp_path: Path):
    run(data, tmp_path / "exp")
    run(data, tmp_path / "exp")
    assert "finished already, after step 6" in (tmp_path / "exp" / "log.txt").read_text()


def test_a_training_that_would_never_quantise_is_refused(data: Path, tmp_path: Path):
    model = tiny_model()
    late = replace(model.quantizer, schedule=replace(model.quantizer.schedule, warm_up=6))
    with pytest.raises(ConfigError, match=r"train.steps is 6, and the warm-up takes 6; .*lower model\.quantizer"):
        run(data, tmp_path / "exp", quantizer=late)
    late = replace(late, schedule=replace(late.schedule, warm_up=5, until=4))
    with pytest.raises(ConfigError, match=r"never be set from data: .*until is 4, and the warm-up takes 5"):
        run(data, tmp_path / "exp", quantizer=late)
    assert not (tmp_path / "exp").exists()


def test_a_full_disk_leaves_earlier_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint.save(tmp_path / "00000001.pt", {"step": 1})

    def full(_tree: object, _file: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"00000002\.pt: cannot be written: is the disk full\?"):
        checkpoint.save(tmp_path / "00000002.pt", {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["00000001.pt"]


def test_an_error_of_the_system_is_one_line(data: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "unitdisc", "subset", str(data / "train"), str(tmp_path / "file"), "--random", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


@pytest.mark.slow
def test_compiled_networks_train_the_same_model(data, tmp_path):
    """Compiled products round otherwise; the checkpoint has the same names and, after two steps, the same weights."""
    trees = []
    for name in ("plain", "compiled"):
        run(data, tmp_path / name, replace(TRAIN, steps=2, compile=name == "compiled"))
        trees.append(checkpoint.load_tree(tmp_path / name))
    plain, compiled = (tree["model"] for tree in trees)
    assert plain.keys() == compiled.keys()
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-3, atol=1e-4)


def test_compiling_without_a_compiler_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"train\.compile: needs a C\+\+ compiler"):
        run(data, tmp_path / "x", replace(TRAIN, compile=True))


LOSES_ONE = """
import os, signal, sys
from unitdisc import config, dist, train
step = train.train_step
def lost(state, *rest):
    if state.step == 2 and dist.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    step(state, *rest)
train.train_step = lost
try:
    train.train(config.load(sys.argv[1], train.Config), *sys.argv[2:5])
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def test_a_process_that_is_lost_ends_the_others_and_one_alone_goes_on(data: Path, tmp_path: Path):
    model = tiny_model(
        quantizer=config.from_tree(Config, {"model": {"quantizer": {"kind": "none"}}}, "").model.quantizer
    )
    path, exp, program = tmp_path / "config.yaml", tmp_path / "exp", tmp_path / "program.py"
    path.write_text(config.dump(Config(model, TRAIN)))
    program.write_text(LOSES_ONE)
    words = [str(path), str(exp), str(data / "train"), str(data / "dev")]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode != 0
    assert "UnitdiscError: another of the 2 processes has ended" in done.stderr
    assert checkpoint.newest(exp)["step"] == 2  # type: ignore[index]
    run(data, exp, quantizer=model.quantizer)
    assert checkpoint.newest(exp)["step"] == TRAIN.steps  # type: ignore[index]


STOPS_ONE = """
import os, signal, sys, time
from unitdisc import config, dist, train
step = train.train_step
def told(state, *rest):
    step(state, *rest)
    if state.step == 2 and dist.rank() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
train.train_step = told
try:
    train.train(config.load(sys.argv[1], train.Config), *sys.argv[2:5])
except KeyboardInterrupt:
    pass
"""


def test_processes_stop_after_the_same_step_if_one_is_told_to(data: Path, tmp_path: Path):
    path, exp, program = tmp_path / "config.yaml", tmp_path / "exp", tmp_path / "program.py"
    path.write_text(config.dump(Config(tiny_model(), replace(TRAIN, save_every=100, validate_every=100, steps=100))))
    program.write_text(STOPS_ONE)
    words = [str(path), str(exp), str(data / "train"), str(data / "dev")]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.stem for path in checkpoint.step_files(exp)] == ["00000003"]
    assert "stopped after step 3, and saved" in (exp / "log.txt").read_text()


PLATEAU = """
import os, sys
from made_up import tiny_model
from unitdisc import dist
from unitdisc.model import UnitModel
from unitdisc.state import Plateau, State, TrainConfig

with dist.group():
    state = State(UnitModel(tiny_model(), ["a"]), TrainConfig(schedule=Plateau(patience=0), warmup=0))
    for loss in (3.0, 2.0, 2.1, 2.2):
        state.note_dev_loss_(loss + dist.rank() * (10 - 4 * loss))  # falls where the other's rises
    sys.stdout.write(f"{state.scale:.4f} {state.best} {state.stale}\\n")
"""


def test_processes_follow_one_plateau(tmp_path: Path):
    program = tmp_path / "plateau.py"
    program.write_text(PLATEAU)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS}:{TOP}"}
    outcome = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=120)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert outcome.stdout.splitlines() == ["0.6400 2.0 0"] * 2


def test_a_folder_is_trained_in_by_one_process_at_a_time(data: Path, tmp_path: Path):
    with (
        locked(tmp_path / "exp", "training in it"),
        pytest.raises(DataError, match="is training in it; wait for it, or stop it"),
    ):
        run(data, tmp_path / "exp", TRAIN)
    assert not checkpoint.step_files(tmp_path / "exp")


@pytest.mark.gpu
def test_a_resumed_training_on_a_gpu_keeps_adams_counts_where_one_kernel_reads_them(
    data: Path, tmp_path: Path, monkeypatch
):
    from unitdisc import train as module

    states, resume = [], module.resume_
    monkeypatch.setattr(module, "resume_", lambda state, *rest: (resume(state, *rest), states.append(state)))
    options = replace(TRAIN, device="cuda")
    for steps in (TRAIN.steps, TRAIN.steps + 1):
        run(data, tmp_path / "exp", replace(options, steps=steps))
    steps = [value["step"] for value in states[1].optimizer.state.values()]
    assert steps
    assert {value.device.type for value in steps} == {"cuda"}
