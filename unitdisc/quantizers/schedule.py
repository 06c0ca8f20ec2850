"""When a codebook is made anew from data."""

from dataclasses import dataclass

from unitdisc.errors import ConfigError


@dataclass(frozen=True)
class ScheduleConfig:
    """Steps of the warm-up and of the re-estimations.

    The first falls at the end of the warm-up, the next `every` steps later; each interval is `growth` times the one
    before it (1: always `every`; 2: geometric), and none falls after step `until`.
    """

    warm_up: int = 200  # steps that train without quantising, while the reservoir fills
    every: int = 200
    growth: float = 1.0
    until: int = 2000  # 0: never
    reservoir: int = 20480  # vectors kept; raised to four per code

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.warm_up < 0 or self.until < 0 or self.every < 1 or self.growth < 1 or self.reservoir < 1:
            raise ConfigError(
                "schedule: warm_up and until must be at least 0, every, growth and reservoir at least 1, got "
                f"{self.warm_up}, {self.until}, {self.every}, {self.growth}, {self.reservoir}"
            )

    @property
    def on(self) -> bool:
        """Tell whether anything depends on the step."""
        return self.warm_up > 0 or self.until > 0

    def next_after(self, step: int) -> int | None:
        """Return the first step after `step` that starts with a re-estimation."""
        due, interval = float(self.warm_up), float(self.every)
        while round(due) <= min(max(step, 0), self.until):  # at step 0 nothing has been seen yet
            due, interval = due + interval, interval * self.growth
        return round(due) if round(due) <= self.until else None


OFF = ScheduleConfig(warm_up=0, until=0)
