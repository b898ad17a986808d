"""Every option of a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.world.events import Event, EventLimits
from trafficgym.world.idm import IdmParameters

OnEvent = Literal["terminate", "stop", "ignore"]


@names_nearest
@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """How a world behaves; make a variant with `dataclasses.replace`."""

    start_step: int | None = None
    """Scene step at which episodes start; None: the scene's current step."""
    horizon: int | None = None
    """Steps (0.1 s) that an episode lasts; None: to the end of the log, or 80 where the log has no future."""
    on_infraction: OnEvent = "ignore"
    """What an infraction does to an agent: it leaves the road, it stays put, or nothing."""
    infractions: Event = Event.COLLISION | Event.OFF_ROAD
    """Which events are infractions."""
    on_goal: OnEvent = "ignore"
    """What reaching the goal does to an agent."""
    max_agents: int | None = None
    """At most so many external agents in a world; those nearest to the ego stay, the rest follow their logs."""
    watch_log: bool = False
    """Whether events are also found for what follows its log (it costs time, and props do as they do)."""
    keep_history: bool = False
    """Whether `World.history` records the episode; rewards that look back need it."""
    point_spacing: float = 4.0
    """Distance between the road points that observations show [m]."""
    limits: EventLimits = EventLimits()
    idm: IdmParameters = IdmParameters()

    def __post_init__(self) -> None:
        for name in ("on_infraction", "on_goal"):
            if getattr(self, name) not in ("terminate", "stop", "ignore"):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is 'terminate', 'stop' or 'ignore'")
        check_whole(self, start_step=0, horizon=1, max_agents=1)
        if not self.point_spacing > 0:
            raise ConfigError(f"point_spacing is {self.point_spacing!r}; it must be positive")
