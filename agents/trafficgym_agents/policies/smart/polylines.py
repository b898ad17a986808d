"""The road as the model knows it: polylines, each of a kind and perhaps under a traffic light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import RoadMap, RoadType, Scene, Signals, SignalState

Frame = Literal["scene", "source"]
Float64 = NDArray[np.float64]
Int = NDArray[np.int64]

LANE, EDGE, LINE, CROSSWALK = range(4)
"""Codes of polygons; the last is for speed bumps and driveways, too."""
NUM_TYPES, NUM_POLYGONS, NUM_LIGHTS = 10, 4, 5

_STOP_SIGN_LANE, _BIKE_LANE = 2, 3
_TYPE = {
    RoadType.LANE_UNDEFINED: 1,
    RoadType.LANE_FREEWAY: 0,
    RoadType.LANE_SURFACE_STREET: 1,
    RoadType.LANE_BIKE: _BIKE_LANE,
    RoadType.LINE_UNKNOWN: 8,
    RoadType.LINE_BROKEN_SINGLE_WHITE: 6,
    RoadType.LINE_SOLID_SINGLE_WHITE: 7,
    RoadType.LINE_SOLID_DOUBLE_WHITE: 8,
    RoadType.LINE_BROKEN_SINGLE_YELLOW: 6,
    RoadType.LINE_BROKEN_DOUBLE_YELLOW: 6,
    RoadType.LINE_SOLID_SINGLE_YELLOW: 7,
    RoadType.LINE_SOLID_DOUBLE_YELLOW: 8,
    RoadType.LINE_PASSING_DOUBLE_YELLOW: 8,
    RoadType.EDGE_UNKNOWN: 3,  # as the reference has it, although 3 is a bike lane
    RoadType.EDGE_BOUNDARY: 4,
    RoadType.EDGE_MEDIAN: 5,
    RoadType.CROSSWALK: 9,
    RoadType.SPEED_BUMP: 9,
    RoadType.DRIVEWAY: 9,
}
_LIGHT = {
    SignalState.UNKNOWN: 1,
    SignalState.ARROW_STOP: 2,
    SignalState.STOP: 2,
    SignalState.FLASHING_STOP: 2,
    SignalState.ARROW_GO: 3,
    SignalState.GO: 3,
    SignalState.ARROW_CAUTION: 4,
    SignalState.CAUTION: 4,
    SignalState.FLASHING_CAUTION: 4,
}


def _table(codes: dict[RoadType, int] | dict[SignalState, int]) -> Int:
    table = np.full(max(codes) + 1, -1, np.int64)
    table[list(codes)] = list(codes.values())
    return table


_TYPE_TABLE, _LIGHT_TABLE = _table(_TYPE), _table(_LIGHT)


@dataclass(frozen=True, kw_only=True, eq=False)
class Polylines:
    """L polylines of P points: lanes, then road edges, road lines and polygons, each in the order of the scene."""

    xy: Float64  # (P, 2) m, numbers that float32 can hold
    offsets: Int  # (L + 1,) polyline l owns xy[offsets[l]:offsets[l + 1]]
    feature: Int  # (L,) of the scene's road
    type: Int  # (L,) 0 freeway, 1 surface street, 2 lane with a stop sign, 3 bike lane, 4 boundary, 5 median,
    # 6 broken line, 7 solid line, 8 double line, 9 crosswalk, speed bump or driveway
    polygon: Int  # (L,) LANE, EDGE, LINE or CROSSWALK
    light: Int  # (L,) 0 none, 1 unknown, 2 stop, 3 go, 4 caution, at the current step

    @classmethod
    def of(cls, scene: Scene, frame: Frame = "scene") -> Polylines:
        """Read the map of a scene (golden/smart/README.md section 6, 4 to 6).

        The last point of each is left out, as the reference does; what has no point left is, too.
        """
        road = scene.road
        kind = _kinds(road)
        order = np.concatenate([np.flatnonzero(kind == k) for k in range(NUM_POLYGONS)])
        xyz = road.xyz + source_origin(scene, frame)
        points = [xyz[road.offsets[f] : road.offsets[f + 1]] for f in order.tolist()]
        lines = [(sides(p) if kind[f] == CROSSWALK else p[:, :2])[:-1] for f, p in zip(order, points, strict=True)]
        kept = np.array([len(line) > 0 for line in lines], bool)
        lines, order = [line for line in lines if len(line)], order[kept]
        type = _TYPE_TABLE[road.type[order]]
        type[np.isin(order, road.stop_lanes.index) & (type < _STOP_SIGN_LANE)] = _STOP_SIGN_LANE
        return cls(
            xy=np.concatenate([np.zeros((0, 2)), *lines]).astype(np.float32).astype(np.float64),
            offsets=np.cumsum([0, *map(len, lines)]),
            feature=order,
            type=type,
            polygon=kind[order],
            light=_lights(scene.signals, scene.current_step, road.num_features)[order],
        )


def source_origin(scene: Scene, frame: Frame) -> Float64:
    """What takes positions of the scene into `frame`: float64 ``[3]`` m to add."""
    return scene.origin if frame == "source" else np.zeros(3)


def sides(polygon: Float64) -> Float64:
    """The two longer sides of a quadrilateral, there and back, with a point every metre and at the ends.

    Args:
        polygon: Vertices, ``[n, 3]`` m; of more than four, every quarter of them counts.

    Returns:
        ``[m, 2]`` m: one side, the same reversed, the other side, the same reversed.
    """
    if not len(polygon):
        return np.zeros((0, 2))
    n = len(polygon)
    a, b, c, d = polygon[[0, n // 4, n // 2, 3 * n // 4]]
    first_is_longer = _length(b[:2] - a[:2]) > _length(c[:2] - b[:2])
    pairs = ((a, b), (c, d)) if first_is_longer else ((a, d), (c, b))
    runs = [_every_metre(start, end) for start, end in pairs]
    return np.concatenate([way for run in runs for way in (run, run[::-1])])


def _every_metre(start: Float64, end: Float64) -> Float64:
    """Points from `start` to `end`, ``[n, 2]``; the metres are those of space, not of the plane."""
    length = _length(end - start)
    metres = np.append(np.arange(0, length), length)
    return start[:2] + (end - start)[:2] / max(length, 1e-9) * metres[:, None]


def _length(vector: Float64) -> float:
    return float(np.sqrt(vector @ vector))


def _kinds(road: RoadMap) -> Int:
    """Polygon code of each feature, -1 for stop signs, int64 ``[F]``."""
    kind = np.full(road.num_features, CROSSWALK, np.int64)
    kind[road.is_lane], kind[road.is_edge], kind[road.is_line] = LANE, EDGE, LINE
    kind[road.type == RoadType.STOP_SIGN] = -1
    return kind


def _lights(signals: Signals, step: int, num_features: int) -> Int:
    """Light code of each feature at a step, int64 ``[F]``."""
    light = np.zeros(num_features, np.int64)
    shown = signals.valid[:, step] & (signals.lane >= 0)
    light[signals.lane[shown]] = _LIGHT_TABLE[signals.state[shown, step]]
    return light
