"""A killed and resumed training equals an uninterrupted one, bit for bit, wherever the kill falls."""

import io

import pytest
import torch

from unitdisc.quantizers import EMAConfig, ResidualVQConfig, ScheduleConfig, VQConfig, build_quantizer

SCHEDULE = ScheduleConfig(warm_up=3, every=3, growth=1.5, until=12, reservoir=100)
CONFIGS = (
    VQConfig(codes=16, codebooks=2, dim=8, schedule=SCHEDULE),
    EMAConfig(codes=16, dim=8, norm="before-vq", schedule=SCHEDULE),
    ResidualVQConfig(codes=16, codebooks=2, dim=8, schedule=SCHEDULE),
)
STEPS = 14  # re-estimated at 3, 6, 10 (10.5 rounds to even)


class Training:
    """A quantiser with its optimiser, driven as a training loop drives it."""

    def __init__(self, config, seed: int) -> None:
        self.quantizer = build_quantizer(config, 6, torch.Generator().manual_seed(seed))
        self.optimizer = torch.optim.Adam(self.quantizer.parameter_groups(1e-2))
        self.events = []

    def step(self, step: int) -> None:
        if event := self.quantizer.begin_step_(step):
            self.events.append(event.step)
            for parameter in self.quantizer.codebook_parameters():
                self.optimizer.state.pop(parameter, None)
        x = torch.randn(3, 15, 6, generator=torch.Generator().manual_seed(1000 + step))
        mask = torch.arange(15) < torch.tensor([[15], [9], [1]])
        out = self.quantizer(x, mask)
        self.optimizer.zero_grad()
        (out.loss + out.values.square().mean()).backward()
        self.optimizer.step()

    def saved(self) -> io.BytesIO:
        file = io.BytesIO()
        torch.save({"model": self.quantizer.state_dict(), "optimizer": self.optimizer.state_dict()}, file)
        file.seek(0)
        return file

    def load(self, file: io.BytesIO) -> None:
        state = torch.load(file, weights_only=True)
        self.quantizer.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_killed_at_any_step_and_resumed(config):
    whole = Training(config, 0)
    files = []
    for step in range(STEPS):
        files.append(whole.saved())
        whole.step(step)
    assert whole.events == [3, 6, 10]
    expected = whole.quantizer.state_dict()
    # In the warm-up, at its end, right after a re-estimation, between two, after the last.
    for killed in (0, 1, 3, 4, 5, 6, 7, 8, 11, 13):
        resumed = Training(config, 99)
        resumed.load(files[killed])
        for step in range(killed, STEPS):
            resumed.step(step)
        state = resumed.quantizer.state_dict()
        assert list(state) == list(expected)
        for name, tensor in expected.items():
            assert torch.equal(tensor, state[name]), (killed, name)
        assert resumed.quantizer.health() == whole.quantizer.health()
        for one, other in zip(
            whole.optimizer.state_dict()["state"].values(),
            resumed.optimizer.state_dict()["state"].values(),
            strict=True,
        ):
            assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_killed_between_the_reestimation_and_its_step(config):
    whole, other = Training(config, 0), Training(config, 0)
    for step in range(6):
        whole.step(step)
        other.step(step)
    if other.quantizer.begin_step_(6):
        for parameter in other.quantizer.codebook_parameters():
            other.optimizer.state.pop(parameter, None)
    resumed = Training(config, 99)
    resumed.load(other.saved())
    for training in (whole, resumed):
        for step in range(6, STEPS):
            training.step(step)
    assert resumed.events == [10]  # that of step 6 is not made twice
    for name, tensor in whole.quantizer.state_dict().items():
        assert torch.equal(tensor, resumed.quantizer.state_dict()[name]), name


def test_an_incomplete_state_dict_is_refused():
    quantizer = Training(CONFIGS[0], 0).quantizer
    state = quantizer.state_dict()
    for name in ("reservoir.seen", "usage.steps", "steps"):
        with pytest.raises(RuntimeError, match=name):
            quantizer.load_state_dict({k: v for k, v in state.items() if k != name})
