"""What a hero does: phases along a path, each until something happens between it and the ego.

A hero is a road user that makes a scenario: it cuts in, brakes, runs a light. Its script is data; the world plays it
(driver ``"hero"``), whatever the dynamics of the learner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest, nearest_key

TriggerKind = Literal["never", "time", "distance", "time_gap", "ttc", "arrival"]
TRIGGERS: tuple[str, ...] = get_args(TriggerKind)
MAX_PHASES = 8
FASTEST = 70.0
"""m/s; a speed above this is taken for one in km/h."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Trigger:
    """When a phase ends.

    ``time``: `value` seconds after the phase began. ``distance``: the gap along the hero's path between its box and the
    ego's is at most `value` m. ``time_gap``: whoever is behind covers that gap in at most `value` s at present speed.
    ``ttc``: both speeds as they are, it closes in at most `value` s. ``arrival``: at its present speed the ego reaches
    the script's meeting point in at most `value` s. ``never``: only `at_most` ends it.

    Raises:
        ConfigError: no trigger of that kind, or a value that makes no sense.
    """

    kind: TriggerKind = "never"
    value: float = 0.0
    at_most: float = math.inf
    """The phase ends after so many seconds in any case."""

    def __post_init__(self) -> None:
        if self.kind not in TRIGGERS:
            raise ConfigError(f"no trigger is called {self.kind!r}; {nearest_key(self.kind, TRIGGERS)}")
        if not math.isfinite(self.value) or not self.at_most >= 0:
            raise ConfigError(f"trigger {self.kind!r}: value {self.value} and at_most {self.at_most} make no sense")


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Phase:
    """What a hero does until its trigger fires; the last phase goes on for good.

    Along the path it does one of three things: it drives at `speed`; with `gap` it keeps that distance to the ego; with
    `arrival` it comes to the meeting point that much later than the ego. Across the path it moves to `offset` within
    `duration`.

    Raises:
        ConfigError: a value makes no sense, or two of the three are given.
    """

    name: str
    until: Trigger = field(default_factory=Trigger)
    speed: float | None = None
    """m/s along the path, negative in reverse; None: the one that it has."""
    gap: float | None = None
    """m between both boxes: positive ahead of the ego, negative behind it."""
    arrival: float | None = None
    """s after the ego at the meeting point, negative before it."""
    acceleration: float = 3.0
    """m/s^2, at most."""
    deceleration: float = 3.0
    """m/s^2, at most."""
    offset: float | None = None
    """m to the left of the path; None: the one that it has."""
    duration: float = 3.0
    """s that it takes to get there."""
    width: float | None = None
    """m, of the box from here on (an opening door); None: as it is."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.speed, self.gap, self.arrival)) > 1:
            raise ConfigError(f"phase {self.name!r}: give one of speed, gap and arrival")
        if self.speed is not None and not abs(self.speed) <= FASTEST:
            raise ConfigError(f"phase {self.name!r}: speed is {self.speed} m/s; give m/s, not km/h or mph")
        for name in ("acceleration", "deceleration", "duration"):
            if not 0 < getattr(self, name) < 1e3:
                raise ConfigError(f"phase {self.name!r}: {name} is {getattr(self, name)}; it must be positive")
        if self.width is not None and not 0 < self.width < 10:
            raise ConfigError(f"phase {self.name!r}: width is {self.width}; give metres")


@names_nearest
@dataclass(frozen=True, kw_only=True, eq=False)
class HeroScript:
    """A hero's path and phases.

    Raises:
        ConfigError: the path has fewer than two different points, or there is no phase.
    """

    path: NDArray[np.floating]
    """(n, 2) m, scene frame; beyond its ends it goes straight on."""
    phases: tuple[Phase, ...]
    meeting_point: tuple[float, float] | None = None
    """m, scene frame: where the ways of hero and ego cross; needed for ``arrival``."""
    warm_up: float = 1.0
    """s from the start of the episode in which no trigger fires."""

    def __post_init__(self) -> None:
        path = np.asarray(self.path)
        if path.ndim != 2 or path.shape[1] != 2 or not np.isfinite(path).all() or not np.ptp(path, 0).any():
            raise ConfigError(f"a hero's path is (n, 2) finite points, n >= 2, not all the same; got {path.shape}")
        if not 1 <= len(self.phases) <= MAX_PHASES:
            raise ConfigError(f"a hero's script has 1 to {MAX_PHASES} phases, got {len(self.phases)}")
        if not self.warm_up >= 0:
            raise ConfigError(f"warm_up is {self.warm_up}; it must not be negative")
        for phase in self.phases:
            if self.meeting_point is None and (phase.arrival is not None or phase.until.kind == "arrival"):
                raise ConfigError(f"phase {phase.name!r} speaks of arrival; give the script a meeting_point")
