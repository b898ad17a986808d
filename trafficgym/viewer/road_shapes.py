"""From map features to drawable shapes in scene metres: thick segments and polygons, layer by layer.

Maps hold lanes and edges but no areas. The surface is the union of discs around the lanes' points, each as large as
the nearest road edge at the same height allows: no disc crosses an edge, so the union is road, right up to the kerb.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import RoadType

if TYPE_CHECKING:
    from trafficgym.scene.scene import RoadMap

Segments = NDArray[np.float64]  # (M, 6) x0, y0, x1, y1, radius 0, radius 1, m

LANE_RADIUS = 1.85  # m, half of a usual lane, where the map has no edges
BIKE_RADIUS = 0.8
REACH = 6.5  # m, no disc is larger
STOREY = 3.5  # m between a road and one that passes over it
LINE_RADIUS = 0.07
DOUBLE_GAP = 0.13  # m from the middle of a double line to each of its lines
DASH_ON, DASH_OFF = 3.05, 9.15  # m: 10 ft and 30 ft, the United States' Manual on Uniform Traffic Control Devices 3A

_WHITE = {RoadType.LINE_BROKEN_SINGLE_WHITE, RoadType.LINE_SOLID_SINGLE_WHITE, RoadType.LINE_SOLID_DOUBLE_WHITE}
_BROKEN, _SOLID = "broken", "solid"
_STROKES: dict[RoadType, tuple[tuple[float, str], ...]] = {
    RoadType.LINE_UNKNOWN: ((0.0, _SOLID),),
    RoadType.LINE_BROKEN_SINGLE_WHITE: ((0.0, _BROKEN),),
    RoadType.LINE_SOLID_SINGLE_WHITE: ((0.0, _SOLID),),
    RoadType.LINE_SOLID_DOUBLE_WHITE: ((-DOUBLE_GAP, _SOLID), (DOUBLE_GAP, _SOLID)),
    RoadType.LINE_BROKEN_SINGLE_YELLOW: ((0.0, _BROKEN),),
    RoadType.LINE_BROKEN_DOUBLE_YELLOW: ((-DOUBLE_GAP, _BROKEN), (DOUBLE_GAP, _BROKEN)),
    RoadType.LINE_SOLID_SINGLE_YELLOW: ((0.0, _SOLID),),
    RoadType.LINE_SOLID_DOUBLE_YELLOW: ((-DOUBLE_GAP, _SOLID), (DOUBLE_GAP, _SOLID)),
    RoadType.LINE_PASSING_DOUBLE_YELLOW: ((-DOUBLE_GAP, _SOLID), (DOUBLE_GAP, _BROKEN)),
}
"""For each line type its strokes: offset to the left in m, and pattern."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Strokes:
    """Thick segments of one colour."""

    color: str  # name of a Palette field
    segments: Segments
    alpha: float = 1.0
    min_radius: float = 0.0  # px
    min_scale: float = 0.0  # px/m, not drawn below


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """Areas of one colour, plain or striped (see `raster.fill_polygons`)."""

    color: str
    points: NDArray[np.float64]  # (P, 2) m
    offsets: NDArray[np.int64]  # (K + 1,)
    stripes: NDArray[np.float64]  # (K, 4) unit direction, period m, painted share
    alpha: float = 1.0
    min_scale: float = 0.0


Layer = Strokes | Polygons


def road_layers(road: RoadMap) -> list[Layer]:
    """Everything of `road` that does not move, in the order in which it is drawn."""
    if not road.num_features:
        return []
    upper = _is_upper(road)
    layers: list[Layer] = [_polygons(road, RoadType.DRIVEWAY, "driveway")]
    layers.append(Strokes(color="surface", segments=_surface(road, ~upper)))
    layers.append(_polygons(road, RoadType.CROSSWALK, "crosswalk", (1.2, 0.5)))
    layers.append(_polygons(road, RoadType.SPEED_BUMP, "speed_bump", (1.0, 0.5), across=True))
    layers += _marks(road, ~upper)
    if upper.any():
        layers += _bridge(road, upper)
    layers += _stop_signs(road)
    return [layer for layer in layers if len(layer.segments if isinstance(layer, Strokes) else layer.points)]


def _bridge(road: RoadMap, upper: NDArray[np.bool_]) -> Iterator[Layer]:
    """What passes over other roads; `upper` ``[P]`` picks its points."""
    # The round ends of the bridge's surface lie on the road that leads to it: no shade there, and the marks again.
    middle = upper & ~_is_near(road, ~upper, REACH + 2.0)
    yield Strokes(color="bridge_shade", segments=_surface(road, middle) + np.array([0, 0, 0, 0, 1.2, 1.2]), alpha=0.7)
    yield Strokes(color="surface", segments=_surface(road, upper))
    yield from _marks(road, upper | _is_near(road, upper, REACH + 2.0))


def _marks(road: RoadMap, here: NDArray[np.bool_]) -> Iterator[Layer]:
    """Bicycle lanes, centre lines, painted lines and edges, of the points that `here` ``[P]`` picks."""
    bikes = [_segments(xy, BIKE_RADIUS) for xy in _runs(road, road.type == RoadType.LANE_BIKE, here)]
    yield Strokes(color="bike_surface", segments=_join(bikes))
    centers, arrows = _lane_marks(road, here)
    yield Strokes(color="lane_center", segments=centers, alpha=0.5, min_radius=0.4, min_scale=1.5)
    yield Strokes(color="lane_center", segments=arrows, alpha=0.9, min_radius=0.5, min_scale=4.0)
    for color, segments in _painted_lines(road, here).items():
        yield Strokes(color=color, segments=segments, alpha=0.9, min_radius=0.5, min_scale=1.0)
    for kinds, color in (
        ((RoadType.EDGE_UNKNOWN, RoadType.EDGE_BOUNDARY), "edge"),
        ((RoadType.EDGE_MEDIAN,), "median"),
    ):
        pieces = [_segments(xy, 0.14) for xy in _runs(road, np.isin(road.type, kinds), here)]
        yield Strokes(color=color, segments=_join(pieces), min_radius=0.6)


def _runs(road: RoadMap, features: NDArray[np.bool_], here: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """The stretches of the wanted features that lie on this storey, ``[n, 2]`` m, n > 1."""
    for feature in np.flatnonzero(features):
        start, stop = road.offsets[feature], road.offsets[feature + 1]
        xy, inside = road.xyz[start:stop, :2].astype(np.float64), here[start:stop]
        if inside.all():
            if len(xy) > 1:
                yield xy
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            # One point more on either side, so that storeys meet without a gap.
            if min(b + 1, len(xy)) - max(a - 1, 0) > 1:
                yield xy[max(a - 1, 0) : b + 1]


def _segments(xy: NDArray, radius: float | NDArray) -> Segments:
    radii = np.broadcast_to(radius, len(xy))
    return np.column_stack([xy[:-1], xy[1:], radii[:-1], radii[1:]])


def _join(pieces: list[Segments]) -> Segments:
    return np.concatenate(pieces) if pieces else np.zeros((0, 6))


def _surface(road: RoadMap, here: NDArray[np.bool_]) -> Segments:
    """Discs along the driving lanes that reach to the road edges."""
    edges = _limits(road)
    pieces = []
    for feature in np.flatnonzero(road.is_lane & (road.type != RoadType.LANE_BIKE)):
        mine = slice(road.offsets[feature], road.offsets[feature + 1])
        if not here[mine].any():
            continue
        xyz = road.xyz[mine].astype(np.float64)
        if len(xyz) < 2:
            continue
        xyz = _resample(xyz, 1.5)
        radius = np.maximum(_clearance(xyz, edges, REACH), 1.2) if len(edges) else np.full(len(xyz), LANE_RADIUS)
        storey = np.interp(_arc(xyz), _arc(road.xyz[mine]), here[mine]) > 0.5
        wanted = storey[:-1] | storey[1:]
        pieces.append(_segments(xyz[:, :2], radius)[wanted])
    return _join(pieces)


def _limits(road: RoadMap) -> NDArray[np.float64]:
    """Points of all road edges every metre, ``[E, 3]`` m, sorted by x; of solid lines where the map has no edges."""
    ends = road.is_edge if road.is_edge.any() else road.type == RoadType.LINE_SOLID_SINGLE_WHITE
    features = np.flatnonzero(ends).tolist()
    pieces = [_resample(road.points(f).astype(np.float64), 1.0) for f in features if len(road.points(f)) > 1]
    points = np.concatenate(pieces) if pieces else np.zeros((0, 3))
    return _sorted(points)


def _arc(points: NDArray) -> NDArray[np.float64]:
    """Length along a polyline at each of its points, ``[n]`` m."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2].astype(np.float64), axis=0).T))])


def _resample(points: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """A polyline's points at equal distances of about `spacing` m."""
    arc = _arc(points)
    at = np.linspace(0.0, arc[-1], max(2, round(arc[-1] / spacing) + 1))
    return np.column_stack([np.interp(at, arc, points[:, c]) for c in range(points.shape[1])])


@njit(cache=True)
def _clearance(points: NDArray, others: NDArray, reach: float) -> NDArray:
    """Distance in the plane from each point to the nearest of `others` (sorted by x) of its storey, at most reach."""
    result = np.full(len(points), reach)
    xs = others[:, 0].copy()
    for i in range(len(points)):
        nearest = reach * reach
        for j in range(np.searchsorted(xs, points[i, 0] - reach), np.searchsorted(xs, points[i, 0] + reach)):
            if abs(others[j, 2] - points[i, 2]) < STOREY:
                dx, dy = others[j, 0] - points[i, 0], others[j, 1] - points[i, 1]
                nearest = min(nearest, dx * dx + dy * dy)
        result[i] = np.sqrt(nearest)
    return result


@njit(cache=True)
def _any_within(points: NDArray, others: NDArray, radius: float, lowest: float, highest: float) -> NDArray:
    """Whether one of `others` (sorted by x) lies within `radius` of each point in the plane, and as much higher (m)."""
    result = np.zeros(len(points), np.bool_)
    xs = others[:, 0].copy()
    for i in range(len(points)):
        for j in range(np.searchsorted(xs, points[i, 0] - radius), np.searchsorted(xs, points[i, 0] + radius)):
            dx, dy = others[j, 0] - points[i, 0], others[j, 1] - points[i, 1]
            if lowest < others[j, 2] - points[i, 2] < highest and dx * dx + dy * dy < radius * radius:
                result[i] = True
                break
    return result


def _is_upper(road: RoadMap) -> NDArray[np.bool_]:
    """Which points ``[P]`` lie on a road that passes over a lane there."""
    if np.ptp(road.xyz[:, 2]) < STOREY:
        return np.zeros(len(road.xyz), bool)
    lanes = road.is_lane[road.point_feature()]
    return _any_within(road.xyz.astype(np.float64), _sorted(road.xyz[lanes]), 10.0, -np.inf, -STOREY)


def _is_near(road: RoadMap, which: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Which points ``[P]`` have one of `which` ``[P]`` within `radius` m at their own height."""
    return _any_within(road.xyz.astype(np.float64), _sorted(road.xyz[which]), radius, -STOREY, STOREY)


def _sorted(points: NDArray) -> NDArray[np.float64]:
    return points[np.argsort(points[:, 0])].astype(np.float64)


def _lane_marks(road: RoadMap, here: NDArray[np.bool_]) -> tuple[Segments, Segments]:
    """Centre lines of the lanes, and a small arrow along the traffic every 25 m."""
    lines, arrows = [], []
    for xy in _runs(road, road.is_lane, here):
        lines.append(_segments(xy, 0.05))
        arc = _arc(xy)
        for at in np.arange(8.0, arc[-1] - 4.0, 25.0):
            tip, tail = (np.array([np.interp(at + d, arc, xy[:, c]) for c in (0, 1)]) for d in (0.5, -0.5))
            forward = (tip - tail) / max(float(np.hypot(*(tip - tail))), 1e-6)
            left = np.array([-forward[1], forward[0]])
            wings = [tip - 0.8 * forward + side * 0.45 * left for side in (1, -1)]
            arrows.append(_segments(np.array([wings[0], tip, wings[1]]), 0.06))
    return _join(lines), _join(arrows)


def _painted_lines(road: RoadMap, here: NDArray[np.bool_]) -> dict[str, Segments]:
    """Segments of the painted lines by colour, with their real patterns."""
    pieces: dict[str, list[Segments]] = {"edge": [], "line_white": [], "line_yellow": []}
    for kind, strokes in _STROKES.items():
        color = "edge" if kind == RoadType.LINE_UNKNOWN else "line_white" if kind in _WHITE else "line_yellow"
        for xy in _runs(road, road.type == kind, here):
            for offset, pattern in strokes:
                line = _offset(xy, offset) if offset else xy
                pieces[color].append(_dashes(line) if pattern == _BROKEN else _segments(line, LINE_RADIUS))
    return {color: _join(found) for color, found in pieces.items()}


def _offset(xy: NDArray, left: float) -> NDArray:
    """A polyline moved to its left by `left` m."""
    along = np.gradient(xy, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    return xy + left * np.column_stack([-along[:, 1], along[:, 0]])


def _dashes(xy: NDArray) -> Segments:
    """The painted parts of a broken line."""
    arc = _arc(xy)
    period = DASH_ON + DASH_OFF
    starts = np.arange(0.0, arc[-1], period)
    cuts = np.unique(np.concatenate([arc, starts, np.minimum(starts + DASH_ON, arc[-1])]))
    points = np.column_stack([np.interp(cuts, arc, xy[:, c]) for c in (0, 1)])
    painted = (0.5 * (cuts[:-1] + cuts[1:])) % period < DASH_ON
    return _segments(points, LINE_RADIUS)[painted]


def _polygons(
    road: RoadMap, kind: RoadType, color: str, stripes: tuple[float, float] = (0.0, 1.0), *, across: bool = False
) -> Polygons:
    """All areas of one kind; their stripes follow each other along the longest side, or `across` it."""
    found = [road.points(f)[:, :2].astype(np.float64) for f in np.flatnonzero(road.type == kind).tolist()]
    found = [xy for xy in found if len(xy) > 2]
    rows = np.array([[*_long_side(xy, across), *stripes] for xy in found]).reshape(-1, 4)
    points = np.concatenate(found) if found else np.zeros((0, 2))
    offsets = np.cumsum([0] + [len(xy) for xy in found])
    return Polygons(color=color, points=points, offsets=offsets, stripes=rows, alpha=0.75 if stripes[0] else 1.0)


def _long_side(xy: NDArray, across: bool) -> tuple[float, float]:
    sides = np.roll(xy, -1, axis=0) - xy
    x, y = sides[np.argmax(np.hypot(sides[:, 0], sides[:, 1]))]
    norm = max(float(np.hypot(x, y)), 1e-9)
    return (-y / norm, x / norm) if across else (x / norm, y / norm)


def _stop_signs(road: RoadMap) -> Iterator[Polygons]:
    """Red octagons with a rim."""
    at = [
        road.points(f)[0, :2] for f in np.flatnonzero(road.type == RoadType.STOP_SIGN).tolist() if len(road.points(f))
    ]
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    for color, radius in (("stop_sign_rim", 1.0), ("stop_sign", 0.8)):
        octagon = radius * np.column_stack([np.cos(angles), np.sin(angles)])
        points = np.array([octagon + xy for xy in at]).reshape(-1, 2).astype(np.float64)
        stripes = np.tile([1.0, 0.0, 0.0, 1.0], (len(at), 1))
        yield Polygons(color=color, points=points, offsets=np.arange(len(at) + 1) * 8, stripes=stripes)
