"""Rewards for what an agent does wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trafficgym.rewards.reward import Float, Term
from trafficgym.world.events import Event

if TYPE_CHECKING:
    from trafficgym.world.events import Events
    from trafficgym.world.world import World


@dataclass(frozen=True, kw_only=True)
class _Indicator(Term):
    """1 where an event began during the decision, else 0; weigh it with a minus."""

    holding: bool = False
    """Count every decision in which the event holds, not only the one in which it begins."""

    def value(self, world: World, events: Events) -> Float:
        happened = events.holds(self.event) if self.holding else events.began(self.event)
        return happened[:, : world.num_agents].astype(np.float32)

    @property
    def event(self) -> Event:
        """The event that counts."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.event.name.lower() if self.event.name else str(self.event)


@dataclass(frozen=True, kw_only=True)
class Collision(_Indicator):
    """1 where the agent's box began to overlap another one."""

    @property
    def event(self) -> Event:
        return Event.COLLISION


@dataclass(frozen=True, kw_only=True)
class OffRoad(_Indicator):
    """1 where the agent left the road."""

    @property
    def event(self) -> Event:
        return Event.OFF_ROAD


@dataclass(frozen=True, kw_only=True)
class WrongWay(_Indicator):
    """1 where the agent began to drive against its lane."""

    @property
    def event(self) -> Event:
        return Event.WRONG_WAY


@dataclass(frozen=True, kw_only=True)
class RedLight(_Indicator):
    """1 where the agent ran a red light."""

    @property
    def event(self) -> Event:
        return Event.RED_LIGHT


@dataclass(frozen=True, kw_only=True)
class Infraction(Term):
    """-1 where a collision began or the agent left the road, once even where both happen together (RTR).

    RTR ends the agent's episode with it: ``WorldConfig(on_infraction="terminate")``.
    """

    @property
    def name(self) -> str:
        return "infraction"

    def value(self, world: World, events: Events) -> Float:
        began = events.began(Event.COLLISION | Event.OFF_ROAD)
        return -began[:, : world.num_agents].astype(np.float32)
