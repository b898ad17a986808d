"""A place in a recorded scene where a story could be told: an ego, its lane, and what lies beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from trafficgym.scene.scene import Links, RoadMap, RoadType, Scene
from trafficgym.world.lane_graph import LaneGraph
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.stage import Stage

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]

BEHIND_M, AHEAD_M = 120.0, 400.0
"""How much of the ego's lane is looked for."""
JOINT_M, JOINT_RAD = 0.6, math.radians(45)
"""Where a source has no lane graph, a lane leads into those that begin where it ends, and in its direction."""
PARALLEL_RAD = math.radians(20)
LANE_M, USUAL_LANE_M = (2.4, 5.4), 3.5
"""A centre line so far from the ego's is that of the next lane."""
BESIDE_M = (-10.0, 30.0)
"""Stretch along the ego's path on which a lane must run beside it."""
NEAR_M = 20.0
"""What is further from the ego's path than this has nothing to do with the story."""
LEVEL_M = 3.0
EDGE_M = 40.0
"""Edges are looked for as far away as this."""
UNKNOWN_LIMIT = 13.4  # m/s


class NotHere(Exception):
    """The track cannot be the ego of any story; the text says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """Points of lanes about the ego's path."""

    xy: Array  # (n, 2) m
    z: Array  # (n,) m
    yaw: Array  # (n,) rad

    def height(self, xy: Array, usual: float) -> Array:
        """Height of the lane nearest to each of `xy` ``[..., 2]``, m; `usual` where there is none."""
        if not len(self.z):
            return np.full(xy.shape[:-1], usual)
        return self.z[self._tree.nearest(shapely.points(xy.reshape(-1, 2)))].reshape(xy.shape[:-1])

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(shapely.points(self.xy))

    def nearest(self, xy: Array, yaw: Array, most: float) -> tuple[Array, Array]:
        """Distance to the nearest lane that runs within `most` rad of `yaw`, and within `most` against it, m.

        Args:
            xy: ``[..., 2]`` m.
            yaw: ``[...]`` rad.
            most: rad.
        """
        if not len(self.z):
            none = np.full(xy.shape[:-1], np.inf)
            return none, none
        away, turned = self._away(xy), np.abs(wrapped(self.yaw - yaw[..., None]))
        along = np.where(turned < most, away, np.inf).min(-1)
        against = np.where(turned > math.pi - most, away, np.inf).min(-1)
        return along, against

    def _away(self, xy: Array) -> Array:
        return np.asarray(np.hypot(self.xy[:, 0] - xy[..., None, 0], self.xy[:, 1] - xy[..., None, 1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """An ego in a scene, and the stage around it."""

    scene: Scene
    ego: int
    """Its track."""
    speed: float
    """m/s, now."""
    stage: Stage
    lanes: Surroundings
    clearance: float
    """m from the surface of its lane to the bottom of the ego's box, as the source has them."""
    has_kerb: bool
    """Whether both edges of the road are known here."""


class Ground:
    """The lanes and edges of a scene, made ready once for all egos and families.

    Args:
        scene: Any scene. Where its source has no lane graph, lanes are joined where their ends meet.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        road = scene.road if scene.road.has_lane_graph else replace(scene.road, successors=joints(scene.road))
        self.graph = LaneGraph(road)
        self._sites: dict[int, Site | NotHere] = {}

    @cached_property
    def _before(self) -> list[list[int]]:
        before: list[list[int]] = [[] for _ in self.graph.successors]
        for lane, successors in enumerate(self.graph.successors):
            for successor in successors:
                before[successor].append(lane)
        return before

    @cached_property
    def _edges(self) -> shapely.STRtree:
        road = self.scene.road
        features = np.flatnonzero(road.is_edge & (np.diff(road.offsets) > 1))
        return shapely.STRtree([shapely.LineString(road.points(f)[:, :2]) for f in features.tolist()])

    def speed(self, track: int) -> float:
        """Of a track, now, m/s."""
        tracks, now = self.scene.tracks, self.scene.current_step
        return math.hypot(tracks.vx[track, now], tracks.vy[track, now])

    def site(self, ego: int) -> Site:
        """The stage around a track; worked out once.

        Raises:
            NotHere: it is on no lane.
        """
        if ego not in self._sites:
            try:
                self._sites[ego] = self._site(ego)
            except NotHere as why:
                self._sites[ego] = why
        found = self._sites[ego]
        if isinstance(found, NotHere):
            raise found
        return found

    def _site(self, ego: int) -> Site:
        scene, tracks, now = self.scene, self.scene.tracks, self.scene.current_step
        x, y, z, yaw = (float(values[ego, now]) for values in (tracks.x, tracks.y, tracks.z, tracks.yaw))
        floor = z - 0.5 * float(tracks.height[ego, now])
        starts = self.graph.lanes_at(x, y, floor, yaw, bikes=False)
        if not starts:
            raise NotHere("it is on no lane")
        ahead = self.graph.follow(starts, _future(scene, ego), AHEAD_M)
        points = np.concatenate([self._behind(int(ahead[0])), ahead])
        path = Path(_spaced(self.graph.xy[points].astype(np.float64)))
        start, _ = path.project(np.array([x, y]))
        lanes = self._surroundings(path, points[::8])
        left, right, opposite = _beside(lanes, path, float(start))
        width = min((abs(d) for d in (left, right) if d is not None), default=USUAL_LANE_M)
        edges = self._to_edges(path, float(start))
        limit = float(self.graph.limit[self.graph.lane_of[ahead[0]]])
        stage = Stage(
            road=scene.road,
            path=path,
            start=float(start),
            lane_width=width,
            speed_limit=limit or UNKNOWN_LIMIT,
            left=left,
            right=right,
            opposite=opposite,
            edge_right=-edges[0],
            edge_left=edges[1],
            signals=scene.signals,
        )
        return Site(
            scene=scene,
            ego=ego,
            speed=self.speed(ego),
            stage=stage,
            lanes=lanes,
            clearance=floor - float(self.graph.z[ahead[0]]),
            has_kerb=max(edges) < EDGE_M,
        )

    def _behind(self, point: int) -> NDArray[np.intp]:
        """Points of the lanes that lead to a point, the straightest, in driving order, without the point."""
        graph, lane = self.graph, int(self.graph.lane_of[point])
        parts, seen = [np.arange(graph.offsets[lane], point)], {lane}
        while sum(map(len, parts)) < BEHIND_M:
            lanes = [one for one in self._before[lane] if one not in seen]
            if not lanes:
                break
            into = graph.heading[graph.offsets[lane]]
            lane = min(lanes, key=lambda one: abs(wrapped(graph.heading[max(self._end(one) - 15, 0)] - into)))
            seen.add(lane)
            parts.insert(0, np.arange(graph.offsets[lane], graph.offsets[lane + 1]))
        return np.concatenate(parts).astype(np.intp)

    def _end(self, lane: int) -> int:
        return int(self.graph.offsets[lane + 1]) - 1

    def _surroundings(self, path: Path, own: NDArray[np.intp]) -> Surroundings:
        graph = self.graph
        low, high = path.points.min(0) - NEAR_M, path.points.max(0) + NEAR_M
        near = np.flatnonzero(((graph.xy > low) & (graph.xy < high)).all(1) & ~graph.is_bike[graph.lane_of])
        away = np.hypot(*(graph.xy[near, None] - graph.xy[own]).transpose(2, 0, 1))  # (n, m)
        level = graph.z[own[away.argmin(1)]]
        near = near[(away.min(1) < NEAR_M) & (np.abs(graph.z[near] - level) < LEVEL_M)]
        xy, z, yaw = (values[near].astype(np.float64) for values in (graph.xy, graph.z, graph.heading))
        return Surroundings(xy=xy, z=z, yaw=yaw)

    def _to_edges(self, path: Path, start: float) -> tuple[float, float]:
        """From the ego's path to the road's edge on its right and left, over the next 60 m: the median, m."""
        s = np.arange(start, min(start + 60.0, path.length), 6.0)
        return tuple(self._to_edge(path, s, side) for side in (-1.0, 1.0))  # type: ignore[return-value]

    def _to_edge(self, path: Path, s: Array, side: float) -> float:
        if not len(self._edges.geometries) or not len(s):
            return EDGE_M
        from_, to = path.xy(s), path.xy(s, side * EDGE_M)
        rays = shapely.linestrings(np.stack([from_, to], 1))
        ray, edge = self._edges.query(rays, predicate="intersects")
        found = np.full(len(s), EDGE_M)
        hits = shapely.intersection(rays[ray], self._edges.geometries[edge])
        np.minimum.at(found, ray, shapely.distance(shapely.points(from_[ray]), hits))
        return float(np.median(found))


def joints(road: RoadMap) -> Links:
    """Successors of lanes from geometry alone: those that begin where a lane ends, in its direction."""
    lanes = np.flatnonzero(road.is_lane & (np.diff(road.offsets) > 1))
    first, last = road.offsets[lanes], road.offsets[lanes + 1] - 1
    starts, ends = road.xyz[first], road.xyz[last]
    into, out_of = road.xyz[first + 1] - starts, ends - road.xyz[last - 1]
    yaw_in, yaw_out = (np.arctan2(step[:, 1], step[:, 0]) for step in (into, out_of))
    near = np.linalg.norm(starts[None, :, :2] - ends[:, None, :2], axis=2) < JOINT_M
    near &= np.abs(starts[None, :, 2] - ends[:, None, 2]) < LEVEL_M
    near &= np.abs(wrapped(yaw_in[None] - yaw_out[:, None])) < JOINT_RAD
    is_bike = road.type[lanes] == RoadType.LANE_BIKE
    near &= is_bike[None] == is_bike[:, None]
    lists: list[list[int]] = [[] for _ in range(road.num_features)]
    for i, j in np.argwhere(near):
        if i != j:
            lists[lanes[i]].append(int(lanes[j]))
    return Links.from_lists(lists)


def wrapped(angle: NDArray[np.floating]) -> Array:
    """To [-pi, pi)."""
    return np.asarray((angle + math.pi) % math.tau - math.pi, np.float64)


def _future(scene: Scene, track: int) -> NDArray[np.float32]:
    """Where the log goes from now on, ``[n, 2]`` m, about 2 m apart; empty where it does not move."""
    tracks, now = scene.tracks, scene.current_step
    later = now + np.flatnonzero(tracks.valid[track, now:])
    xy = np.stack([tracks.x[track, later], tracks.y[track, later]], 1)
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    if way[-1] < 2.0:
        return np.zeros((0, 2), np.float32)
    return xy[np.searchsorted(way, np.arange(0.0, way[-1], 2.0))].astype(np.float32)


def _spaced(xy: Array) -> Array:
    """Points without those less than 0.3 m from the one before."""
    kept = [0]
    for k in range(1, len(xy)):
        if math.hypot(*(xy[k] - xy[kept[-1]])) > 0.3:
            kept.append(k)
    if len(kept) < 2:
        raise NotHere("its lane ends here")
    return xy[kept]


def _beside(lanes: Surroundings, path: Path, start: float) -> tuple[float | None, float | None, float | None]:
    """Offsets of the lanes on the left and right in the ego's direction, and of the nearest oncoming one."""
    s, d = path.project(lanes.xy)
    turned = np.abs(wrapped(lanes.yaw - path.yaw(s)))
    here = (s > start + BESIDE_M[0]) & (s < start + BESIDE_M[1])
    found = []
    for side, along in ((1.0, True), (-1.0, True), (1.0, False)):
        fits = here & ((turned < PARALLEL_RAD) if along else (turned > math.pi - PARALLEL_RAD))
        found.append(_lane(s[fits], side * d[fits], start))
    left, right, opposite = found
    return left, None if right is None else -right, opposite


def _lane(s: Array, aside: Array, start: float) -> float | None:
    """Offset of a lane, from points of all that run alike: None where none runs at one distance all along."""
    near = (aside > LANE_M[0]) & (aside < LANE_M[1])
    if not near.any():
        return None
    places = np.floor((s - start) / 2.0).astype(int)
    places, s_of = np.unique(places[near], return_inverse=True)
    nearest = np.full(len(places), np.inf)
    np.minimum.at(nearest, s_of, aside[near])
    offset = float(np.median(nearest))
    share = (np.abs(nearest - offset) < 0.7).sum() / ((BESIDE_M[1] - BESIDE_M[0]) / 2.0)
    return offset if share > 0.8 else None
