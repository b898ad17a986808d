"""Highways of one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from trafficgym.errors import ConfigError, names_nearest, nearest_key
from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.builder import LaneStyle, RoadBuilder
from trafficgym_scenarios.roads.interval import FASTEST, Interval, check_units
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.roads.strands import Strand, curved, lay

Shape = Literal["any", "straight", "curve", "s"]
SHAPES = ("straight", "curve", "s")
MPH = 0.44704  # m/s


@names_nearest
@dataclass(frozen=True, kw_only=True)
class HighwayOptions:
    """What every highway is drawn from.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    shape: Shape = "any"
    num_lanes: Interval = Interval(2, 4)
    """Of the carriageway, without what joins it."""
    lane_width: Interval = Interval(3.5, 3.75, "m")
    shoulder: Interval = Interval(1.5, 3.0, "m")
    """From the outer line to the road's edge."""
    length: Interval = Interval(1500.0, 1500.0, "m")
    radius: Interval = Interval(500.0, 1500.0, "m")
    """At the tightest point of a curve or S."""
    limits: tuple[float, ...] = (55 * MPH, 65 * MPH, 70 * MPH)
    """m/s; one is drawn."""
    heading: Interval = Interval(-np.pi, np.pi, "rad")
    """At the start."""

    def __post_init__(self) -> None:
        check_units(self)
        if self.shape not in ("any", *SHAPES):
            raise ConfigError(f"shape is {self.shape!r}; {nearest_key(self.shape, ('any', *SHAPES))}")
        self.num_lanes.check("num_lanes", 1, 8)
        self.lane_width.check("lane_width", 2.5, 6.0)
        self.shoulder.check("shoulder", 0.3, 6.0)
        self.length.check("length", 1000.0, 5000.0)
        self.radius.check("radius", 300.0, 1e6)
        for limit in self.limits:
            Interval(limit, limit, "m/s").check("limits", 3.0, FASTEST)
        if not self.limits:
            raise ConfigError("limits is empty; give at least one speed limit in m/s")


@dataclass(frozen=True, kw_only=True)
class Carriageway:
    """What was drawn: a course, which is the centre of lane 0, and lanes on the left of it."""

    course: Path
    num_lanes: int
    style: LaneStyle

    def lanes(self, enters: str = "main", leaves: str = "main") -> list[Strand]:
        """The lanes that run all along, from right to left."""
        width, length = self.style.width, self.course.length
        knots = [((0.0, k * width), (length, k * width)) for k in range(self.num_lanes)]
        return [Strand(knots=both, style=self.style, enters=enters, leaves=leaves) for both in knots]


def draw_carriageway(rng: Generator, options: HighwayOptions) -> Carriageway:
    """Draw what every highway has."""
    shape = SHAPES[rng.integers(len(SHAPES))] if options.shape == "any" else options.shape
    bend = 0.0 if shape == "straight" else float(rng.choice([-1.0, 1.0])) / options.radius.draw(rng)
    length, heading = options.length.draw(rng), options.heading.draw(rng)
    return Carriageway(
        course=curved(length, bend, 2 if shape == "s" else 1, heading),
        num_lanes=options.num_lanes.draw_whole(rng),
        style=LaneStyle(
            width=options.lane_width.draw(rng),
            limit=float(rng.choice(options.limits)),
            shoulder=options.shoulder.draw(rng),
            type=RoadType.LANE_FREEWAY,
        ),
    )


def lay_road(kind: str, course: Path, strands: Sequence[Strand]) -> Road:
    """The road of these lanes."""
    builder = RoadBuilder(kind)
    lay(builder, course, strands)
    return builder.road()


def sample_highway(rng: Generator, options: HighwayOptions | None = None) -> Road:
    """Lanes side by side, straight, in a curve or in an S.

    Routes: ``main:0`` (rightmost), ``main:1``, and so on.
    """
    drawn = draw_carriageway(rng, options or HighwayOptions())
    return lay_road("highway", drawn.course, drawn.lanes())
