"""How a scenario ends for its ego."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.criticality import conflicts
from trafficgym.metrics.trajectories import Trajectories
from trafficgym.scene.scene import Scene
from trafficgym.world.controllers import Control, Policy
from trafficgym.world.dynamics import Dynamics
from trafficgym.world.events import Event
from trafficgym.world.state import DT, HEIGHT, LENGTH, PRESENT, VX, VY, WIDTH, YAW, X, Y, Z
from trafficgym.world.world import World

if TYPE_CHECKING:
    from trafficgym_scenarios.scenario import ConcreteScenario

NEAR_MISS_S = 1.0
"""A smaller time to collision is a near miss."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to the ego in one run of a scenario; times are seconds from the start of the episode."""

    collision: bool
    off_road: bool
    red_light: bool
    min_ttc: float
    """s, smallest time to collision with anybody (`trafficgym.metrics.criticality`); inf where nobody came close."""
    infraction_s: float | None
    """First collision, or first time off the road."""
    trigger_s: tuple[float | None, ...]
    """When each hero left its first phase, in the order of their tracks; None: never."""

    @property
    def infraction(self) -> bool:
        """A collision, or off the road."""
        return self.collision or self.off_road

    @property
    def near_miss(self) -> bool:
        """The time to collision fell below 1 s, a collision included."""
        return self.min_ttc < NEAR_MISS_S


def outcome(
    scenario: Scene | ConcreteScenario,
    ego: str | Policy,
    *,
    background: str | Policy = "idm",
    dynamics: Dynamics | None = None,
    seed: int = 0,
) -> Outcome:
    """Play a scenario to its end.

    Args:
        scenario: A concrete scenario, or a scene.
        ego: Who drives the ego: ``"constant_velocity"``, ``"idm"``, ``"log"``, or a `Policy`.
        background: Who drives all others; heroes follow their scripts.
        dynamics: How a `Policy` moves; default `Bicycle`.
        seed: Of the world.

    Raises:
        ConfigError: no driver of that name, or ``"external"``.
    """
    if ego == "external":
        raise ConfigError("the ego is 'external', but there is nobody to act; give a policy")
    control: Control = {"all": background, "ego": ego}
    world = World([scene_of(scenario)], dynamics=dynamics, control=control, seeds=[seed])
    record = Record(world, [0])
    while not world.truncated.all():
        world.step(after_each=lambda _: record.add(world))
    return record.outcome(0)


def scene_of(scenario: Scene | ConcreteScenario) -> Scene:
    """The scene of a concrete scenario, or the scene itself."""
    return scenario if isinstance(scenario, Scene) else scenario.scene


class Record:
    """What a world does, step by step, for the egos of some of its copies of a scene.

    Args:
        world: At its start; every world has the same scene and cast.
        copies: The worlds to keep.
    """

    def __init__(self, world: World, copies: list[int]) -> None:
        self.copies = copies
        self.ego = ego_slot(world)
        self._heroes = np.flatnonzero(world.hero_phase[copies[0]] >= 0)
        self._heroes = self._heroes[np.argsort(world.track[copies[0], self._heroes])]
        self._tables = [world.state.table[copies].copy()]
        self._events = [world.events.state[copies, self.ego].copy()]
        self._phases = [world.hero_phase[copies][:, self._heroes]]

    def add(self, world: World) -> None:
        """Add what the world shows now."""
        self._tables.append(world.state.table[self.copies])
        self._events.append(world.events.state[self.copies, self.ego].copy())
        self._phases.append(world.hero_phase[self.copies][:, self._heroes])

    def outcome(self, which: int) -> Outcome:
        """How it went in the copy that is the `which`-th of those kept."""
        bits = np.bitwise_or.reduce([events[which] for events in self._events])
        crashed = [(events[which] & (Event.COLLISION | Event.OFF_ROAD)) != 0 for events in self._events]
        phases = np.array([phase[which] for phase in self._phases])
        left = phases > 0
        return Outcome(
            collision=bool(bits & Event.COLLISION),
            off_road=bool(bits & Event.OFF_ROAD),
            red_light=bool(bits & Event.RED_LIGHT),
            min_ttc=self._min_ttc(which),
            infraction_s=DT * int(np.argmax(crashed)) if any(crashed) else None,
            trigger_s=tuple(DT * int(left[:, h].argmax()) if left[:, h].any() else None for h in range(left.shape[1])),
        )

    def _min_ttc(self, which: int) -> float:
        table = np.stack([tables[which] for tables in self._tables]).astype(np.float64)  # (T, N, 16)

        def column(index: int) -> NDArray[np.float64]:
            return np.ascontiguousarray(table[:, :, index].T)

        present = column(PRESENT) != 0
        motion = Trajectories(
            x=column(X),
            y=column(Y),
            z=column(Z),
            yaw=column(YAW),
            vx=column(VX),
            vy=column(VY),
            length=column(LENGTH).max(1),
            width=column(WIDTH).max(1),
            height=column(HEIGHT).max(1),
            present=present,
        )
        ttc, _ = conflicts(motion, np.arange(table.shape[1]) == self.ego)
        return float(ttc[self.ego].min(initial=math.inf))


def ego_slot(world: World) -> int:
    """The slot of the ego, the same in every world of a batch of one scene.

    Raises:
        ConfigError: the scene has no SDC.
    """
    scene = world.scenes[0]
    if scene.sdc is None:
        raise ConfigError(f"scene {scene.id!r} has no SDC, so nobody is its ego")
    return int(np.flatnonzero(world.track[0] == scene.sdc)[0])
