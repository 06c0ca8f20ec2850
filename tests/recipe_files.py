"""What tests of recipes share: stubs of the command and of Slurm, copies of egs/."""

import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from places import TOP

from unitdisc import __version__

EGS = TOP / "egs"

# Stands for the verbs that need a trained model: writes down its arguments and leaves the files that they leave. With
# the same arguments as before its output is unchanged; what it is made of is a matter of the verbs (test_made.py).
STUB = """#!/usr/bin/env bash
verb=$1
[[ " ${{REAL-check import}} " == *" $verb "* ]] && exec {python} -m unitdisc "$@"
[[ $verb != config ]] || exit 0 # most tests have no time to read it
words="$*"
if [[ $words == *" --unchanged" ]]; then
  grep -qsxF -- "${{words% --unchanged}}" "$CALLS.done" || exit 3
  echo unchanged
  exit
fi
echo "$*" >>"$CALLS"
[[ ${{FAIL-}} != "$verb" ]] || {{ echo "unitdisc $verb: told to fail" >&2; exit 1; }}
case $verb in
  features) for place; do [[ ! -d $place ]] || tee "$place"/{{feats,targets}}.{{scp,json}} <"$2" >/dev/null; done ;;
  train) mkdir -p "$3/checkpoints"
    echo "model: {{features: {{floor_db: 25}}, quantizer: {{kind: vq, codes: 8}}}}" >"$3/config.yaml"
    echo weights >"$3/checkpoints/1.pt" ;;
  encode) mkdir -p "$4"; for name in units.jsonl vectors.scp; do echo "$2 $3" >"$4/$name"; done ;;
  compare) mkdir -p "$2"/{{scores,compare}}
    for name in scores/units.json compare/table.{{json,md}}; do echo '{{"value": 1}}' >"$2/$name"; done ;;
  score) echo '{{"value": 0.5}}' ;;
  convert) mkdir -p "$4"; for name in manifest.jsonl wav.scp utt2spk; do echo "$3 $6" >"$4/$name"; done ;;
  report) echo page >"$4" ;;
esac
echo "$*" >>"$CALLS.done"
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


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(python=sys.executable, version=__version__))
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


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


def with_stub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stub in place of the command and return a copy of egs/."""
    copy = copy_of_recipes(folder / "egs")
    program(folder / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    return copy


# Until two have begun, for 20 s at most: a busy machine may take its time with the second.
AWAIT_SECOND = "for try in {1..200}; do (($(grep -c +1 events) < 2)) || break; sleep 0.1; done; sleep 0.3;"


def at_once(events: Path) -> list[int]:
    """From a line +1 of each job that began and -1 of each that ended: how many there were, and how many at once."""
    steps = [int(line) for line in events.read_text().split()]
    return [steps.count(1), max(itertools.accumulate(steps))]
