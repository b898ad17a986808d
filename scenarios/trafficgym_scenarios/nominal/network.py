# mypy: allow-untyped-defs
"""A road as the drivers' law sees it: tables of routes, stop lines and of the places where routes meet."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym_scenarios.nominal.columns import (
    CROSSING,
    HOLD_A,
    IN_A,
    MEETING,
    MERGE,
    NUM_ZONE,
    OUT_A,
    PCURVATURE,
    PSPEED,
    PX,
    PY,
    PYAW,
    SPACING,
    ZIPPER,
)
from trafficgym_scenarios.roads.road import CLOSE, Path, Road, Route

Array = NDArray[np.float64]
Pairs = dict[tuple[int, int], list[list[float]]]

LATERAL_ACCELERATION = 2.0  # m/s^2 that a driver with a speed factor of 1 accepts in curves
SLOWING = 1.2  # m/s^2, before curves
CAR_ROOM = 9.0  # m between two meeting places, for a car to wait there
HOLD_MARGIN = 1.0  # m before a meeting place
SIDEWALK = 2.0  # m from the road's edge, where pedestrians wait
ZIPPER_COS = 0.95  # of the angle at which lanes meet whose vehicles close up like a zipper
RULES = ("signal", "all_way_stop", "stop", "yield")


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Routes of vehicles, then the ways of pedestrians (both directions of each crosswalk)."""

    names: tuple[str, ...]
    num_routes: int  # of vehicles
    walks: tuple[str, ...]  # crosswalk of each pedestrian way
    points: Array  # (P, 5) of all routes
    start: NDArray[np.int64]  # (R + 1,) route r owns points[start[r]:start[r + 1]]
    left: NDArray[np.int64]  # (R,) route beside it, -1 for none
    right: NDArray[np.int64]
    stops: Array  # (K, 3)
    stop_start: NDArray[np.int64]  # (R + 1,)
    zones: Array  # (Z, 7) by (a, b)
    zone_start: NDArray[np.int64]  # (R * R + 1,)

    @property
    def tables(self) -> tuple[NDArray, ...]:
        """What kernels take."""
        return (
            self.points,
            self.start,
            self.left,
            self.right,
            self.stops,
            self.stop_start,
            self.zones,
            self.zone_start,
        )

    def length(self, route: int) -> float:
        """m."""
        return float((self.start[route + 1] - self.start[route] - 1) * SPACING)


def network_of(road: Road) -> Network:
    """Lay out a road."""
    names = tuple(road.routes)
    index = {name: i for i, name in enumerate(names)}
    routes = list(road.routes.values())
    walks = [(name, path) for name, walk in road.crosswalks.items() for path in _walk_paths(walk.path)]
    tables = [_route_points(route) for route in routes] + [_points(path, 1.4) for _, path in walks]
    beside = np.full((2, len(tables)), -1)
    for i, route in enumerate(routes):
        for side, name in enumerate((route.left, route.right)):
            if name is not None and name in index:
                beside[side, i] = index[name]
    stops = [_stops(route, road) for route in routes] + [np.zeros((0, 3))] * len(walks)
    pairs = _vehicle_pairs(road, routes)
    _add_walks(pairs, road, routes, walks)
    zones, zone_start = _zone_table(pairs, stops, len(tables))
    return Network(
        names=(*names, *(name for name, _ in walks)),
        num_routes=len(routes),
        walks=tuple(name for name, _ in walks),
        points=np.concatenate(tables),
        start=_starts(tables),
        left=beside[0],
        right=beside[1],
        stops=np.concatenate(stops),
        stop_start=_starts(stops),
        zones=zones,
        zone_start=zone_start,
    )


def _starts(tables: list[Array]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(table) for table in tables])]).astype(np.int64)


def _route_points(route: Route) -> Array:
    table = _points(route.path, 0.0)
    at = np.arange(len(table)) * SPACING
    table[:, PSPEED] = route.limit(at)
    _plan_speed(table, LATERAL_ACCELERATION, SLOWING)
    return table


def _points(path: Path, speed: float) -> Array:
    """Points every 0.5 m on cubics through those of the path, in its directions."""
    at = np.arange(int(path.length / SPACING) + 1) * SPACING
    k = np.clip(np.searchsorted(path.at, at, side="right") - 1, 0, len(path.at) - 2)
    long = path.at[k + 1] - path.at[k]
    u = ((at - path.at[k]) / long)[:, None]
    yaw = path.yaw(path.at)
    way = np.stack([np.cos(yaw), np.sin(yaw)], -1)
    p, q = path.points[k], path.points[k + 1]
    a, b = way[k] * long[:, None], way[k + 1] * long[:, None]
    xy = p + u * a + u**2 * (3 * (q - p) - 2 * a - b) + u**3 * (a + b - 2 * (q - p))
    table = np.empty((len(at), 5))
    table[:, PX], table[:, PY] = xy.T
    table[:, PYAW] = path.yaw(at)
    table[:, PCURVATURE] = (path.yaw(at + 2.0) - path.yaw(at - 2.0)) / 4.0
    table[:, PSPEED] = speed
    return table


@njit(cache=True, error_model="numpy")
def _plan_speed(table, lateral, slowing):
    """Lower the limits to what curves allow, and slow down in time."""
    room = 2.0 * slowing * SPACING
    for k in range(len(table) - 1, -1, -1):
        curve = np.sqrt(lateral / max(abs(table[k, PCURVATURE]), 1e-4))
        table[k, PSPEED] = max(min(table[k, PSPEED], curve), 2.0)
        if k + 1 < len(table):
            table[k, PSPEED] = min(table[k, PSPEED], np.sqrt(table[k + 1, PSPEED] ** 2 + room))


def _walk_paths(path: Path) -> list[Path]:
    ends = path.xy(np.array([-SIDEWALK, path.length + SIDEWALK]))
    return [Path(ends), Path(ends[::-1])]


def _stops(route: Route, road: Road) -> Array:
    signalled = road.signal_plan.lanes if road.signal_plan is not None else ()
    rows = [
        [stop.s, RULES.index(stop.rule), signalled.index(stop.lane) if stop.rule == "signal" else -1]
        for stop in route.stops
    ]
    return np.array(sorted(rows), np.float64).reshape(-1, 3)


# Where routes meet.


def _vehicle_pairs(road: Road, routes: list[Route]) -> Pairs:
    """Rows of `Network.zones` for each pair of routes, without where to hold."""
    lanes = sorted({lane for route in routes for lane in route.lanes})
    lines = [road.map.points(lane)[:, :2].astype(np.float64) for lane in lanes]
    users: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for r, route in enumerate(routes):
        for lane, cut in zip(route.lanes, route.cuts, strict=False):
            users[lane].append((r, cut))
    pairs: Pairs = defaultdict(list)
    for a, b, a0, a1, b0, b1, merges, cos in near_lanes(np.concatenate(lines), _starts(lines), CLOSE):
        one, other = lanes[int(a)], lanes[int(b)]
        first = float(np.sign(int(road.rank[one]) - int(road.rank[other])))
        for i, cut_i in users[one]:
            for j, cut_j in users[other]:
                if one in routes[j].lanes or other in routes[i].lanes:
                    continue
                kind = CROSSING if not merges else (ZIPPER if cos > ZIPPER_COS else MERGE)
                if kind == ZIPPER and (_controlled(routes[i], cut_i + a0) or _controlled(routes[j], cut_j + b0)):
                    kind = MERGE
                span_a, span_b = [cut_i + a0, cut_i + a1], [cut_j + b0, cut_j + b1]
                pairs[i, j].append([*span_a, *span_b, kind, first, 0.0])
                pairs[j, i].append([*span_b, *span_a, kind, -first, 0.0])
    return pairs


def _controlled(route: Route, s: float) -> bool:
    return any(-5.0 < s - stop.s < 30.0 for stop in route.stops)


def _add_walks(pairs: Pairs, road: Road, routes: list[Route], walks: list[tuple[str, Path]]) -> None:
    for w, (name, path) in enumerate(walks):
        reach = road.crosswalks[name].width / 2 + 0.6
        for r, route in enumerate(routes):
            for s, along, cos in _crossings(route.path, path):
                skew = min(1.0 / max(np.sqrt(1.0 - cos * cos), 0.5), 2.0)
                span = [s - reach * skew, s + reach * skew]
                half = route.lane_width / 2 * skew
                pairs[r, len(routes) + w].append([*span, along - half, along + half, CROSSING, -1.0, 0.0])
                pairs[len(routes) + w, r].append([along - half, along + half, *span, CROSSING, 1.0, 0.0])


def _crossings(route: Path, walk: Path) -> list[tuple[float, float, float]]:
    """Where a route crosses the straight way of a pedestrian: m along each, and the cosine of the angle."""
    start, end = walk.points[0], walk.points[-1]
    way = (end - start) / walk.length
    rel = route.points - start
    along, aside = rel @ way, rel[:, 1] * way[0] - rel[:, 0] * way[1]
    found = []
    for k in np.flatnonzero(np.sign(aside[1:]) != np.sign(aside[:-1])):
        u = aside[k] / (aside[k] - aside[k + 1])
        at = along[k] + u * (along[k + 1] - along[k])
        if 0 <= at <= walk.length:
            s = route.at[k] + u * (route.at[k + 1] - route.at[k])
            heading = route.yaw(s)
            found.append((float(s), float(at), float(np.cos(heading) * way[0] + np.sin(heading) * way[1])))
    return found


def _zone_table(pairs: Pairs, stops: list[Array], num: int) -> tuple[Array, NDArray[np.int64]]:
    counts = np.zeros(num * num, np.int64)
    rows: list[list[float]] = []
    for key in sorted(pairs):
        counts[key[0] * num + key[1]] = len(pairs[key])
        rows += sorted(pairs[key])
    zones = np.array(rows, np.float64).reshape(-1, NUM_ZONE)
    owner = np.repeat(np.arange(num * num) // num, counts)
    for route in np.unique(owner):
        own = np.flatnonzero(owner == route)
        zones[own, HOLD_A] = _holds(zones[own], stops[route])
    return zones, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _holds(zones: Array, stops: Array) -> Array:
    """Where to wait for each meeting place: before the first of those that leave no room between them."""
    hold = zones[:, IN_A] - HOLD_MARGIN
    reached, held = -1e9, 0.0
    for k in np.argsort(zones[:, IN_A], kind="stable"):
        if zones[k, MEETING] == ZIPPER:
            continue
        if zones[k, IN_A] - reached > CAR_ROOM:
            held = zones[k, IN_A] - HOLD_MARGIN
            before = stops[(stops[:, 0] <= held + 3.0) & (stops[:, 0] > held - 15.0), 0]
            if len(before):
                held = float(before.max()) - 0.5
        hold[k] = held
        reached = max(reached, zones[k, OUT_A])
    return hold


@njit(cache=True, error_model="numpy")
def near_lanes(points, start, close):
    """Pairs of lanes whose centre lines come closer than `close` m without one following the other.

    Returns:
        ``[n, 8]``: both lanes' numbers, from where to where along each [m], whether they end as one, and the cosine
        of the angle between them where that begins.
    """
    num = len(start) - 1
    out = np.empty((num * num, 8))
    count = 0
    for a in range(num):
        p = points[start[a] : start[a + 1]]
        for b in range(a + 1, num):
            q = points[start[b] : start[b + 1]]
            if _apart(p, q, close) or _linked(p, q, close):
                continue
            on_a, on_b = np.zeros(len(p), np.bool_), np.zeros(len(q), np.bool_)
            for i in range(len(p)):
                for j in range(len(q)):
                    dx, dy = p[i, 0] - q[j, 0], p[i, 1] - q[j, 1]
                    if dx * dx + dy * dy < close * close:
                        on_a[i] = on_b[j] = True
            if not on_a.any():
                continue
            a0, a1, i = _span(p, on_a)
            b0, b1, j = _span(q, on_b)
            merges = np.hypot(p[-1, 0] - q[-1, 0], p[-1, 1] - q[-1, 1]) < 0.05
            ax, ay, bx, by = p[i + 1, 0] - p[i, 0], p[i + 1, 1] - p[i, 1], q[j + 1, 0] - q[j, 0], q[j + 1, 1] - q[j, 1]
            cos = (ax * bx + ay * by) / (np.hypot(ax, ay) * np.hypot(bx, by))
            out[count, 0], out[count, 1], out[count, 6], out[count, 7] = a, b, merges, cos
            out[count, 2], out[count, 3], out[count, 4], out[count, 5] = a0, a1, b0, b1
            count += 1
    return out[:count]


@njit(cache=True, error_model="numpy")
def _apart(p, q, close):
    beside = p[:, 0].min() > q[:, 0].max() + close or q[:, 0].min() > p[:, 0].max() + close
    return beside or p[:, 1].min() > q[:, 1].max() + close or q[:, 1].min() > p[:, 1].max() + close


@njit(cache=True, error_model="numpy")
def _linked(p, q, close):
    """Whether two lanes begin together, or one follows the other."""
    for one, other in ((p[0], q[0]), (p[-1], q[0]), (q[-1], p[0])):
        if np.hypot(one[0] - other[0], one[1] - other[1]) < close:
            return True
    return False


@njit(cache=True, error_model="numpy")
def _span(p, on):
    """Arc length at the first and the last marked point, and the number of the first (before the last of all)."""
    arc, first, last, begin = 0.0, -1.0, 0.0, 0
    for i in range(len(p)):
        if i > 0:
            arc += np.hypot(p[i, 0] - p[i - 1, 0], p[i, 1] - p[i - 1, 1])
        if on[i]:
            if first < 0:
                first, begin = arc, i
            last = arc
    return first, last, min(begin, len(p) - 2)
