"""Whether a generated road is sound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from trafficgym.errors import SceneError
from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.road import Road, Route

GAP = 0.01  # m
KINK = 0.05  # rad, between the end of a lane and the start of the next
TIGHTEST = 0.25  # 1/m


def check_road(road: Road) -> None:
    """Check what every generated road promises.

    Lanes are connected end to start and without a kink, lie in the drivable area with their whole width and do not
    cross themselves; edges are closed, simple, and have the road on their left; offsets rise; routes and neighbours
    name one another.

    Raises:
        SceneError: it is broken; the message lists every problem.
    """
    problems = [*_features(road), *_lanes(road), *_links(road), *_edges(road)]
    for route in road.routes.values():
        problems += _route(road, route)
    if problems:
        raise SceneError(f"road {road.kind!r}: " + "; ".join(problems))


def _features(road: Road) -> Iterator[str]:
    if (np.diff(road.map.offsets) < 1).any():
        yield "a feature has no point"
    for f in np.flatnonzero(road.map.is_lane | road.map.is_line | road.map.is_edge).tolist():
        steps = np.hypot(*np.diff(road.map.points(f)[:, :2], axis=0).T)
        if not len(steps) or steps.min() < 1e-3:
            yield f"feature {f} has two points in one place"


def _lanes(road: Road) -> Iterator[str]:
    for f in np.flatnonzero(road.map.is_lane).tolist():
        line = shapely.LineString(road.map.points(f)[:, :2])
        if not line.is_simple:
            yield f"lane {f} crosses itself"
        lane = line.buffer(road.lane_width[f] / 2 - 0.05, cap_style="flat")
        if not road.drivable.contains(lane):
            yield f"lane {f} leaves the drivable area by {lane.difference(road.drivable).area:.2f} m^2"


def _links(road: Road) -> Iterator[str]:
    for f in np.flatnonzero(road.map.is_lane).tolist():
        for after in road.map.successors.of(f).tolist():
            if f not in road.map.predecessors.of(after):
                yield f"lane {after} does not have {f} as predecessor"
            one, other = road.lane_path(f), road.lane_path(after)
            if np.hypot(*(one.points[-1] - other.points[0])) > GAP:
                yield f"lane {f} ends away from where {after} begins"
            turn = float(other.yaw(0) - one.yaw(one.length))
            if abs((turn + np.pi) % (2 * np.pi) - np.pi) > KINK:
                yield f"lanes {f} and {after} meet with a kink"
        for beside in road.map.right_neighbors.of(f).tolist():
            if f not in road.map.left_neighbors.of(beside):
                yield f"lane {beside} does not have {f} on its left"


def _edges(road: Road) -> Iterator[str]:
    edges = np.flatnonzero(road.map.is_edge).tolist()
    if not edges:
        yield "there is no edge"
    for k, f in enumerate(edges):
        ring = shapely.LinearRing(road.map.points(f)[:, :2])
        if not np.array_equal(road.map.points(f)[0], road.map.points(f)[-1]):
            yield f"edge {f} is not closed"
        if not ring.is_simple:
            yield f"edge {f} crosses itself"
        if ring.is_ccw != (k == 0):
            yield f"edge {f} has the road on its right"
        if (road.map.type[f] == RoadType.EDGE_BOUNDARY) != (k == 0):
            yield f"edge {f} is of the wrong type"


def _route(road: Road, route: Route) -> Iterator[str]:
    for one, other in zip(route.lanes, route.lanes[1:], strict=False):
        if other not in road.map.successors.of(one):
            yield f"route {route.name} jumps from lane {one} to {other}"
    tightest = float(np.abs(route.path.curvature(route.path.at)).max())
    if tightest > TIGHTEST:
        yield f"route {route.name} has a curve of {1 / tightest:.1f} m radius"
    for name in (route.left, route.right, route.opposite):
        if name is not None and name not in road.routes:
            yield f"route {route.name} lies beside {name}, which is not there"
    if not np.all(np.diff(route.cuts) > 0) or abs(route.cuts[-1] - route.path.length) > GAP:
        yield f"route {route.name} has cuts that do not fit its path"
