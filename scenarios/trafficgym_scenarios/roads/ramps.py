"""Where highways gain and lose lanes: ramps, merges, forks, lane drops and weaving sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from numpy.random import Generator

from trafficgym.errors import ConfigError, names_nearest, nearest_key
from trafficgym_scenarios.roads.builder import LaneStyle
from trafficgym_scenarios.roads.highways import Carriageway, HighwayOptions, draw_carriageway, lay_road
from trafficgym_scenarios.roads.interval import FASTEST, Interval
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.roads.strands import Strand

Side = Literal["any", "left", "right"]
SIDES = ("left", "right")


@names_nearest
@dataclass(frozen=True, kw_only=True)
class RampOptions(HighwayOptions):
    """A highway with something that joins it, or leaves it, on the right.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    ramp_limit: Interval = Interval(15.0, 22.0, "m/s")
    """Speed limit of the ramp."""
    ramp_length: Interval = Interval(220.0, 300.0, "m")
    """From where the ramp's end lies furthest away to where it runs along the highway."""
    ramp_offset: Interval = Interval(22.0, 32.0, "m")
    """How far away that is."""
    parallel: Interval = Interval(150.0, 280.0, "m")
    """Where the additional lane runs along the highway."""
    taper: Interval = Interval(80.0, 140.0, "m")
    """In which the additional lane appears or disappears."""
    at: Interval = Interval(0.15, 0.25)
    """Where the first of it lies: share of the highway's length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ramp_limit.check("ramp_limit", 3.0, FASTEST)
        self.ramp_length.check("ramp_length", 150.0, 1000.0)
        self.ramp_offset.check("ramp_offset", 15.0, self.ramp_length.low / 6)
        self.parallel.check("parallel", 30.0, 1000.0)
        self.taper.check("taper", 30.0, 500.0)
        self.at.check("at", 0.0, 0.9)
        self._check_length(self._length())

    def _length(self) -> float:
        """m that a ramp and its lane may take."""
        return self.ramp_length.high + self.parallel.high + self.taper.high

    def _check_length(self, needed: float) -> None:
        room = self.length.low * (1 - self.at.high)
        if needed > room:
            raise ConfigError(
                f"a {type(self).__name__.removesuffix('Options')} may take {needed:.0f} m, but there are {room:.0f} m "
                "from where it begins; raise length, or lower at, ramp_length, parallel or taper"
            )


@dataclass(frozen=True, kw_only=True)
class _Ramp:
    """What was drawn: stations along the course, and how far away the ramp's end is."""

    start: float
    length: float
    parallel: float
    taper: float
    offset: float
    style: LaneStyle


def _draw(rng: Generator, options: RampOptions, road: Carriageway) -> _Ramp:
    return _Ramp(
        start=round(options.at.draw(rng) * road.course.length),
        length=round(options.ramp_length.draw(rng)),
        parallel=round(options.parallel.draw(rng)),
        taper=round(options.taper.draw(rng)),
        offset=options.ramp_offset.draw(rng),
        style=replace(road.style, limit=options.ramp_limit.draw(rng)),
    )


def _stations(start: float, *lengths: float) -> list[float]:
    stations = [start]
    for length in lengths:
        stations.append(stations[-1] + length)
    return stations


def sample_on_ramp(rng: Generator, options: RampOptions | None = None) -> Road:
    """A ramp joins from the right by an acceleration lane, which ends in the rightmost lane.

    Routes: ``main:0`` and so on, ``ramp->main:0``.
    """
    options = options or RampOptions()
    road = draw_carriageway(rng, options)
    ramp = _draw(rng, options, road)
    at = _stations(ramp.start, ramp.length, ramp.parallel, ramp.taper)
    away, beside = -ramp.offset - road.style.width, -road.style.width
    slow = Strand(knots=((at[0], away), (at[1], beside)), style=ramp.style, enters="ramp", rank=0)
    fast = Strand(knots=((at[1], beside), (at[2], beside), (at[3], 0.0)), style=road.style, rank=0)
    return lay_road("on_ramp", road.course, [slow, fast, *road.lanes()])


def sample_off_ramp(rng: Generator, options: RampOptions | None = None) -> Road:
    """A deceleration lane opens on the right and leads into a ramp.

    Routes: ``main:0`` and so on, ``main->exit:0``.
    """
    options = options or RampOptions()
    road = draw_carriageway(rng, options)
    ramp = _draw(rng, options, road)
    at = _stations(ramp.start, ramp.taper, ramp.parallel, ramp.length)
    away, beside = -ramp.offset - road.style.width, -road.style.width
    fast = Strand(knots=((at[0], 0.0), (at[1], beside), (at[2], beside)), style=road.style)
    slow = Strand(knots=((at[2], beside), (at[3], away)), style=ramp.style, leaves="exit")
    return lay_road("off_ramp", road.course, [fast, slow, *road.lanes()])


@names_nearest
@dataclass(frozen=True, kw_only=True)
class WeavingOptions(RampOptions):
    """A highway with an on-ramp and an off-ramp whose additional lane is one; it has no taper.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    parallel: Interval = Interval(200.0, 400.0, "m")

    def _length(self) -> float:
        return 2 * self.ramp_length.high + self.parallel.high


def sample_weaving(rng: Generator, options: WeavingOptions | None = None) -> Road:
    """A ramp joins on the right, and its lane leaves again as an exit: who comes and who goes must change places.

    Routes: ``main:0`` and so on, ``ramp->exit:0``; from the ramp to ``main:0`` and back by changing lane.
    """
    options = options or WeavingOptions()
    road = draw_carriageway(rng, options)
    ramp = _draw(rng, options, road)
    second = round(options.ramp_length.draw(rng))
    at = _stations(ramp.start, ramp.length, ramp.parallel, second)
    away, beside = -ramp.offset - road.style.width, -road.style.width
    lanes = [
        Strand(knots=((at[0], away), (at[1], beside)), style=ramp.style, enters="ramp"),
        Strand(knots=((at[1], beside), (at[2], beside)), style=road.style),
        Strand(knots=((at[2], beside), (at[3], away)), style=ramp.style, leaves="exit"),
    ]
    return lay_road("weaving", road.course, [*lanes, *road.lanes()])


@names_nearest
@dataclass(frozen=True, kw_only=True)
class BranchOptions(HighwayOptions):
    """Two roads that become one, or one that becomes two.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    num_lanes: Interval = Interval(2, 3)
    """Of the road on the left, which goes straight on."""
    num_branch: Interval = Interval(1, 2)
    """Lanes of the road on the right."""
    branch_length: Interval = Interval(380.0, 480.0, "m")
    """From where the branch's end lies furthest away to where its lanes are those of the highway."""
    branch_offset: Interval = Interval(35.0, 50.0, "m")
    """How far away that is."""
    at: Interval = Interval(0.2, 0.3)
    """Where it begins: share of the highway's length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.num_branch.check("num_branch", 1, 4)
        self.branch_length.check("branch_length", 250.0, 1000.0)
        self.branch_offset.check("branch_offset", 20.0, self.branch_length.low / 6)
        self.at.check("at", 0.0, 0.9)
        if self.branch_length.high > self.length.low * (1 - self.at.high):
            raise ConfigError("branch_length does not fit into the highway; raise length, or lower branch_length or at")


@dataclass(frozen=True, kw_only=True)
class _Branch:
    """What was drawn: stations along the course, and for each lane where it is beside the highway, and away."""

    start: float
    end: float
    beside: Sequence[float]
    away: Sequence[float]


def _draw_branch(rng: Generator, options: BranchOptions, road: Carriageway) -> _Branch:
    """The leftmost lane of the branch is lane 0 of the highway where both are one."""
    start = round(options.at.draw(rng) * road.course.length)
    beside = [-k * road.style.width for k in reversed(range(options.num_branch.draw_whole(rng)))]
    offset = options.branch_offset.draw(rng)
    end = start + round(options.branch_length.draw(rng))
    return _Branch(start=start, end=end, beside=beside, away=[d - offset for d in beside])


def sample_merge(rng: Generator, options: BranchOptions | None = None) -> Road:
    """Two roads become one; the lanes between them become one lane, and nobody there has right of way.

    Routes: ``main:0`` and so on, and ``branch->main:0`` and so on from the road on the right.
    """
    options = options or BranchOptions()
    road = draw_carriageway(rng, options)
    branch = _draw_branch(rng, options, road)
    merging = Strand(knots=((branch.start, branch.away[-1]), (branch.end, 0.0)), style=road.style, enters="branch")
    added = [
        Strand(
            knots=((branch.start, away), (branch.end, beside), (road.course.length, beside)),
            style=road.style,
            enters="branch",
            leaves="main",
        )
        for beside, away in zip(branch.beside[:-1], branch.away[:-1], strict=True)
    ]
    return lay_road("merge", road.course, [*added, merging, *road.lanes()])


def sample_fork(rng: Generator, options: BranchOptions | None = None) -> Road:
    """One road becomes two; the lane between them leads into both.

    Routes: ``main->left:1`` and so on, and ``main->right:0`` and so on.
    """
    options = options or BranchOptions()
    road = draw_carriageway(rng, options)
    branch = _draw_branch(rng, options, road)
    splitting = Strand(knots=((branch.start, 0.0), (branch.end, branch.away[-1])), style=road.style, leaves="right")
    turning = [
        Strand(
            knots=((0.0, beside), (branch.start, beside), (branch.end, away)),
            style=road.style,
            enters="main",
            leaves="right",
        )
        for beside, away in zip(branch.beside[:-1], branch.away[:-1], strict=True)
    ]
    return lay_road("fork", road.course, [*turning, splitting, *road.lanes(leaves="left")])


@names_nearest
@dataclass(frozen=True, kw_only=True)
class LaneDropOptions(HighwayOptions):
    """A highway that loses a lane.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    num_lanes: Interval = Interval(1, 3)
    """That go on."""
    side: Side = "any"
    """Of the lane that ends."""
    at: Interval = Interval(0.35, 0.5)
    """Where the taper begins: share of the highway's length."""
    taper: Interval = Interval(100.0, 200.0, "m")
    """In which the lane disappears."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side not in ("any", *SIDES):
            raise ConfigError(f"side is {self.side!r}; {nearest_key(str(self.side), ('any', *SIDES))}")
        self.at.check("at", 0.05, 0.8)
        self.taper.check("taper", 30.0, 0.15 * self.length.low)


def sample_lane_drop(rng: Generator, options: LaneDropOptions | None = None) -> Road:
    """The outermost lane on one side ends in the one next to it.

    Routes: ``main:0`` and so on; ``main:0`` is the one that ends where that is on the right, else the last.
    """
    options = options or LaneDropOptions()
    road = draw_carriageway(rng, options)
    side = str(rng.choice(SIDES)) if options.side == "any" else options.side
    start = round(options.at.draw(rng) * road.course.length)
    end = start + round(options.taper.draw(rng))
    target = 0.0 if side == "right" else (road.num_lanes - 1) * road.style.width
    outer = target + (-1 if side == "right" else 1) * road.style.width
    ending = Strand(knots=((0.0, outer), (start, outer), (end, target)), style=road.style, enters="main", rank=0)
    return lay_road("lane_drop", road.course, [ending, *road.lanes()])
