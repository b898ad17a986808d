"""Reward for driving as fast as is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trafficgym.errors import ConfigError
from trafficgym.rewards.reward import Float, Term

if TYPE_CHECKING:
    from trafficgym.world.events import Events
    from trafficgym.world.world import World


@dataclass(frozen=True, kw_only=True)
class SpeedLimit(Term):
    """``scale * (tolerance - d) / tolerance`` with ``d = |speed - limit|``, not below 0: RTR's baseline "RL-shaped".

    0 where the limit of the nearest lane is not known. RTR also ends the episode where d reaches the tolerance.
    """

    scale: float = 0.5
    tolerance: float = 30.0  # m/s

    def __post_init__(self) -> None:
        if self.tolerance <= 0:
            raise ConfigError(f"tolerance is {self.tolerance}; it must be positive, in m/s")

    @property
    def name(self) -> str:
        return "speed_limit"

    def value(self, world: World, events: Events) -> Float:
        num = world.num_agents
        limit = world.speed_limit[:, :num]
        part = 1 - np.abs(world.state.speed[:, :num] - limit) * np.float32(1 / self.tolerance)
        return np.where(limit > 0, np.maximum(part, 0) * np.float32(self.scale), np.float32(0))
