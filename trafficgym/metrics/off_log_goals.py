"""Goals away from the log, to see whether agents can be steered (the controllability study of RLFTSim, METHODS.md D.3).

They say where, not when: `goals.controllability` tells how many agents get there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.goals import logged_goals
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.lane_graph import LANE_STEP_M, LaneGraph, arc_length
from trafficgym.world.path import thin
from trafficgym.world.state import DT

Float = NDArray[np.float32]

RATE_STEPS = 5  # over which the yaw rate at the end of the log is taken
FULL_SPEED = 2.0  # m/s; who is slower goes straight on: its heading turns by jitter
LEAST_WAY_M = 15.0
"""Agents whose logs go less far get no goal on another lane: there would be no way to get there."""
OFF_LOG_M = 2.5
"""Goals of manoeuvres are further than this from everywhere the log goes: who follows it does not pass within 2 m."""
LANE_M = 3.5
MOST_ROUTES = 64


def kinematic_goals(scene: Scene, seconds: float) -> Float:
    """Where each log was some seconds before its end, or would be some seconds after it.

    After it, vehicles and cyclists go on at constant speed and yaw rate, which is a bicycle whose steering is held;
    pedestrians at constant velocity.

    Args:
        scene: The scene.
        seconds: H; the paper's are from -3 to 3.

    Returns:
        float32 ``[A, 2]`` m in the scene frame; NaN for tracks without a future, or whose log is not valid then.
    """
    if not math.isfinite(seconds):
        raise ConfigError(f"seconds are {seconds}; give a number, negative for before the end")
    goals = logged_goals(scene)
    for track in np.flatnonzero(np.isfinite(goals[:, 0])).tolist():
        last = int(np.flatnonzero(scene.tracks.valid[track])[-1])
        goals[track] = _after(scene, track, last, seconds) if seconds > 0 else _before(scene, track, last, seconds)
    return goals


def _before(scene: Scene, track: int, last: int, seconds: float) -> Float:
    tracks, step = scene.tracks, last + round(seconds / DT)
    if step <= scene.current_step or not tracks.valid[track, step]:
        return np.full(2, np.nan, np.float32)
    return np.array([tracks.x[track, step], tracks.y[track, step]], np.float32)


def _after(scene: Scene, track: int, last: int, seconds: float) -> Float:
    tracks = scene.tracks
    x, y, yaw, vx, vy = (float(getattr(tracks, name)[track, last]) for name in ("x", "y", "yaw", "vx", "vy"))
    speed, first = math.hypot(vx, vy), last - RATE_STEPS
    is_wheeled = tracks.type[track] in (AgentType.VEHICLE, AgentType.CYCLIST)
    if not is_wheeled or speed < FULL_SPEED or first < 0 or not tracks.valid[track, first]:
        return np.array([x + vx * seconds, y + vy * seconds], np.float32)
    turned = (yaw - float(tracks.yaw[track, first]) + math.pi) % math.tau - math.pi
    turn = turned / (RATE_STEPS * DT) * seconds
    # The chord of the arc, from the direction of motion.
    way, course = speed * seconds * np.sinc(0.5 * turn / np.pi), math.atan2(vy, vx) + 0.5 * turn
    return np.array([x + way * math.cos(course), y + way * math.sin(course)], np.float32)


def manoeuvre_goals(scene: Scene, rng: Generator) -> Float:
    """Where each vehicle would be had it taken another way, as far as it went in its log: another branch, another lane.

    Of all ways that the lane graph has from its lane or from those beside it, that lead its way, one is drawn.

    Args:
        scene: The scene; without a lane graph there are lanes beside each other only.
        rng: Draws among the manoeuvres that a vehicle has.

    Returns:
        float32 ``[A, 2]`` m in the scene frame; NaN for tracks that are no vehicles, have no future, go less than 15 m,
        or have nowhere else to go.
    """
    goals = np.full((scene.num_agents, 2), np.nan, np.float32)
    graph = LaneGraph(scene.road)
    for track in np.flatnonzero(np.isfinite(logged_goals(scene)[:, 0])).tolist():
        if scene.tracks.type[track] != AgentType.VEHICLE:
            continue
        log = _log_way(scene, track)
        way = float(arc_length(log)[-1])
        if way < LEAST_WAY_M:
            continue
        ends = [xy for xy in _ends(graph, scene, track, way) if _distance(log, xy) > OFF_LOG_M]
        if ends:
            goals[track] = ends[int(rng.integers(len(ends)))]
    return goals


def _log_way(scene: Scene, track: int) -> NDArray[np.float64]:
    """Where the log goes after "now", ``[n, 2]`` m, without jitter."""
    tracks, now = scene.tracks, scene.current_step
    steps = now + np.flatnonzero(tracks.valid[track, now:])
    return thin(tracks.x[track, steps], tracks.y[track, steps], float(tracks.yaw[track, now]), True)


def _ends(graph: LaneGraph, scene: Scene, track: int, way: float) -> list[Float]:
    """Points `way` metres on from where the vehicle is, on all lanes that it could take; none twice."""
    tracks, now = scene.tracks, scene.current_step
    x, y, z, yaw, height = (float(getattr(tracks, name)[track, now]) for name in ("x", "y", "z", "yaw", "height"))
    found: list[Float] = []
    for aside in (0.0, LANE_M, -LANE_M):
        spot = x - aside * math.sin(yaw), y + aside * math.cos(yaw)
        for start in graph.lanes_at(*spot, z - 0.5 * height, yaw, bikes=False):
            for xy in _reached(graph, start, way):
                if not found or _distance(np.stack(found), xy) > 1.0:
                    found.append(xy)
    return found


def _reached(graph: LaneGraph, start: int, way: float) -> Iterator[Float]:
    """Points `way` metres on from a point of the graph, on each of the ways that lead on from there."""
    open_, done = [(start, way)], 0
    while open_ and done < MOST_ROUTES:
        point, left = open_.pop()
        lane = int(graph.lane_of[point])
        last = int(graph.offsets[lane + 1]) - 1
        if left <= (last - point) * LANE_STEP_M:
            done += 1
            yield graph.xy[point + round(left / LANE_STEP_M)]
            continue
        rest = left - (last - point) * LANE_STEP_M
        open_ += [(int(graph.offsets[lane]), rest) for lane in reversed(graph.successors[lane])]


def _distance(line: NDArray[np.floating], xy: Float) -> float:
    return float(np.hypot(line[:, 0] - xy[0], line[:, 1] - xy[1]).min())


__all__ = ["kinematic_goals", "manoeuvre_goals"]
