"""Areas of roads: strips of asphalt, their union, and its edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from trafficgym.errors import ConfigError

Array = NDArray[np.float64]

CLOSING = 0.6  # m, gaps up to twice as wide are filled
SMALLEST_ISLAND = 6.0  # m^2, smaller holes are filled
EDGE_STEP = 2.0  # m, most between two points of an edge
GRID = 1e-3  # m
SHORTEST = 0.05  # m, between two points of an edge
TOLERANCE = 0.01  # m, how far edges may be from where they should be


def strip(points: Array, width: float, *, before: float = 0.0, after: float = 0.0) -> shapely.Polygon:
    """The area within half of `width` of a line, which first goes on straight by `before` and `after` metres."""
    if before:
        points = np.vstack([points[0] - before * _unit(points[1] - points[0]), points])
    if after:
        points = np.vstack([points, points[-1] + after * _unit(points[-1] - points[-2])])
    line = shapely.LineString(points).simplify(TOLERANCE, preserve_topology=False)
    return line.buffer(width / 2, cap_style="flat", join_style="mitre")


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.hypot(*vector))


def drivable_area(pieces: Sequence[shapely.Polygon], rounding: float = 0.0) -> shapely.Polygon:
    """The union of `pieces` without slivers; its exterior runs counter-clockwise, its holes clockwise.

    Args:
        rounding: Radius that inward corners of the exterior are filled up to, m.

    Raises:
        ConfigError: the pieces do not hang together.
    """
    whole = _union(pieces).buffer(CLOSING, quad_segs=4).buffer(-CLOSING, join_style="mitre")
    if not isinstance(whole, shapely.Polygon):
        raise ConfigError("the lanes of this road do not hang together; a part of it is out of reach of the rest")
    exterior = fill_corners(shapely.Polygon(whole.exterior), rounding).exterior if rounding else whole.exterior
    holes = [hole for hole in whole.interiors if shapely.Polygon(hole).area >= SMALLEST_ISLAND]
    area = shapely.remove_repeated_points(shapely.Polygon(exterior, holes), SHORTEST).simplify(TOLERANCE)
    return shapely.orient_polygons(area.segmentize(EDGE_STEP))


def _union(pieces: Sequence[shapely.Polygon]) -> shapely.Polygon:
    """The union of `pieces`.

    GEOS sometimes loses a piece among others that are nearly collinear. On a grid it does not, but that takes four
    times as long.
    """
    whole = shapely.union_all(pieces)
    widened = whole.buffer(SHORTEST, join_style="mitre")
    shapely.prepare(widened)
    return whole if shapely.covers(widened, pieces).all() else shapely.union_all(pieces, grid_size=GRID)


def fill_corners(area: shapely.Polygon, radius: float) -> shapely.Polygon:
    """The area with its inward corners rounded to a radius in m."""
    return area.buffer(radius, quad_segs=8).buffer(-radius, quad_segs=8)


def rings(area: shapely.Polygon) -> list[Array]:
    """Exterior and holes as closed lines ``[n, 2]`` m, with the area on their left."""
    return [np.asarray(ring.coords, np.float64) for ring in (area.exterior, *area.interiors)]
