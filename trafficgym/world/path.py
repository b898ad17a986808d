"""Where an agent would drive: along the lane graph, or where a source has none, along its log.

A path is float32 ``[M, 3]``: x and y (m, scene frame) every `PATH_STEP_M` from the agent's own position at the start
step, and the speed limit there (m/s, 0 unknown). It always has the full length: beyond the end of its lane or log
it goes straight on.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.lane_graph import LANE_STEP_M, LaneGraph, arc_length

Float = NDArray[np.float32]

PATH_STEP_M = 2.0
NUM_POINTS = 256  # 510 m: 20 s at 90 km/h

FADE_M = 20.0  # way over which the offset from the lane fades
MIN_TRAVEL_M = 2.0  # a log that goes less far says nothing about where the agent is heading


def path_of(
    scene: Scene, track: int, start_step: int, *, graph: LaneGraph | None = None, num_points: int = NUM_POINTS
) -> Float:
    """The lane path of a vehicle or cyclist where the scene has a lane graph and a lane fits, else the log path.

    Args:
        scene: The scene.
        track: Index of the agent's track, valid at `start_step`.
        start_step: Step at which the path starts.
        graph: ``LaneGraph(scene.road)``; give it where a scene is asked about many tracks.
        num_points: M.

    Returns:
        The path, float32 ``[M, 3]``; see the module.
    """
    if scene.road.has_lane_graph and scene.tracks.type[track] in (AgentType.VEHICLE, AgentType.CYCLIST):
        path = lane_path(scene, track, start_step, graph=graph, num_points=num_points)
        if path is not None:
            return path
    return log_path(scene, track, start_step, num_points=num_points)


def lane_path(
    scene: Scene, track: int, start_step: int, *, graph: LaneGraph | None = None, num_points: int = NUM_POINTS
) -> Float | None:
    """Follow the lane graph from the lane that the agent is on.

    Where lanes fork, or overlap where the agent is, the sequence of lanes is taken that lies nearest to the agent's
    logged future; beyond the end of the log, and where it does not move, the straightest. The path starts at the
    agent, in its own direction, and joins the centre line within 20 m. It does not change lanes.

    Args and Returns:
        As `path_of`, but None where the agent is on no lane: further than 2.5 m from every centre line, more than
        50 degrees away from its direction, or 3 m above or below it.
    """
    graph = LaneGraph(scene.road) if graph is None else graph
    tracks = scene.tracks
    x, y, yaw = (float(v[track, start_step]) for v in (tracks.x, tracks.y, tracks.yaw))
    floor = float(tracks.z[track, start_step] - 0.5 * tracks.height[track, start_step])
    bikes = bool(tracks.type[track] != AgentType.VEHICLE)
    return lane_path_from(
        graph, x, y, floor, yaw, future=_future(scene, track, start_step), bikes=bikes, num_points=num_points
    )


def lane_path_from(
    graph: LaneGraph,
    x: float,
    y: float,
    floor: float,
    yaw: float,
    *,
    future: Float | None = None,
    bikes: bool = False,
    num_points: int = NUM_POINTS,
) -> Float | None:
    """Follow the lane graph from any pose; see `lane_path`.

    Args:
        graph: Of the road.
        x: Box centre, m, as is `y`.
        y: Likewise.
        floor: Bottom of the box, m.
        yaw: Direction, rad.
        future: Where it is to go, ``[n, 2]`` m; None: the straightest way.
        bikes: Whether bike lanes count.
        num_points: M.
    """
    starts = graph.lanes_at(x, y, floor, yaw, bikes=bikes)
    if not starts:
        return None
    points = graph.follow(starts, np.zeros((0, 2), np.float32) if future is None else future, PATH_STEP_M * num_points)
    line = _bend(graph.xy[points], graph.heading[points], graph.limit[graph.lane_of[points]], x, y, yaw)
    return _sample(line, num_points)


def log_path(scene: Scene, track: int, start_step: int, *, num_points: int = NUM_POINTS) -> Float:
    """Follow the agent's log, without its jitter.

    Args and Returns:
        As `path_of`; the speed limit is 0 (unknown).
    """
    tracks = scene.tracks
    later = start_step + np.flatnonzero(tracks.valid[track, start_step:])
    yaw = float(tracks.yaw[track, start_step])
    xy = thin(tracks.x[track, later], tracks.y[track, later], yaw, bool(tracks.type[track] == AgentType.VEHICLE))
    if len(xy) < 2:
        xy = np.array([xy[0], xy[0] + [math.cos(yaw), math.sin(yaw)]])
    return _sample(np.concatenate([xy, np.zeros((len(xy), 1))], axis=1), num_points)


@njit(cache=True)
def thin(x: Float, y: Float, yaw: float, keeps_direction: bool) -> NDArray[np.float64]:
    """Keep the positions of a log that are progress: 2 m apart, the last half a metre, and never turning back.

    Args:
        x: Positions, ``[n]`` m, n >= 1.
        y: Likewise.
        yaw: Direction at the first one, rad.
        keeps_direction: Whether the first kept step, too, must not lead against `yaw`.

    Returns:
        ``[m, 2]`` float64, 1 <= m <= n; the first is the first given.
    """
    out = np.empty((len(x), 2))
    out[0, 0], out[0, 1] = x[0], y[0]
    num = 1
    ux, uy = math.cos(yaw), math.sin(yaw)
    for k in range(1, len(x)):
        dx, dy = x[k] - out[num - 1, 0], y[k] - out[num - 1, 1]
        way = math.sqrt(dx * dx + dy * dy)
        if way < 2.0 and (k < len(x) - 1 or way < 0.5):
            continue
        if (keeps_direction or num > 1) and dx * ux + dy * uy <= 0:
            continue
        out[num, 0], out[num, 1] = x[k], y[k]
        ux, uy = dx / way, dy / way
        num += 1
    return out[:num]


def _future(scene: Scene, track: int, start_step: int) -> Float:
    """Where the log goes from `start_step` on, ``[n, 2]`` m; empty where it does not move."""
    tracks = scene.tracks
    later = start_step + np.flatnonzero(tracks.valid[track, start_step:])
    xy = thin(tracks.x[track, later], tracks.y[track, later], float(tracks.yaw[track, start_step]), False)
    if len(xy) < 2 or math.hypot(*(xy[-1] - xy[0])) < MIN_TRAVEL_M:
        return np.zeros((0, 2), np.float32)
    return xy[:: max(len(xy) // 16, 1)].astype(np.float32)


@njit(cache=True)
def _bend(xy: Float, heading: Float, limit: Float, x: float, y: float, yaw: float) -> NDArray[np.float64]:
    """Let a centre line begin at (x, y, yaw); returns ``[n, 3]``: x, y, limit.

    The lateral offset is a cubic in the way along the line that starts with the agent's own offset and direction
    and is level with zero after 20 m, so that nothing jumps sideways.
    """
    cos, sin = math.cos(heading[0]), math.sin(heading[0])
    dx, dy = x - xy[0, 0], y - xy[0, 1]
    offset, way = dy * cos - dx * sin, -(dx * cos + dy * sin)
    turned = (yaw - heading[0] + math.pi) % math.tau - math.pi
    slope = math.tan(max(min(turned, 0.6), -0.6)) * FADE_M
    out = np.empty((len(xy) + 1, 3))
    out[0, 0], out[0, 1], out[0, 2] = x, y, limit[0]
    num = 1
    for k in range(len(xy)):
        if k > 0:
            way += math.hypot(xy[k, 0] - xy[k - 1, 0], xy[k, 1] - xy[k - 1, 1])
        if way <= 0.5 * LANE_STEP_M:
            continue
        u = min(way / FADE_M, 1.0)
        aside = (1 - u) ** 2 * ((1 + 2 * u) * offset + u * slope)
        out[num, 0] = xy[k, 0] - math.sin(heading[k]) * aside
        out[num, 1] = xy[k, 1] + math.cos(heading[k]) * aside
        out[num, 2] = limit[k]
        num += 1
    if num == 1:  # the lane ends right here
        out[1, 0], out[1, 1], out[1, 2] = x + math.cos(yaw), y + math.sin(yaw), limit[-1]
        num = 2
    return out[:num]


@njit(cache=True)
def _sample(line: NDArray[np.float64], num_points: int) -> Float:
    """Points every `PATH_STEP_M` along `line` ``[n, 3]``, which goes straight on; float32 ``[num_points, 3]``."""
    arc = arc_length(line)
    at = PATH_STEP_M * np.arange(num_points)
    out = np.empty((num_points, 3), np.float32)
    for c in range(3):
        out[:, c] = np.interp(at, arc, line[:, c])
    back = len(line) - 2
    while back > 0 and arc[-1] - arc[back] < 3.0:
        back -= 1
    way = max(arc[-1] - arc[back], 1e-6)
    ux, uy = (line[-1, 0] - line[back, 0]) / way, (line[-1, 1] - line[back, 1]) / way
    for k in range(num_points):
        if at[k] > arc[-1]:
            out[k, 0] = line[-1, 0] + ux * (at[k] - arc[-1])
            out[k, 1] = line[-1, 1] + uy * (at[k] - arc[-1])
        out[k, 2] = line[min(np.searchsorted(arc, at[k], side="right"), len(line) - 1), 2]
    return out


__all__ = ["LaneGraph", "lane_path", "lane_path_from", "log_path", "path_of", "thin"]
