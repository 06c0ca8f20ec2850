"""What holds for every test."""

import signal

import pytest
from hypothesis import settings

# A suite that was started in the background (by `&`, or by a runner of continuous integration) inherits an ignored
# SIGINT, and so would the commands that tests interrupt: bash cannot even trap a signal that was ignored when it began.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same of SIGHUP, which nohup ignores: the test of nohup asks for that by itself.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The suite asks the same questions each time; `pytest --hypothesis-profile=random` asks others.
settings.register_profile("same", derandomize=True)
settings.register_profile("random", derandomize=False, print_blob=True)
settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a slow test take half an hour, so that it passes on a busy machine, too, unless it has a limit of its own."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))
