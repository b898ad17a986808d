"""Reward for getting to where the log ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from trafficgym.errors import ConfigError
from trafficgym.rewards.reward import Float, Term
from trafficgym.world.events import Event

if TYPE_CHECKING:
    from trafficgym.world.events import Events
    from trafficgym.world.world import World


@dataclass(frozen=True, kw_only=True)
class Goal(Term):
    """1, once an episode, for reaching the goal: in passing, or at the end (the soft and hard criterion of RLFTSim).

    ``"soft"``: the agent first comes within the world's goal radius, at any step. ``"hard"``: it is within `radius` of
    the goal when its world's episode is truncated. 0 for agents without a goal.
    """

    criterion: Literal["soft", "hard"] = "soft"
    radius: float = 2.0
    """m, for the hard criterion; that of the soft one is ``WorldConfig.limits.goal_radius``."""

    def __post_init__(self) -> None:
        if self.criterion not in ("soft", "hard"):
            raise ConfigError(f"criterion is {self.criterion!r}; it is 'soft' or 'hard'")
        if self.radius <= 0:
            raise ConfigError(f"radius is {self.radius}; it must be positive, in metres")

    @property
    def name(self) -> str:
        return f"goal_{self.criterion}"

    def value(self, world: World, events: Events) -> Float:
        num = world.num_agents
        if self.criterion == "soft":
            return events.began(Event.GOAL)[:, :num].astype(np.float32)
        goal = world.goal[:, :num]
        away = np.hypot(world.state.x[:, :num] - goal[..., 0], world.state.y[:, :num] - goal[..., 1])
        there = (away <= self.radius) & world.has_goal[:, :num] & world.truncated[:, None]
        return there.astype(np.float32)
