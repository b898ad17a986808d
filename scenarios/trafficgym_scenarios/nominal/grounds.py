"""Roads that are long enough for nominal traffic: nobody shall reach the end of one before the log ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.random import Generator

from trafficgym_scenarios.roads import ROADS, IntersectionOptions, Interval, Road, RoundaboutOptions, StreetOptions

FASTEST_STREET = 19.5  # m/s, on urban roads
SPREAD = 350.0  # m of a street on which traffic begins


def draw_road(kind: str, duration: float, rng: Generator) -> Road:
    """A road of a kind in `ROADS` on which vehicles can drive for `duration` s; highways have their usual length."""
    options = OPTIONS[kind](FASTEST_STREET * duration) if kind in OPTIONS else None
    return ROADS[kind](rng, options)


def _street(way: float) -> StreetOptions:
    return StreetOptions(length=Interval(way + SPREAD, way + SPREAD + 80.0, "m"))


def _intersection(way: float) -> IntersectionOptions:
    return IntersectionOptions(arm_length=Interval(max(way, 120.0), max(way, 120.0) + 40.0, "m"))


def _roundabout(way: float) -> RoundaboutOptions:
    return RoundaboutOptions(arm_length=Interval(max(way, 120.0), max(way, 120.0) + 40.0, "m"))


OPTIONS: dict[str, Callable[[float], Any]] = {
    "street": _street,
    "three_way": _intersection,
    "four_way": _intersection,
    "roundabout": _roundabout,
}
