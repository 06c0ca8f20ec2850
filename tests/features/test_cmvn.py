"""Normalisation: means of 0 and deviations of 1 over what it says, and the sliding window of Kaldi."""

import numpy as np
import pytest
import torch
import torchaudio.functional
from hypothesis import given, settings
from hypothesis import strategies as st

from unitdisc.errors import DataError
from unitdisc.features.cmvn import Cmvn, frame_sums, sliding


def frames(count, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, dim)) * [1, 20, 0.1] + [0, 300, -5]).astype(np.float32)


def test_statistics_are_those_of_all_frames_at_once():
    cmvn = Cmvn(3)
    for count in (5, 1, 40):
        cmvn.add_(frames(count, seed=count))
    every = np.concatenate([frames(count, seed=count) for count in (5, 1, 40)])
    mean, std = cmvn.normalisation()
    assert cmvn.count == 46
    assert np.allclose(mean, every.mean(0), rtol=1e-5)
    assert np.allclose(std, every.std(0), rtol=1e-3)
    normalised = cmvn.apply(every)
    assert np.abs(normalised.mean(0)).max() < 1e-4
    assert np.abs(normalised.std(0) - 1).max() < 1e-3
    assert normalised.dtype == np.float32
    assert np.allclose(cmvn.apply(every, variance=False).std(0), every.std(0), rtol=1e-3)


def test_layout_is_kaldis():
    stats = frame_sums(np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32))
    assert stats.tolist() == [[4.0, -2.0, 2.0], [10.0, 20.0, 0.0]]


def test_a_constant_column_becomes_zero():
    constant = np.full((10, 3), 7.0, dtype=np.float32)
    assert (Cmvn(frame_sums(constant)).apply(constant) == 0).all()
    with pytest.raises(DataError, match="no frames to normalise by"):
        Cmvn(3).normalisation()


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 70),
    window=st.integers(2, 50),
    smallest=st.integers(1, 50),
    centred=st.booleans(),
    variance=st.booleans(),
)
def test_sliding_equals_torchaudio(count, window, smallest, centred, variance):
    smallest = min(smallest, window)
    one = frames(count, seed=count)[:, [0, 2]]  # its running float32 sums do not bear large means
    theirs = torchaudio.functional.sliding_window_cmn(
        torch.from_numpy(one.astype(np.float64)), window, smallest, centred, variance
    ).numpy()
    got = sliding(one, window, smallest, centred, variance)
    assert got.dtype == np.float32
    # Where a window holds two frames that are nearly equal, dividing by their deviation amplifies rounding.
    assert np.allclose(got, theirs, atol=2e-2 if variance else 1e-4)


def test_a_window_over_everything_is_the_utterance():
    one = frames(50)
    assert np.allclose(sliding(one, 600, 100, True, True), Cmvn(frame_sums(one)).apply(one), atol=1e-3)
