"""Batches read ahead: the same ones for any number of processes, from any step on, and there before they are wanted."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_data, tiny_model
from torch import Tensor

from unitdisc.corpus import open_corpus
from unitdisc.data.batches import Batch, Chunk, ChunkPlan, Corpus
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.model import UnitModel
from unitdisc.train import usual_workers
from unitdisc.train_config import TrainConfig

SLOW, STEP = 0.3, 0.15  # seconds that a batch takes, and a step


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    data = make_data(tmp_path_factory.mktemp("data") / "train", 6)
    return open_corpus(tiny_model(), data, UnitModel(tiny_model(), sorted(data.spk2utt)))


def assert_equal(one: Batch, two: Batch) -> None:
    assert one.utts == two.utts
    for name, value in vars(one).items():
        other = getattr(two, name)
        assert isinstance(value, Tensor) == isinstance(other, Tensor), name
        assert not isinstance(value, Tensor) or torch.equal(value, other), name


@pytest.mark.parametrize("window", [0, 2])
def test_batches_are_the_same_for_any_number_of_workers_and_from_any_step_on(corpus: Corpus, window: int):
    plan = ChunkPlan(corpus, 4, 16, seed=1, align=2, window=window)
    read = {}
    for workers in (0, 1, 2):
        reader = Prefetcher(corpus, plan, workers=workers)
        read[workers] = {step: reader.batch(step) for step in (3, 4, 5, 6, 2)}
        reader.close()
    for workers in (1, 2):
        for step, batch in read[workers].items():
            assert_equal(batch, read[0][step])
    goes_on = Prefetcher(corpus, plan, workers=1)
    assert_equal(goes_on.batch(6), read[0][6])
    goes_on.close()


def test_an_error_of_a_reader_reaches_the_training(corpus: Corpus):
    plan = ChunkPlan(corpus, 4, 16, seed=1)
    lost = Corpus(DataDir(Path("lost"), utts=["a-1"], utt2spk={"a-1": "a"}), Lost({"a-1": np.zeros((9, 2))}), ["a"])
    for workers in (0, 1):
        reader = Prefetcher(lost, ChunkPlan(lost, 1, 4, plan.seed), workers=workers)
        with pytest.raises(OSError, match="the disk is gone"):
            reader.batch(0)
        reader.close()


class Lost(dict):
    def frames(self, utt: str) -> int:
        return 9

    def __getitem__(self, utt: str) -> np.ndarray:
        raise OSError("the disk is gone")


class SlowCorpus(Corpus):
    """Waits before each batch, as for a disk far away."""

    def __init__(self) -> None:
        utts = [f"a-{n}" for n in range(8)]
        frames = Frames({utt: np.full((20, 2), n, np.float32) for n, utt in enumerate(utts)})
        super().__init__(DataDir(Path("made-up"), utts=utts, utt2spk=dict.fromkeys(utts, "a")), frames, ["a"])

    def batch(self, chunks: list[Chunk], versions: list[int] | None = None) -> Batch:  # type: ignore[override]
        time.sleep(SLOW)
        return super().batch(chunks, versions or [])


class Frames(dict):
    def frames(self, utt: str) -> int:
        return len(self[utt])


def test_processes_have_batches_ready_that_one_reader_has_not():
    corpus, waited = SlowCorpus(), {}
    plan = ChunkPlan(corpus, 2, 8, seed=0)
    for workers in (0, 3):
        reader, waited[workers] = Prefetcher(corpus, plan, workers=workers), 0.0
        for step in range(10):  # until all processes have started
            reader.batch(step)
        for step in range(10, 18):
            time.sleep(STEP)
            began = time.perf_counter()
            reader.batch(step)
            waited[workers] += time.perf_counter() - began
        reader.close()
    assert waited[0] > 5 * (SLOW - STEP)  # one reader is too slow for the steps
    assert waited[3] < waited[0] / 2


def test_nobody_said_how_many_processes_read(corpus: Corpus):
    assert TrainConfig().workers is None
    assert usual_workers(corpus, torch.device("cpu")) == 0
    assert 1 <= usual_workers(corpus, torch.device("cuda:0")) <= 4
