"""A cluster of two machines that are both this one: Debian's Slurm on loopback, for tests."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("slurmctld", "slurmd")
MISSING = "there is no Slurm on this machine (Debian: apt-get install slurm-wlm)"

# n2 has a GPU, n1 has none. Nothing is asked of munge, of cgroups or of a database, and all files lie in {folder}.
CONF = """ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
KillWait=30
MinJobAge=600
ReturnToService=2
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 Gres=gpu:1
PartitionName=all Nodes=n1,n2 Default=YES State=UP DefMemPerCPU=500
"""


def installed() -> bool:
    """Tell whether Slurm's daemons are on this machine."""
    return all(map(daemon, DAEMONS))


def daemon(name: str) -> str | None:
    """Return the path of a daemon, which need not be on a user's PATH."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """Start a cluster in a folder for the length of a with block, and give its slurm.conf.

    Raises RuntimeError, with what the daemons said, if its machines are not there in time.
    """
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    (folder / "state").mkdir(parents=True)
    conf.write_text(CONF.format(host=host, user=getpass.getuser(), ports=free_ports(3), folder=folder))
    (folder / "gres.conf").write_text("NodeName=n2 Name=gpu File=/dev/null\n")
    with ExitStack() as stack:
        for name, words in (("slurmctld", []), ("n1", ["-N", "n1"]), ("n2", ["-N", "n2"])):
            program = daemon("slurmd" if words else name)
            assert program is not None
            out = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [program, "-D", "-f", str(conf), *words]
            running = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            stack.callback(end, running)
        wait_for_machines(conf, folder)
        stack.callback(cancel_all, conf)
        yield conf


def cancel_all(conf: Path) -> None:
    """Cancel what still waits or runs, and wait for its end."""
    call(conf, "scancel", "--signal=KILL", "--full", "--user", getpass.getuser())
    call(conf, "scancel", "--user", getpass.getuser())
    until(lambda: not call(conf, "squeue", "--noheader").strip(), 15)


def end(running: "subprocess.Popen[bytes]") -> None:
    """End a daemon, whatever state it is in."""
    running.terminate()
    try:
        running.wait(5)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def wait_for_machines(conf: Path, folder: Path) -> None:
    if not until(lambda: call(conf, "sinfo", "--noheader", "--format", "%t %D").split() == ["idle", "2"], 20):
        said = "".join(path.read_text()[-500:] for path in sorted(folder.glob("*.log")))
        raise RuntimeError(f"Slurm's machines did not come up: {said}")


def call(conf: Path, *command: str) -> str:
    """Return what a command of Slurm prints."""
    environment = os.environ | {"SLURM_CONF": str(conf)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30).stdout


def until(condition, seconds: float) -> bool:
    """Wait until something holds; tell whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
