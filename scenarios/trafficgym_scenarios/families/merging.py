"""Conflicts where lanes join, leave or end (NHTSA pre-crash typology: changing lanes, turning, same direction)."""

from __future__ import annotations

import math

from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.interchanges import lane_drop, off_ramp, on_ramp, weaving
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.stage import CAR, Actor, Stage, Way, traffic

EGO_SPEED = Range(low=20.0, high=31.0, unit="m/s", about="speed of the ego", harder="high")
TRAFFIC = Range(low=0.0, high=6.0, unit="cars", about="other traffic")
GAP = Range(low=0.5, high=8.0, unit="m", about="from the ego's front to the hero's rear as it acts", harder="low")
NEAR = Range(low=3.5, high=10.0, unit="m", about="from the ego's front to the hero's rear as it acts", harder="low")
DURATION = Range(low=1.5, high=3.0, unit="s", about="of the hero's way across", harder="low")
PUSH = 3.5
"""m/s^2, of a hero that closes a gap."""


def _plot(
    stage: Stage,
    p: Parameters,
    rng: Generator,
    *others: Actor,
    near: tuple[float, ...] = (),
    closed: tuple[float, ...] = (),
) -> Plot:
    """Everybody, with traffic.

    Args:
        stage: The road.
        p: Parameters.
        rng: Of the traffic.
        others: All but the ego and the traffic.
        near: Lanes without traffic beside the ego and a little ahead of it, besides its own.
        closed: Lanes without any.
    """
    clear = [(0.0, stage.start - 5.0, stage.path.length)]
    clear += [(d, stage.start, stage.start + 60.0) for d in near]
    clear += [(d, 0.0, stage.path.length) for d in closed]
    cars = traffic(stage, rng, round(p["traffic"]), p["ego_speed"], clear=clear)
    ego = Actor(path=stage.path, s=stage.start, speed=p["ego_speed"])
    return Plot(stage=stage, ego=ego, others=[*others, *cars])


def ramp_squeeze(p: Parameters, rng: Generator) -> Plot:
    speed, slow = p["ego_speed"], p["ego_speed"] - p["slower"]
    lead_s = p["commit"] + 2.0
    stage = on_ramp(rng, speed=speed, lead_s=lead_s)
    ramp = stage.ways["ramp"]
    phases = (
        Phase(
            name="comes along the ramp", arrival=-p["ahead"] / slow, until=Trigger(kind="arrival", value=p["commit"])
        ),
        Phase(name="squeezes in", until=Trigger(kind="time", value=p["commit"] + 1.5)),
        Phase(name="goes on", speed=speed, acceleration=1.5),
    )
    s = ramp.meets - lead_s * slow + p["ahead"]
    hero = Actor(path=ramp.path, s=s, speed=slow, phases=phases, meets=ramp.meets)
    return _plot(stage, p, rng, hero)


def forced_merge(p: Parameters, rng: Generator) -> Plot:
    speed = p["ego_speed"]
    stage = lane_drop(rng, speed=speed, lead_s=p["commit"] + 2.0, in_ending_lane=False)
    ending = stage.ways["other"]
    side = _side_of(stage, ending)
    phases = (
        Phase(name="beside", gap=p["gap"], until=Trigger(kind="arrival", value=p["commit"])),
        Phase(
            name="forces its way in",
            speed=max(speed - p["slower"], 5.0),
            deceleration=4.0,
            offset=0.0,
            duration=p["duration"],
        ),
    )
    s = stage.start + CAR[0] + p["gap"]
    hero = Actor(path=stage.path, s=s, d=side, speed=speed, phases=phases, meets=ending.ego_meets)
    return _plot(stage, p, rng, hero, closed=(side,))


def _side_of(stage: Stage, ending: Way) -> float:
    """Offset of the lane that ends, where it is still beside the ego's."""
    return float(stage.path.project(ending.path.xy(ending.path.project(stage.path.xy(stage.start))[0]))[1])


def drop_lane(p: Parameters, rng: Generator) -> Plot:
    speed = p["ego_speed"]
    stage = lane_drop(rng, speed=speed, lead_s=p["commit"] + 1.3, in_ending_lane=True)
    beside = stage.ways["other"]
    level = float(beside.path.project(stage.path.xy(stage.start))[0])
    gain, time = p["behind"] + CAR[0] + p["ahead"], p["commit"]
    faster = PUSH * (time - math.sqrt(time**2 - 2.0 * gain / PUSH))
    phases = (
        Phase(name="leaves a gap", gap=-p["behind"], until=Trigger(kind="arrival", value=time)),
        Phase(
            name="closes it",
            speed=speed + faster,
            acceleration=PUSH,
            until=Trigger(kind="time", value=time + 0.5),
        ),
        Phase(name="stays", speed=speed),
    )
    hero = Actor(
        path=beside.path,
        s=level - CAR[0] - p["behind"],
        speed=speed,
        phases=phases,
        meets=beside.meets,
    )
    lead = Actor(
        path=beside.path, s=level + CAR[0] + p["room"], speed=speed, phases=(Phase(name="goes on", speed=speed),)
    )
    followers = [
        Actor(path=beside.path, s=level - 60.0 - (k + 1) * 2.2 * speed, speed=speed)
        for k in range(round(p["followers"]))
    ]
    ego = Actor(path=stage.path, s=stage.start, speed=speed)
    return Plot(stage=stage, ego=ego, others=[hero, lead, *followers])


def _crosser(stage: Stage, p: Parameters, home: float, deceleration: float) -> Actor:
    """A hero ahead of the ego in a lane on its left, `home` from the ego's, that crosses it to the exit."""
    leaves, speed = stage.ways["exit"], p["ego_speed"]
    s, d = leaves.path.project(stage.path.xy(stage.start + CAR[0] + p["gap"], home))
    phases = (
        Phase(name="ahead on the left", gap=p["gap"], until=Trigger(kind="arrival", value=p["commit"])),
        Phase(
            name="crosses to the exit",
            speed=max(speed - p["slower"], 10.0),
            deceleration=deceleration,
            offset=0.0,
            duration=p["duration"],
        ),
    )
    return Actor(path=leaves.path, s=float(s), d=float(d), speed=speed, phases=phases, meets=leaves.meets)


def weave(p: Parameters, rng: Generator) -> Plot:
    speed = p["ego_speed"]
    stage = weaving(rng, speed=speed, lead_s=p["commit"] + 2.0)
    ramp = stage.ways["ramp"]
    assert stage.left is not None
    hero = _crosser(stage, p, stage.left, 4.0)
    s = ramp.meets - (p["commit"] + 2.0) * speed - p["ramp_behind"]
    beside = Actor(path=ramp.path, s=s, speed=speed)
    return _plot(stage, p, rng, hero, beside, near=(stage.left,))


def late_exit(p: Parameters, rng: Generator) -> Plot:
    num_left = round(p["lanes"])
    num_lanes = int(rng.integers(1 + num_left, 5))
    stage = off_ramp(rng, speed=p["ego_speed"], lead_s=p["commit"] + 2.0, num_lanes=num_lanes)
    assert stage.left is not None
    home = num_left * stage.left
    return _plot(stage, p, rng, _crosser(stage, p, home, 5.0), near=(stage.left, home))


MERGING = (
    LogicalScenario(
        name="ramp-squeeze",
        story="A vehicle on the on-ramp squeezes in beside the ego, or right ahead of it, where its lane ends.",
        road="on-ramp",
        write=ramp_squeeze,
        parameters={
            "ego_speed": EGO_SPEED,
            "ahead": Range(low=0.0, high=9.0, unit="m", about="from the ego's centre to the hero's as they meet"),
            "slower": Range(low=0.5, high=7.0, unit="m/s", about="by which the hero is slower", harder="high"),
            "commit": Range(
                low=2.0, high=3.5, unit="s", about="before they meet, when it no longer adapts", harder="low"
            ),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="forced-merge",
        story="The lane of a vehicle beside the ego ends, and it forces its way into the ego's.",
        road="lane drop",
        write=forced_merge,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": GAP,
            "slower": Range(low=3.0, high=10.0, unit="m/s", about="by which the hero slows down", harder="high"),
            "duration": DURATION,
            "commit": Range(low=2.0, high=3.5, unit="s", about="from the hero's move to where its lane is gone"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="lane-drop",
        story="The ego's lane ends, and the vehicle behind in the next lane closes the gap.",
        road="lane drop",
        write=drop_lane,
        parameters={
            "ego_speed": EGO_SPEED,
            "behind": Range(low=3.0, high=8.0, unit="m", about="from the hero's front to the ego's rear at first"),
            "ahead": Range(low=-3.0, high=2.0, unit="m", about="from the ego's centre to the hero's where both meet"),
            "commit": Range(
                low=3.2, high=4.5, unit="s", about="before they meet, when it closes the gap", harder="low"
            ),
            "room": Range(low=16.0, high=30.0, unit="m", about="from the ego to the car ahead in the next lane"),
            "followers": Range(low=0.0, high=3.0, unit="cars", about="further behind in the next lane"),
        },
    ),
    LogicalScenario(
        name="weaving",
        story="In a weaving section a vehicle crosses to the exit right ahead of the ego, while others come in.",
        road="weaving section",
        write=weave,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": NEAR,
            "slower": Range(low=7.0, high=12.0, unit="m/s", about="by which the hero slows down", harder="high"),
            "duration": Range(low=2.5, high=4.0, unit="s", about="of the hero's way across"),
            "commit": Range(low=4.0, high=5.5, unit="s", about="from the hero's move to where the exit leaves"),
            "ramp_behind": Range(
                low=12.0, high=30.0, unit="m", about="how far behind the ego the vehicle from the ramp is"
            ),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="late-exit",
        story="At the last moment a vehicle dives from the left, across the ego's lane, to the exit.",
        road="off-ramp",
        write=late_exit,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": NEAR,
            "slower": Range(low=9.0, high=16.0, unit="m/s", about="by which the hero slows down", harder="high"),
            "duration": Range(low=2.4, high=3.2, unit="s", about="of the hero's way across"),
            "commit": Range(
                low=2.0, high=3.2, unit="s", about="from the hero's move to where the exit leaves", harder="low"
            ),
            "lanes": Range(low=1.0, high=2.0, unit="lanes", about="by which the hero is left of the ego at first"),
            "traffic": TRAFFIC,
        },
    ),
)
