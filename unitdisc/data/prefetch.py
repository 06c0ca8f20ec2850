"""Batches that are ready before they are asked for: read ahead in a thread, or by processes of their own.

A step's batch is a function of the step alone, so it is the same whoever reads it, and a training that goes on begins
at its own step.
"""

import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unitdisc.data.batches import Batch, ChunkPlan, Corpus, WholePlan, share
from unitdisc.processes import in_order


class Prefetcher:
    """Reads the batches of one of several processes that train together, while the current one trains."""

    def __init__(
        self,
        corpus: Corpus,
        plan: ChunkPlan | WholePlan,
        part: int = 0,
        parts: int = 1,
        *,
        workers: int = 0,  # processes that read; 0: a thread of this one
        pinned: bool = False,  # where a GPU can fetch them by itself
    ) -> None:
        self._reader, self._workers, self._pinned = _Reader(corpus, plan, part, parts), workers, pinned
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[Batch]] | None = None
        self._coming: Iterator[dict[str, Any]] = iter(())
        self._step = -1  # of the first that is coming

    def batch(self, step: int) -> Batch:
        """Return a step's share of its global batch; those of the next steps are being read."""
        if self._next is None or self._next[0] != step:
            self._next = (step, self._thread.submit(self._take, step))
        batch = self._next[1].result()
        self._next = (step + 1, self._thread.submit(self._take, step + 1))
        return batch

    def _take(self, step: int) -> Batch:
        batch = self._from_processes(step) if self._workers else self._reader.read(step)
        return batch.pinned() if self._pinned else batch

    def _from_processes(self, step: int) -> Batch:
        if step != self._step:
            self._stop()
            self._coming = in_order(
                _read, itertools.count(step), self._workers, _start, (self._reader,), preload=__name__
            )
        self._step = step + 1
        values: dict[str, Any] = {
            k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in next(self._coming).items()
        }
        return Batch(**values)

    def _stop(self) -> None:
        if isinstance(self._coming, Generator):
            self._coming.close()

    def close(self) -> None:
        """Stop reading."""
        self._thread.shutdown(cancel_futures=True)
        self._stop()


@dataclass
class _Reader:
    """Reads the batches of one of several processes that train together."""

    corpus: Corpus
    plan: ChunkPlan | WholePlan
    part: int
    parts: int

    def read(self, step: int) -> Batch:
        """Return this process's share of a step's global batch."""
        chunks = self.plan.chunks(step)
        random = np.random.default_rng([self.plan.seed, step, 1])
        seeds = random.integers(2**62, size=len(chunks)).tolist()
        count = self.corpus.versions.count if self.corpus.versions is not None else 0
        versions = random.integers(count, size=len(chunks)).tolist() if count else []
        ours = [share(rows, self.part, self.parts) for rows in (chunks, versions)]
        batch = self.corpus.batch(*ours)
        batch.seeds = torch.tensor(share(seeds, self.part, self.parts))
        return batch


_here: list[_Reader] = []  # in a process that reads batches: what it reads them with


def _start(reader: _Reader) -> None:
    torch.set_num_threads(1)
    _here.append(reader)


def _read(step: int) -> dict[str, Any]:
    # Arrays go through a pipe; tensors would need their process to live on.
    return {k: v.numpy() if isinstance(v, Tensor) else v for k, v in vars(_here[0].read(step)).items()}
