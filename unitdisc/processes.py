"""Processes that share a run's work, and threads within one.

A process of a pool ignores Ctrl-C and the signals of schedulers, since its parent acts on them, and it ends with its
parent.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from unitdisc.errors import DataError


class Part(NamedTuple):
    """One of several jobs that share a task, counted from 1."""

    number: int
    of: int

    def bounds(self, count: int) -> tuple[int, int]:
        """Return where its share of so many things begins and ends."""
        return count * (self.number - 1) // self.of, count * self.number // self.of


Task = TypeVar("Task")
Result = TypeVar("Result")
# What terminals and schedulers send to all processes of a job; only the parent acts on it.
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch compute on one thread of the CPU for the length of a with block, so that sums have one order."""
    import torch  # slow to import, and pools do not need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    prepare: Callable[..., object],
    arguments: tuple[Any, ...] = (),
    preload: str = "",
    ahead: int = 3,
) -> Iterator[Result]:
    """Yield a function's results for the tasks, in their order, as so many processes make them.

    Each process first calls `prepare(*arguments)`; `preload` is a module that is imported once for all of them.
    Of the tasks that follow the one that is yielded next, `ahead` for each process may be under way.
    """
    context = _context(preload)
    workers: list[_Worker] = []
    idle: SimpleQueue[_Worker] = SimpleQueue()
    waiting: deque[Future[Result]] = deque()
    # A thread for each process waits for its answers, in a pipe of its own: when a process is ended, whatever it was
    # about to say, its pipe ends too, and nobody waits any longer.
    threads = ThreadPoolExecutor(jobs)
    try:
        for task in tasks:
            if len(workers) < jobs:
                worker = _Worker(context, function, prepare, arguments)
                workers.append(worker)  # first, so that it is ended whatever happens while it starts
                worker.start()
                idle.put(worker)
            waiting.append(threads.submit(_ask, idle, task))
            if len(waiting) >= ahead * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # what is still under way is not waited for
        for worker in workers:
            worker.end()
        threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.close()


def expect_processes(jobs: int, preload: str) -> None:
    """Let processes that will be wanted begin to import a module, while this one does so itself."""
    if jobs > 1 and _context(preload).get_start_method() == "forkserver":
        with _ignoring_signals():
            forkserver.ensure_running()


def _context(preload: str) -> Any:
    # Not fork: the threads of this process would be missing in its copies.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver" and preload:
        context.set_forkserver_preload([preload])
    return context


def _ask(idle: "SimpleQueue[_Worker]", task: Any) -> Any:
    worker = idle.get()
    try:
        return worker.answer(task)
    finally:
        idle.put(worker)


class _Worker:
    """One process, and this end of the pipe to it."""

    def __init__(self, context: Any, *work: Any) -> None:
        self._pipe, self._theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(self._theirs, *work), daemon=True)

    def start(self) -> None:
        """Start the process."""
        try:
            with _ignoring_signals(), _without_main():
                self._process.start()
        finally:
            self._theirs.close()  # so that the pipe ends when the process does

    def answer(self, task: Any) -> Any:
        """Have a task done and return its result, or raise what it raised."""
        try:
            self._pipe.send(task)
            result, error, trace = self._pipe.recv()
        except (EOFError, OSError):
            raise DataError(
                "one of the processes was killed, perhaps for lack of memory; start again with fewer --jobs to go on"
            ) from None
        if error is not None:
            raise error from RuntimeError(f"in another process:\n{trace}")
        return result

    def end(self) -> None:
        """Kill the process, if it was started."""
        if self._process.ident is not None:
            self._process.kill()

    def close(self) -> None:
        """Wait for the process's end and forget it."""
        if self._process.ident is not None:
            self._process.join()
        self._process.close()
        self._pipe.close()


def _work(pipe: Connection, function: Callable[[Any], Any], prepare: Callable[..., object], arguments: tuple) -> None:
    """Answer tasks until the parent ends this process."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _follow_parent()
    prepared = False
    answer: tuple[object, Exception | None, str]
    while True:
        try:
            task = pipe.recv()
        except EOFError:  # the parent has died
            return
        try:
            if not prepared:
                prepare(*arguments)
                prepared = True
            answer = function(task), None, ""
        except Exception as error:
            answer = None, error, traceback.format_exc()
        try:
            pipe.send(answer)
        except OSError:
            return
        except Exception as error:  # what cannot be pickled
            pipe.send((None, TypeError(f"cannot be sent between processes: {error}"), traceback.format_exc()))


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not import the user's script: one without `if __name__ == "__main__"` would run anew."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _ignoring_signals() -> Iterator[None]:
    """Start processes that ignore signals from their first instruction on; this one acts on Ctrl-C at the end."""
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    here = threading.current_thread() is threading.main_thread()
    heard: list[int] = []
    # Blocked, for those to inherit; but another thread of ours may still take it, and half a start is worse than none.
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if here else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here:
            signal.signal(signal.SIGINT, handler)
    if heard and callable(handler):
        handler(heard[0], None)
