"""Batches: a pure function of seed and step, padded without effect, shared between processes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from unitdisc.data.batches import Chunk, ChunkPlan, Corpus, PhoneLabels, WholePlan, in_order, pad, share
from unitdisc.data.kaldi import DataDir
from unitdisc.data.prefetch import Prefetcher
from unitdisc.errors import DataError

LENGTHS = {"a-1": 50, "a-2": 7, "b-1": 120, "b-2": 33, "c-1": 20}


class Frames(dict):
    def frames(self, utt: str) -> int:
        return len(self[utt])


def corpus(**options) -> Corpus:
    utt2spk = {utt: utt[0] for utt in LENGTHS}
    data = DataDir(Path("made-up"), utts=sorted(LENGTHS), utt2spk=utt2spk)
    frames = Frames(
        {u: np.arange(n * 2, dtype=np.float32).reshape(n, 2) + ord(u[0]) * 1000 for u, n in LENGTHS.items()}
    )
    return Corpus(data, frames, ["a", "b"], **options)


def test_a_step_has_the_same_chunks_whatever_came_before():
    plan, again = ChunkPlan(corpus(), 6, 20, seed=3), ChunkPlan(corpus(), 6, 20, seed=3)
    later = [again.chunks(step) for step in (9, 4, 0)]
    assert [plan.chunks(step) for step in (9, 4, 0)] == later
    assert plan.chunks(1) != plan.chunks(2)
    assert ChunkPlan(corpus(), 6, 20, seed=4).chunks(9) != later[0]


def test_chunks_lie_inside_their_utterances_and_hold_whole_units():
    plan = ChunkPlan(corpus(), 200, 20, seed=0, align=4)
    for chunk in plan.chunks(0):
        assert chunk.first % 4 == 0
        assert 1 <= chunk.frames <= 20
        assert chunk.first + chunk.frames <= LENGTHS[chunk.utt]
        assert chunk.frames % 4 == 0 or chunk.first + chunk.frames == LENGTHS[chunk.utt]


def test_chunks_may_be_of_one_unit():
    chunks = ChunkPlan(corpus(), 50, 4, seed=0, align=4).chunks(3)
    assert {(chunk.first % 4, chunk.frames) for chunk in chunks} <= {(0, n) for n in (1, 2, 3, 4)}


@pytest.mark.parametrize("align", [1, 4])
def test_every_frame_is_as_likely_as_any_other(align: int):
    plan = ChunkPlan(corpus(), 1000, 20, seed=0, align=align)
    drawn = {utt: np.zeros(length) for utt, length in LENGTHS.items()}
    steps = 20
    for step in range(steps):
        for chunk in plan.chunks(step):
            drawn[chunk.utt][chunk.first : chunk.first + chunk.frames] += 1
    counts = np.concatenate(list(drawn.values()))
    # Binomial with one chance: the largest of a few hundred deviations stays under five of them.
    assert np.abs(counts - counts.mean()).max() < 5 * counts.mean() ** 0.5
    for utt in LENGTHS:  # first and last frames, and short utterances, are not starved
        assert drawn[utt][0] == pytest.approx(counts.mean(), rel=0.15)
        assert drawn[utt][-1] == pytest.approx(counts.mean(), rel=0.15)


@pytest.mark.parametrize("window", [2, 3])
def test_windows_follow_each_other_in_another_order_each_epoch_and_no_frame_is_left_behind(window: int):
    made = corpus()
    plan = ChunkPlan(made, 1, 10, seed=0, window=window)
    windows = [set(made.utts[first : first + window]) for first in range(0, len(made.utts), window)]
    drawn = dict.fromkeys(LENGTHS, 0)
    seen: list[int] = []
    for step in range(4000):
        chunks = plan.chunks(step)
        (home,) = (n for n, utts in enumerate(windows) if chunks[0].utt in utts)
        assert {chunk.utt for chunk in chunks} <= windows[home]
        seen.append(home)
        for chunk in chunks:
            drawn[chunk.utt] += chunk.frames
    assert sum(one != two for one, two in pairwise(seen)) < len(seen) / 2  # a window lasts
    orders = {tuple(dict.fromkeys(seen[n : n + 40])) for n in range(0, 4000, 40)}
    assert len(orders) > 1
    shares = np.array([drawn[utt] / LENGTHS[utt] for utt in LENGTHS])
    assert np.abs(shares / shares.mean() - 1).max() < 0.1
    assert plan.chunks(17) == ChunkPlan(made, 1, 10, seed=0, window=window).chunks(17)


def test_a_window_that_holds_all_changes_nothing():
    one, two = ChunkPlan(corpus(), 6, 20, seed=3), ChunkPlan(corpus(), 6, 20, seed=3, window=99)
    assert [one.chunks(step) for step in range(9)] == [two.chunks(step) for step in range(9)]


def test_whole_utterances_come_once_an_epoch_in_another_order_each():
    plan = WholePlan(corpus(), 1, seed=0)
    epochs = [[plan.chunks(5 * epoch + i)[0] for i in range(5)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(c.utt for c in epoch) == sorted(LENGTHS)
        assert all(c.frames == LENGTHS[c.utt] for c in epoch)
    assert len({tuple(c.utt for c in epoch) for epoch in epochs}) > 1


def test_shares_make_up_the_global_batch():
    chunks = ChunkPlan(corpus(), 7, 20, seed=0).chunks(0)
    assert [c for part in range(3) for c in share(chunks, part, 3)] == chunks


def test_a_batch_holds_what_its_chunks_say():
    made = corpus().batch([Chunk("b-1", 10, 20), Chunk("c-1", 0, 5)])
    assert made.frames.shape == (2, 20, 2)
    assert made.lengths.tolist() == [20, 5]
    assert made.frames[0, 0].tolist() == [98020, 98021]
    assert made.frames[1, 5:].abs().sum() == 0
    assert made.speakers.tolist() == [1, -1]


def test_labels_follow_the_chunk_at_the_rate_of_units():
    labels = {u: PhoneLabels(np.array([1, 2]), np.arange(-(-n // 2))) for u, n in LENGTHS.items() if u != "a-1"}
    made = corpus(phones=labels, stride=2)
    assert made.left_out == ["a-1"]
    batch = made.batch([Chunk("b-1", 10, 9), Chunk("a-2", 0, 7)])
    assert batch.frame_phones is not None
    assert batch.phones is not None
    assert batch.frame_phones.tolist() == [[5, 6, 7, 8, 9], [0, 1, 2, 3, -1]]
    assert batch.phones.tolist() == [[1, 2], [1, 2]]


def test_a_chunk_says_the_phones_whose_middle_lies_in_it():
    places = np.array([0, 4, 5, 9, 49])
    labels = {u: PhoneLabels(np.arange(5), np.arange(-(-n // 2)), places) for u, n in LENGTHS.items()}
    made = corpus(phones=labels, stride=2)
    end = LENGTHS["b-1"]
    batch = made.batch([Chunk("b-1", 10, 10), Chunk("b-1", 0, 10), Chunk("b-1", 10, end - 10), Chunk("b-1", 0, end)])
    assert batch.phones is not None
    assert batch.phone_lengths is not None
    assert [row[:n].tolist() for row, n in zip(batch.phones, batch.phone_lengths, strict=True)] == [
        [2, 3], [0, 1], [2, 3, 4], [0, 1, 2, 3, 4]
    ]  # fmt: skip


def test_in_order_visits_all_or_an_even_spread():
    assert sorted(c.utt for batch in in_order(corpus(), 2) for c in batch) == sorted(LENGTHS)
    assert sorted(c.utt for batch in in_order(corpus(), 2, limit=2) for c in batch) == ["a-1", "c-1"]


def test_a_corpus_of_too_short_utterances_is_refused():
    with pytest.raises(DataError, match="none of its 5 utterances are 500 frames long"):
        corpus(min_frames=500)


def test_prefetched_batches_are_those_of_their_steps():
    made = corpus()
    plan = ChunkPlan(made, 4, 16, seed=1)
    reader = Prefetcher(made, plan, part=1, parts=2)
    for step in (0, 1, 5):
        wanted = made.batch(share(plan.chunks(step), 1, 2))
        assert torch.equal(reader.batch(step).frames, wanted.frames)
    reader.close()


def test_pad_fills_the_end():
    assert pad([torch.tensor([1, 2]), torch.tensor([3])], value=-1).tolist() == [[1, 2], [3, -1]]
