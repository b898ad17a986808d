"""A road's course: a smooth reference line, and the map features that run along it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trafficgym.scene.scene import Links, RoadMap, RoadType

Array = NDArray[np.float64]

TABLE_STEP = 0.5  # m, fine enough that a chord leaves a 500 m arc by less than 0.1 mm


@dataclass(frozen=True, kw_only=True)
class Course:
    """A reference line of given curvature: ``bend * sin(half_waves * pi * s / length)`` at arc length `s`.

    ``half_waves`` 1 is one gentle curve and 2 an S; ``bend`` 0 is straight. The curvature is 0 at both ends, so
    that nothing jumps. Positions are given as (s, d): metres along the line, and metres to the left of it.
    """

    length: float  # m
    bend: float = 0.0  # 1/m, the largest curvature, positive to the left
    half_waves: int = 1
    heading: float = 0.0  # rad, at s = 0

    def curvature(self, s: ArrayLike) -> Array:
        """Curvature of the line in 1/m at `s`, positive to the left."""
        return self.bend * np.sin(self._wave_number * np.asarray(s))

    def yaw(self, s: ArrayLike) -> Array:
        """Direction of the line at `s`, rad, not wrapped."""
        turned = self.bend / self._wave_number * (1.0 - np.cos(self._wave_number * np.asarray(s)))
        return self.heading + turned

    def xy(self, s: ArrayLike, d: ArrayLike) -> Array:
        """Points at (s, d), m, shape of `s` and `d` broadcast together, plus a last axis of 2."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        at, x, y = self._table
        yaw = self.yaw(s)
        return np.stack([np.interp(s, at, x) - d * np.sin(yaw), np.interp(s, at, y) + d * np.cos(yaw)], axis=-1)

    @property
    def _wave_number(self) -> float:
        return self.half_waves * np.pi / self.length

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        at = np.linspace(0.0, self.length, round(self.length / TABLE_STEP) + 1)
        middle = self.yaw((at[1:] + at[:-1]) / 2)
        step = np.diff(at)
        x = np.concatenate([[0.0], np.cumsum(step * np.cos(middle))])
        y = np.concatenate([[0.0], np.cumsum(step * np.sin(middle))])
        return at, x, y


@dataclass(frozen=True, kw_only=True)
class Carriageway:
    """Lanes of one direction side by side along a course; lane 0 is the rightmost."""

    course: Course
    num_lanes: int
    lane_width: float  # m
    shoulder: float  # m, from the outer line to the road edge
    speed_limit: float  # m/s
    segment: float = 250.0  # m, longest piece of a lane
    spacing: float = 2.0  # m, between map points

    def lane_offset(self, lane: ArrayLike) -> Array:
        """Lateral offset `d` of the centre of `lane`, m."""
        return (np.asarray(lane) - (self.num_lanes - 1) / 2) * self.lane_width

    def road_map(self, shift: Array) -> RoadMap:
        """The map: lanes cut into segments and linked, lines between and beside them, and both road edges.

        Args:
            shift: ``(2,)`` m, subtracted from every point.
        """
        cuts = self._cuts()
        pieces = [self._line(d, a, b) for d in self.lane_offset(range(self.num_lanes)) for a, b in cuts]
        types = [RoadType.LANE_FREEWAY] * len(pieces)
        for boundary in range(self.num_lanes + 1):
            pieces.append(self._line(float(self.lane_offset(boundary - 0.5)), 0.0, self.course.length))
            types.append(self._line_type(boundary))
        edge = self.num_lanes * self.lane_width / 2 + self.shoulder
        # The drivable side is on the left of an edge: the right edge runs with the traffic, the left one against it.
        pieces += [self._line(-edge, 0.0, self.course.length), self._line(edge, 0.0, self.course.length)[::-1]]
        types += [RoadType.EDGE_BOUNDARY, RoadType.EDGE_BOUNDARY]
        return _assemble(pieces, types, shift, self._links(len(cuts), pieces), self.speed_limit)

    def _cuts(self) -> list[tuple[float, float]]:
        count = max(2, int(np.ceil(self.course.length / self.segment)))
        bounds = np.linspace(0.0, self.course.length, count + 1)
        return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))

    def _line(self, d: float, start: float, end: float) -> Array:
        count = max(2, round((end - start) / self.spacing) + 1)
        return self.course.xy(np.linspace(start, end, count), d)

    def _line_type(self, boundary: int) -> RoadType:
        if boundary == 0:
            return RoadType.LINE_SOLID_SINGLE_WHITE
        if boundary == self.num_lanes:
            return RoadType.LINE_SOLID_SINGLE_YELLOW
        return RoadType.LINE_BROKEN_SINGLE_WHITE

    def _links(self, segments: int, pieces: list[Array]) -> dict[str, Links]:
        """Lane ``l``, segment ``k`` is feature ``l * segments + k``; neighbours face each other all along."""
        grid = np.arange(self.num_lanes * segments).reshape(self.num_lanes, segments)
        pad_after = np.full((self.num_lanes, 1), -1)
        pad_above = np.full((1, segments), -1)
        related = {
            "successors": np.hstack([grid[:, 1:], pad_after]),
            "predecessors": np.hstack([pad_after, grid[:, :-1]]),
            "left_neighbors": np.vstack([grid[1:], pad_above]),
            "right_neighbors": np.vstack([pad_above, grid[:-1]]),
        }
        links = {"stop_lanes": Links.empty(len(pieces))}
        for name, other in related.items():
            lists = [[int(to)] if to >= 0 else [] for to in other.ravel()] + [[]] * (len(pieces) - grid.size)
            facing = [
                [0, len(pieces[own]) - 1, 0, len(pieces[to]) - 1]
                for own, to in zip(grid.ravel(), other.ravel(), strict=True)
                if to >= 0
            ]
            links[name] = Links.from_lists(lists, facing if name.endswith("neighbors") else None)
        return links


def _assemble(
    pieces: list[Array], types: list[RoadType], shift: Array, links: dict[str, Links], speed_limit: float
) -> RoadMap:
    flat = np.concatenate(pieces) - shift
    kinds = np.array(types, np.int8)
    return RoadMap(
        xyz=np.column_stack([flat, np.zeros(len(flat))]).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int32),
        id=np.arange(1, len(pieces) + 1, dtype=np.int64),
        type=kinds,
        speed_limit=np.where(kinds <= RoadType.LANE_BIKE, speed_limit, 0.0).astype(np.float32),
        interpolating=np.zeros(len(pieces), bool),
        **links,
    )
