"""Roundabouts of one lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import names_nearest
from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.arms import TURN_STEP, Arm, LaidArm, lay_arm, turning
from trafficgym_scenarios.roads.builder import LaneStyle, RoadBuilder
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.roads.streets import CROSSWALK, Choice, UrbanOptions, check_choice, draw_choice

Array = NDArray[np.float64]

ANGLES = {  # deg, by number of arms
    3: {"east": 0.0, "west": 180.0, "south": 270.0},
    4: {"east": 0.0, "north": 90.0, "west": 180.0, "south": 270.0},
}
CROSSWALK_SETBACK = 1.5  # m from where an arm's lanes end, which is about a car's length from the yield line
ROUNDING = 6.0  # m, of the edge where an arm meets the ring
YIELD_SETBACK = 0.8  # m from the ring's lane to the yield line
LEAST_BETWEEN = np.radians(4.0)  # along the ring, between an entry and the exit after it


@names_nearest
@dataclass(frozen=True, kw_only=True)
class RoundaboutOptions(UrbanOptions):
    """A roundabout.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    num_lanes: Interval = Interval(1, 1)
    num_arms: Interval = Interval(3, 4)
    radius: Interval = Interval(15.0, 21.0, "m")
    """Of the centre of the lane that goes round."""
    ring_width: Interval = Interval(4.2, 5.0, "m")
    """Of that lane."""
    ring_limit: Interval = Interval(7.0, 9.0, "m/s")
    skew: Interval = Interval(-6.0, 6.0, "deg")
    """By which the arms are turned."""
    arm_length: Interval = Interval(120.0, 160.0, "m")
    """Of the lanes that lead to the roundabout and away from it."""
    crosswalks: Choice = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.num_lanes.check("num_lanes", 1, 1)
        self.num_arms.check("num_arms", 3, 4)
        self.radius.check("radius", 14.0, 40.0)
        self.ring_width.check("ring_width", 3.0, 8.0)
        self.ring_limit.check("ring_limit", 3.0, 20.0)
        self.skew.check("skew", -8.0, 8.0)
        self.arm_length.check("arm_length", 100.0, 1000.0)
        check_choice("crosswalks", self.crosswalks)


def sample_roundabout(rng: Generator, options: RoundaboutOptions | None = None) -> Road:
    """Three or four streets meet at a ring that is driven counter-clockwise; who enters yields.

    Routes: ``south->north:0`` and so on; ``south:0`` goes round and back where it came from.
    """
    options = options or RoundaboutOptions()
    builder = RoadBuilder("roundabout")
    ring = _draw(rng, options)
    laid = [lay_arm(builder, arm) for arm in ring.arms]
    _lay_ring(builder, ring, laid)
    if draw_choice(options.crosswalks, rng):
        for arm in ring.arms:
            middle, half = arm.stop + CROSSWALK_SETBACK, arm.half_width + arm.flare
            builder.crosswalk(arm.name, arm.at(middle, half), arm.at(middle, -half), CROSSWALK)
    return builder.road(rounding=ROUNDING)


@dataclass(frozen=True, kw_only=True)
class _Ring:
    """What was drawn."""

    arms: Sequence[Arm]
    radius: float  # m
    aside: float  # rad, from the middle of an arm to where it enters, and to where it is left by
    style: LaneStyle


def _draw(rng: Generator, options: RoundaboutOptions) -> _Ring:
    """Entries and exits lie as far from the middle of their arm as they can."""
    style, heading, radius = options.draw_style(rng), options.heading.draw(rng), options.radius.draw(rng)
    names = ANGLES[options.num_arms.draw_whole(rng)]
    angles = np.radians([angle + options.skew.draw(rng) for angle in names.values()])
    between = np.diff([*angles, angles[0] + 2 * np.pi]).min()
    aside = min(float(between - LEAST_BETWEEN) / 2, np.radians(38.0))
    flare = 0.25 * radius * np.sin(aside) - 0.2
    # The yield line lies as far before the point where both tangents meet as the ring lies behind it.
    offset = style.width / 2 + flare
    behind = (radius * np.sin(aside) - offset) / np.cos(aside)
    stop = radius * np.cos(aside) + behind * np.sin(aside) + behind
    arms = [
        Arm(
            name=name,
            angle=heading + float(angle),
            style=style,
            num_lanes=1,
            stop=stop,
            length=options.arm_length.draw(rng),
            flare=flare,
        )
        for name, angle in zip(names, angles, strict=True)
    ]
    lane = replace(style, width=options.ring_width.draw(rng), limit=options.ring_limit.draw(rng))
    return _Ring(arms=arms, radius=radius, aside=aside, style=lane)


def _lay_ring(builder: RoadBuilder, ring: _Ring, laid: Sequence[LaidArm]) -> None:
    """Pieces of the ring from node to node, exits and entries in turn, and the lanes that lead to and from them."""
    middles = np.array([one.arm.angle for one in laid])
    nodes = np.stack([middles - ring.aside, middles + ring.aside], axis=1).ravel()  # exit, entry, exit, ...
    for k in (0, 1):
        builder.pave_lane(_arc(ring.radius, k * np.pi, (k + 1) * np.pi), ring.style)
    pieces = [
        builder.lane(_arc(ring.radius, a, b), ring.style, interpolating=True, rank=1)
        for a, b in pairwise([*nodes, nodes[0] + 2 * np.pi])
    ]
    for k, one in enumerate(laid):
        across, onward, before = pieces[2 * k], pieces[2 * k + 1], pieces[2 * k - 1]
        exit_angle, entry_angle = nodes[2 * k], nodes[2 * k + 1]
        start, end = builder.points(one.inbound[0])[-1], builder.points(one.outbound[0])[0]
        entry = builder.lane(
            turning(start, one.arm.angle + np.pi, builder.points(onward)[0], entry_angle + np.pi / 2),
            replace(one.arm.style, limit=ring.style.limit),
            interpolating=True,
        )
        leaving = builder.lane(
            turning(builder.points(across)[0], exit_angle + np.pi / 2, end, one.arm.angle),
            replace(one.arm.style, limit=ring.style.limit),
            interpolating=True,
            rank=1,
        )
        for lane in (entry, leaving):
            builder.pave_lane(builder.points(lane), one.arm.style)
        builder.link(before, across, leaving)
        builder.link(across, onward)
        builder.link(one.inbound[0], entry)
        builder.link(entry, onward)
        builder.link(leaving, one.outbound[0])
        _yield(builder, entry, ring, one.arm.style.width)


def _yield(builder: RoadBuilder, entry: int, ring: _Ring, width: float) -> None:
    """Who enters waits before the ring."""
    path = Path(builder.points(entry))
    outside = np.hypot(*path.points.T) - ring.radius > ring.style.width / 2 + YIELD_SETBACK
    s = float(path.at[outside][-1])
    builder.waits("yield", entry, after=s)
    builder.line(path.xy(s, [-width / 2, width / 2]), RoadType.LINE_BROKEN_SINGLE_WHITE)


def _arc(radius: float, start: float, end: float) -> Array:
    """A piece of a circle about the origin."""
    angle = np.linspace(start, end, max(round(radius * (end - start) / TURN_STEP), 3) + 1)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])
