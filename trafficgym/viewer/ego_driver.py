"""Who drives the ego of a live run: IDM along its lane, until keys take over."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.world.dynamics import Bicycle, Body, Motion
from trafficgym.world.idm import IdmParameters, drive_idm, plan_speed
from trafficgym.world.lane_graph import LaneGraph
from trafficgym.world.path import PATH_STEP_M, lane_path_from, path_of
from trafficgym.world.state import DT, KIND, LENGTH, SPEED, VX, VY, YAW, X, Y
from trafficgym.world.world import World

ACCELERATION = 3.0  # m/s^2, at full throttle
BRAKING = 8.0  # m/s^2
THROTTLE_RATE, BRAKE_RATE = 10.0, 40.0  # m/s^3
LATERAL_ACCELERATION = 5.0  # m/s^2: at speed the wheel turns no further than that
STEERING_TIME, CENTRING_TIME = 0.5, 0.25  # s, from the middle to the limit and back
STOPPING = 3.0  # m/s^2, where there is no lane to follow

BICYCLE = Bicycle()
"""How the ego of a live run moves."""


class Pedals(NamedTuple):
    """What is pressed."""

    throttle: bool = False
    brake: bool = False
    left: bool = False
    right: bool = False


class EgoDriver:
    """A `Policy` for one slot of one world, which must move by `BICYCLE`.

    By keys: throttle and brake build up and go back within a fraction of a second, and without either the ego keeps its
    speed; braking ends at a standstill. The wheel turns while a key is held, up to 5 m/s^2 sideways, and goes back to
    the middle by itself. Otherwise the ego follows its lane by IDM, from wherever it is when it is handed over; where
    there is no lane it brakes to a stop.

    Attributes:
        by_keys: Whether keys drive.
        pedals: What is pressed.
    """

    name = "idm"

    def __init__(self) -> None:
        self.by_keys, self.pedals = False, Pedals()
        self._acceleration = self._steering = 0.0  # m/s^2, and share of the limit, positive to the left
        self._path: NDArray[np.float32] | None = None
        self._arc = 0.0  # m along the path
        self._has_been_driven = False

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        """See `Policy.act`."""
        b, n = np.argwhere(mask)[0].tolist()
        actions = np.zeros((*mask.shape, BICYCLE.action_size), np.float32)
        actions[b, n] = self._obey(world, b, n) if self.by_keys else self._follow_lane(world, b, n)
        return actions

    def _obey(self, world: World, b: int, n: int) -> tuple[float, float]:
        """Acceleration and steering that the pedals give."""
        self._path, self._has_been_driven = None, True
        speed, wheelbase = float(world.state.speed[b, n]), float(world.state.length[b, n]) * BICYCLE.wheelbase_ratio
        wanted = -BRAKING if self.pedals.brake else ACCELERATION if self.pedals.throttle else 0.0
        rate = BRAKE_RATE if min(wanted, self._acceleration) < 0 else THROTTLE_RATE
        self._acceleration = _towards(self._acceleration, wanted, rate * DT)
        side = float(self.pedals.left) - float(self.pedals.right)
        time = STEERING_TIME if side * self._steering >= 0 and side else CENTRING_TIME
        self._steering = _towards(self._steering, side, DT / time)
        limit = math.atan(wheelbase * LATERAL_ACCELERATION / max(speed, 1.0) ** 2)
        return max(self._acceleration, -speed / DT), self._steering * min(limit, BICYCLE.max_steering)

    def _follow_lane(self, world: World, b: int, n: int) -> tuple[float, float]:
        """Acceleration and steering towards where IDM would be in the next step."""
        self._acceleration = self._steering = 0.0
        if self._path is None:
            self._path, self._arc = self._plan(world, b, n), 0.0
        state, path = world.state, self._path
        if path is None:
            return min(max(-float(state.speed[b, n]) / DT, -STOPPING), STOPPING), 0.0
        own = state.table[b, n]
        x, y, yaw = _pose(path, self._arc)
        self._arc += float((own[X] - x) * math.cos(yaw) + (own[Y] - y) * math.sin(yaw))
        acceleration = self._acceleration_of_idm(world, b, n, path)
        # How fast is up to IDM; how to get back to the path is up to the dynamics.
        speed = own[SPEED]
        x, y, yaw = _pose(path, self._arc + DT * float(speed))
        target = (x, y, yaw, speed + DT * acceleration, speed * math.cos(yaw), speed * math.sin(yaw))
        now = Motion(*(own[[k]] for k in (X, Y, YAW, SPEED, VX, VY)))
        after = Motion(*(np.array([value], np.float32) for value in target))
        body = Body(own[[LENGTH]], own[[KIND]])
        return acceleration, float(BICYCLE.inverse(now, after, body)[0, 1])

    def _acceleration_of_idm(self, world: World, b: int, n: int, path: NDArray[np.float32]) -> float:
        """m/s^2"""
        before = world.state.table[b]
        slot, step, row = before[n].copy(), int(world.step_index[b]), world.road_rows[b]
        _drive(slot, n, before, step, row, path, np.float32(self._arc), tuple(world.config.idm))
        return float(slot[SPEED] - before[n, SPEED]) / DT

    def _plan(self, world: World, b: int, n: int) -> NDArray[np.float32] | None:
        """The way along the lane that the ego is on, with speeds; None where it is on none."""
        scene, track, parameters = world.scenes[b], int(world.track[b, n]), world.config.idm
        start = scene.current_step if world.config.start_step is None else world.config.start_step
        if not self._has_been_driven:
            return plan_speed(path_of(scene, track, start), scene, track, start, parameters)
        x, y, z, yaw, height = (float(getattr(world.state, name)[b, n]) for name in ("x", "y", "z", "yaw", "height"))
        log = np.column_stack([scene.tracks.x[track], scene.tracks.y[track]])[scene.tracks.valid[track]]
        away = np.array([x, y], np.float32) - log
        nearest = int(np.hypot(*away.T).argmin())
        # Where lanes fork, as the log went; from here, since keys may have changed lanes.
        future = log[nearest::5] + away[nearest]
        path = lane_path_from(LaneGraph(scene.road), x, y, z - 0.5 * height, yaw, future=future)
        return None if path is None else plan_speed(path, scene, track, start, parameters)


def _pose(path: NDArray[np.float32], arc: float) -> tuple[float, float, float]:
    """x, y [m] and direction [rad] at `arc` metres along a path."""
    points = np.arange(len(path))
    at = np.array([-1.5, 0.0, 1.5]) + min(arc, PATH_STEP_M * points[-1] - 1.5)
    x, y = (np.interp(at, PATH_STEP_M * points, path[:, c]) for c in (0, 1))
    return float(x[1]), float(y[1]), math.atan2(y[2] - y[0], x[2] - x[0])


def _towards(value: float, wanted: float, step: float) -> float:
    return value + min(max(wanted - value, -step), step)


@njit(cache=True, error_model="numpy")
def _drive(slot, n, before, step, row, path, arc, parameters):  # type: ignore[no-untyped-def]
    return drive_idm(slot, n, before, step, row, path, arc, IdmParameters(*parameters))
