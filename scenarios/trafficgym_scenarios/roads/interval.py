"""Ranges that options are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.random import Generator

from trafficgym.errors import ConfigError

FASTEST = 70.0  # m/s


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included; equal ends fix the value.

    Raises:
        ConfigError: it is empty or reversed, or a speed is too high to be in m/s.
    """

    low: float
    high: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low <= self.high):
            raise ConfigError(f"the range from {self.low} to {self.high} {self.unit} is empty or reversed".rstrip())
        if self.unit == "m/s" and max(abs(self.low), abs(self.high)) > FASTEST:
            raise ConfigError(f"up to {self.high} m/s: a speed above {FASTEST:.0f} m/s looks like km/h")

    def draw(self, rng: Generator) -> float:
        """A value, evenly distributed."""
        return float(rng.uniform(self.low, self.high))

    def draw_whole(self, rng: Generator) -> int:
        """A whole number, evenly distributed."""
        return int(rng.integers(round(self.low), round(self.high) + 1))

    def check(self, name: str, least: float, most: float) -> None:
        """Raise ConfigError unless all of it lies between `least` and `most`."""
        if not (least <= self.low and self.high <= most):
            raise ConfigError(
                f"{name} runs from {self.low:g} to {self.high:g} {self.unit}; "
                f"it must stay between {least:g} and {most:g} {self.unit}".rstrip()
            )


def check_units(options: Any) -> None:
    """Raise ConfigError where an option that is a range by default is something else, or has another unit."""
    for option in fields(options):
        value, default = getattr(options, option.name), option.default
        if isinstance(default, Interval):
            if not isinstance(value, Interval):
                raise ConfigError(f"{option.name} is {value!r}; give an Interval, with equal ends to fix it")
            if value.unit not in ("", default.unit):
                raise ConfigError(f"{option.name} is given in {value.unit}; give it in {default.unit or 'no unit'}")
