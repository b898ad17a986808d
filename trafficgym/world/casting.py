"""Who takes part in an episode and where everybody starts; worked out once per scene."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.world.config import WorldConfig
from trafficgym.world.controllers import Control, Policy, assign_drivers, select
from trafficgym.world.heroes import Hero, lay_out
from trafficgym.world.idm import plan_speed
from trafficgym.world.lane_graph import LaneGraph
from trafficgym.world.log import LogTable
from trafficgym.world.path import NUM_POINTS, path_of
from trafficgym.world.road_index import RoadIndex
from trafficgym.world.state import PRESENT, Driver, X, Y

DEFAULT_HORIZON = 80
"""Steps that an episode lasts where the log has no future."""
_ORDER = (Driver.EXTERNAL, Driver.POLICY, Driver.IDM, Driver.CONSTANT_VELOCITY, Driver.HERO, Driver.LOG)


class Cast(NamedTuple):
    """How an episode of a scene begins; N' slots, external agents first."""

    start: int  # scene step
    end: int  # scene step at which it is truncated
    order: NDArray[np.intp]  # (N',) track of each slot
    driver: NDArray[np.int8]  # (N',)
    policy: NDArray[np.int8]  # (N',) index into the world's policies, -1 for none
    table: NDArray[np.float32]  # (N', 16) rows of `State.table`
    goal: NDArray[np.float32]  # (N', 3) rows of `Watch.goal`
    paths: NDArray[np.float32]  # (I, M, 3) of those that IDM drives, in the order of their slots
    heroes: list[Hero]


class Casting:
    """Casts scenes for one world.

    Args:
        control: Who drives whom.
        config: Start, horizon, goals, number of agents.
        policies: Of the world; new ones that `control` names are appended.
    """

    def __init__(self, control: Control, config: WorldConfig, policies: list[Policy]) -> None:
        self.control, self.config, self.policies = control, config, policies
        self._known: WeakKeyDictionary[Scene, Cast] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be copied; what they held is worked out again.
        return {**self.__dict__, "_known": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _known=WeakKeyDictionary())

    def of(self, scene: Scene) -> Cast:
        """The cast of a scene.

        Raises:
            ConfigError: the scene has no such start step, or `control` names what is not there.
        """
        if scene not in self._known:
            self._known[scene] = self._cast(scene)
        return self._known[scene]

    def _cast(self, scene: Scene) -> Cast:
        start = scene.current_step if self.config.start_step is None else self.config.start_step
        if not 0 <= start < scene.num_steps:
            raise ConfigError(f"scene {scene.id!r} has {scene.num_steps} steps; start_step {start} is not one of them")
        driver, policy = assign_drivers(scene, self.control, start, self.policies)
        limit = self.config.max_agents
        if limit is not None and (driver == Driver.EXTERNAL).sum() > limit:
            _keep_nearest(scene, start, driver, limit)
        valid = scene.tracks.valid
        rank = np.select([driver == d for d in _ORDER], range(len(_ORDER)))
        order = np.lexsort((np.arange(scene.num_agents), rank))
        order = order[valid[order, start:].any(1)]
        table = log_of(scene).table[start + valid[order, start:].argmax(1), order]
        table[:, PRESENT] = valid[order, start]
        return Cast(
            start,
            start + (self.config.horizon or scene.num_steps - 1 - start or DEFAULT_HORIZON),
            order,
            driver[order],
            policy[order],
            table,
            _goals(scene, order, table, self.config.limits.goal_radius),
            self._paths(scene, order[driver[order] == Driver.IDM], start),
            _heroes(scene, order, driver[order], table, start),
        )

    def _paths(self, scene: Scene, tracks: NDArray[np.intp], start: int) -> NDArray[np.float32]:
        paths = np.zeros((len(tracks), NUM_POINTS, 3), np.float32)
        if len(tracks):
            graph = LaneGraph(scene.road)
            for path, track in zip(paths, tracks.tolist(), strict=True):
                path[:] = plan_speed(path_of(scene, track, start, graph=graph), scene, track, start, self.config.idm)
        return paths


def _heroes(
    scene: Scene, order: NDArray[np.intp], driver: NDArray[np.int8], table: NDArray[np.float32], start: int
) -> list[Hero]:
    if not scene.scripts:
        return []
    ego = int(np.flatnonzero(order == select(scene, "ego", start).argmax())[0])
    slots = np.flatnonzero(driver == Driver.HERO).tolist()
    return [lay_out(scene.scripts[int(order[slot])], table[slot], slot, ego) for slot in slots]


def _goals(scene: Scene, order: NDArray[np.intp], table: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Where each log ends, and whether that is away from where it starts; see `Watch.goal`."""
    last = scene.num_steps - 1 - scene.tracks.valid[order, ::-1].argmax(1)
    end = log_of(scene).table[last, order]
    goal = np.zeros((len(order), 3), np.float32)
    goal[:, 0], goal[:, 1] = end[:, X], end[:, Y]
    goal[:, 2] = np.hypot(end[:, X] - table[:, X], end[:, Y] - table[:, Y]) > radius
    return goal


def _keep_nearest(scene: Scene, start: int, driver: NDArray[np.int8], limit: int) -> None:
    """Leave only the `limit` external tracks nearest to the ego external; the others follow their logs."""
    tracks = scene.tracks
    ego = int(select(scene, "ego", start).argmax())
    away = np.hypot(tracks.x[:, start] - tracks.x[ego, start], tracks.y[:, start] - tracks.y[ego, start])
    external = np.flatnonzero(driver == Driver.EXTERNAL)
    driver[external[np.argsort(away[external], kind="stable")[limit:]]] = Driver.LOG


def log_of(scene: Scene) -> LogTable:
    """The log of a scene as states."""
    log = _LOGS.get(scene)
    if log is None:
        log = _LOGS[scene] = LogTable(scene.tracks)
    return log


def road_of(scene: Scene, point_spacing: float) -> RoadIndex:
    """The indexed road of a scene."""
    known = _ROADS.setdefault(scene, {})
    if point_spacing not in known:
        known[point_spacing] = RoadIndex(scene, point_spacing=point_spacing)
    return known[point_spacing]


# Kept as long as the scene itself, and shared by the worlds that hold it.
_ROADS: WeakKeyDictionary[Scene, dict[float, RoadIndex]] = WeakKeyDictionary()
_LOGS: WeakKeyDictionary[Scene, LogTable] = WeakKeyDictionary()
