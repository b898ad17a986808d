"""Micro-scenes: a few boxes, a few lines, and nothing that is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Scene, Signals, SignalState, Tracks
from trafficgym.world.events import Event
from trafficgym.world.world import World, WorldConfig

Value = float | Sequence[float]
Line = Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Box:
    """One track: numbers hold at every step, sequences give one value a step; `speed` is along the yaw."""

    x: Value = 0.0
    y: Value = 0.0
    yaw: Value = 0.0
    speed: Value = 0.0
    floor: Value = 0.0  # z of the box's bottom
    length: float = 4.0
    width: float = 2.0
    height: float = 1.5
    kind: AgentType = AgentType.VEHICLE
    valid: Sequence[bool] | bool = True
    sdc: bool = False
    to_predict: bool = False


@dataclass(frozen=True, kw_only=True)
class Light:
    """A signal on the lane of that number, with its stop point and what it shows at each step."""

    lane: int
    stop: Sequence[float]
    shows: Sequence[SignalState]


def micro_scene(
    *boxes: Box,
    lanes: Sequence[Line] = (),
    edges: Sequence[Line] = (),
    lights: Sequence[Light] = (),
    num_steps: int = 3,
    current_step: int = 0,
    speed_limit: float = 0.0,
    successors: Sequence[Sequence[int]] | None = None,
    id: str = "micro",
) -> Scene:
    """Make a scene; lanes come before edges, points are (x, y) or (x, y, z), tracks have the ids 0, 1, 2, ..."""
    return Scene(
        id=id,
        source="generated",
        origin=np.zeros(3),
        timestamps=0.1 * np.arange(num_steps),
        current_step=current_step,
        tracks=_tracks(boxes, num_steps),
        road=_road(lanes, edges, speed_limit, successors),
        signals=_signals(lights, num_steps),
    )


def straight(x: Value, speed: float, num_steps: int) -> list[float]:
    """Positions of somebody who goes along x at `speed`."""
    return (np.asarray(x) + 0.1 * speed * np.arange(num_steps)).tolist()


def history(scene: Scene, event: Event, track: int = 0) -> list[bool]:
    """Whether `event` holds for a track of the replayed log, step by step."""
    world = World([scene], control="log", config=WorldConfig(watch_log=True))
    slot = int(np.flatnonzero(world.track[0] == track)[0])
    held = [bool(world.events.holds(event)[0, slot])]
    for _ in range(scene.num_steps - 1 - scene.current_step):
        held.append(bool(world.step().holds(event)[0, slot]))
    return held


def _tracks(boxes: Sequence[Box], num_steps: int) -> Tracks:
    def rows(name: str) -> np.ndarray:
        values = [np.broadcast_to(np.asarray(getattr(b, name), np.float32), (num_steps,)) for b in boxes]
        return np.stack(values).astype(np.float32)

    yaw, speed, height = rows("yaw"), rows("speed"), rows("height")
    return Tracks(
        id=np.arange(len(boxes), dtype=np.int64),
        type=np.array([b.kind for b in boxes], np.int8),
        x=rows("x"),
        y=rows("y"),
        z=rows("floor") + height / 2,
        yaw=yaw,
        vx=speed * np.cos(yaw),
        vy=speed * np.sin(yaw),
        length=rows("length"),
        width=rows("width"),
        height=height,
        valid=rows("valid") != 0,
        is_sdc=np.array([b.sdc for b in boxes]),
        to_predict=np.array([b.to_predict for b in boxes]),
        of_interest=np.zeros(len(boxes), bool),
        difficulty=np.zeros(len(boxes), np.int8),
    )


def _road(
    lanes: Sequence[Line], edges: Sequence[Line], limit: float, successors: Sequence[Sequence[int]] | None
) -> RoadMap:
    features = [np.array([[*p, 0.0][:3] for p in line], np.float32).reshape(-1, 3) for line in (*lanes, *edges)]
    num, none = len(features), Links.empty(len(features))
    links = [[] for _ in features] if successors is None else [*map(list, successors), *([] for _ in edges)]
    return RoadMap(
        xyz=np.concatenate(features) if num else np.zeros((0, 3), np.float32),
        offsets=np.cumsum([0, *map(len, features)], dtype=np.int32),
        id=np.arange(num, dtype=np.int64),
        type=np.array([RoadType.LANE_SURFACE_STREET] * len(lanes) + [RoadType.EDGE_BOUNDARY] * len(edges), np.int8),
        speed_limit=np.array([limit] * len(lanes) + [0.0] * len(edges), np.float32),
        interpolating=np.zeros(num, bool),
        successors=Links.from_lists(links),
        predecessors=none,
        left_neighbors=none,
        right_neighbors=none,
        stop_lanes=none,
    )


def _signals(lights: Sequence[Light], num_steps: int) -> Signals:
    if not lights:
        return Signals.empty(num_steps)
    stops = np.array([[*light.stop, 0.0][:3] for light in lights], np.float32)
    return Signals(
        lane=np.array([light.lane for light in lights], np.int32),
        lane_id=np.array([light.lane for light in lights], np.int64),
        state=np.array([light.shows for light in lights], np.int8),
        stop=np.repeat(stops[:, None], num_steps, axis=1),
        valid=np.ones((len(lights), num_steps), bool),
    )
