"""Two-way streets that end at a junction: its arms, and the lanes that lead through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.builder import LaneStyle, RoadBuilder
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.strands import STEP, Lines, Strand, lay

Array = NDArray[np.float64]
Turn = Literal["left", "straight", "right"]

POCKET_TAPER = 20.0  # m in which a turn lane opens
FLARE = 40.0  # m in which both directions part
TURN_STEP = 1.0  # m between the points of lanes through a junction
LEAST_TURN = np.radians(45.0)  # less is straight on
REACH = 0.4  # of the way to where two directions meet: how soon a turn begins
ALONG = RoadType.LINE_SOLID_SINGLE_YELLOW
BETWEEN = RoadType.LINE_SOLID_DOUBLE_YELLOW


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A two-way street that leads to a junction about the origin."""

    name: str
    angle: float  # rad, direction in which it leads away from the junction
    style: LaneStyle
    num_lanes: int  # each way
    stop: float  # m from the junction's centre to where its lanes end
    length: float  # m, of its lanes
    median: float = 0.0  # m between both directions
    pocket: float = 0.0  # m, length of a left-turn lane in the median, which is as wide as a lane; 0: there is none
    flare: float = 0.0  # m by which each direction swings outward at the junction

    @property
    def half_width(self) -> float:
        """From the middle of the street to its edge, away from the junction, m."""
        return self.median / 2 + self.num_lanes * self.style.width + self.style.shoulder

    def at(self, away: ArrayLike, right: ArrayLike = 0.0) -> Array:
        """Points ``[..., 2]`` m at a distance from the centre, and to the right of those who come from there."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        away, right = np.broadcast_arrays(np.asarray(away, np.float64), np.asarray(right, np.float64))
        return np.stack([away * cos - right * sin, away * sin + right * cos], axis=-1)

    def strip(self, start: float, end: float) -> shapely.Polygon:
        """The street from edge to edge between two distances from the centre."""
        return shapely.LineString(self.at([start, end])).buffer(self.half_width, cap_style="flat")


@dataclass(frozen=True, kw_only=True)
class LaidArm:
    """An arm's lanes where they meet the junction, from right to left as seen by their drivers."""

    arm: Arm
    inbound: tuple[int, ...]
    outbound: tuple[int, ...]
    pocket: int | None

    def turn(self, other: LaidArm) -> Turn:
        """What one does to get from here into another arm."""
        angle = (other.arm.angle - self.arm.angle) % (2 * np.pi) - np.pi
        return "left" if angle > LEAST_TURN else "right" if angle < -LEAST_TURN else "straight"


def lay_arm(builder: RoadBuilder, arm: Arm) -> LaidArm:
    """Add the lanes and lines of an arm; traffic enters and leaves the road by its far end."""
    length, width = arm.length, arm.style.width
    offsets = [-(arm.median / 2 + (arm.num_lanes - k - 0.5) * width) for k in range(arm.num_lanes)]
    there = [_swinging(arm, d) for d in offsets]
    back = [strand.mirrored(length, leaves=arm.name) for strand in there]
    if arm.pocket:
        opens = length - arm.pocket
        knots = ((opens - POCKET_TAPER, offsets[-1]), (opens, 0.0), (length, 0.0))
        there.append(Strand(knots=knots, style=arm.style))
    divided = arm.median > 0 or arm.flare > 0
    course = Path(arm.at(np.linspace(arm.stop + length, arm.stop, round(length / STEP) + 1)))
    inbound = lay(builder, course, there, Lines(left=ALONG if divided else BETWEEN, right=None))
    outbound = lay(builder, Path(course.points[::-1]), back, Lines(left=ALONG if divided else None, right=None))
    if not divided:
        for a, b in zip(inbound[-1], reversed(outbound[-1]), strict=True):
            builder.facing(a, b)
    elif arm.pocket:
        builder.facing(inbound[-1][-1], outbound[-1][0])
    return LaidArm(
        arm=arm,
        inbound=tuple(lanes[-1] for lanes in inbound[: arm.num_lanes]),
        outbound=tuple(lanes[0] for lanes in outbound),
        pocket=inbound[-1][-1] if arm.pocket else None,
    )


def _swinging(arm: Arm, d: float) -> Strand:
    """An inbound lane; `d` is its distance from the middle of the street, away from the junction."""
    if not arm.flare:
        return Strand(knots=((0.0, d), (arm.length, d)), style=arm.style, enters=arm.name)
    knots = ((0.0, d), (arm.length - FLARE, d), (arm.length, d - arm.flare))
    return Strand(knots=knots, style=arm.style, enters=arm.name)


def turning(start: Array, heading: float, end: Array, end_heading: float) -> Array:
    """A smooth line ``[n, 2]`` m from one place and direction to another: a Bézier curve of degree 5, straight at both
    ends, whose inner points lie on the two tangents."""
    u, v = (np.array([np.cos(h), np.sin(h)]) for h in (heading, end_heading))
    chord = end - start
    cross = u[0] * v[1] - u[1] * v[0]
    first = last = float(np.hypot(*chord)) / 2
    if abs(cross) > 0.2:  # the tangents meet so far ahead of the start, and so far behind the end
        first = float(chord[0] * v[1] - chord[1] * v[0]) / cross
        last = float(u[0] * chord[1] - u[1] * chord[0]) / cross
    a, b = REACH * first * u, REACH * last * v
    control = np.array([start, start + a, start + 2 * a, end - 2 * b, end - b, end])
    fine = FINE @ control
    steps = np.diff(fine, axis=0)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    num = max(round(along[-1] / TURN_STEP), 4) + 1
    return _weights(np.interp(np.linspace(0.0, along[-1], num), along, np.linspace(0.0, 1.0, len(FINE)))) @ control


def _weights(t: Array) -> Array:
    """Those of the control points of a Bézier curve of degree 5, at each `t` ``[n]``: ``[n, 6]``."""
    return np.stack([c * t**k * (1 - t) ** (5 - k) for k, c in enumerate((1, 5, 10, 10, 5, 1))], axis=1)


FINE = _weights(np.linspace(0.0, 1.0, 51))
