"""Processes that share a run's work: deaf to Ctrl-C, which is their parent's, and gone when it is."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from unitdisc.errors import DataError

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 3  # tasks for each process that may wait for the one that is yielded next


def in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    prepare: Callable[..., object],
    arguments: tuple[Any, ...] = (),
    preload: str = "",
) -> Iterator[Result]:
    """Yield a function's results for the tasks, in their order, as so many processes make them.

    Each process first calls `prepare(*arguments)`; `preload` is a module that is imported once for all of them.
    """
    # Not fork: the threads of this process would be missing in its copies.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver" and preload:
        context.set_forkserver_preload([preload])
    others = set(multiprocessing.active_children())
    pool: ProcessPoolExecutor | None = None
    waiting: deque[Future[Result]] = deque()
    try:
        with _deaf():  # half a pool would leave its semaphores behind
            pool = ProcessPoolExecutor(jobs, context, _begin, (prepare, arguments))
        for task in tasks:
            with _deaf():  # it may start a process
                waiting.append(pool.submit(function, task))
            if len(waiting) >= AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "one of the processes was killed, perhaps for lack of memory; start again with fewer --jobs to go on"
        ) from None
    except BaseException:  # Ctrl-C, say: what is under way is not waited for
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that never hear Ctrl-C, from their first instruction on; this one heeds it at the end."""
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    here = threading.current_thread() is threading.main_thread()
    heard: list[int] = []
    # Blocked, for those to inherit; but another thread of ours may still take it, and half a start is worse than none.
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if here else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here:
            signal.signal(signal.SIGINT, handler)
    if heard and callable(handler):
        handler(heard[0], None)


def _begin(prepare: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    prepare(*arguments)
