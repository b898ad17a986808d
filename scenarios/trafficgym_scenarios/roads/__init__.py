"""Generated roads. `ROADS` has one generator a kind; docs/roads.md shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trafficgym_scenarios.roads.check import check_road
from trafficgym_scenarios.roads.highways import HighwayOptions, sample_highway
from trafficgym_scenarios.roads.intersections import IntersectionOptions, sample_four_way, sample_three_way
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.ramps import (
    BranchOptions,
    LaneDropOptions,
    RampOptions,
    WeavingOptions,
    sample_fork,
    sample_lane_drop,
    sample_merge,
    sample_off_ramp,
    sample_on_ramp,
    sample_weaving,
)
from trafficgym_scenarios.roads.road import Crosswalk, Meeting, Path, Road, Route, SignalPhase, SignalPlan, Stop
from trafficgym_scenarios.roads.roundabout import RoundaboutOptions, sample_roundabout
from trafficgym_scenarios.roads.streets import StreetOptions, sample_street

ROADS: Mapping[str, Callable[..., Road]] = {
    "highway": sample_highway,
    "on_ramp": sample_on_ramp,
    "off_ramp": sample_off_ramp,
    "merge": sample_merge,
    "fork": sample_fork,
    "lane_drop": sample_lane_drop,
    "weaving": sample_weaving,
    "street": sample_street,
    "three_way": sample_three_way,
    "four_way": sample_four_way,
    "roundabout": sample_roundabout,
}
"""Generators by the kind of road: ``ROADS["highway"](rng, options=None)``."""

__all__ = [
    "ROADS",
    "BranchOptions",
    "Crosswalk",
    "HighwayOptions",
    "IntersectionOptions",
    "Interval",
    "LaneDropOptions",
    "Meeting",
    "Path",
    "RampOptions",
    "Road",
    "RoundaboutOptions",
    "Route",
    "SignalPhase",
    "SignalPlan",
    "Stop",
    "StreetOptions",
    "WeavingOptions",
    "check_road",
    "sample_fork",
    "sample_four_way",
    "sample_highway",
    "sample_lane_drop",
    "sample_merge",
    "sample_off_ramp",
    "sample_on_ramp",
    "sample_roundabout",
    "sample_street",
    "sample_three_way",
    "sample_weaving",
]
