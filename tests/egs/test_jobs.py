"""Jobs of a recipe, one or many, here or on Slurm: their logs, failures and interruptions."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recipe_files import AWAIT_SECOND, EGS, SBATCH, at_once, program


def cmd(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run cmd.sh in a folder."""
    command = [EGS / "common" / "cmd.sh", *arguments]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, env=os.environ | environment)


@pytest.fixture(params=["local", "slurm"])
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    program(tmp_path / "bin" / "sbatch", SBATCH)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return ["--backend", request.param]


def test_each_job_gets_its_number_and_its_log(backend: list[str], tmp_path: Path):
    got = cmd(tmp_path, *backend, "JOB=1:3", "log/a.JOB.log", "echo", "job JOB of", "it's", "$HOME *")
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    for number in (1, 2, 3):
        lines = (tmp_path / "log" / f"a.{number}.log").read_text().splitlines()
        assert lines[2] == f"job {number} of it's $HOME *"
        assert lines[0].startswith("# 'echo'")
        assert lines[-1].startswith("# ended with code 0 after ")


def test_a_single_job_needs_no_number(backend: list[str], tmp_path: Path):
    assert cmd(tmp_path, *backend, "log/b.log", "echo", "JOB").returncode == 0
    assert "\nJOB\n" in (tmp_path / "log" / "b.log").read_text()


def test_the_end_of_the_failing_log_is_shown(backend: list[str], tmp_path: Path):
    script = "for i in $(seq 40); do echo line $i of JOB; done; exit $((JOB == 2 ? 3 : 0))"
    got = cmd(tmp_path, *backend, "JOB=1:3", "log/a.JOB.log", "bash", "-c", script)
    assert got.returncode == 1
    assert "1 of 3 jobs failed; the end of log/a.2.log" in got.stderr
    assert "line 40 of 2\n# ended with code 3" in got.stderr
    assert "line 1 of 2\n" not in got.stderr


def test_a_program_that_is_not_there_fails(backend: list[str], tmp_path: Path):
    got = cmd(tmp_path, *backend, "log/a.log", "no-such-program")
    assert got.returncode == 1
    assert "no-such-program: command not found" in got.stderr


def test_output_without_a_newline_at_its_end_is_no_failure(backend: list[str], tmp_path: Path):
    got = cmd(tmp_path, *backend, "log/a.log", "printf", "no newline")
    assert (got.returncode, got.stderr) == (0, "")
    assert "\nno newline\n# ended with code 0" in (tmp_path / "log" / "a.log").read_text()


def test_no_more_jobs_at_once_than_allowed(tmp_path: Path):
    script = f"echo +1 >>events; {AWAIT_SECOND} echo -1 >>events"
    assert cmd(tmp_path, "--max-jobs", "2", "JOB=1:5", "log/a.JOB.log", "bash", "-c", script).returncode == 0
    assert at_once(tmp_path / "events") == [5, 2]


def test_slurm_is_told_the_array_and_the_options(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", SBATCH)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    options = ["--backend", "slurm", "--max-jobs", "4", "--sbatch", "--gres=gpu:1 --mem=16G"]
    got = cmd(tmp_path, *options, "JOB=2:9", "log/a.JOB.log", "true", PATH=path, CALLS=str(tmp_path / "calls"))
    assert got.returncode == 0, got.stderr
    call = (tmp_path / "calls").read_text().split()
    assert {"--wait", "--array=2-9%4", "--gres=gpu:1", "--mem=16G"} <= set(call)


def test_slurm_is_asked_for_what_a_job_needs(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", SBATCH)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    given = [
        "--backend",
        "slurm",
        "--num-threads",
        "4",
        "--mem",
        "8G",
        "--time",
        "1:00:00",
        "--sbatch",
        "--comment='two words'",
    ]
    for gpus, wanted in ((["--gpu", "2"], {"--gres=gpu:2", "--partition=big"}), ([], set())):
        calls = tmp_path / f"calls{len(gpus)}"
        got = cmd(
            tmp_path, *given, "--sbatch-gpu", "--partition=big", *gpus, "log/a.log", "true", PATH=path, CALLS=str(calls)
        )
        assert got.returncode == 0, got.stderr
        call = calls.read_text()
        assert {"--cpus-per-task=4", "--mem=8G", "--time=1:00:00"} | wanted <= set(call.split())
        assert "--comment=two words" in call
        assert ("--partition=big" in call) == bool(gpus)


def test_a_time_limit_stands_in_the_log(tmp_path: Path):
    late = """#!/usr/bin/env bash
for word; do case $word in --output=*) out=${{word#--output=}} ;; esac; done
echo 7; echo 'slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT NOON DUE TO TIME LIMIT ***' >"${{out/\\%a/4294967294}}"
exit 1
"""
    program(tmp_path / "bin" / "sbatch", late)
    got = cmd(tmp_path, "--backend", "slurm", "log/a.log", "true", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert got.returncode == 1
    assert "DUE TO TIME LIMIT" in (tmp_path / "log" / "a.log").read_text()
    assert "the time limit ended it; the same command goes on where it was" in got.stderr


def test_a_slurm_job_that_never_began_is_a_failure(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", "#!/usr/bin/env bash\necho 'no such partition' >&2\nexit 1\n")
    (tmp_path / "log" / "slurm").mkdir(parents=True)
    (tmp_path / "log" / "slurm" / "a.sh.0.out").write_text("of another job\n")
    (tmp_path / "log" / "a.log").write_text("# ended with code 0 after 9 s\n")  # of an earlier day
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    got = cmd(tmp_path, "--backend", "slurm", "log/a.log", "true", PATH=path)
    assert got.returncode == 1
    assert "no such partition" in got.stderr
    assert "Slurm did not accept the job" in got.stderr
    assert "of another job" not in got.stderr


JOB = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
stage=0 # first
stop_stage=0 # last
cmd= # what runs jobs
. {egs}/common/parse_options.sh
job --num-threads 2 --gpu 0 "$EXP/log/a.log" {do}
"""


def job(folder: Path, cmd: str, do: str = 'echo "two words"', **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a recipe of one job."""
    recipe = program(folder / "recipe" / "run.sh", JOB.replace("{egs}", str(EGS)).replace("{do}", do))
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    about = {"PATH": path, "CALLS": str(folder / "calls"), "EXP": str(folder / "exp")} | environment
    return subprocess.run([recipe, "--cmd", cmd], cwd=EGS, text=True, capture_output=True, env=os.environ | about)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("{common}/cmd.sh", None),
        ("{blank}/cmd.sh", None),
        ("'{blank}/cmd.sh' --backend slurm", []),
        ('{common}/cmd.sh --backend slurm --sbatch "--gres=gpu:1 --mem=16G"', ["--gres=gpu:1", "--mem=16G"]),
        ("{common}/cmd.sh --backend slurm --sbatch '--mem=16G'", ["--mem=16G"]),
    ],
)
def test_what_runs_jobs_may_have_options_and_blanks(given: str, options: list[str] | None, tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", SBATCH)
    blank = tmp_path / "a folder"
    blank.mkdir()
    shutil.copy(EGS / "common" / "cmd.sh", blank)
    got = job(tmp_path, given.format(blank=blank, common=EGS / "common"))
    assert (got.returncode, got.stderr) == (0, "")
    assert "\ntwo words\n" in (tmp_path / "exp" / "log" / "a.log").read_text()
    assert (tmp_path / "calls").exists() == (options is not None)
    if options is not None:
        given_on = (tmp_path / "calls").read_text().split()[:-1]
        assert [word for word in given_on if word.startswith(("--gres", "--mem"))] == options
        assert "--cpus-per-task=2" in given_on


def test_what_is_unchanged_is_no_job_and_keeps_its_log(tmp_path: Path):
    program(tmp_path / "bin" / "verb", '#!/usr/bin/env bash\n[[ $* == "there --renew"* ]] && echo there: unchanged\n')
    cmd = str(EGS / "common" / "cmd.sh")
    assert "ended with code 1" in job(tmp_path, cmd, "verb here --renew").stderr
    before = (tmp_path / "exp/log/a.log").read_text()
    got = job(tmp_path, cmd, "verb there --renew")
    assert (got.returncode, got.stdout, got.stderr) == (0, "there: unchanged\n", "")
    assert (tmp_path / "exp/log/a.log").read_text() == before


def test_a_job_on_a_gpu_asks_for_one(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", SBATCH)
    got = job(tmp_path, f"{EGS}/common/cmd.sh --backend slurm", "echo --device cuda:0")
    assert (got.returncode, "--gres=gpu:1" in (tmp_path / "calls").read_text()) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "sge", "a.log", "true"], "expected local or slurm, got 'sge'"),
        (["--what", "1", "a.log", "true"], "unknown option '--what'"),
        (["--max-jobs", "x", "a.log", "true"], "expected a number, got 'x'"),
        (["JOB=3:1", "a.JOB.log", "true"], "expected FIRST:LAST"),
        (["JOB=1:3", "a.log", "true"], "must contain JOB"),
        (["a.log"], "COMMAND"),
        ([], "COMMAND"),
    ],
)
def test_wrong_jobs_are_refused(arguments: list[str], message: str, tmp_path: Path):
    got = cmd(tmp_path, *arguments)
    assert got.returncode == 2
    assert message in got.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [["a.log"], ["JOB=1:2", "a.JOB.log"]])
def test_an_interruption_reaches_the_jobs(number: signal.Signals, jobs: list[str], tmp_path: Path):
    script = "import time, pathlib; pathlib.Path('on').touch(); time.sleep(30); pathlib.Path('survived').touch()"
    command = [EGS / "common" / "cmd.sh", *jobs, sys.executable, "-c", script]
    running = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE)
    start = time.monotonic()
    while not (tmp_path / "on").exists():
        assert time.monotonic() - start < 20
        time.sleep(0.05)
    time.sleep(0.2)
    os.killpg(running.pid, number)
    _, said = running.communicate(timeout=10)
    assert running.returncode != 0
    assert not (tmp_path / "survived").exists()
    assert said.startswith(b"cmd.sh: waiting for the job to save and end\ncmd.sh: interrupted; ")
