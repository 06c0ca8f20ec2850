"""The recipes' machinery: options, jobs, stages; and every stage of mini and own, the later ones by a stub."""

import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unitdisc import __version__
from unitdisc.config import read_tree

EGS = Path(__file__).parent.parent / "egs"
RECIPES = ("mini", "own")

# Stands for the verbs that need a trained model: writes down its arguments and leaves the files that they leave.
STUB = """#!/usr/bin/env bash
verb=$1
[[ " ${{REAL-check import}} " == *" $verb "* ]] && exec {python} -m unitdisc "$@"
[[ $verb != config ]] || exit 0 # most tests have no time to read it
[[ $verb != --version ]] || {{ echo "unitdisc {version}"; exit; }}
echo "$*" >>"$CALLS"
[[ ${{FAIL-}} != "$verb" && ${{FAIL-}} != "$verb ${{2-}}" ]] || {{ echo "unitdisc $verb: told to fail" >&2; exit 1; }}
case $verb in
  features) for place; do [[ ! -d $place ]] || tee "$place/feats.scp" "$place/feats.json" <"$2" >/dev/null; done ;;
  subset) mkdir -p "$3" ;;
  combine) mkdir -p "$2" ;;
  train | kmeans) mkdir -p "$3/checkpoints"; echo "model: {{quantizer: {{kind: vq, codes: 8}}}}" >"$3/config.yaml"
    echo weights >"$3/checkpoints/1.pt" ;;
  encode) mkdir -p "$4"; for name in units.jsonl codes.scp; do echo "$2 $3" >"$4/$name"; done ;;
  items) echo item >"$3" ;;
  score) echo '{{"value": 0.5}}' ;;
  convert) mkdir -p "$4"; for name in manifest.jsonl wav.scp utt2spk; do echo "$3 $6" >"$4/$name"; done ;;
  report) echo page >"$4" ;;
esac
"""

# Runs the script as Slurm would: once, or once for each number of --array; the exit code is the worst one.
SBATCH = """#!/usr/bin/env bash
echo "$@" >>"$CALLS"
worst=0 numbers=none
for word; do
  [[ $word != --array=* ]] || numbers=$(eval "echo {{$(sed 's/.*=//; s/%.*//; s/-/../' <<<"$word")}}")
done
echo 4711
for number in $numbers; do
  [[ $number == none ]] || export SLURM_ARRAY_TASK_ID=$number
  bash "${{@: -1}}" >/dev/null 2>&1 || worst=1
done
exit $worst
"""


def shell(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a bash script that sits in egs/."""
    command = ["bash", "-euo", "pipefail", "-c", script, "recipe.sh", *arguments]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=EGS, text=True, capture_output=True, env=os.environ | {"PATH": path} | environment
    )


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(python=sys.executable, version=__version__))
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


# Options.

OPTIONS = """
. common/options.sh
option corpus corpus/full "where"
option stop_stage report "until"
option set "" "changes"
parse_options "$@"
printf '%s|%s|%s' "$corpus" "$stop_stage" "$set"
"""


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ([], "corpus/full|report|"),
        (["--corpus", "a b", "--stop-stage=3"], "a b|3|"),
        (["--stop_stage", "train"], "corpus/full|train|"),
        (["--set", "train.steps=5 model.jitter=0"], "corpus/full|report|train.steps=5 model.jitter=0"),
        (["--set=x=y", "--corpus="], "|report|x=y"),
        (["--corpus", ""], "|report|"),
        (["--corpus", "-1", "--set=--odd"], "-1|report|--odd"),
    ],
)
def test_options_have_both_forms(arguments: list[str], values: str):
    assert shell(OPTIONS, *arguments).stdout == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stagee", "3"], "unknown option '--stagee'"),
        (["--stagee=3"], "unknown option '--stagee'"),
        (["--PATH", "x"], "unknown option '--PATH'"),
        (["--corpus"], "--corpus: a value must follow"),
        (["--corpus", "--set", "x"], "--corpus: a value must follow"),
        (["train"], "expected options only, got 'train'"),
        (["--"], "unknown option '--'"),
        (["--a]b", "x"], "unknown option '--a]b'"),
    ],
)
def test_wrong_options_are_an_error_at_once(arguments: list[str], message: str):
    got = shell(OPTIONS, *arguments)
    assert (got.returncode, got.stdout) == (2, "")
    assert message in got.stderr
    assert "--help" in got.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_lists_every_option(recipe: str):
    got = subprocess.run([EGS / recipe / "run.sh", "--help"], text=True, capture_output=True)
    assert got.returncode == 0
    assert "./run.sh" in got.stdout
    for option in ("--stage ", "--stop-stage ", "--config ", "--jobs "):
        assert option in got.stdout
    assert "shellcheck" not in got.stdout


# Jobs.


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


def test_no_more_jobs_at_once_than_allowed(tmp_path: Path):
    script = f"echo +1 >>events; {AWAIT_SECOND} echo -1 >>events"
    assert cmd(tmp_path, "--max-jobs", "2", "JOB=1:5", "log/a.JOB.log", "bash", "-c", script).returncode == 0
    assert at_once(tmp_path / "events") == [5, 2]


# Until two have begun, for 20 s at most: a busy machine may take its time with the second.
AWAIT_SECOND = "for try in {1..200}; do (($(grep -c +1 events) < 2)) || break; sleep 0.1; done; sleep 0.3;"


def at_once(events: Path) -> list[int]:
    """From a line +1 of each job that began and -1 of each that ended: how many there were, and how many at once."""
    steps = [int(line) for line in events.read_text().split()]
    return [steps.count(1), max(itertools.accumulate(steps))]


def test_slurm_is_told_the_array_and_the_options(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", SBATCH)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    options = ["--backend", "slurm", "--max-jobs", "4", "--sbatch", "--gres=gpu:1 --mem=16G"]
    got = cmd(tmp_path, *options, "JOB=2:9", "log/a.JOB.log", "true", PATH=path, CALLS=str(tmp_path / "calls"))
    assert got.returncode == 0, got.stderr
    call = (tmp_path / "calls").read_text().split()
    assert {"--wait", "--array=2-9%4", "--gres=gpu:1", "--mem=16G"} <= set(call)


def test_a_slurm_job_that_never_began_is_a_failure(tmp_path: Path):
    program(tmp_path / "bin" / "sbatch", "#!/usr/bin/env bash\necho 'no such partition' >&2\nexit 1\n")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.log").write_text("# ended with code 0 after 9 s\n")  # of an earlier day
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    got = cmd(tmp_path, "--backend", "slurm", "log/a.log", "true", PATH=path)
    assert got.returncode == 1
    assert "no such partition" in got.stderr


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
    running.communicate(timeout=10)
    assert running.returncode != 0
    assert not (tmp_path / "survived").exists()


# Stages.

STAGES = """
cd "$FOLDER"
. "$EGS/common/options.sh"
. "$EGS/common/stages.sh"
option word hello "what to write"
stage_corpus() { kept corpus && return; echo corpus >corpus; echo ran; }
stage_data() { needs corpus corpus; uses "$word"; kept data && return; echo "$word ${force[*]}" >data; echo ran; }
stage_features() { needs data data; kept features && return; [[ ! -e broken ]]; cat data >features; echo ran; }
parse_options "$@"
run_stages
"""


@pytest.fixture
def stages(tmp_path: Path):
    def run(*arguments: str) -> tuple[int, int, str]:
        """Return exit code, how many stages ran, and what went to stderr."""
        got = shell(STAGES, *arguments, FOLDER=str(tmp_path), EGS=str(EGS))
        return got.returncode, got.stdout.count("ran\n"), got.stderr

    return run


def test_stages_run_by_number_or_name_and_only_once(stages):
    assert stages("--stop-stage", "1") == (0, 2, "")
    assert stages("--stop-stage", "features") == (0, 1, "")
    assert stages("--stop-stage", "2") == (0, 0, "")
    assert stages("--stage", "features", "--stop-stage", "2", "--again", "true") == (0, 1, "")


def test_a_change_runs_what_depends_on_it_and_nothing_else(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    assert stages("--stop-stage", "2", "--word", "bye") == (0, 2, "")
    assert (tmp_path / "features").read_text() == "bye --force\n"
    assert stages("--stop-stage", "2", "--word", "bye") == (0, 0, "")


def test_a_result_that_was_lost_is_made_again(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    (tmp_path / "data").unlink()
    assert stages("--stop-stage", "2") == (0, 1, "")


def test_a_failed_stage_stops_the_recipe_and_is_begun_again_without_force(stages, tmp_path: Path):
    (tmp_path / "broken").touch()
    code, ran, _ = stages("--stop-stage", "2")
    assert (code, ran) == (1, 2)
    (tmp_path / "broken").unlink()
    assert stages("--stop-stage", "2") == (0, 1, "")


def test_what_is_made_anew_is_made_anew_to_the_end(stages, tmp_path: Path):
    stages("--stop-stage", "2")
    # The second stage is stopped while it replaces what another word made: half of that may still be there.
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    assert stages("--stop-stage", "1", "--word", "bye")[0] == 1
    (tmp_path / "data").rmdir()
    stages("--stop-stage", "1", "--word", "bye")
    assert (tmp_path / "data").read_text() == "bye --force\n"


def test_a_stage_without_its_input_says_which_stage_to_run(stages):
    code, ran, said = stages("--stage", "data", "--stop-stage", "data")
    assert (code, ran) == (1, 0)
    assert "stage 1 (data) needs corpus, which stage 0 (corpus) makes" in said
    assert "./run.sh --stage corpus --stop-stage corpus" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "9"], "unknown stage '9'"),
        (["--stop-stage", "trian"], "unknown stage 'trian'; expected one of corpus data features train"),
        (["--stage", "2", "--stop-stage", "data"], "comes after"),
    ],
)
def test_wrong_stages_are_refused(stages, arguments: list[str], message: str):
    code, ran, said = stages(*arguments)
    assert (code, ran) == (2, 0)
    assert message in said


def test_a_config_is_read_with_what_it_includes(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("model: {jitter: 0.1, features: {kind: mfcc}}\n")
    (tmp_path / "delta.yaml").write_text("include: base.yaml\nmodel: {jitter: 0.2}\n")
    script = '. common/options.sh; . common/stages.sh; section "$1" model.jitter model.features model.none.at.all'
    assert shell(script, str(tmp_path / "delta.yaml")).stdout == '0.2\n{"kind": "mfcc"}\nnull\n'


# Recipes.


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stub in place of the command and return a copy of egs/."""
    copy = copy_of_recipes(tmp_path / "egs")
    program(tmp_path / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return copy


def copy_of_recipes(copy: Path) -> Path:
    """Copy egs/ without what its recipes made."""
    return shutil.copytree(EGS, copy, ignore=shutil.ignore_patterns("corpus", "data", "exp", ".stages", "__pycache__"))


def run_recipe(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [folder / "run.sh", *arguments]
    return subprocess.run(command, text=True, capture_output=True, env=os.environ | environment)


def calls(egs: Path) -> list[str]:
    """Return the verbs that the stub was called with since the last question."""
    path = egs.parent / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split()[0] for line in lines]


SHORT = ("--short", "true", "--minutes", "1", "--speakers", "6")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the first stages of mini once, with the real command; return its folder."""
    pytest.importorskip("espeakng_loader")
    copy = copy_of_recipes(tmp_path_factory.mktemp("prepared") / "egs")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    got = run_recipe(copy / "mini", *SHORT, "--stop-stage", "features", PATH=path)
    assert got.returncode == 0, got.stderr
    return copy / "mini"


@pytest.fixture
def mini(egs: Path, prepared: Path) -> Path:
    """Return a copy of mini with its first stages done, in a copy of egs/."""
    shutil.rmtree(egs / "mini")
    return shutil.copytree(prepared, egs / "mini")


def test_the_first_stages_of_mini_make_features(prepared: Path):
    data = prepared / "data" / "short"
    for split in ("train", "dev", "test"):
        utts = [line.split()[0] for line in (data / split / "utt2spk").read_text().splitlines()]
        assert [line.split()[0] for line in (data / split / "feats.scp").read_text().splitlines()] == utts


def test_mini_runs_to_a_report_and_only_once(mini: Path):
    got = run_recipe(mini, *SHORT)
    assert got.returncode == 0, got.stderr
    assert got.stdout.count("unchanged, skipped") == 3, got.stdout
    exp = mini / "exp" / "short-0"
    assert (exp / "report.html").exists()
    assert {path.stem for path in exp.glob("scores/*.json")} >= {"input-abx-across", "codes-abx-across", "units"}
    assert {"convert", "encode", "items", "report", "score", "train"} <= set(calls(mini.parent))
    again = run_recipe(mini, *SHORT)
    assert (again.returncode, calls(mini.parent)) == (0, [])
    assert again.stdout.count("unchanged, skipped") == 8

    # Another seed trains another model; the corpus and its features stay.
    other = run_recipe(mini, *SHORT, "--seed", "1", "--stop-stage", "train")
    assert other.stdout.count("unchanged, skipped") == 3
    assert calls(mini.parent) == ["train"]


def test_encoding_and_conversion_are_told_the_device(mini: Path):
    assert run_recipe(mini, *SHORT, "--device", "cuda:1", "--stop-stage", "convert").returncode == 0
    lines = (mini.parent.parent / "calls").read_text().splitlines()
    told = [line.split()[0] for line in lines if "--device cuda:1" in line]
    made = calls(mini.parent)
    assert (told.count("encode"), made.count("encode")) == (2, 4)  # k-means beside, on the CPU
    assert told.count("convert") == made.count("convert") > 0
    assert all("--jobs 1 " in line for line in lines if line.startswith("encode") and "cuda" in line)
    refused = run_recipe(mini, *SHORT, "--device", "gpu")
    assert (refused.returncode, calls(mini.parent)) == (2, [])
    assert "--device: expected cpu, cuda or cuda:N, got 'gpu'" in refused.stderr


def test_a_list_of_pairs_is_converted_and_a_changed_one_anew(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "score")
    calls(mini.parent)
    convert = (*SHORT, "--stage", "convert", "--stop-stage", "convert")
    utts = [line.split()[0] for line in (mini / "data/short/test/utt2spk").read_text().splitlines()]
    (mini / "pairs").write_text(f"{utts[0]} f01\n{utts[1]} f01\n{utts[1]} m01\n")
    got = run_recipe(mini, *convert, "--pairs", "pairs")
    assert got.returncode == 0, got.stderr
    assert calls(mini.parent) == ["convert", "convert", "combine", "features", "score"]
    exp = mini / "exp/short-0"
    assert len((exp / "converted/manifest.jsonl").read_text().splitlines()) == 2  # one of each call, put together
    assert (exp / "scores/conversion.json").exists()
    assert "unchanged, skipped" in run_recipe(mini, *convert, "--pairs", "pairs").stdout
    (mini / "pairs").write_text(f"{utts[0]} m01\n")
    assert run_recipe(mini, *convert, "--pairs", "pairs", FAIL="convert").returncode == 1
    assert not (exp / "scores/conversion.json").exists()
    calls(mini.parent)
    assert run_recipe(mini, *convert, "--pairs", "pairs").returncode == 0  # goes on
    assert calls(mini.parent) == ["convert", "combine", "features", "score"]

    refused = run_recipe(mini, *convert, "--pairs", "none")
    assert (refused.returncode, "--pairs: no such file" in refused.stderr) == (2, True)
    (mini / "pairs").write_text(f"{utts[0]} nobody\n")
    refused = run_recipe(mini, *convert, "--pairs", "pairs")
    assert refused.returncode == 1
    assert "target nobody is no speaker of data/short/train" in refused.stderr


@pytest.mark.parametrize(("stage", "before"), [("score", "encode"), ("convert", "train"), ("report", "encode")])
def test_a_late_stage_alone_says_what_comes_first(stage: str, before: str, mini: Path):
    got = run_recipe(mini, *SHORT, "--stage", stage, "--stop-stage", stage)
    assert got.returncode == 1
    assert f"({stage}) needs exp/short-0/" in got.stderr
    assert f"run it first: ./run.sh --stage {before} --stop-stage {before}" in got.stderr


def test_a_report_needs_the_stage_of_scores_but_no_score(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "encode")
    report = (*SHORT, "--stage", "report")
    got = run_recipe(mini, *report)
    assert got.returncode == 1
    assert "run it first: ./run.sh --stage score" in got.stderr
    (mini / "exp/short-0/scores").mkdir()
    assert run_recipe(mini, *report).returncode == 0
    assert (mini / "exp/short-0/report.html").exists()


def test_a_score_that_fails_stops_the_stage_which_goes_on_later(mini: Path):
    got = run_recipe(mini, *SHORT, "--stop-stage", "score", FAIL="score per")
    assert got.returncode == 1
    assert "unitdisc score: told to fail" in got.stderr
    calls(mini.parent)
    assert run_recipe(mini, *SHORT, "--stop-stage", "score").returncode == 0
    assert len(list((mini / "exp/short-0/scores").glob("*.json"))) == 10
    assert not list((mini / "exp/short-0/scores").glob("*.part"))
    # Another model: what does not depend on it is not scored again.
    calls(mini.parent)
    assert run_recipe(mini, *SHORT, "--stop-stage", "score", "--seed", "1").returncode == 0
    assert calls(mini.parent).count("score") == 4
    assert len(list((mini / "exp/short-1/scores").glob("*.json"))) == 10


def test_the_ablation_has_a_configuration_of_its_own(mini: Path):
    prepared = ("--corpus", "corpus/short", "--data", "data/short", *SHORT[2:])
    got = run_recipe(mini, *prepared, "--ablation", "all", "--seeds", "0", FAIL="train")
    assert got.stdout.count("unchanged, skipped") == 3, got.stdout + got.stderr
    assert "all, seed 0" in got.stdout
    steps = [read_tree(mini / name)["train"]["steps"] for name in ("conf/ablation.yaml", "exp/ablation/conf/all.yaml")]
    assert steps[0] == steps[1] < read_tree(mini / "conf/base.yaml")["train"]["steps"]


def test_a_changed_config_trains_anew_and_sets_the_old_training_aside(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "encode")
    calls(mini.parent)
    config = mini / "conf" / "short.yaml"
    config.write_text(config.read_text().replace("batch: 16", "batch: 8"))
    assert run_recipe(mini, *SHORT, "--stop-stage", "train", FAIL="train").returncode == 1
    assert len(list((mini / "exp").glob("short-0.before-*"))) == 1
    assert calls(mini.parent) == ["train"]
    (mini / "exp" / "short-0" / "checkpoints").mkdir(parents=True)  # it had come so far; it goes on from there
    changed = run_recipe(mini, *SHORT, "--stop-stage", "encode")
    assert changed.stdout.count("unchanged, skipped") == 3, changed.stdout
    assert calls(mini.parent) == ["train", "encode", "encode"]
    assert "set aside" not in changed.stdout
    assert len(list((mini / "exp").glob("short-0.before-*"))) == 1


def wavs(folder: Path, speakers: int, each: int) -> Path:
    generator = np.random.default_rng(0)
    for speaker in range(speakers):
        for number in range(each):
            path = folder / f"speaker {speaker}" / f"take-{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, generator.uniform(-0.3, 0.3, 8000), 16000)
    return folder


def parts_of(data: Path) -> list[list[str]]:
    """Return the words of utt2spk for each part."""
    return [(data / name / "utt2spk").read_text().split() for name in ("train", "dev", "test")]


def test_own_takes_a_folder_of_recordings(egs: Path):
    folder = wavs(egs.parent / "my recordings", speakers=2, each=6)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--sentences", "1")
    assert got.returncode == 0, got.stderr
    utts = [utt for part in parts_of(egs / "own" / "data") for utt in part[::2]]
    assert len(utts) == len(set(utts)) == 12
    assert [len(set(part[1::2])) for part in parts_of(egs / "own" / "data")] == [2, 2, 2]
    assert (egs / "own" / "exp" / "base-0" / "report.html").exists()
    assert "no phones.ctm in" in got.stdout
    again = run_recipe(egs / "own", "--wavs", str(folder), "--sentences", "1")
    assert again.stdout.count("unchanged, skipped") == 7

    wavs(folder, speakers=1, each=7)  # one more recording
    assert run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "1").stdout.count("skipped") == 0


def test_own_without_a_score_of_speakers_still_has_its_report(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=1, each=4)
    got = run_recipe(egs / "own", "--wavs", str(folder), FAIL="score speaker")
    assert got.returncode == 0, got.stderr
    assert "without a score of speakers" in got.stdout
    exp = egs / "own" / "exp" / "base-0"
    assert {path.name for path in (exp / "scores").iterdir()} == {"bitrate.json", "conversion.json", "usage.json"}
    assert (exp / "report.html").exists()


def test_own_keeps_speakers_apart_where_there_are_enough(egs: Path):
    folder = wavs(egs.parent / "wavs", speakers=9, each=2)
    got = run_recipe(egs / "own", "--wavs", str(folder), "--stop-stage", "data")
    assert got.returncode == 0, got.stderr
    speakers = [set(part[1::2]) for part in parts_of(egs / "own" / "data")]
    assert [len(part) for part in speakers] == [6, 1, 2]  # one tested speaker says nothing of the others
    assert len(set.union(*speakers)) == 9


@pytest.mark.parametrize(
    ("wanted", "message"), [([], "--wavs FOLDER is missing"), (["--wavs", "/nowhere"], "/nowhere")]
)
def test_own_without_recordings_is_refused(egs: Path, wanted: list[str], message: str):
    got = run_recipe(egs / "own", *wanted)
    assert got.returncode == 2
    assert message in got.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_without_the_command_says_so(recipe: str, egs: Path):
    bare = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "unitdisc").exists())
    got = run_recipe(egs / recipe, PATH=bare)
    assert got.returncode == 1
    assert "no unitdisc on the PATH" in got.stderr


def test_a_missing_config_is_refused(egs: Path):
    got = run_recipe(egs / "mini", "--config", "conf/none.yaml")
    assert got.returncode == 2
    assert "no such file: conf/none.yaml" in got.stderr


def test_a_config_that_cannot_be_read_is_refused_before_any_stage(egs: Path):
    (egs / "mini" / "conf" / "base.yaml").write_text("model: {\n")
    got = run_recipe(egs / "mini")
    assert (got.returncode, got.stdout) == (1, "")
    assert "conf/base.yaml:2:1: cannot be read as YAML" in got.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "train.stepz=3"], 1, "unknown key 'stepz'; did you mean 'steps'?"),
        (["--set", "train.steps 3"], 1, "expected A.B=C, got 'train.steps'"),
        (["--seed", "x"], 2, "--seed: expected a number, got 'x'"),
        (["--again=yes"], 2, "--again: expected true or false, got 'yes'"),
        (["--ablation", "true", "--stage", "encode"], 2, "leave out --stage and --stop-stage"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_made(arguments, code, message, mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train")
    before = sorted(mini.rglob("*"))
    got = run_recipe(mini, *SHORT, *arguments, REAL="check import config")
    assert (got.returncode, got.stdout) == (code, "")
    assert message in got.stderr
    assert sorted(mini.rglob("*")) == before


def test_changes_reach_every_stage(mini: Path):
    run_recipe(mini, *SHORT, "--stop-stage", "train")
    calls(mini.parent)
    got = run_recipe(
        mini, *SHORT, "--stop-stage", "train", "--set", "model.features.cmvn=speaker", "--exp", "exp/other"
    )
    assert got.returncode == 0, got.stderr
    assert calls(mini.parent) == ["features", "train"]
    assert read_tree(mini / ".stages" / "config-exp_other.yaml")["model"]["features"]["cmvn"] == "speaker"
    assert not list((mini / "exp").glob("*.before-*"))


def test_a_plan_that_cannot_be_followed_leaves_the_conversions(mini: Path):
    run_recipe(mini, *SHORT)
    made = sorted((mini / "exp" / "short-0" / "converted").rglob("*"))
    assert made
    got = run_recipe(mini, *SHORT, "--stage", "convert", "--targets", "nobody")
    assert got.returncode == 1
    assert "target nobody is no speaker" in got.stderr
    assert sorted((mini / "exp" / "short-0" / "converted").rglob("*")) == made


def test_a_failed_verb_shows_the_end_of_its_log_and_can_be_begun_again(mini: Path):
    got = run_recipe(mini, *SHORT, FAIL="train")
    assert got.returncode == 1
    assert "unitdisc train: told to fail" in got.stderr
    assert run_recipe(mini, *SHORT, "--stage", "train", "--stop-stage", "train").returncode == 0
    assert not list((mini / "exp").glob("*.before-*"))


# Text.


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short_and_its_configs_are_valid(recipe: str):
    from unitdisc import config
    from unitdisc.train import Config

    assert len((EGS / recipe / "run.sh").read_text().splitlines()) < 120
    for path in (EGS / recipe / "conf").glob("*.yaml"):
        config.load(path, Config)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "path", [*EGS.glob("*/run.sh"), *EGS.glob("common/*.sh")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_scripts_pass_shellcheck(path: Path):
    got = subprocess.run(["shellcheck", "-x", path.name], cwd=path.parent, text=True, capture_output=True)
    assert got.returncode == 0, got.stdout
