"""Three- and four-way intersections: with signals, all-way stop, two-way stop, or yield."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from numpy.random import Generator

from trafficgym.errors import ConfigError, names_nearest, nearest_key
from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.area import fill_corners
from trafficgym_scenarios.roads.arms import Arm, LaidArm, Turn, lay_arm, turning
from trafficgym_scenarios.roads.builder import RoadBuilder
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.road import Road, Rule
from trafficgym_scenarios.roads.signal_plan import SignalPhase, SignalPlan
from trafficgym_scenarios.roads.streets import CROSSWALK, Choice, UrbanOptions, check_choice, draw_choice

Control = Literal["any", "signal", "all_way_stop", "two_way_stop", "yield"]
CONTROLS = ("signal", "all_way_stop", "two_way_stop", "yield")

ANGLES = {"east": 0.0, "north": 90.0, "west": 180.0, "south": 270.0}  # deg
MAIN = ("east", "west")
SETBACK = 1.2  # m from the stop line to the crosswalk
BEFORE_CORNER = 0.5  # m from the crosswalk to where the corner begins
MAIN_RANK = 4
RULES: dict[str, Rule] = {
    "signal": "signal",
    "all_way_stop": "all_way_stop",
    "two_way_stop": "stop",
    "yield": "yield",
}
RANKS: dict[Turn, int] = {"right": 2, "straight": 2, "left": 1}


@names_nearest
@dataclass(frozen=True, kw_only=True)
class IntersectionOptions(UrbanOptions):
    """An intersection of a main street, from west to east, with a minor one.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    control: Control = "any"
    """Who waits: by signals, everybody at stop signs, or the minor street at stop signs or yield lines."""
    arm_length: Interval = Interval(120.0, 160.0, "m")
    """Of the lanes that lead to the intersection and away from it."""
    skew: Interval = Interval(-10.0, 10.0, "deg")
    """By which the arms of the minor street are turned."""
    corner_radius: Interval = Interval(5.0, 9.0, "m")
    """Of the edge between two arms."""
    turn_lanes: Choice = "any"
    """Lanes for left turns, in a median of the same width."""
    pocket: Interval = Interval(40.0, 70.0, "m")
    """Length of such a lane."""
    crosswalks: Choice = "always"
    green: Interval = Interval(10.0, 20.0, "s")
    """Of those who go straight on or turn right."""
    green_left: Interval = Interval(6.0, 10.0, "s")
    """Of a turn lane."""
    yellow: Interval = Interval(3.0, 4.0, "s")
    all_red: Interval = Interval(1.0, 2.0, "s")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.control not in ("any", *CONTROLS):
            raise ConfigError(f"control is {self.control!r}; {nearest_key(str(self.control), ('any', *CONTROLS))}")
        check_choice("turn_lanes", self.turn_lanes)
        check_choice("crosswalks", self.crosswalks)
        self.arm_length.check("arm_length", 100.0, 1000.0)
        self.skew.check("skew", -20.0, 20.0)
        self.corner_radius.check("corner_radius", 4.0, 20.0)
        self.pocket.check("pocket", 20.0, self.arm_length.low - 30.0)
        for name, least in (("green", 5.0), ("green_left", 4.0), ("yellow", 2.0), ("all_red", 0.0)):
            getattr(self, name).check(name, least, 120.0)


def sample_three_way(rng: Generator, options: IntersectionOptions | None = None) -> Road:
    """A street from the south ends at one from west to east.

    Routes: ``south->east:0``, ``east->south:1`` and so on, the number being the lane that they enter by.
    """
    return _sample("three_way", ("east", "west", "south"), rng, options or IntersectionOptions())


def sample_four_way(rng: Generator, options: IntersectionOptions | None = None) -> Road:
    """Two streets cross.

    Routes: ``south->north:0``, ``south->east:0``, ``south->west:1`` and so on, the number being the lane that they
    enter by.
    """
    return _sample("four_way", ("east", "north", "west", "south"), rng, options or IntersectionOptions())


def _sample(kind: str, names: Sequence[str], rng: Generator, options: IntersectionOptions) -> Road:
    control = CONTROLS[rng.integers(len(CONTROLS))] if options.control == "any" else options.control
    radius = options.corner_radius.draw(rng)
    builder = RoadBuilder(kind)
    laid = [lay_arm(builder, arm) for arm in _arms(names, radius, rng, options)]
    builder.pave(_corners([one.arm for one in laid], radius))
    connectors = [one for start in laid for one in _through(builder, start, laid)]
    if draw_choice(options.crosswalks, rng):
        for one in laid:
            middle, half = one.arm.stop - SETBACK - CROSSWALK / 2, one.arm.half_width
            builder.crosswalk(one.arm.name, one.arm.at(middle, half), one.arm.at(middle, -half), CROSSWALK)
    _control(builder, control, laid, connectors)
    if control == "signal":
        builder.signal_plan = _plan(connectors, rng, options)
    return builder.road()


def _arms(names: Sequence[str], radius: float, rng: Generator, options: IntersectionOptions) -> list[Arm]:
    style, heading = options.draw_style(rng), options.heading.draw(rng)
    num_main = options.num_lanes.draw_whole(rng)
    # A street that ends here has one lane to the left and one to the right at most.
    num_minor = min(options.num_lanes.draw_whole(rng), num_main if "north" in names else 2)
    has_pockets = {True: draw_choice(options.turn_lanes, rng), False: draw_choice(options.turn_lanes, rng)}
    has_pockets[False] &= "north" in names
    pocket = options.pocket.draw(rng)
    arms = []
    for name in names:
        is_main = name in MAIN
        skew = 0.0 if is_main else options.skew.draw(rng)
        turns_left = len(names) == 4 or name == "east"
        arms.append(
            Arm(
                name=name,
                angle=heading + np.radians(ANGLES[name] + skew),
                style=style,
                num_lanes=num_main if is_main else num_minor,
                stop=0.0,
                length=options.arm_length.draw(rng),
                median=style.width if has_pockets[is_main] else 0.0,
                pocket=pocket if has_pockets[is_main] and turns_left else 0.0,
            )
        )
    return [replace(arm, stop=_stop(arm, arms, radius)) for arm in arms]


def _stop(arm: Arm, arms: Sequence[Arm], radius: float) -> float:
    """How far from the centre an arm ends, so that its crosswalk lies before its rounded corners, m."""
    reach = 0.0
    for other in arms:
        between = abs((other.angle - arm.angle + np.pi) % (2 * np.pi) - np.pi)
        if 0.1 < between < 0.9 * np.pi:
            corner = (other.half_width + arm.half_width * np.cos(between)) / np.sin(between)
            reach = max(reach, corner + radius / np.tan(between / 2))
    return reach + BEFORE_CORNER + CROSSWALK + SETBACK


def _corners(arms: Sequence[Arm], radius: float) -> shapely.Polygon:
    """The junction's asphalt: all arms from edge to edge, with rounded corners."""
    return fill_corners(shapely.union_all([arm.strip(0.0, arm.stop + 0.1) for arm in arms]), radius)


@dataclass(frozen=True, kw_only=True)
class _Connector:
    """A lane through the intersection."""

    lane: int
    start: str
    turn: Turn
    from_pocket: bool


def _through(builder: RoadBuilder, start: LaidArm, laid: Sequence[LaidArm]) -> Iterator[_Connector]:
    """Right turns from the rightmost lane, left turns from the turn lane or the leftmost, straight on from all."""
    for other in laid:
        turn = start.turn(other)
        if other is start:
            continue
        if turn == "left":
            from_pocket = start.pocket is not None
            pairs = [(start.inbound[-1] if start.pocket is None else start.pocket, other.outbound[-1])]
        elif turn == "right":
            from_pocket, pairs = False, [(start.inbound[0], other.outbound[0])]
        else:
            from_pocket, pairs = False, list(zip(start.inbound, other.outbound, strict=True))
        for before, after in pairs:
            lane = _connect(builder, start.arm, before, other.arm, after)
            if turn == "right":
                builder.pave_lane(builder.points(lane), start.arm.style)
            yield _Connector(lane=lane, start=start.arm.name, turn=turn, from_pocket=from_pocket)


def _connect(builder: RoadBuilder, start: Arm, before: int, end: Arm, after: int) -> int:
    line = turning(builder.points(before)[-1], start.angle + np.pi, builder.points(after)[0], end.angle)
    lane = builder.lane(line, start.style, interpolating=True)
    builder.link(before, lane)
    builder.link(lane, after)
    return lane


def _control(builder: RoadBuilder, control: str, laid: Sequence[LaidArm], connectors: Sequence[_Connector]) -> None:
    """Who has to wait where, and who has right of way; stop lines, stop signs."""
    for one in laid:
        own = [c for c in connectors if c.start == one.arm.name]
        waits = control in ("signal", "all_way_stop") or one.arm.name not in MAIN
        if control != "all_way_stop":
            for c in own:
                builder.set_rank(c.lane, RANKS[c.turn] + (0 if waits and control != "signal" else MAIN_RANK))
        if not waits:
            continue
        builder.waits(RULES[control], *(c.lane for c in own))
        left = one.arm.median / 2 - (one.arm.style.width if one.pocket is not None else 0.0)
        ends = one.arm.at(one.arm.stop, [left, one.arm.half_width - one.arm.style.shoulder])
        builder.line(
            ends, RoadType.LINE_BROKEN_SINGLE_WHITE if control == "yield" else RoadType.LINE_SOLID_SINGLE_WHITE
        )
        if control in ("all_way_stop", "two_way_stop"):
            builder.stop_sign(one.arm.at(one.arm.stop, one.arm.half_width + 1.0), [c.lane for c in own])


def _plan(connectors: Sequence[_Connector], rng: Generator, options: IntersectionOptions) -> SignalPlan:
    """For each street first its turn lanes, then everything else; left turns without a lane of their own give way."""
    phases = []
    for street, crossed in ((MAIN, ("north", "south")), (("north", "south"), MAIN)):
        own = [c for c in connectors if c.start in street]
        lefts = tuple(c.lane for c in own if c.from_pocket)
        if lefts:
            phases.append(SignalPhase(duration=options.green_left.draw(rng), green=lefts))
        others = tuple(c.lane for c in own if not c.from_pocket)
        if others:
            phases.append(SignalPhase(duration=options.green.draw(rng), green=others, walk=crossed))
    return SignalPlan(
        phases=tuple(phases),
        lanes=tuple(c.lane for c in connectors),
        arrows=tuple(c.from_pocket for c in connectors),
        yellow=options.yellow.draw(rng),
        all_red=options.all_red.draw(rng),
    )
