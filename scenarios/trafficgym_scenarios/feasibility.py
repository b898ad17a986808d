"""Whether an ego could have avoided a crash: open-loop manoeuvres, bounded in braking and steering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.scene.scene import Scene
from trafficgym.world.casting import road_of
from trafficgym.world.controllers import Policy
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.events import Event
from trafficgym.world.path import path_of
from trafficgym.world.road_index import RoadIndex
from trafficgym.world.road_queries import lanes_at
from trafficgym.world.state import DT
from trafficgym.world.world import World
from trafficgym_scenarios.outcome import Outcome, Record, ego_slot, scene_of
from trafficgym_scenarios.roads.path import Path

if TYPE_CHECKING:
    from trafficgym_scenarios.scenario import ConcreteScenario, LogicalScenario, Split

Array = NDArray[np.float64]

_INFRACTION = Event.COLLISION | Event.OFF_ROAD
_STEEPEST = 0.4
"""Sideways per forward: a car that stands does not slide."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class FeasibilityOptions:
    """What an ego can do.

    Raises:
        ConfigError: a value makes no sense.
    """

    reaction_s: float = 0.3
    """From the moment when the first hero leaves its first phase to that when the ego acts."""
    accelerations: tuple[float, ...] = (2.0, 0.0, -4.0, -8.0)
    """m/s^2, held until the ego stands, or is 5 m/s faster than it was."""
    aside: float = 1.5
    """m, to either side within the lane; a whole lane is tried as well."""
    lateral_acceleration: float = 4.0
    """m/s^2, the most that a move to the side asks for."""

    def __post_init__(self) -> None:
        if not 0 <= self.reaction_s < math.inf:
            raise ConfigError(f"reaction_s is {self.reaction_s}; it must not be negative")
        if not self.accelerations:
            raise ConfigError("accelerations is empty; give at least one")
        for name in ("aside", "lateral_acceleration"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")


@dataclass(frozen=True, kw_only=True)
class Manoeuvre:
    """Hold an acceleration and move to the side."""

    acceleration: float
    """m/s^2"""
    offset: float
    """m to the left of the path that the ego follows."""


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """What could have been done about a scenario."""

    is_avoidable: bool
    """Some manoeuvre ends the episode without a collision of the ego and with the ego on the road."""
    manoeuvre: Manoeuvre | None
    """The mildest that does."""
    num_safe: int
    """How many do."""
    num_tried: int
    start_s: float
    """When they begin, from the start of the episode [s]."""
    constant_velocity: Outcome
    """Of the ego that does nothing: straight on at constant speed."""
    keeps_lane: Outcome
    """Of the ego that follows its lane at constant speed."""


def feasibility(
    scenario: Scene | ConcreteScenario,
    *,
    options: FeasibilityOptions | None = None,
    background: str | Policy = "idm",
) -> Feasibility:
    """Try every manoeuvre, each in a copy of the scene, all in one world.

    The ego follows its lane at constant speed until the first hero leaves its first phase and the reaction time has
    passed; where no hero has a second phase, it acts at once. A move to the side is a quintic as fast as the lateral
    acceleration allows, to one of five offsets. So what is called avoidable was avoided; what is not may still have a
    way out that is none of these.

    Args:
        scenario: A concrete scenario, or a scene with an SDC.
        options: Bounds and reaction time.
        background: Who drives all others; heroes follow their scripts.

    Raises:
        ConfigError: the scene has no SDC, or it is not there at the start.
    """
    scene, options = scene_of(scenario), options or FeasibilityOptions()
    if scene.sdc is None or not scene.tracks.valid[scene.sdc, scene.current_step]:
        raise ConfigError(f"scene {scene.id!r} has no SDC at its current step, so nobody could avoid anything")
    line = _Line(scene)
    manoeuvres = [
        Manoeuvre(acceleration=a, offset=d) for a in options.accelerations for d in line.offsets(options.aside)
    ]
    nothing = [Manoeuvre(acceleration=0.0, offset=0.0)] * 2  # the first of them leaves the lane where that bends
    world = World(
        [scene] * (len(manoeuvres) + 2), dynamics=TargetPose(), control={"all": background, "ego": "external"}
    )
    ego, record = ego_slot(world), Record(world, [0, 1])
    running, infraction = np.ones(world.num_worlds, bool), np.zeros(world.num_worlds, bool)
    num_steps = int(world.end_step[0] - world.step_index[0])
    start = _first_start(scene)
    poses = line.poses([*nothing, *manoeuvres], num_steps, num_steps if start is None else start, options)
    for step in range(num_steps):
        events = world.step(poses[step][:, None], running=running)
        record.add(world)
        infraction |= events.holds(_INFRACTION)[:, ego]
        running = ~infraction
        running[:2] = True
        if start is None and (world.hero_phase[1] > 0).any():
            start = step + 1 + round(options.reaction_s / DT)
            poses = line.poses([*nothing, *manoeuvres], num_steps, start, options)
    safe = [manoeuvre for manoeuvre, bad in zip(manoeuvres, infraction[2:], strict=True) if not bad]
    return Feasibility(
        is_avoidable=bool(safe),
        manoeuvre=min(safe, key=lambda one: abs(one.acceleration) + abs(one.offset), default=None),
        num_safe=len(safe),
        num_tried=len(manoeuvres),
        start_s=0.0 if start is None else DT * start,
        constant_velocity=record.outcome(0),
        keeps_lane=record.outcome(1),
    )


def unavoidable_share(
    family: LogicalScenario, num: int, seed: int = 0, *, split: Split = "any", options: FeasibilityOptions | None = None
) -> float:
    """Share of concrete scenarios that no manoeuvre avoids.

    Args:
        family: The family.
        num: How many are drawn.
        seed: Of the first; those that follow have the seeds that follow.
        split: See `LogicalScenario.sample`.
        options: See `feasibility`.

    Raises:
        ConfigError: none is to be drawn.
    """
    if num < 1:
        raise ConfigError(f"num is {num}; draw at least one scenario")
    drawn = [feasibility(family.sample(seed + k, split), options=options) for k in range(num)]
    return sum(not one.is_avoidable for one in drawn) / num


def _first_start(scene: Scene) -> int | None:
    """The step at which manoeuvres begin where no trigger has to be waited for, else None."""
    return None if any(len(script.phases) > 1 for script in scene.scripts.values()) else 0


class _Line:
    """The lane that the ego follows, and how it moves along it."""

    def __init__(self, scene: Scene) -> None:
        tracks, step = scene.tracks, scene.current_step
        assert scene.sdc is not None
        self.scene, self.track = scene, scene.sdc
        self.xy, self.yaw = (
            np.array([values[self.track, step] for values in names], np.float64)
            for names in ((tracks.x, tracks.y), (tracks.yaw,))
        )
        self.velocity = np.array([tracks.vx[self.track, step], tracks.vy[self.track, step]], np.float64)
        self.speed = float(self.velocity @ [math.cos(self.yaw[0]), math.sin(self.yaw[0])])
        self.path = Path(path_of(scene, self.track, step)[:, :2].astype(np.float64))

    def offsets(self, aside: float) -> tuple[float, ...]:
        """Where to move: nowhere, aside within the lane, or a whole lane."""
        lane = [_lane_beside(self.scene, self.path, self.track, side) for side in (1.0, -1.0)]
        return (0.0, aside, -aside, *lane)

    def poses(self, manoeuvres: Sequence[Manoeuvre], num_steps: int, start: int, options: FeasibilityOptions) -> Array:
        """x, y, yaw after each step, ``[num_steps, K, 3]``; the first manoeuvre goes straight on in the plane."""
        wanted = np.array([[one.acceleration, one.offset] for one in manoeuvres])
        acceleration, offset = wanted.T
        since = DT * np.maximum(np.arange(num_steps + 1) - start, 0)[:, None]  # (T + 1, 1) s
        gain = np.where(self.speed < 0, 0.0, np.clip(acceleration * since, -abs(self.speed), 5.0))
        speed = self.speed + gain
        s = np.concatenate([np.zeros((1, len(wanted))), np.cumsum(0.5 * DT * (speed[1:] + speed[:-1]), axis=0)])
        d = self._aside(offset, since, speed, options)
        slope = np.diff(d, axis=0) / np.maximum(np.diff(s, axis=0), 1e-3)
        xy = self.path.xy(s[1:], d[1:])
        yaw = self.path.yaw(s[1:]) + np.arctan(np.clip(slope, -_STEEPEST, _STEEPEST))
        xy[:, 0] = self.xy + self.velocity * (DT * np.arange(1, num_steps + 1)[:, None])
        yaw[:, 0] = self.yaw
        return np.concatenate([xy, yaw[..., None]], axis=-1)

    def _aside(self, offset: Array, since: Array, speed: Array, options: FeasibilityOptions) -> Array:
        """Offset at each step, ``[T + 1, K]``: a quintic, slowed down where the ego is too slow to follow it."""
        # The second derivative of the quintic is at most 10 / sqrt(3) of offset over duration squared.
        duration = np.sqrt(10.0 / math.sqrt(3.0) * np.abs(offset) / options.lateral_acceleration)
        u = np.clip(since / np.maximum(duration, DT), 0.0, 1.0)
        ideal = offset * u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
        steps, most = np.diff(ideal, axis=0), _STEEPEST * DT * np.abs(speed[1:])
        moved = np.cumsum(np.clip(steps, -most, most), axis=0)
        return np.concatenate([np.zeros((1, len(offset))), moved])


def _lane_beside(scene: Scene, path: Path, track: int, side: float) -> float:
    """Offset of the centre of the lane on one side (1 left, -1 right) of the path [m]; 3.5 m where there is none."""
    road: RoadIndex = road_of(scene, 4.0)
    where = 20.0
    x, y = path.xy(where, 3.5 * side)
    yaw = float(path.yaw(where))
    tracks, step = scene.tracks, scene.current_step
    floor = float(tracks.z[track, step] - 0.5 * tracks.height[track, step])
    segment, _, _ = lanes_at(x, y, floor, math.cos(yaw), math.sin(yaw), 1.6, road.row)
    if segment < 0:
        return 3.5 * side
    ax, ay, _, ex, ey = road.lanes[segment, :5]
    ux, uy = (float(v) / math.hypot(ex, ey) for v in (ex, ey))
    centre = path.xy(where)
    away = float((ay - centre[1]) * ux - (ax - centre[0]) * uy)
    return away if ux * math.cos(yaw) + uy * math.sin(yaw) > 0 else -away
