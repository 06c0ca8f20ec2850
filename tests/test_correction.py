"""What a decoder gets wrong of a voice: maps and errors that are known are found, and put right elsewhere."""

import math

import torch
from torch import Tensor

from unitdisc.correction import NEAR, SHARPNESS, SMOOTH, fit_correction

HOLD, MELS, DIM = 2, 8, 6


def made(units: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return content vectors [T', D] and log-mel [T, M] of loud speech."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(units, DIM, generator=draw), 0.5 * torch.randn(HOLD * units, MELS, generator=draw)


def error(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).square().mean())


def test_an_affine_error_is_put_right():
    draw = torch.Generator().manual_seed(1)
    slope, offset = 0.3 * torch.randn(MELS, MELS, generator=draw), torch.randn(MELS, generator=draw)
    vectors, said = made(400, 2)
    correction = fit_correction(said, said + said @ slope + offset, vectors, HOLD)
    others, new = made(50, 3)
    real = new + new @ slope + offset
    assert error(correction(new, others), real) < 0.05 * error(new, real)


def test_an_error_of_some_sounds_is_put_right_in_them_alone():
    draw = torch.Generator().manual_seed(4)
    kinds, wrong = torch.randn(4, DIM, generator=draw), torch.randn(4, MELS, generator=draw)

    def speech(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        noise, said = made(400, seed)
        kind = torch.arange(400) // 10 % 4  # each sound lasts ten units
        return kinds[kind] + 0.05 * noise, said, said + wrong[kind].repeat_interleave(HOLD, 0)

    vectors, said, real = speech(5)
    correction = fit_correction(said, real, vectors, HOLD)
    others, new, wanted = speech(6)
    assert error(correction(new, others), wanted) < 0.15 * error(new, wanted)
    mapped = new + (new - correction.mean) @ correction.slope + correction.offset
    assert error(mapped, wanted) > 0.5 * error(new, wanted)  # no affine map could do it


def test_near_frames_are_those_that_a_search_through_all_finds():
    vectors, said = made(30, 7)
    correction = fit_correction(said, said + made(30, 8)[1], vectors, HOLD)
    others, new = made(9, 9)
    mapped = new + (new - correction.mean) @ correction.slope + correction.offset
    rests = []
    for row in others - vectors.mean(0):
        likeness = [float(torch.cosine_similarity(row, key, dim=0)) for key in correction.keys]
        best = sorted(range(len(likeness)), key=lambda i: (-likeness[i], i))[:NEAR]
        shares = [math.exp(SHARPNESS * likeness[i]) for i in best]
        rest = sum(share * correction.rests[i] for share, i in zip(shares, best, strict=True)) / sum(shares)
        rests += [rest] * HOLD
    for t in range(len(new)):
        wanted = torch.stack(rests[max(t - SMOOTH // 2, 0) : t + SMOOTH // 2 + 1]).mean(0)
        torch.testing.assert_close(correction(new, others)[t], mapped[t] + wanted, atol=1e-5, rtol=1e-5)


def test_odd_lengths_and_short_recordings():
    vectors, said = made(3, 10)
    correction = fit_correction(said[:5], said[:4] + 1, vectors, HOLD)
    assert correction.keys.shape == (4, DIM)
    assert correction(said[:0], vectors).shape == (0, MELS)
    assert correction(torch.cat([said, said[-1:]]), vectors).shape == (7, MELS)  # more frames than units hold
    assert torch.isfinite(correction(said, vectors)).all()
    same = fit_correction(said, said, vectors, HOLD)
    torch.testing.assert_close(same(said, vectors), said)
    silent = torch.full_like(said, -11.5)
    torch.testing.assert_close(fit_correction(silent, silent, vectors, HOLD)(said, vectors), said)
