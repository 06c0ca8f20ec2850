"""The postfilter gives decoded frames the movement of real ones, voice by voice, and changes nothing that has it."""

import numpy as np
import pytest
import scipy.fft
import torch
from made_up import make_data, tiny_model
from torch import Tensor

from unitdisc.corpus import fit_normalisation_, open_corpus
from unitdisc.errors import CheckpointError
from unitdisc.model import UnitModel
from unitdisc.networks.configs import ConditioningConfig
from unitdisc.postfilter import (
    MOST_FAST,
    MOST_SLOW,
    WINDOW,
    Pair,
    Postfilter,
    cosines,
    decoded_pairs,
    fit_postfilter,
    running_mean,
)

MELS = 6


def frames(seed: int, scale: float = 1.0, mean: float = 0.0, count: int = 4000) -> Tensor:
    """Return frames [T, MELS] that move slowly and quickly."""
    draw = np.random.default_rng(seed)
    slow = np.repeat(draw.normal(size=(count // 20, MELS)), 20, axis=0)
    return torch.from_numpy(mean + scale * (slow + 0.3 * draw.normal(size=(count, MELS)))).float()


def deviations(x: Tensor) -> tuple[Tensor, Tensor]:
    cepstra = x @ cosines(MELS).float().T
    slow = running_mean(cepstra, torch.ones(len(cepstra)))
    return slow.std(0), (cepstra - slow).std(0)


def test_cosines_are_those_of_scipy():
    x = np.random.default_rng(0).normal(size=(3, 7))
    assert np.allclose(x @ cosines(7).numpy().T, scipy.fft.dct(x, norm="ortho"), atol=1e-12)
    assert torch.allclose(cosines(7) @ cosines(7).T, torch.eye(7, dtype=torch.float64), atol=1e-12)


def test_a_running_mean_is_of_the_frames_that_there_are():
    x, half = torch.arange(12.0).square()[:, None], WINDOW // 2
    wanted = [np.mean([v**2 for v in range(t - half, t + half + 1) if 0 <= v < 12]) for t in range(12)]
    assert running_mean(x, torch.ones(12))[:, 0].tolist() == pytest.approx(wanted)
    assert torch.equal(running_mean(x[:1], torch.zeros(1)), x[:1])
    weights = torch.tensor([1.0, 0.5, 1.0] * 4)
    wanted = [
        np.average(x[max(t - half, 0) : t + half + 1, 0], weights=weights[max(t - half, 0) : t + half + 1])
        for t in range(12)
    ]
    assert running_mean(x, weights)[:, 0].tolist() == pytest.approx(wanted)


def test_flat_frames_become_as_lively_as_real_ones():
    pairs = [Pair(v, frames(v) * factor + 3, frames(v + 9, mean=v)) for v, factor in ((0, 0.5), (1, 0.8))]
    postfilter = fit_postfilter(pairs, 2, MELS)
    for pair in pairs:
        made = postfilter(pair.made, pair.voice)
        for one, other in zip(deviations(made), deviations(pair.real), strict=True):
            assert (one / other).sub(1).abs().max() < 0.15
        assert (made.mean(0) - pair.real.mean(0)).abs().max() < 0.6
    flat, lively = (deviations(x)[0].mean() for x in (pairs[0].made, postfilter(pairs[0].made)))
    assert 1.2 * flat < lively < 2 * flat  # an unknown voice: what all voices need together


def test_what_is_lively_already_stays():
    x = frames(1)
    postfilter = fit_postfilter([Pair(0, x, x)], 1, MELS)
    for voice in (0, None):
        assert torch.allclose(postfilter(x, voice), x, atol=1e-4)


def test_an_utterance_gets_the_moments_of_its_voice_whatever_its_own_are():
    pairs = [Pair(v, frames(v) * 0.5, frames(v + 9, mean=v)) for v in (0, 1)]
    postfilter = fit_postfilter(pairs, 2, MELS)
    for factor, mean in ((0.4, 0.0), (0.5, 2.0), (0.9, -1.0)):
        made = postfilter(frames(5) * factor + mean, 1)
        for one, other in zip(deviations(made), deviations(pairs[1].real), strict=True):
            assert (one / other).sub(1).abs().max() < 0.2  # where its own differ by a factor of two
        assert (made.mean(0) - pairs[1].real.mean(0)).abs().max() < 0.3
    short = postfilter(torch.full((3, MELS), 0.2), 1)  # too short to have moments of its own
    assert (short - (pairs[1].real.mean(0) + 0.4)).abs().max() < 0.4


def test_what_differs_between_utterances_is_no_movement():
    x = frames(0, scale=0.2, count=600)
    pairs = [Pair(0, x + 0.3 * n, x + 0.3 * n) for n in range(8)]
    postfilter = fit_postfilter(pairs, 1, MELS)
    for pair in pairs:
        for one, other in zip(deviations(postfilter(pair.made, 0)), deviations(pair.made), strict=True):
            assert (one / other).sub(1).abs().max() < 0.01


def test_pauses_change_nothing_and_do_not_change():
    postfilter = fit_postfilter([Pair(0, frames(0, 0.2), frames(9, 0.4, mean=1.0))], 1, MELS)
    speech, pause = frames(5, 0.2, count=600), torch.full((600, MELS), -11.5)
    made = postfilter(torch.cat([pause, speech]), 0)
    assert torch.allclose(made[:600], pause, atol=1e-4)
    assert (made[600:] - postfilter(speech, 0)).abs().max() < 0.1


def test_a_voice_that_was_hardly_heard_is_hardly_moved():
    known, x = frames(0, 0.2), frames(1, 0.2, count=60)
    postfilter = fit_postfilter([Pair(0, known, known), Pair(1, x, x + 3.0)], 2, MELS)
    assert float((postfilter(known, 1) - known).mean()) == pytest.approx(3.0 * 60 / 560, abs=0.1)


def test_what_moves_too_much_is_calmed_but_not_without_end():
    real = frames(3, 0.05)
    postfilter = fit_postfilter([Pair(0, 2 * real, real)], 1, MELS)
    for factor, wanted in ((2, 1.0), (12, 12 / MOST_SLOW)):
        slow, before = deviations(postfilter(frames(4, 0.05 * factor), 0))[0], deviations(frames(4, 0.05))[0]
        assert (slow / before / wanted).sub(1).abs().max() < 0.2


def test_a_constant_is_not_blown_up():
    real = frames(2, count=600)
    postfilter = fit_postfilter([Pair(0, torch.zeros(600, MELS), real)], 1, MELS)
    assert torch.isfinite(postfilter(torch.zeros(3, MELS), 0)).all()
    assert postfilter(torch.zeros(0, MELS), 0).shape == (0, MELS)
    for before, after, most in zip(
        deviations(1e-3 * real), deviations(postfilter(1e-3 * real)), (MOST_SLOW, MOST_FAST), strict=True
    ):
        assert (after / before).max() < 1.1 * most


def test_a_filter_of_another_version_is_refused():
    with pytest.raises(CheckpointError, match="with centre, shift; convert with --no-postfilter, or train anew"):
        Postfilter.of_tree({"centre": torch.zeros(1), "shift": torch.zeros(1)})


def test_without_any_pairs_nothing_changes():
    nothing = [Pair(1, torch.zeros(0, MELS), torch.zeros(0, MELS))]
    postfilter = Postfilter.of_tree(fit_postfilter(nothing, 3, MELS).tree())
    x = frames(4, count=40)
    assert torch.allclose(postfilter(x), x, atol=1e-5)
    assert torch.allclose(postfilter(x, 2), x, atol=1e-5)


@pytest.mark.parametrize("speaker", ["table", "reference", "none"])
def test_a_model_decodes_its_own_training_data(speaker, tmp_path):
    data = make_data(tmp_path / "d", 4)
    torch.manual_seed(0)
    model = UnitModel(tiny_model(conditioning=ConditioningConfig(channels=8, speaker=speaker)), ["a", "b"]).eval()
    fit_normalisation_(model, data)
    corpus = open_corpus(model.config, data, model)
    pairs = list(decoded_pairs(model, data, corpus.frames, corpus.targets))
    assert [pair.voice for pair in pairs] == [0, 0, 1, 1]
    for pair, utt in zip(pairs, [u for s in ("a", "b") for u in data.spk2utt[s]], strict=True):
        assert torch.equal(pair.real, torch.from_numpy(corpus.targets[utt])[: len(pair.made)])
        assert pair.made.shape == pair.real.shape
