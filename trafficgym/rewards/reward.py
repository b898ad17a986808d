"""What a reward is: a weighted sum of named terms, each a pure function of what happened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trafficgym.world.config import WorldConfig
    from trafficgym.world.events import Events
    from trafficgym.world.world import World

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Reward(ABC):
    """A function of (world, events) to ``[B, A]`` that adds and scales.

    ::

        reward = -1.0 * Collision() - 1.0 * OffRoad() - 0.1 * DisplacementError()
        reward.terms(world, world.events)   # {"collision": [B, A], "off_road": ..., "displacement": ...}
    """

    @abstractmethod
    def weighted(self) -> tuple[tuple[float, Term], ...]:
        """The terms and their weights."""

    @property
    def needs_history(self) -> bool:
        """Whether a term looks back on the episode: the world must have ``WorldConfig(keep_history=True)``."""
        return any(term.needs_history for _, term in self.weighted())

    def check(self, config: WorldConfig) -> None:
        """Raise where the reward makes no sense in a world of that configuration.

        Raises:
            ConfigError: it says what to change.
        """
        for _, term in self.weighted():
            term.check(config)

    def terms(self, world: World, events: Events) -> dict[str, Float]:
        """Return what each term contributes; terms of the same name are added up.

        Args:
            world: The world after the decision; read only.
            events: What happened during the decision.

        Returns:
            Weighted terms, float32 ``[B, A]`` each, whose sum is the reward; 0 for agents that were not alive before
            the decision.
        """
        acted = has_acted(world).astype(np.float32)
        found: dict[str, Float] = {}
        for weight, term in self.weighted():
            value = term.value(world, events) * (acted * np.float32(weight))
            found[term.name] = found[term.name] + value if term.name in found else value
        return found

    def __call__(self, world: World, events: Events) -> Float:
        """Return the reward of the last decision, float32 ``[B, A]``; see `terms`."""
        first, *others = self.terms(world, events).values()
        return sum(others, start=first)

    def __add__(self, other: Reward) -> Reward:
        return WeightedSum(self.weighted() + other.weighted()) if isinstance(other, Reward) else NotImplemented

    def __sub__(self, other: Reward) -> Reward:
        return self + -1.0 * other if isinstance(other, Reward) else NotImplemented

    def __mul__(self, factor: float) -> Reward:
        return WeightedSum(tuple((weight * factor, term) for weight, term in self.weighted()))

    __rmul__ = __mul__

    def __neg__(self) -> Reward:
        return self * -1.0


class Term(Reward):
    """One named reward; subclasses are frozen dataclasses that define `name` and `value`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the term is called in ``info["reward_terms"]``."""

    @abstractmethod
    def value(self, world: World, events: Events) -> Float:
        """The unweighted term for every agent, whether alive or not, float32 ``[B, A]``; finite everywhere."""

    def weighted(self) -> tuple[tuple[float, Term], ...]:
        return ((1.0, self),)

    @property
    def needs_history(self) -> bool:
        return False

    def check(self, config: WorldConfig) -> None:
        pass


@dataclass(frozen=True)
class WeightedSum(Reward):
    """What arithmetic with rewards makes."""

    parts: tuple[tuple[float, Term], ...]

    def weighted(self) -> tuple[tuple[float, Term], ...]:
        return self.parts


def has_acted(world: World) -> Bool:
    """Agents that were alive before the last decision, bool ``[B, A]``: the one that ended them still counts."""
    return world.agents & world.previous.present[:, : world.num_agents]


def distance_to_log(world: World) -> tuple[Float, Bool]:
    """Distance of each agent from its logged position at this step, ``[B, A]`` m, and whether the log holds one."""
    num = world.num_agents
    valid = world.log_valid[:, :num]
    dx, dy = (world.state.x - world.log_x)[:, :num], (world.state.y - world.log_y)[:, :num]
    return np.where(valid, np.hypot(dx, dy), np.float32(0)), valid
