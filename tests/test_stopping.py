"""Signals that ask for an end: one, the same one handed on, and a second Ctrl-C."""

import os
import signal

import pytest

from unitdisc import stopping
from unitdisc.stopping import stoppable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_that_torchrun_and_slurm_hand_on_again_lets_the_step_end(number: signal.Signals):
    with stoppable() as stop:
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert stop.asked


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "AGAIN", 0.0)
    with stoppable():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_only_ctrl_c_is_in_a_hurry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "AGAIN", 0.0)
    with stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
