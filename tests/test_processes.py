"""A pool of processes: results in order, errors as they were raised, and an end that never hangs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import TESTS, TOP

from unitdisc.errors import DataError
from unitdisc.processes import in_order

SEEN: list[object] = []

EARLY = """
import sys
sys.path.insert(0, {tests!r})
from test_processes import large, nothing
from unitdisc.processes import in_order

if __name__ == "__main__":
    for _ in range(3):
        results = in_order(large, range(50), 2, nothing)
        next(results)
        {end}
"""

UNGUARDED = """
import sys
sys.path.insert(0, {tests!r})
from test_processes import nothing, refuse
from unitdisc.processes import in_order

print("ran")
assert list(in_order(refuse, range(2), 2, nothing)) == [0, 1]
"""


def nothing() -> None:
    pass


def note(value: object) -> None:
    SEEN.append(value)


def seen(_task: int) -> list[object]:
    return SEEN


def large(task: int) -> bytes:
    return bytes(8_000_000)


def slow_at_first(task: int) -> tuple[int, int]:
    time.sleep(0.3 if task == 0 else 0.0)
    return task, os.getpid()


def refuse(task: int) -> int:
    if task == 3:
        raise DataError("three is refused")
    return task


def die(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def loaded(task: str) -> bool:
    return task in sys.modules


def unpicklable(task: int) -> object:
    return lambda: task


def test_results_come_in_order_from_several_processes():
    got = list(in_order(slow_at_first, range(20), 2, nothing))
    assert [task for task, _ in got] == list(range(20))
    assert len({pid for _, pid in got}) == 2
    assert os.getpid() not in {pid for _, pid in got}


def test_processes_that_are_expected_have_imported_what_they_need():
    code = (
        "import sys; from unitdisc.processes import expect_processes, in_order\n"
        "expect_processes(2, 'wave'); sys.path.insert(0, sys.argv[1]); from test_processes import loaded, nothing\n"
        "print(*in_order(loaded, ['wave'], 2, nothing))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{TOP}:{TESTS}"}
    done = subprocess.run([sys.executable, "-c", code, TESTS], env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_each_process_prepares_once():
    assert list(in_order(seen, range(4), 2, note, ("ready",))) == [["ready"]] * 4


def test_an_error_comes_as_it_was_raised_after_what_precedes_it():
    results = in_order(refuse, range(10), 2, nothing)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="three is refused") as caught:
        next(results)
    assert "in refuse" in str(caught.value.__cause__)


def test_a_process_that_is_killed_is_told():
    with pytest.raises(DataError, match="one of the processes was killed"):
        list(in_order(die, range(10), 2, nothing))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_signals_to_the_whole_job_do_not_end_its_processes(number: int):
    results = in_order(slow_at_first, range(20), 2, nothing)
    first = next(results)
    for _, pid in (first, next(results)):
        os.kill(pid, number)
    assert [task for task, _ in results] == list(range(2, 20))


def test_a_result_that_cannot_be_sent_is_told():
    with pytest.raises(TypeError, match="cannot be sent between processes"):
        list(in_order(unpicklable, range(2), 1, nothing))


@pytest.mark.parametrize("end", ["results.close()", "results = None"])
def test_an_early_end_does_not_wait_for_large_results(tmp_path: Path, end: str):
    program = tmp_path / "early.py"
    program.write_text(EARLY.format(tests=str(TOP / "tests"), end=end))
    environment = {**os.environ, "PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, str(program)], env=environment, timeout=60, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_script_without_a_guard_is_not_run_again_by_its_processes(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(tests=str(TESTS)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr[-2000:]
