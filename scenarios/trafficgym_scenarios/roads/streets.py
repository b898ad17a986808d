"""Urban streets between junctions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.random import Generator

from trafficgym.errors import ConfigError, names_nearest, nearest_key
from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.builder import APRON, LaneStyle, RoadBuilder
from trafficgym_scenarios.roads.highways import MPH
from trafficgym_scenarios.roads.interval import FASTEST, Interval, check_units
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.roads.strands import Lines, Strand, curved, lay

Choice = Literal["any", "always", "never"]
CHOICES = ("any", "always", "never")
CROSSWALK = 3.0  # m wide


@names_nearest
@dataclass(frozen=True, kw_only=True)
class UrbanOptions:
    """What every urban road is drawn from.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    num_lanes: Interval = Interval(1, 2)
    """Each way."""
    lane_width: Interval = Interval(3.1, 3.6, "m")
    shoulder: Interval = Interval(0.3, 0.6, "m")
    """From the lane to the road's edge."""
    limits: tuple[float, ...] = (25 * MPH, 30 * MPH, 35 * MPH)
    """m/s; one is drawn."""
    heading: Interval = Interval(-np.pi, np.pi, "rad")
    """By which the road is turned."""

    def __post_init__(self) -> None:
        check_units(self)
        self.num_lanes.check("num_lanes", 1, 3)
        self.lane_width.check("lane_width", 2.6, 4.5)
        self.shoulder.check("shoulder", 0.2, 3.0)
        if not self.limits:
            raise ConfigError("limits is empty; give at least one speed limit in m/s")
        for limit in self.limits:
            Interval(limit, limit, "m/s").check("limits", 3.0, FASTEST)

    def draw_style(self, rng: Generator) -> LaneStyle:
        """Draw what all lanes have in common."""
        return LaneStyle(
            width=self.lane_width.draw(rng), limit=float(rng.choice(self.limits)), shoulder=self.shoulder.draw(rng)
        )


def check_choice(name: str, value: str) -> None:
    """Raise ConfigError unless `value` is one of `CHOICES`."""
    if value not in CHOICES:
        raise ConfigError(f"{name} is {value!r}; {nearest_key(str(value), CHOICES)}")


def draw_choice(choice: Choice, rng: Generator) -> bool:
    """True or false, as likely as not where any will do."""
    drawn = bool(rng.random() < 0.5)
    return drawn if choice == "any" else choice == "always"


@names_nearest
@dataclass(frozen=True, kw_only=True)
class StreetOptions(UrbanOptions):
    """A two-way street.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    length: Interval = Interval(400.0, 500.0, "m")
    radius: Interval = Interval(250.0, 1500.0, "m")
    """At the tightest point of its curve."""
    parking: Choice = "any"
    """Strips for parked cars at both sides."""
    parking_width: Interval = Interval(2.1, 2.5, "m")
    crosswalk: Choice = "any"
    """Between the junctions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.length.check("length", 120.0, 3000.0)
        self.radius.check("radius", 150.0, 1e6)
        self.parking_width.check("parking_width", 1.8, 4.0)
        check_choice("parking", self.parking)
        check_choice("crosswalk", self.crosswalk)


def sample_street(rng: Generator, options: StreetOptions | None = None) -> Road:
    """A two-way street with one or two lanes each way, perhaps with parking strips and a crosswalk.

    Routes: ``south->north:0`` (rightmost) and so on, ``north->south:0`` and so on. Beyond the edge are sidewalks.
    """
    options = options or StreetOptions()
    style = options.draw_style(rng)
    num = options.num_lanes.draw_whole(rng)
    bend = float(rng.choice([-1.0, 1.0])) / options.radius.draw(rng)
    course = curved(options.length.draw(rng), bend, 1, options.heading.draw(rng))
    builder = RoadBuilder("street")
    lay_two_way(builder, course, num, style)
    parking = options.parking_width.draw(rng) if draw_choice(options.parking, rng) else 0.0
    half = num * style.width + style.shoulder + parking
    if parking:
        at = np.linspace(-APRON, course.length + APRON, len(course.at))
        builder.pave(shapely.LineString(course.xy(at)).buffer(half, cap_style="flat", join_style="mitre"))
        for side in (-1, 1):
            builder.line(course.xy(course.at[::2], side * num * style.width), RoadType.LINE_SOLID_SINGLE_WHITE)
    if draw_choice(options.crosswalk, rng):
        s = course.length * float(rng.uniform(0.4, 0.6))
        builder.crosswalk("middle", course.xy(s, -half), course.xy(s, half), CROSSWALK)
    return builder.road()


def lay_two_way(builder: RoadBuilder, course: Path, num: int, style: LaneStyle) -> None:
    """Lanes on either side of a course, which runs from south to north."""
    length = course.length
    there = [
        Strand(knots=((0.0, d), (length, d)), style=style, enters="south", leaves="north")
        for d in (-(num - k - 0.5) * style.width for k in range(num))
    ]
    back = [strand.mirrored(length, leaves="south") for strand in there]
    forward = lay(builder, course, there, Lines(left=RoadType.LINE_SOLID_DOUBLE_YELLOW, right=None))
    backward = lay(builder, Path(course.points[::-1]), back, Lines(left=None, right=None))
    for a, b in zip(forward[-1], reversed(backward[-1]), strict=True):
        builder.facing(a, b)
