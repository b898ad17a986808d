"""The learning rate over the course of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from trafficgym.errors import ConfigError, check_whole, names_nearest, nearest_key


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The factor by which the peak learning rate is multiplied.

    It is a function of the position alone, so that a resumed training meets the same rates. The position may be an
    epoch (what the papers do), a step, or `Run.fraction` with a length of 1, the only choice where the budget is a
    time; then the rates depend on the clock, and no two runs are the same to the bit.

    Raises:
        ConfigError: a value makes no sense.
    """

    kind: Literal["cosine", "constant"] = "cosine"
    minimum: float = 0.01
    """Factor at the end of the cosine; CAT-K trains with 0.01 and fine-tunes with 0.05."""
    warm_up: int = 0
    """Steps in which the factor rises linearly from 1 / warm_up of its value to all of it."""
    reference_lag: bool = False
    """Reproduce the reference, whose epochs 0, 1, 2, 3 ... have the factors of 1, 1, 2, 3 ..."""

    def __post_init__(self) -> None:
        check_whole(self, warm_up=0)
        if self.kind not in ("cosine", "constant"):
            raise ConfigError(f"no schedule is called {self.kind!r}; {nearest_key(self.kind, ('cosine', 'constant'))}")
        if not 0 <= self.minimum <= 1:
            raise ConfigError(f"minimum is {self.minimum!r}; it is a share of the peak rate, in [0, 1]")

    def factor(self, position: float, length: float, *, step: int = 0) -> float:
        """In (0, 1]: m + (1 - m)/2 (1 + cos(pi min(1, position/length))), times the warm-up.

        Args:
            position: Epoch, step or fraction, from 0.
            length: Where the cosine ends, in the same unit.
            step: Optimisation step from 0; only the warm-up looks at it.
        """
        rising = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        if self.kind == "constant":
            return rising
        position = max(position, 1.0) if self.reference_lag else position
        phase = min(1.0, position / length) if length > 0 else 1.0
        return rising * (self.minimum + (1 - self.minimum) / 2 * (1 + math.cos(math.pi * phase)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of parameters this rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
