"""Signals that ask a long run to stop: it ends its step, saves, and goes on from there at its next start."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN = 1.0  # s after which a second Ctrl-C is one: torchrun and Slurm hand the same signal on, to whom it has reached


class Stop:
    """Whether somebody asked the training to stop, and when."""

    asked = False
    since = 0.0


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Note signals that ask for an end, for the length of a with block, so that the work can be saved first."""
    stop = Stop()

    def ask(number: int, _frame: object) -> None:
        if not stop.asked:
            stop.asked, stop.since = True, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() > stop.since + AGAIN:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step to end

    # Of a terminal, of Slurm, of its preemption, of a terminal that was closed; what nohup makes ignored stays so.
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    old = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
