"""Usage, perplexity and the alarm; schedules in steps."""

import pytest
import torch

from unitdisc.quantizers import OFF, VQ, ScheduleConfig, VQConfig
from unitdisc.quantizers.health import Usage, count_units, perplexity


def test_perplexity_of_known_counts():
    assert perplexity(torch.tensor([[5, 5, 5, 5], [7, 0, 0, 0], [0, 0, 0, 0]])).tolist() == pytest.approx([4, 1, 0])


def test_counts_of_several_codebooks():
    units = torch.tensor([[0, 1], [2, 1], [2, 0]])
    assert count_units(units, 3).tolist() == [[1, 0, 2], [1, 2, 0]]


def test_the_window_forgets():
    usage = Usage(1, 4, window=3)
    for step in range(6):
        usage.add_(torch.tensor([[step % 2]]))
    for _ in range(3):
        usage.add_(torch.tensor([[3]]))
    health = usage.health("")
    assert (health.steps, health.vectors) == (6, 6)
    assert health.used == 0.75
    for _ in range(3):
        usage.add_(torch.tensor([[3]]))
    assert usage.health("").used == 0.25
    assert usage.health("").dead == 0.75


def test_an_alarm_says_what_to_change():
    q = VQ(4, VQConfig(codes=100, dim=None, norm="none", learning_rate_factor=1, schedule=OFF))
    q.codebook.data[0, 1:] += 100
    for _ in range(100):
        q(torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(0)))
    health = q.health()
    assert health.used == 0.01
    for part in ("1% of 1 x 100 codes", "5000 vectors", "perplexity 1.0", "norm", "schedule", "learning_rate_factor"):
        assert part in health.advice


def test_no_alarm_while_the_window_is_too_short_or_the_vectors_too_few():
    usage = Usage(1, 10_000, window=10)
    for step in range(10):
        usage.add_(torch.arange(step * 5, step * 5 + 5)[:, None])
    assert usage.health("change something").advice == ""  # 50 vectors cannot use more than 50 codes


def points(schedule: ScheduleConfig) -> list[int]:
    found, step = [], 0
    while (due := schedule.next_after(step)) is not None:
        found.append(due)
        step = due
    return found


def test_schedules():
    assert points(ScheduleConfig(warm_up=100, every=50, until=250)) == [100, 150, 200, 250]
    assert points(ScheduleConfig(warm_up=100, every=50, growth=2, until=1000)) == [100, 150, 250, 450, 850]
    assert points(ScheduleConfig(warm_up=0, every=50, until=100)) == [50, 100]
    assert points(ScheduleConfig(warm_up=100, every=50, until=0)) == []
    assert points(ScheduleConfig(warm_up=100, every=50, until=99)) == []
    assert points(OFF) == []


def test_a_reestimation_is_made_once_also_when_steps_are_skipped_or_repeated():
    q = VQ(4, VQConfig(codes=5, dim=None, schedule=ScheduleConfig(warm_up=2, every=4, until=20)))
    events = []
    for step in (0, 1, 2, 2, 3, 4, 5, 9, 9, 11, 20, 21, 40):
        events.append((step, q.begin_step_(step) is not None))
        q(torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(step)))
    assert [step for step, made in events if made] == [2, 9, 11, 20]
    assert len(q.reservoir.vectors) == 0  # nothing is collected after the last
