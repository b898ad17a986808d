"""Rewards for staying near the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trafficgym.rewards.infraction import Collision
from trafficgym.rewards.reward import Float, Reward, Term, distance_to_log

if TYPE_CHECKING:
    from trafficgym.world.events import Events
    from trafficgym.world.world import World


@dataclass(frozen=True, kw_only=True)
class DisplacementError(Term):
    """Distance between the agent and its logged position at the same step, m; 0 where the log holds none."""

    @property
    def name(self) -> str:
        return "displacement"

    def value(self, world: World, events: Events) -> Float:
        return distance_to_log(world)[0]


@dataclass(frozen=True, kw_only=True)
class LoggedCollision(Collision):
    """`Collision` at steps for which the log holds a state of the agent, else 0."""

    def value(self, world: World, events: Events) -> Float:
        return np.where(distance_to_log(world)[1], super().value(world, events), np.float32(0))


def ade_and_collision(collision_weight: float = 2.0) -> Reward:
    """Minus the distance to the log, minus a weight for every decision in collision, where the log is valid.

    The reward with which Waymo fine-tuned its behaviour models, ``r = -|position - log| - weight * collision``
    (weights 0, 2, 5 and 10 were tried; 2 was best).
    """
    return -1.0 * DisplacementError() - collision_weight * LoggedCollision(holding=True)
