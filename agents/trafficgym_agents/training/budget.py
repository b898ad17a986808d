"""How long to train."""

from __future__ import annotations

from dataclasses import dataclass

from trafficgym.errors import ConfigError, check_whole, names_nearest


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps, seconds, or whichever of the two is spent first; both count from the very start, across resumes.

    Raises:
        ConfigError: neither is given, or one makes no sense.
    """

    steps: int | None = None
    """Optimisation steps in all."""
    seconds: float | None = None
    """Time inside the loop of steps in all; building the model before it and evaluating after it are free."""

    def __post_init__(self) -> None:
        check_whole(self, steps=0)
        if self.seconds is not None and not self.seconds >= 0:
            raise ConfigError(f"seconds is {self.seconds!r}; it is a time, 0 or more")
        if self.steps is None and self.seconds is None:
            raise ConfigError("no budget: give a number of steps, of seconds, or both")

    def fraction(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent, in [0, 1]; of the one that ends first where there are two."""
        steps = 0.0 if self.steps is None else _share(step, self.steps)
        return max(steps, 0.0 if self.seconds is None else _share(seconds, self.seconds))

    def is_spent(self, step: int, seconds: float) -> bool:
        return self.fraction(step, seconds) >= 1


def _share(spent: float, budget: float) -> float:
    return min(1.0, spent / budget) if budget else 1.0
