"""Conflicts where roads cross or meet (NHTSA pre-crash typology: left turn across path, running a red light or a stop
sign, straight crossing paths, turning at a junction)."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.families.encounter import PATIENCE, followers, time_for, waits_then_goes
from trafficgym_scenarios.roads.intersections import Control
from trafficgym_scenarios.roads.road import Road
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.settings import way_across
from trafficgym_scenarios.stage import CAR, Actor, Stage
from trafficgym_scenarios.town import before_meeting, intersection, roundabout

EGO_SPEED = Range(low=9.0, high=15.0, unit="m/s", about="speed of the ego", harder="high")
COMMITS = Range(
    low=1.9, high=3.0, unit="s", about="from when the hero commits itself to the ego's arrival", harder="low"
)
LAG = Range(low=-0.4, high=0.5, unit="s", about="when the hero is where their ways meet, after the ego")
WAIT = Range(low=1.0, high=2.0, unit="s", about="when the hero acts")
TRAFFIC = Range(low=0.0, high=6.0, unit="cars", about="other traffic")
AT_LINE = CAR[0] / 2 + 0.6
"""m from the middle of a car that waits to the line."""
GIVING_WAY: tuple[Control, ...] = ("two_way_stop", "yield")
"""Where the minor street waits."""
FACING = {"west": "east", "east": "west", "south": "north", "north": "south"}
LEFT_OF = {"west": "north", "north": "east", "east": "south", "south": "west"}
"""The arm on the left of those who come from an arm."""


def _comes(stage: Stage, p: Parameters, goes: str) -> Actor:
    """A hero who arrives where both ways meet `lag` after the ego, whatever that does before the hero is committed."""
    way = stage.ways["hero"]
    phases = (
        Phase(
            name="approaches",
            arrival=p["lag"],
            deceleration=4.0,
            until=Trigger(kind="arrival", value=p["commits"], at_most=p["wait"] + PATIENCE),
        ),
        Phase(name=goes, speed=p["speed"]),
    )
    s = way.meets - p["speed"] * (p["wait"] + p["commits"] + p["lag"])
    return Actor(path=way.path, s=s, speed=p["speed"], phases=phases, meets=way.meets)


def _before(p: Parameters) -> float:
    """m from the ego to where it meets a hero that comes."""
    return p["ego_speed"] * (p["wait"] + p["commits"])


def _plot(road: Road, stage: Stage, p: Parameters, rng: Generator, hero: Actor, *, ends: tuple[str, ...]) -> Plot:
    """Everybody, with cars behind the ego and such as have left the junction by the arms in `ends`."""
    num, speed = round(p["traffic"]), p["ego_speed"]
    behind = int(rng.integers(num + 1))
    cars = [*followers(stage, rng, behind, speed), *_gone(road, rng, num - behind, ends)]
    return Plot(stage=stage, ego=Actor(path=stage.path, s=stage.start, speed=speed), others=[hero, *cars])


def _gone(road: Road, rng: Generator, num: int, ends: tuple[str, ...]) -> list[Actor]:
    """Up to `num` cars on their way out by some arms."""
    routes = [name for name in road.routes for end in ends if f"->{end}:" in name]
    found: list[Actor] = []
    for _ in range(4 * num):
        if len(found) == num:
            break
        route = road.route(str(rng.choice(routes)))
        s = route.cuts[-2] + float(rng.uniform(4.0, 60.0))
        at = route.path.xy(s)
        if all(float(abs(at - other.path.xy(other.s)).max()) > 12.0 for other in found):
            found.append(Actor(path=route.path, s=s, speed=route.speed_limit * float(rng.uniform(0.7, 0.9))))
    return found


def _waiting(road: Road, rng: Generator, arm: str, *, share: float = 0.6) -> list[Actor]:
    """Cars that stand at the stop line of an arm, in each of its lanes with probability `share`."""
    found: dict[int, Actor] = {}
    for name in road.routes:
        route = road.route(name)
        if name.startswith(f"{arm}->") and route.stops and route.lanes[0] not in found and rng.random() < share:
            found[route.lanes[0]] = Actor(path=route.path, s=route.stops[0].s - AT_LINE)
    return list(found.values())


def left_across_path(p: Parameters, rng: Generator) -> Plot:
    arms = 3 + int(rng.integers(2))
    road = intersection(rng, control=("signal", *GIVING_WAY)[int(rng.integers(3))], arms=arms)
    start = "west" if arms == 3 else ("west", "east")[int(rng.integers(2))]
    facing, left = FACING[start], LEFT_OF[FACING[start]]
    stage = before_meeting(road, rng, ego=f"{start}->{facing}", hero=f"{facing}->{left}", before=_before(p))
    plot = _plot(road, stage, p, rng, _comes(stage, p, "turns left"), ends=(start,))
    standing = [car for arm in (left, FACING[left]) for car in _waiting(road, rng, arm, share=0.3)]
    return Plot(stage=stage, ego=plot.ego, others=[*plot.others, *standing])


def _crossing(p: Parameters, rng: Generator, road: Road, goes: str) -> Plot:
    """Cross traffic comes from the left or the right of the ego, which is on the main street."""
    start = ("west", "east")[int(rng.integers(2))]
    side = ("north", "south")[int(rng.integers(2))]
    stage = before_meeting(
        road, rng, ego=f"{start}->{FACING[start]}", hero=f"{side}->{FACING[side]}", before=_before(p)
    )
    plot = _plot(road, stage, p, rng, _comes(stage, p, goes), ends=(start,))
    return Plot(stage=stage, ego=plot.ego, others=[*plot.others, *_waiting(road, rng, FACING[side])])


def red_light_runner(p: Parameters, rng: Generator) -> Plot:
    return _crossing(p, rng, intersection(rng, control="signal"), "runs the red light")


def stop_sign_runner(p: Parameters, rng: Generator) -> Plot:
    return _crossing(p, rng, intersection(rng, control="two_way_stop"), "runs the stop sign")


def roundabout_intruder(p: Parameters, rng: Generator) -> Plot:
    arms = 3 + int(rng.integers(2))
    road = roundabout(rng, arms=arms)
    # The ego goes round by half at least before it passes the hero's entry.
    start = "east" if arms == 3 else str(rng.choice(list(FACING)))
    enters, leaves = FACING[start], LEFT_OF[start]
    hero_leaves = (start, leaves)[int(rng.integers(2))]
    stage = before_meeting(road, rng, ego=f"{start}->{leaves}", hero=f"{enters}->{hero_leaves}", before=_before(p))
    return _plot(road, stage, p, rng, _comes(stage, p, "enters"), ends=(start,))


def turn_into_path(p: Parameters, rng: Generator) -> Plot:
    arms = 3 + int(rng.integers(2))
    road = intersection(rng, control=GIVING_WAY[int(rng.integers(2))], arms=arms)
    side = "south" if arms == 3 else ("north", "south")[int(rng.integers(2))]
    start = LEFT_OF[side]
    own, other = f"{start}->{FACING[start]}:0", f"{side}->{FACING[start]}:0"
    way, acceleration = way_across(road, own, other), 2.0
    s = road.route(other).stops[0].s - AT_LINE
    distance = way.meets - s
    time = p["wait"] + time_for(distance, p["speed"], acceleration) - p["lag"]
    stage = before_meeting(road, rng, ego=own, hero=other, before=p["ego_speed"] * time)
    phases = waits_then_goes(
        "waits at the line",
        "turns",
        distance=distance,
        speed=p["speed"],
        acceleration=acceleration,
        lag=p["lag"],
        at_most=p["wait"] + PATIENCE,
    )
    hero = Actor(path=way.path, s=s, phases=phases, meets=way.meets)
    return _plot(road, stage, p, rng, hero, ends=(start,))


def _parameters(speed: Range, **others: Range) -> Mapping[str, Range]:
    return {
        "ego_speed": EGO_SPEED,
        "speed": speed,
        "commits": COMMITS,
        "lag": LAG,
        "wait": WAIT,
        "traffic": TRAFFIC,
        **others,
    }


INTERSECTIONS = (
    LogicalScenario(
        name="left-across-path",
        story="An oncoming vehicle turns left across the ego's way.",
        road="intersection",
        write=left_across_path,
        parameters=_parameters(
            Range(low=3.5, high=6.5, unit="m/s", about="speed of the hero, who turns", harder="high"),
            lag=Range(low=-0.8, high=0.1, unit="s", about="when the hero is where their ways meet, after the ego"),
        ),
    ),
    LogicalScenario(
        name="red-light-runner",
        story="Cross traffic runs its red light while the ego has green.",
        road="intersection with signals",
        write=red_light_runner,
        parameters=_parameters(
            Range(low=8.0, high=16.0, unit="m/s", about="speed of the hero", harder="high"),
        ),
    ),
    LogicalScenario(
        name="stop-sign-runner",
        story="Cross traffic runs its stop sign; the ego has the right of way.",
        road="intersection with stop signs",
        write=stop_sign_runner,
        parameters=_parameters(
            Range(low=5.0, high=12.0, unit="m/s", about="speed of the hero", harder="high"),
        ),
    ),
    LogicalScenario(
        name="roundabout-intruder",
        story="A vehicle enters the roundabout without yielding to the ego, which is in the ring.",
        road="roundabout",
        write=roundabout_intruder,
        parameters=_parameters(
            Range(low=4.5, high=8.0, unit="m/s", about="speed of the hero", harder="high"),
            ego_speed=Range(low=5.5, high=8.5, unit="m/s", about="speed of the ego", harder="high"),
        ),
    ),
)

INTERSECTIONS_HELD_OUT = (
    LogicalScenario(
        name="turn-into-path",
        story="A vehicle from a side street turns into the ego's lane and is slow.",
        road="intersection",
        held_out=True,
        write=turn_into_path,
        parameters={
            "ego_speed": EGO_SPEED,
            "speed": Range(low=3.0, high=6.0, unit="m/s", about="speed of the hero", harder="low"),
            "lag": Range(low=-0.8, high=0.3, unit="s", about="when the hero is in the ego's lane, after the ego"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
)
