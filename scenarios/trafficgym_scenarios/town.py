"""Where logical scenarios in town are set: streets, intersections and roundabouts, as the ego finds them."""

from __future__ import annotations

from numpy.random import Generator

from trafficgym_scenarios.roads.intersections import Control, IntersectionOptions, sample_four_way, sample_three_way
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.roads.roundabout import RoundaboutOptions, sample_roundabout
from trafficgym_scenarios.roads.streets import StreetOptions, sample_street
from trafficgym_scenarios.scenario import Need, Setting
from trafficgym_scenarios.settings import stage_on, way_across
from trafficgym_scenarios.stage import NUM_STEPS, Stage

BEHIND_M, AHEAD_M = 70.0, 185.0
"""Street behind the ego and ahead of it."""
_STRAIGHT = Interval(1e6, 1e6, "m")
_ARM = Interval(110.0, 120.0, "m")
_GREEN_S = 0.1 * NUM_STEPS + 0.5


def street(
    rng: Generator,
    *,
    before: float,
    after: float,
    lanes: tuple[int, int] = (1, 1),
    lane: int = 0,
    kerb: float = 0.6,
    limits: tuple[float, ...] = StreetOptions().limits,
) -> Stage:
    """A straight two-way street.

    Args:
        before: Road behind the ego [m].
        after: Road ahead of it [m].
        lanes: In each direction, least and most.
        lane: Of the ego, 0 the rightmost.
        kerb: Asphalt beyond the outer lanes [m], such as for parking.
        limits: Speed limits, of which one is drawn [m/s].
    """
    length = before + after
    has_strip = kerb > 2.3
    strip = min(kerb - 0.5, 4.0) if has_strip else 2.0
    shoulder = kerb - strip if has_strip else kerb
    options = StreetOptions(
        length=Interval(length, length, "m"),
        radius=_STRAIGHT,
        num_lanes=Interval(*lanes),
        lane_width=Interval(3.3, 3.6, "m"),
        shoulder=Interval(shoulder, shoulder, "m"),
        parking="always" if has_strip else "never",
        parking_width=Interval(strip, strip, "m"),
        crosswalk="never",
        limits=limits,
    )
    return stage_on(sample_street(rng, options), f"south->north:{lane}", before)


def on_street(least: float, most: float, *, needs: tuple[Need, ...] = ()) -> Setting:
    """A street with one lane each way, and so much asphalt beyond them [m]."""
    return Setting(
        generate=lambda _, rng: street(rng, before=BEHIND_M, after=AHEAD_M, kerb=float(rng.uniform(least, most))),
        needs=needs,
    )


def intersection(rng: Generator, *, control: Control, arms: int = 4) -> Road:
    """An intersection of which the main street is straight, one or two lanes each way.

    Green is long enough for a whole scenario, and no left turn has an arrow of its own.

    Args:
        control: Who has to wait.
        arms: 3 or 4.
    """
    options = IntersectionOptions(
        control=control,
        arm_length=_ARM,
        skew=Interval(0.0, 0.0, "deg"),
        turn_lanes="never",
        crosswalks="always" if control == "signal" else "any",
        green=Interval(_GREEN_S + 0.5, _GREEN_S + 10.0, "s"),
    )
    return (sample_three_way if arms == 3 else sample_four_way)(rng, options)


def roundabout(rng: Generator, *, arms: int) -> Road:
    """A roundabout of 3 or 4 arms."""
    return sample_roundabout(rng, RoundaboutOptions(num_arms=Interval(arms, arms), arm_length=_ARM))


def before_meeting(road: Road, rng: Generator, *, ego: str, hero: str, before: float) -> Stage:
    """A junction as the ego finds it before it meets the hero, whose way is ``ways["hero"]``; the ego has green.

    Args:
        ego: Route of the ego, with or without its lane: of several, ``west->east:0`` and so on, one is drawn.
        hero: Likewise.
        before: m from the ego to where both meet.
    """
    own, other = (name if ":" in name else str(rng.choice(routes_from(road, name))) for name in (ego, hero))
    way = way_across(road, own, other)
    return stage_on(road, own, way.ego_meets - before, ways={"hero": way}, phase_s=_phase(road, own, rng))


def routes_from(road: Road, ends: str) -> list[str]:
    """Names of the routes between two ends, ``west->east``, one for each lane that they enter by."""
    return [name for name in road.routes if name.partition(":")[0] == ends]


def _phase(road: Road, route: str, rng: Generator) -> float:
    """A moment of the signals' cycle from which on the route has green for a whole scenario, s; 0 without signals."""
    plan, stops = road.signal_plan, road.route(route).stops
    if plan is None:
        return 0.0
    start = 0.0
    for phase in plan.phases:
        if stops[0].lane in phase.green:
            return start + float(rng.uniform(0.0, phase.duration - _GREEN_S))
        start += phase.duration + plan.yellow + plan.all_red
    raise ValueError(f"route {route!r} of {road.kind!r} never has green")
