"""What a driver knows of the road along its path: how fast, how much room, and where it may have to stop."""

# mypy: allow-untyped-defs
from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene
from trafficgym.world.casting import road_of
from trafficgym.world.idm import IdmParameters, plan_speed
from trafficgym.world.path import path_of
from trafficgym.world.pointers import floats
from trafficgym.world.road_index import (
    AX,
    AY,
    EX,
    EY,
    LANES,
    NUM_EDGES,
    NUM_LANES,
    NUM_SIGNALS,
    SIGNALS,
    STOP_COS,
    STOP_SIN,
    STOP_X,
    STOP_Y,
)
from trafficgym.world.road_queries import edge_distance, lanes_at

Float = NDArray[np.float64]

STEP_M = 2.0
"""Between the points of a corridor's line."""
CLEAR_STEP_M = 4.0
"""Between the stations at which its room is known."""
REACH_M = 9
"""How far to either side, m."""
# Columns of a corridor's line.
LINE_X, LINE_Y, LINE_YAW, LINE_CURVATURE, LINE_SPEED = range(5)


class Corridor(NamedTuple):
    """A path with what lies along it; places are given as metres along it and to its left."""

    line: Float  # (M, 5) every STEP_M: x, y [m], yaw [rad, not wrapped], curvature [1/m], desired speed [m/s]
    clear: Float  # (M / 2, 2 REACH_M + 1) signed distance to the road's edge [m], negative on the road, by metre
    lanes: Float  # (M / 2, 2 REACH_M + 1) offset of the centre of the lane that is nearest there [m]; NaN for none
    stops: Float  # (S,) where along it each signal's stop point lies [m]; -1 for those of others


def corridor_of(scene: Scene, track: int, start_step: int, parameters: IdmParameters) -> Corridor:
    """The corridor of an agent that starts at `start_step`; worked out once per scene, track and start."""
    known = _KNOWN.setdefault(scene, {})
    key = (track, start_step, parameters)
    if key not in known:
        path = plan_speed(path_of(scene, track, start_step), scene, track, start_step, parameters)
        row = road_of(scene, 4.0).row
        line = _line(path.astype(np.float64))
        tracks = scene.tracks
        floor = float(tracks.z[track, start_step] - 0.5 * tracks.height[track, start_step])
        clear, lanes = _survey(line, floor, row)
        known[key] = Corridor(line, clear, lanes, _stops(line, row))
    return known[key]


_KNOWN: WeakKeyDictionary[Scene, dict[tuple[int, int, IdmParameters], Corridor]] = WeakKeyDictionary()


def _line(path: Float) -> Float:
    heading = np.unwrap(np.arctan2(np.diff(path[:, 1]), np.diff(path[:, 0])))
    yaw = np.empty(len(path))
    yaw[1:-1] = 0.5 * (heading[1:] + heading[:-1])
    yaw[0], yaw[-1] = heading[0], heading[-1]
    curvature = np.gradient(yaw, STEP_M)
    padded = np.pad(curvature, 1, mode="edge")
    curvature = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.column_stack([path[:, :2], yaw, curvature, path[:, 2]])


@njit(cache=True, error_model="numpy")
def _survey(line, floor, row):
    """`Corridor.clear` and `Corridor.lanes`; where no edge is near, one is 30 m within the road."""
    stride = int(CLEAR_STEP_M / STEP_M)
    shape = (len(line) // stride, 2 * REACH_M + 1)
    clear, lanes = np.full(shape, -30.0), np.full(shape, np.nan)
    z = np.float32(floor)
    for k in range(shape[0]):
        x, y, yaw = line[stride * k, LINE_X], line[stride * k, LINE_Y], line[stride * k, LINE_YAW]
        cos, sin = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
        _, _, z = lanes_at(np.float32(x), np.float32(y), z, cos, sin, np.float32(2.0), row)
        for j in range(shape[1]):
            d = j - REACH_M
            px, py = np.float32(x - d * sin), np.float32(y + d * cos)
            if row[NUM_EDGES] > 0:
                distance, _ = edge_distance(px, py, z, row)
                if not np.isnan(distance):
                    clear[k, j] = distance
            lanes[k, j] = _centre(px, py, z, cos, sin, x, y, row)
    return clear, lanes


@njit(cache=True, error_model="numpy")
def _centre(px, py, z, cos, sin, x, y, row):
    """Offset from (x, y), across (cos, sin), of the lane centre nearest to (px, py); NaN where none runs along."""
    segment, _, _ = lanes_at(px, py, z, cos, sin, np.float32(1.8), row)
    if segment < 0:
        return np.nan
    lane = floats(row[LANES], (row[NUM_LANES], 8))[segment]
    ahead = lane[EX] * cos + lane[EY] * sin
    if abs(ahead) < 0.8 * np.sqrt(lane[EX] * lane[EX] + lane[EY] * lane[EY]):
        return np.nan
    t = ((x - lane[AX]) * cos + (y - lane[AY]) * sin) / ahead
    return (lane[AY] + t * lane[EY] - y) * cos - (lane[AX] + t * lane[EX] - x) * sin


@njit(cache=True, error_model="numpy")
def _stops(line, row):
    num = row[NUM_SIGNALS]
    stops = np.full(num, -1.0)
    if num == 0:
        return stops
    signals = floats(row[SIGNALS], (num, 5))
    for s in range(num):
        for k in range(len(line) - 1):
            cos, sin = np.cos(line[k, LINE_YAW]), np.sin(line[k, LINE_YAW])
            rx, ry = signals[s, STOP_X] - line[k, LINE_X], signals[s, STOP_Y] - line[k, LINE_Y]
            along, aside = rx * cos + ry * sin, ry * cos - rx * sin
            faces = cos * signals[s, STOP_COS] + sin * signals[s, STOP_SIN] > 0.5
            if faces and 0 <= along <= STEP_M and abs(aside) < 1.75:
                stops[s] = STEP_M * k + along
                break
    return stops


@njit(cache=True, error_model="numpy", inline="always")
def along(line, column, s):
    """A column of a corridor's line at `s` metres, held constant beyond its ends."""
    at = min(max(s / STEP_M, 0.0), len(line) - 1.000001)
    k = int(at)
    return line[k, column] + (at - k) * (line[k + 1, column] - line[k, column])


@njit(cache=True, error_model="numpy")
def place(line, s, d):
    """x, y [m] and the direction of the path [rad] at (s, d); beyond its ends it goes straight on."""
    yaw = along(line, LINE_YAW, s)
    cos, sin = np.cos(yaw), np.sin(yaw)
    over = min(s, 0.0) + max(s - STEP_M * (len(line) - 1), 0.0)
    x, y = along(line, LINE_X, s) + over * cos, along(line, LINE_Y, s) + over * sin
    return x - d * sin, y + d * cos, yaw


@njit(cache=True, error_model="numpy")
def locate(line, x, y, cos, sin, heading_counts):
    """Where on the line (x, y) is: s, and d to its left [m].

    Args:
        heading_counts: Whether pieces that run against (cos, sin) count as 10 m further away.
    """
    best, best_s, best_d = 1e18, 0.0, 0.0
    last = len(line) - 2
    for k in range(last + 1):
        ex, ey = line[k + 1, LINE_X] - line[k, LINE_X], line[k + 1, LINE_Y] - line[k, LINE_Y]
        rx, ry = x - line[k, LINE_X], y - line[k, LINE_Y]
        square = ex * ex + ey * ey
        t = (rx * ex + ry * ey) / square
        inner = min(max(t, 0.0), 1.0)
        px, py = rx - inner * ex, ry - inner * ey
        away = px * px + py * py
        if heading_counts and ex * cos + ey * sin < 0:
            away += 100.0
        if away < best:
            best = away
            u = t if (k == 0 and t < 0) or (k == last and t > 1) else inner
            best_s = STEP_M * (k + u)
            best_d = (ex * ry - ey * rx) / np.sqrt(square)
    return best_s, best_d


@njit(cache=True, error_model="numpy")
def room(clear, s, d):
    """Signed distance to the road's edge at (s, d) [m], negative on the road; the table's border beyond it."""
    u = min(max(s / CLEAR_STEP_M, 0.0), len(clear) - 1.000001)
    v = min(max(d + REACH_M, 0.0), 2 * REACH_M - 0.000001)
    k, j = int(u), int(v)
    a, b = u - k, v - j
    near = clear[k, j] + b * (clear[k, j + 1] - clear[k, j])
    far = clear[k + 1, j] + b * (clear[k + 1, j + 1] - clear[k + 1, j])
    return near + a * (far - near)


@njit(cache=True, error_model="numpy")
def lane_centre(lanes, s, d):
    """Offset of the centre of the lane nearest to (s, d) [m]; NaN for none."""
    k = min(max(int(s / CLEAR_STEP_M + 0.5), 0), len(lanes) - 1)
    j = min(max(int(np.floor(d + REACH_M + 0.5)), 0), 2 * REACH_M)
    return lanes[k, j]
