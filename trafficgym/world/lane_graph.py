"""Which lane an agent is on, and where the lanes lead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import RoadMap, RoadType

Float = NDArray[np.float32]
Int = NDArray[np.int32]

LANE_STEP_M = 1.0  # spacing of the points that lanes are searched by
MAX_ASIDE_M = 2.5  # an agent further from a centre line is not on the lane
MAX_TURNED_RAD = math.radians(50)  # nor is one that points further away from it
MAX_LEVEL_M = 3.0  # nor one on another level
RAD_IN_M = 3.0  # how many metres off the centre line are as bad as one radian
OVERLAP_M = 1.0  # lanes that fit nearly as well as the best one are compared with the log
MAX_STARTS = 6
MAX_JUMP_M = 5.0  # a longer gap between a lane and its successor is a mistake of the source
MAX_CHAINS = 24  # lane sequences that are compared with the log


class LaneGraph:
    """The centre lines of a road, resampled, and which leads into which. Build it once per scene.

    Attributes:
        xy: Points of all lanes, about 1 m apart, float32 ``[Q, 2]`` m.
        z: Height of each, float32 ``[Q]`` m.
        heading: Direction of the lane at each point, float32 ``[Q]`` rad.
        lane_of: The lane of each point, int32 ``[Q]``; lanes count from 0 in the order of the map features.
        offsets: Lane i owns the points ``offsets[i]:offsets[i + 1]``, int32 ``[L + 1]``.
        limit: Speed limit of each lane, float32 ``[L]`` m/s, 0 unknown.
        is_bike: Whether each is a bike lane, bool ``[L]``.
        successors: Lanes that each lane leads into, the straightest first.
    """

    def __init__(self, road: RoadMap) -> None:
        features = np.flatnonzero(road.is_lane & (np.diff(road.offsets) > 1))
        self.limit: Float = road.speed_limit[features]
        self.is_bike = road.type[features] == RoadType.LANE_BIKE
        xyz, self.heading, self.offsets = _sample_lanes(road.xyz, road.offsets[features], road.offsets[features + 1])
        self.xy, self.z = np.ascontiguousarray(xyz[:, :2]), np.ascontiguousarray(xyz[:, 2])
        self.lane_of: Int = np.repeat(np.arange(len(features), dtype=np.int32), np.diff(self.offsets))
        self.successors = self._link(road, features)

    def _link(self, road: RoadMap, features: NDArray[np.intp]) -> list[list[int]]:
        lane = np.full(road.num_features, -1)
        lane[features] = np.arange(len(features))
        links = []
        for i, f in enumerate(features):
            end = self.offsets[i + 1] - 1
            found = [int(j) for j in lane[road.successors.of(f)] if j >= 0 and self._gap(end, j) <= MAX_JUMP_M]
            links.append(sorted(found, key=lambda lane, end=end: self._turn(end, lane)))  # type: ignore[misc]
        return links

    def _gap(self, end: int, lane: int) -> float:
        return float(np.hypot(*(self.xy[self.offsets[lane]] - self.xy[end])))

    def _turn(self, end: int, lane: int) -> float:
        """How much the first 15 m of `lane` turn away from the direction at point `end`, rad."""
        into = min(self.offsets[lane] + 15, self.offsets[lane + 1] - 1)
        return abs(_wrapped(float(self.heading[into] - self.heading[end])))

    def lanes_at(self, x: float, y: float, z: float, yaw: float, *, bikes: bool) -> list[int]:
        """Points of the lanes that an agent there is on, one per lane, the best fit first; several where they overlap.

        Args:
            x: Box centre, m, as is `y`.
            z: Bottom of the box, m.
            yaw: Direction of the agent, rad.
            bikes: Whether bike lanes count.
        """
        point, cost = _fit(self.xy, self.z, self.heading, self.offsets, x, y, z, yaw)
        if not bikes:
            cost = np.where(self.is_bike, np.inf, cost)
        order = np.argsort(cost, kind="stable")[:MAX_STARTS]
        return [int(p) for p in point[order[cost[order] < cost[order[:1]] + OVERLAP_M]]]

    def follow(self, starts: list[int], future: Float, length: float) -> NDArray[np.intp]:
        """Indices of the points of the lanes that lead on from one of `starts`, near the logged `future` ``[n, 2]``."""
        ahead = 5.0 + float(arc_length(future)[-1]) if len(future) else 0.0
        chains = [chain for start in starts for chain in self._chains(start, min(ahead, length))][:MAX_CHAINS]
        if len(chains) > 1 and len(future):
            away = [_distance(self.xy[self._points(start, lanes)], future) for start, lanes in chains]
            start, lanes = chains[int(np.argmin(away))]
        else:
            start, lanes = chains[0]
        route = list(lanes)
        covered = sum(self._length(lane) for lane in route) - (start - self.offsets[route[0]])
        while covered < length and self.successors[route[-1]]:
            route.append(self.successors[route[-1]][0])
            covered += self._length(route[-1])
        return self._points(start, route)

    def _chains(self, start: int, ahead: float) -> list[tuple[int, tuple[int, ...]]]:
        """Sequences of lanes from point `start` that cover `ahead` metres, or end before, the straightest first."""
        lane = int(self.lane_of[start])
        done: list[tuple[int, tuple[int, ...]]] = []
        open_: list[tuple[tuple[int, ...], float]] = [((lane,), float(self.offsets[lane + 1] - start))]
        while open_ and len(done) < MAX_CHAINS:
            lanes, covered = open_.pop()
            further = self.successors[lanes[-1]] if covered < ahead else []
            open_ += [((*lanes, j), covered + self._length(j)) for j in reversed(further)]
            if not further:
                done.append((start, lanes))
        return done

    def _length(self, lane: int) -> float:
        return LANE_STEP_M * float(self.offsets[lane + 1] - self.offsets[lane])

    def _points(self, start: int, lanes: Sequence[int]) -> NDArray[np.intp]:
        parts = [np.arange(start, self.offsets[lanes[0] + 1])]
        parts += [np.arange(self.offsets[lane], self.offsets[lane + 1]) for lane in lanes[1:]]
        return np.concatenate(parts)


@njit(cache=True)
def _sample_lanes(xyz: Float, first: Int, end: Int) -> tuple[Float, Float, Int]:
    """Resample the lanes ``xyz[first[i]:end[i]]`` evenly, about 1 m apart; returns points, headings and offsets."""
    offsets = np.zeros(len(first) + 1, np.int32)
    for i in range(len(first)):
        way = 0.0
        for k in range(first[i] + 1, end[i]):
            way += math.hypot(xyz[k, 0] - xyz[k - 1, 0], xyz[k, 1] - xyz[k - 1, 1])
        offsets[i + 1] = offsets[i] + max(math.ceil(way / LANE_STEP_M - 1e-3), 1) + 1
    out = np.empty((offsets[-1], 3), np.float32)
    heading = np.empty(offsets[-1], np.float32)
    for i in range(len(first)):
        a, b = offsets[i], offsets[i + 1]
        line = xyz[first[i] : end[i]]
        arc = arc_length(line)
        at = np.linspace(0.0, arc[-1], b - a)
        for c in range(3):
            out[a:b, c] = np.interp(at, arc, line[:, c])
        for q in range(a, b - 1):
            heading[q] = math.atan2(out[q + 1, 1] - out[q, 1], out[q + 1, 0] - out[q, 0])
        heading[b - 1] = heading[b - 2]
    return out, heading, offsets


@njit(cache=True)
def _fit(
    xy: Float, z_of: Float, heading: Float, offsets: Int, x: float, y: float, z: float, yaw: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How well an agent fits each lane: the nearest point of the lane and a cost in metres, inf where it does not."""
    num = len(offsets) - 1
    point, cost = np.zeros(num, np.int64), np.full(num, np.inf)
    reach = (MAX_ASIDE_M + LANE_STEP_M) ** 2
    for lane in range(num):
        for q in range(offsets[lane], offsets[lane + 1]):
            dx, dy = x - xy[q, 0], y - xy[q, 1]
            if dx * dx + dy * dy > reach or abs(z_of[q] - z) > MAX_LEVEL_M:
                continue
            cos, sin = math.cos(heading[q]), math.sin(heading[q])
            along, aside = abs(dx * cos + dy * sin), abs(dy * cos - dx * sin)
            turned = abs((heading[q] - yaw + math.pi) % math.tau - math.pi)
            if along > LANE_STEP_M or aside > MAX_ASIDE_M or turned > MAX_TURNED_RAD:
                continue
            bad = aside + RAD_IN_M * turned + 0.1 * along
            if bad < cost[lane]:
                point[lane], cost[lane] = q, bad
    return point, cost


@njit(cache=True)
def _distance(line: Float, points: Float) -> float:
    """Mean distance from `points` to the nearest point of `line`, m."""
    total = 0.0
    for i in range(len(points)):
        nearest = np.inf
        for k in range(len(line)):
            dx, dy = line[k, 0] - points[i, 0], line[k, 1] - points[i, 1]
            nearest = min(nearest, dx * dx + dy * dy)
        total += math.sqrt(nearest)
    return total / len(points)


@njit(cache=True)
def arc_length(line: NDArray[np.floating]) -> NDArray[np.float64]:
    """Way along a polyline to each of its points, ``[n]`` m."""
    arc = np.zeros(len(line))
    for k in range(1, len(line)):
        arc[k] = arc[k - 1] + math.hypot(line[k, 0] - line[k - 1, 0], line[k, 1] - line[k - 1, 1])
    return arc


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % math.tau - math.pi
