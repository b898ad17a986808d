"""The intelligent driver model along a path (Treiber, Hennecke and Helbing, Phys. Rev. E 62, 1805, 2000).

The acceleration follows eq. 3 of the paper, ``a (1 - (v / v0)^4 - (s* / s)^2)`` with
``s* = s0 + v T + v dv / (2 sqrt(a b))``. The leader is whatever stands across the path ahead, a red or
yellow stop point included.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene, SignalState
from trafficgym.world.controllers import MOVING_M
from trafficgym.world.path import PATH_STEP_M
from trafficgym.world.pointers import bytes_, floats
from trafficgym.world.road_index import (
    NUM_SIGNALS,
    NUM_STEPS,
    SIGNAL_STATE,
    SIGNALS,
    STOP_COS,
    STOP_SIN,
    STOP_X,
    STOP_Y,
)
from trafficgym.world.state import COS, DT, LENGTH, PRESENT, SIN, SPEED, VX, VY, WIDTH, YAW, X, Y


class IdmParameters(NamedTuple):
    """Parameters of the model; those of table I of the paper, with a headway usual in towns."""

    acceleration: float = 1.5  # m/s^2
    deceleration: float = 2.0  # m/s^2, comfortable
    hardest_braking: float = 8.0  # m/s^2
    headway_s: float = 1.5
    standstill_gap: float = 2.0  # m
    desired_speed: float = 13.4  # m/s where neither a limit nor the log gives one
    side_margin: float = 0.2  # m on either side of the own width
    lateral_acceleration: float = 2.5  # m/s^2 in curves


class IdmTables(NamedTuple):
    """What the model knows of each slot it drives."""

    path: NDArray[np.float32]  # (B, I, M, 3) x, y [m] every 2 m, and the desired speed there [m/s]
    path_of: NDArray[np.int32]  # (B, N) index into I, -1 for slots that IDM does not drive
    arc: NDArray[np.float32]  # (B, N) m along the path


def plan_speed(
    path: NDArray[np.float32], scene: Scene, track: int, start_step: int, parameters: IdmParameters
) -> NDArray[np.float32]:
    """Turn the speed limits along a path into speeds that can be driven.

    The limit, or where there is none the fastest that the log goes, or else `desired_speed`; in curves no faster
    than the lateral acceleration allows, and slowing down in time. Whoever stays put in the log is parked (or
    waits for somebody that the log does not show) and stays put.

    Args:
        path: From `path.path_of`, ``[M, 3]``.

    Returns:
        The path with the desired speed in its last column [m/s], 0 for the parked.
    """
    path = path.copy()
    tracks, valid = scene.tracks, scene.tracks.valid[track].copy()
    valid[:start_step] = False
    x, y = tracks.x[track, valid], tracks.y[track, valid]
    if (
        np.hypot(x - x[0], y - y[0]).max() < MOVING_M
        and np.hypot(tracks.vx[track, start_step], tracks.vy[track, start_step]) < 0.5
    ):
        path[:, 2] = 0
        return path
    fastest = np.hypot(tracks.vx[track, valid], tracks.vy[track, valid]).max()
    speed = np.where(path[:, 2] > 0, path[:, 2], fastest if fastest > 1.0 else parameters.desired_speed)
    heading = np.unwrap(np.arctan2(np.diff(path[:, 1]), np.diff(path[:, 0])))
    # Over 6 m, since single points of a mapped lane jitter.
    turn = np.abs(heading[3:] - heading[:-3]) / (3 * PATH_STEP_M)
    curve = np.sqrt(parameters.lateral_acceleration / np.maximum(turn, 1e-4))
    for shift in range(4):
        part = speed[shift : shift + len(curve)]
        np.minimum(part, curve, out=part)
    room = 2 * parameters.deceleration * PATH_STEP_M
    for k in range(len(speed) - 2, -1, -1):
        speed[k] = min(speed[k], np.sqrt(speed[k + 1] ** 2 + room))
    path[:, 2] = np.maximum(speed, 1.0)
    return path


@njit(cache=True, error_model="numpy", inline="always")
def _at(path, arc):
    """Position and unit direction at `arc` metres along a path, which goes on straight beyond its ends."""
    k = min(max(int(arc / np.float32(PATH_STEP_M)), 0), path.shape[0] - 2)
    ex, ey = path[k + 1, 0] - path[k, 0], path[k + 1, 1] - path[k, 1]
    length = np.sqrt(ex * ex + ey * ey)
    ux, uy = (ex / length, ey / length) if length > 0 else (np.float32(1.0), np.float32(0.0))
    rest = arc - np.float32(PATH_STEP_M) * k
    return path[k, 0] + rest * ux, path[k, 1] + rest * uy, ux, uy


@njit(cache=True, error_model="numpy")
def drive_idm(slot, n, before, step, row, path, arc, parameters):
    """Move one slot along its path for one step.

    Args:
        slot: Its row of `State.table`, written.
        n: Its number.
        before: `State.table` of its world before the step, ``[N, 16]``.
        step: Scene step before the move, for the signals.
        row: `RoadIndex.row` of the world.
        path: Its path, ``[M, 3]``.
        arc: Where it is on the path [m].
        parameters: `IdmParameters`.

    Returns:
        Where it is on the path after the step [m].
    """
    own = before[n]
    speed = max(own[SPEED], np.float32(0.0))
    wanted = path[min(max(int(arc / np.float32(PATH_STEP_M)), 0), path.shape[0] - 1), 2]
    if wanted == 0:
        slot[SPEED] = slot[VX] = slot[VY] = 0
        return arc
    gap, lead_speed = _leader(n, before, path, arc, speed, parameters)
    stop_gap = _red_stop(own, path, arc, speed, step, row, parameters)
    accel = parameters.acceleration * (1.0 - (speed / wanted) ** 4)
    for free, lead in ((gap, lead_speed), (stop_gap, np.float32(0.0))):
        if free < 1e8:
            root = 2.0 * np.sqrt(parameters.acceleration * parameters.deceleration)
            closing = speed * (speed - lead) / root
            desired_gap = parameters.standstill_gap + max(speed * parameters.headway_s + closing, 0.0)
            ratio = desired_gap / max(free, np.float32(0.1))
            accel = min(accel, parameters.acceleration * (1.0 - (speed / wanted) ** 4 - ratio * ratio))
    accel = max(accel, -parameters.hardest_braking)
    new_speed = np.float32(max(speed + accel * DT, 0.0))
    new_arc = arc + np.float32(0.5 * DT) * (speed + new_speed)
    x, y, ux, uy = _at(path, new_arc)
    old_x, old_y, _, _ = _at(path, arc)
    # Moving by the difference keeps whatever offset the box has from its path.
    slot[X], slot[Y] = own[X] + (x - old_x), own[Y] + (y - old_y)
    behind_x, behind_y, _, _ = _at(path, new_arc - np.float32(1.5))
    ahead_x, ahead_y, _, _ = _at(path, new_arc + np.float32(1.5))
    if new_arc > arc:
        slot[YAW] = np.arctan2(ahead_y - behind_y, ahead_x - behind_x)
    slot[SPEED], slot[VX], slot[VY] = new_speed, new_speed * ux, new_speed * uy
    return new_arc


@njit(cache=True, error_model="numpy")
def _leader(n, before, path, arc, speed, parameters):
    """Gap to the nearest box across the path ahead [m] (1e9 if none) and its speed along the path [m/s]."""
    horizon = np.float32(20.0) + np.float32(4.0) * speed
    own = before[n]
    x, y = own[X], own[Y]
    half_width = np.float32(0.5) * own[WIDTH] + np.float32(parameters.side_margin)
    best, best_speed = np.float32(1e9), np.float32(0.0)
    first = min(max(int(arc / np.float32(PATH_STEP_M)), 0), path.shape[0] - 2)
    end = min(first + int(horizon / np.float32(PATH_STEP_M)) + 2, path.shape[0] - 1)
    px, py, _, _ = _at(path, arc)
    off_x, off_y = x - px, y - py
    for j in range(len(before)):
        other = before[j]
        if j == n or other[PRESENT] == 0:
            continue
        dx, dy = other[X] - x, other[Y] - y
        if dx * dx + dy * dy > (horizon + 10.0) ** 2:
            continue
        cos, sin = other[COS], other[SIN]
        half_l, half_w = np.float32(0.5) * other[LENGTH], np.float32(0.5) * other[WIDTH]
        circle = half_l + half_w + half_width
        for k in range(first, end):
            rx, ry = other[X] - off_x - path[k, 0], other[Y] - off_y - path[k, 1]
            is_last = k == path.shape[0] - 2  # from there on the path goes straight
            if not is_last and rx * rx + ry * ry > (circle + 2 * PATH_STEP_M) ** 2:
                continue
            ex, ey = path[k + 1, 0] - path[k, 0], path[k + 1, 1] - path[k, 1]
            length = np.sqrt(ex * ex + ey * ey)
            if length == 0:
                continue
            ux, uy = ex / length, ey / length
            along, aside = rx * ux + ry * uy, abs(ry * ux - rx * uy)
            if along < -PATH_STEP_M or (along > 2 * PATH_STEP_M and not is_last):
                continue
            c, s = abs(cos * ux + sin * uy), abs(sin * ux - cos * uy)
            if aside > half_width + half_l * s + half_w * c:
                continue
            centre = PATH_STEP_M * k + along - arc
            if centre <= 0:
                continue
            gap = np.float32(centre - half_l * c - half_w * s - 0.5 * own[LENGTH])
            if gap < best:
                best = gap
                best_speed = other[VX] * ux + other[VY] * uy
    return best, best_speed


@njit(cache=True, error_model="numpy")
def _red_stop(own, path, arc, speed, step, row, parameters):
    """Gap to the nearest stop point on the path that shows red, or yellow where one can still stop [m]; 1e9 if none."""
    best = np.float32(1e9)
    if row[NUM_SIGNALS] == 0 or step >= row[NUM_STEPS]:
        return best
    signals = floats(row[SIGNALS], (row[NUM_SIGNALS], 5))
    shown = bytes_(row[SIGNAL_STATE], (row[NUM_SIGNALS], row[NUM_STEPS]))
    first = min(max(int(arc / np.float32(PATH_STEP_M)), 0), path.shape[0] - 2)
    end = min(first + int((20.0 + 4.0 * speed) / PATH_STEP_M) + 2, path.shape[0] - 1)
    brake = speed * speed / (2.0 * parameters.deceleration)
    for s in range(row[NUM_SIGNALS]):
        red = shown[s, step] == _STOP or shown[s, step] == _ARROW_STOP
        yellow = shown[s, step] == _CAUTION or shown[s, step] == _ARROW_CAUTION
        if not (red or yellow):
            continue
        for k in range(first, end):
            rx, ry = signals[s, STOP_X] - path[k, 0], signals[s, STOP_Y] - path[k, 1]
            if rx * rx + ry * ry > 16.0:
                continue
            ex, ey = path[k + 1, 0] - path[k, 0], path[k + 1, 1] - path[k, 1]
            along = (rx * ex + ry * ey) / np.float32(PATH_STEP_M)
            aside = abs(ry * ex - rx * ey) / np.float32(PATH_STEP_M)
            if not 0 <= along <= PATH_STEP_M or aside > 1.75:
                continue
            if ex * signals[s, STOP_COS] + ey * signals[s, STOP_SIN] < 0.5 * PATH_STEP_M:
                continue
            gap = np.float32(PATH_STEP_M * k + along - arc - 0.5 * own[LENGTH])
            if gap > -1.0 and (red or gap > brake) and gap < best:
                best = gap
    return best


_STOP, _ARROW_STOP = int(SignalState.STOP), int(SignalState.ARROW_STOP)
_CAUTION, _ARROW_CAUTION = int(SignalState.CAUTION), int(SignalState.ARROW_CAUTION)
