"""Jobs of recipes on a real Slurm: that of this machine, on loopback (Debian: apt-get install slurm-wlm)."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import make_data, tiny_model
from places import TOP
from recipe_files import EGS
from slurm_cluster import MISSING, call, free_ports, installed, slurm, until

from unitdisc import checkpoint, config
from unitdisc.train import TrainConfig
from unitdisc.train_config import Config


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a cluster of two machines, of which n2 has a GPU."""
    if not installed():
        warnings.warn(f"not tested: jobs on Slurm; {MISSING}", stacklevel=1)
        pytest.skip(MISSING)
    with slurm(tmp_path_factory.mktemp("slurm") / "cluster") as conf:
        yield conf


@pytest.fixture(autouse=True)
def here(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(conf))
    monkeypatch.chdir(tmp_path)


def command(*arguments: str) -> list[str]:
    return [str(EGS / "common" / "cmd.sh"), "--backend", "slurm", *arguments]


def cmd(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cmd.sh."""
    return subprocess.run(command(*arguments), text=True, capture_output=True, timeout=200)


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start cmd.sh in a session of its own, as a terminal does."""
    return subprocess.Popen(command(*arguments), text=True, stderr=subprocess.PIPE, start_new_session=True)


def job_number(log: str) -> str:
    """Return the number of the job that writes a log."""
    return (Path(log).parent / "slurm" / f"{Path(log).stem}.sh.id").read_text().strip()


def holds(path: str, text: str) -> bool:
    return Path(path).is_file() and text in Path(path).read_text()


# Stands for a training: saves when it is told to end, and goes on from there.
TRAINING = """
import pathlib, signal, sys, time
step = pathlib.Path("step")
def end(number, frame):
    step.write_text("7")
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
print("from step", step.read_text() if step.exists() else 0, flush=True)
while not step.exists():
    time.sleep(0.1)
"""


def test_an_array_has_a_log_for_each_job_and_the_failure_is_shown():
    script = "echo job JOB of it\\'s $HOME, $SLURM_ARRAY_TASK_ID; exit $((JOB == 2 ? 3 : 0))"
    got = cmd("--max-jobs", "2", "JOB=1:3", "log/a.JOB.log", "bash", "-c", script)
    assert got.returncode == 1
    assert "cmd.sh: 1 of 3 jobs failed; the end of log/a.2.log:" in got.stderr
    for number in (1, 2, 3):
        lines = Path(f"log/a.{number}.log").read_text().splitlines()
        assert lines[2] == f"job {number} of it's {os.environ['HOME']}, {number}"
        assert lines[3].startswith(f"# ended with code {3 if number == 2 else 0} after ")


def test_a_refused_job_says_why_and_nothing_of_an_earlier_one(conf: Path):
    assert cmd("log/a.log", "echo", "of the first").returncode == 0
    for options, why in (
        (["--sbatch", "--partition=none"], "invalid partition specified: none"),
        (["--mem", "900G"], "Memory specification can not be satisfied"),
        (["--gpu", "2"], "Requested node configuration is not available"),
    ):
        got = cmd(*options, "log/a.log", "true")
        assert got.returncode == 1
        assert why in got.stderr
        assert "Slurm did not accept the job" in got.stderr
        assert "of the first" not in got.stderr
        assert not Path("log/a.log").exists()


def test_a_job_gets_what_it_asks_for_and_quotes_hold():
    asked = 'echo "$SLURMD_NODENAME $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE gpu=${CUDA_VISIBLE_DEVICES-none}"'
    asked += "; squeue --noheader --jobs $SLURM_JOB_ID --format '%k %l'"
    options = ["--num-threads", "2", "--mem", "1G", "--time", "2:00:00", "--sbatch", "--comment='two words'"]
    options += ["--sbatch-gpu", "--comment='on a GPU'"]
    assert cmd(*options, "--gpu", "1", "log/gpu.log", "bash", "-c", asked).returncode == 0
    assert Path("log/gpu.log").read_text().splitlines()[2:4] == ["n2 2 1024 gpu=0", "on a GPU 2:00:00"]
    options = ["--num-threads", "3", "--sbatch", "--comment='two words' --exclude='n2,'"]
    assert cmd(*options, "log/cpu.log", "bash", "-c", asked).returncode == 0
    assert Path("log/cpu.log").read_text().splitlines()[2:4] == ["n1 3  gpu=none", "two words UNLIMITED"]


def test_ctrl_c_cancels_the_job_which_saves(conf: Path):
    running = start("log/a.log", sys.executable, "-c", TRAINING)
    assert until(lambda: holds("log/a.log", "from step 0"), 60)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said == "cmd.sh: interrupted; the same command goes on (log/a.log)\n"
    log = Path("log/a.log").read_text()
    assert "saved\n" in log
    assert "# ended with code 143 after" in log
    assert call(conf, "squeue", "--noheader", "--jobs", job_number("log/a.log")).strip() == ""


@pytest.mark.slow  # Slurm takes its time to queue a job again, more so on a busy machine
def test_a_job_that_is_queued_again_goes_on_and_adds_to_its_log(conf: Path):
    running = start("--sbatch", "--requeue", "log/a.log", sys.executable, "-c", TRAINING)
    assert until(lambda: holds("log/a.log", "from step 0"), 60)
    number = job_number("log/a.log")
    call(conf, "scontrol", "requeue", number)
    pending = ["squeue", "--noheader", "--jobs", number, "--format", "%T"]
    assert until(lambda: call(conf, *pending).strip() == "PENDING", 60)
    call(conf, "scontrol", "update", f"jobid={number}", "StartTime=now")  # Slurm would wait for two minutes
    _, said = running.communicate(timeout=90)
    assert (running.returncode, said) == (0, ""), Path("log/a.log").read_text()
    lines = Path("log/a.log").read_text().splitlines()
    said = [line for line in lines if line[0] != "#" and line != "Terminated"]
    assert said == ["from step 0", "saved", "from step 7"]
    assert [line[:19] for line in lines if "ended" in line] == ["# ended with code 1", "# ended with code 0"]


def test_the_warning_before_a_time_limit_reaches_the_command(conf: Path):
    running = start("log/a.log", sys.executable, "-c", TRAINING)
    assert until(lambda: holds("log/a.log", "from step 0"), 60)
    call(conf, "scancel", "--batch", "--signal=USR1", job_number("log/a.log"))  # as --signal=B:USR1@120 does
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    log = Path("log/a.log").read_text()
    assert "saved\n" in log
    assert "# ended with code 143 after" in log


@pytest.mark.slow  # Slurm counts time limits in minutes
def test_a_time_limit_saves_stands_in_the_log_and_the_same_command_goes_on():
    job = ["--time", "0:01:00", "log/a.log", sys.executable, "-c", TRAINING]
    got = cmd(*job)
    assert got.returncode == 1
    log = Path("log/a.log").read_text()
    assert "saved\n" in log
    assert "DUE TO TIME LIMIT" in log
    assert "the time limit ended it; the same command goes on where it was" in got.stderr
    assert cmd(*job).returncode == 0
    assert "from step 7" in Path("log/a.log").read_text()


def page_script(first: str) -> str:
    """Return the block of docs/clusters.md that begins with a line."""
    blocks = (TOP / "docs" / "clusters.md").read_text().split("```\n")[1::2]
    return next(block for block in blocks if block.startswith(first))


def starts_of(exp: Path) -> list[int]:
    """Return the steps at which a training was started."""
    env = exp / "env.json"
    return [one["resumed_at"] for one in json.loads(env.read_text())["starts"]] if env.is_file() else []


def put_endless_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the files that the commands of the page name here."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for part in ("train", "dev"):
        make_data(Path("data") / part, 6, features=False)
    Path("conf").mkdir()
    endless = TrainConfig(steps=10**6, batch=4, chunk=32, validate_every=10**5, save_every=10**5, log_every=5)
    Path("conf/base.yaml").write_text(config.dump(Config(tiny_model(), endless)))


@pytest.mark.slow  # two starts of torch
@pytest.mark.timeout(600)
def test_the_command_of_the_page_trains_on_one_machine_and_the_next_in_line_goes_on(
    conf: Path, monkeypatch: pytest.MonkeyPatch
):
    put_endless_training(monkeypatch)
    script = page_script("sbatch --gres=gpu:1").replace(" --cpus-per-task=8", "")
    numbers = []
    for name in ("first", "second"):
        more = f"sbatch --parsable --dependency=singleton --job-name=base --output={name}.log"
        done = subprocess.run(
            ["bash", "-e", "-c", script.replace("sbatch", more)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        numbers.append(done.stdout.strip())
    first, second = numbers
    exp = Path("exp/base")
    assert until(lambda: holds("exp/base/metrics.jsonl", '"step": 5'), 200), Path("first.log").read_text()
    assert call(conf, "squeue", "--noheader", "--jobs", second, "--format", "%T").strip() == "PENDING"
    call(conf, "scancel", "--batch", "--signal=TERM", first)  # as --signal=B:TERM@120 does
    assert until(lambda: len(starts_of(exp)) == 2, 200), Path("first.log").read_text()
    assert "and saved; the same command goes on from there" in (exp / "log.txt").read_text()
    assert starts_of(exp)[1] >= 5
    call(conf, "scancel", second)


@pytest.mark.slow  # seven starts of torch
@pytest.mark.timeout(900)
def test_the_commands_of_the_page_train_on_two_machines_and_go_on_when_queued_again(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put_endless_training(monkeypatch)
    array = "".join(page_script("sbatch --wait --array").splitlines(keepends=True)[:2])
    done = subprocess.run(["bash", "-e", "-c", array.replace("8", "2")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "feats, targets: 6 utterances" in done.stdout
    assert Path("data/train/feats.ark").exists()

    script = page_script("#!/usr/bin/env bash\n#SBATCH --nodes=2")
    here = {" --gres=gpu:4 --cpus-per-task=32": "", "--nproc-per-node 4": "--nproc-per-node 1"}
    here["$head:$((20000 + SLURM_JOB_ID % 10000))"] = f"127.0.0.1:{free_ports(1)[0]}"  # n1 is in no name server
    for old, new in here.items():
        assert script.count(old) == 1
        script = script.replace(old, new)
    Path("train.sh").write_text(script)
    number = call(conf, "sbatch", "--parsable", "--output", "train.log", "train.sh").strip()
    exp = Path("exp/base")
    assert until(lambda: holds("exp/base/metrics.jsonl", '"step": 5'), 240), Path("train.log").read_text()
    call(conf, "scontrol", "requeue", number)
    state = ["squeue", "--noheader", "--jobs", number, "--format", "%T"]
    assert until(lambda: call(conf, *state).strip() == "PENDING", 90)
    saved = checkpoint.newest(exp)["step"]
    call(conf, "scontrol", "update", f"jobid={number}", "StartTime=now")
    assert until(lambda: starts_of(exp) == [0, saved], 240), Path("train.log").read_text()
    assert saved >= 5
    assert until(lambda: holds("exp/base/metrics.jsonl", f'"step": {saved + 5 - saved % 5}'), 120)
    call(conf, "scancel", number)
    assert until(lambda: not call(conf, *state).strip(), 90)
    assert checkpoint.newest(exp)["step"] > saved
    assert (exp / "log.txt").read_text().count("and saved; the same command goes on from there") == 2
