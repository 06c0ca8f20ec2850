"""The command as a program of its own."""

import os
import signal
import subprocess
import time
from pathlib import Path

# Run by `python -c`: the command, then whether it has imported torch, on stderr.
RUN = """
import sys
from unitdisc.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, file=sys.stderr)
"""


def interrupted(command: list[str], delay: float) -> str:
    """Send Ctrl-C to a command so many seconds after its first process has started; return what it said but bars."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    while run.poll() is None and not Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text():
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    return err.split("\r")[-1].lstrip("\n")
