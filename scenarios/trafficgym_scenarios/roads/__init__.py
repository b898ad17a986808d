"""Generated roads. `ROADS` has one generator a kind; docs/roads.md shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trafficgym_scenarios.roads.check import check_road
from trafficgym_scenarios.roads.highways import HighwayOptions, sample_highway
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.road import Crosswalk, Meeting, Path, Road, Route, SignalPhase, SignalPlan, Stop

ROADS: Mapping[str, Callable[..., Road]] = {
    "highway": sample_highway,
}
"""Generators by the kind of road: ``ROADS["highway"](rng, options=None)``."""

__all__ = [
    "ROADS",
    "Crosswalk",
    "HighwayOptions",
    "Interval",
    "Meeting",
    "Path",
    "Road",
    "Route",
    "SignalPhase",
    "SignalPlan",
    "Stop",
    "check_road",
    "sample_highway",
]
