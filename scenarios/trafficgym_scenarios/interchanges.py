"""Where logical scenarios are set: highways that bend, and that gain and lose lanes, as the ego finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.random import Generator

from trafficgym_scenarios.roads.highways import HighwayOptions, sample_highway
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.roads.ramps import (
    BranchOptions,
    LaneDropOptions,
    RampOptions,
    WeavingOptions,
    sample_lane_drop,
    sample_merge,
    sample_off_ramp,
    sample_on_ramp,
    sample_weaving,
)
from trafficgym_scenarios.roads.road import Road, Route
from trafficgym_scenarios.scenario import Parameters, Setting
from trafficgym_scenarios.settings import stage_on, way_across
from trafficgym_scenarios.stage import Stage, Way

_LENGTH = Interval(1000.0, 1000.0, "m")
_RAMP_LENGTH = Interval(200.0, 240.0, "m")
_PARALLEL = Interval(150.0, 220.0, "m")
_BEND = Interval(800.0, 1800.0, "m")
_BEFORE_TURN = 1 / 3
"""Share of the way to a conflict that lies before an S changes its direction.

Where curvature is proportional to the way from there, who goes straight on is back in the lane's middle at the end.
"""


def s_highway(rng: Generator, *, speed: float, lead_s: float) -> Stage:
    """An S of two to four lanes; the ego in any of them, shortly before the S changes its direction.

    There it is nearly straight: an ego that does not steer stays in its lane until about the conflict, and no longer.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before the conflict it starts [s].
    """
    road = sample_highway(rng, HighwayOptions(shape="s", length=_LENGTH, radius=_BEND))
    route = f"main:{rng.integers(len(road.routes))}"
    start = road.route(route).path.length / 2 - _BEFORE_TURN * speed * lead_s
    return stage_on(road, route, start)


def on_s_highway(lead_s: Callable[[Parameters], float], *, beside: bool = False) -> Setting:
    """An `s_highway`.

    Args:
        lead_s: How long before the conflict the ego starts [s].
        beside: Whether the story needs a lane beside the ego's.
    """
    return Setting(
        generate=lambda p, rng: s_highway(rng, speed=p["ego_speed"], lead_s=lead_s(p)),
        needs=("beside",) if beside else (),
    )


def on_ramp(rng: Generator, *, speed: float, lead_s: float) -> Stage:
    """A straight highway that a ramp joins from the right; the ego in the rightmost lane.

    Ways: ``"ramp"``, along the acceleration lane and into the ego's.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before the place where both come too close it starts [s].
    """
    options = RampOptions(
        shape="straight",
        num_lanes=Interval(2, 3),
        length=_LENGTH,
        at=Interval(0.0, 0.02),
        ramp_length=_RAMP_LENGTH,
        parallel=_PARALLEL,
        taper=Interval(80.0, 110.0, "m"),
    )
    road = sample_on_ramp(rng, options)
    return _before(road, "main:0", way_across(road, "main:0", "ramp->main:0"), "ramp", speed * lead_s)


def merge(rng: Generator, *, speed: float, lead_s: float) -> Stage:
    """An S that another road joins from the right, neither having right of way; the ego in the rightmost lane.

    Ways: ``"branch"``, the lane that becomes one with the ego's.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before the place where both come too close it starts [s].
    """
    options = BranchOptions(shape="s", length=_LENGTH, at=Interval(0.2, 0.23), radius=_BEND)
    road = sample_merge(rng, options)
    branch = max(name for name in road.routes if name.startswith("branch"))
    return _before(road, "main:0", way_across(road, "main:0", branch), "branch", speed * lead_s)


def lane_drop(rng: Generator, *, speed: float, lead_s: float, in_ending_lane: bool) -> Stage:
    """A straight highway whose outermost lane ends; the ego in that lane, or in the one that it ends in.

    Ways: ``"other"``, the one of the two that the ego is not in.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before the place where both come too close it starts [s].
        in_ending_lane: Whether the ego's lane is the one that ends.
    """
    side: Literal["left", "right"] = "right" if rng.random() < 0.5 else "left"
    options = LaneDropOptions(
        shape="straight",
        side=side,
        length=_LENGTH,
        shoulder=Interval(0.6, 1.4, "m"),  # on a wide one a car could drive on
        at=Interval(0.38, 0.45),
        taper=Interval(90.0, 140.0, "m"),
    )
    road = sample_lane_drop(rng, options)
    lanes = sorted(road.routes)
    ending, through = (lanes[0], lanes[1]) if side == "right" else (lanes[-1], lanes[-2])
    own, other = (ending, through) if in_ending_lane else (through, ending)
    way = way_across(road, own, other)
    stage = stage_on(road, own, way.ego_meets - speed * lead_s, ways={"other": way})
    return replace(stage, left=None, right=None) if in_ending_lane else stage


def off_ramp(rng: Generator, *, speed: float, lead_s: float, num_lanes: int) -> Stage:
    """A straight highway with an exit on the right; the ego in the rightmost lane.

    Ways: ``"exit"``, beside the ego's lane all along until it leaves, which is where it is said to meet it.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before that place it starts [s].
        num_lanes: Of the highway.
    """
    road = _exit_road(rng, num_lanes)
    return _before(road, "main:0", _exit(road, "main:0", "main->exit:0"), "exit", speed * lead_s)


def exit_lane(rng: Generator, *, speed: float, lead_s: float) -> tuple[Stage, Stage]:
    """The same road, with the ego in the lane that leaves; and as seen from the rightmost lane that goes on.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before the place where the exit leaves it starts [s].
    """
    road = _exit_road(rng, int(rng.integers(2, 4)))
    gore = _exit(road, "main:0", "main->exit:0")
    own = road.route("main->exit:0").path
    meets = float(own.project(gore.path.xy(gore.meets))[0])
    stage = stage_on(road, "main->exit:0", meets - speed * lead_s)
    return stage, _before(road, "main:0", gore, "exit", speed * lead_s)


def _exit_road(rng: Generator, num_lanes: int) -> Road:
    options = RampOptions(
        shape="straight",
        num_lanes=Interval(num_lanes, num_lanes),
        length=_LENGTH,
        at=Interval(0.1, 0.15),
        ramp_length=_RAMP_LENGTH,
        parallel=_PARALLEL,
        taper=Interval(60.0, 100.0, "m"),
    )
    return sample_off_ramp(rng, options)


def weaving(rng: Generator, *, speed: float, lead_s: float) -> Stage:
    """A straight highway with a weaving section on the right; the ego in the rightmost through lane.

    Ways: ``"exit"``, beside the ego's lane until it leaves, which is where it is said to meet it; and ``"ramp"``, which
    comes from the ramp and goes to the exit.

    Args:
        speed: Of the ego [m/s].
        lead_s: How long before that place it starts [s].
    """
    options = WeavingOptions(
        shape="straight",
        num_lanes=Interval(2, 3),
        length=_LENGTH,
        at=Interval(0.0, 0.02),
        ramp_length=_RAMP_LENGTH,
        parallel=Interval(200.0, 280.0, "m"),
    )
    road = sample_weaving(rng, options)
    leaves = _exit(road, "main:0", "ramp->exit:0")
    stage = _before(road, "main:0", leaves, "exit", speed * lead_s)
    ramp = road.route("ramp->exit:0").path
    meets = float(ramp.project(leaves.path.xy(leaves.meets))[0])
    return replace(stage, ways={**stage.ways, "ramp": replace(leaves, path=ramp, meets=meets)})


def _before(road: Road, route: str, way: Way, name: str, distance: float) -> Stage:
    """The road from so far before a way meets the ego's; what runs on its right is no lane for traffic to go on in."""
    return replace(stage_on(road, route, way.ego_meets - distance, ways={name: way}), right=None)


def _exit(road: Road, ego_route: str, exit_route: str) -> Way:
    """A way a lane's width to the right of the ego's from the start on, which leaves by the exit."""
    own, leaves = road.route(ego_route), road.route(exit_route)
    beside = road.side_by_side(ego_route, exit_route)
    if beside is None:
        raise ValueError(f"routes {ego_route!r} and {exit_route!r} of {road.kind!r} never run side by side")
    return Way(
        path=_joined(own, leaves, beside[1]),
        meets=beside[1],
        ego_meets=beside[1],
        lane_width=leaves.lane_width,
        speed_limit=min(leaves.limits),
    )


def _joined(own: Route, leaves: Route, until: float) -> Path:
    """Beside one route on its right `until` there, then on along the other."""
    before = own.path.xy(np.arange(0.0, until, 2.0), -own.lane_width)
    s, _ = leaves.path.project(own.path.xy(until, -own.lane_width))
    return Path(np.concatenate([before, leaves.path.points[leaves.path.at > s + 1.0]]))
