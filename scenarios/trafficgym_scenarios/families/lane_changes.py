"""Vehicles that change into the ego's lane (NHTSA pre-crash typology: changing lanes, drifting, same direction)."""

from __future__ import annotations

from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.settings import on_highway
from trafficgym_scenarios.stage import CAR, Actor, Stage, traffic

EGO_SPEED = Range(low=20.0, high=33.0, unit="m/s", about="speed of the ego", harder="high")
WAIT = Range(low=1.0, high=2.0, unit="s", about="when the hero acts")
TRAFFIC = Range(low=0.0, high=6.0, unit="cars", about="other traffic")
DURATION = Range(low=1.2, high=3.0, unit="s", about="of the lane change", harder="low")
GAP = Range(low=3.0, high=14.0, unit="m", about="from the ego's front to the hero's rear as it cuts in", harder="low")
SLOWER = Range(low=3.0, high=9.0, unit="m/s", about="by which the hero slows down below the ego's speed", harder="high")


def _side(stage: Stage, side: int) -> float:
    offset = stage.left if side > 0 else stage.right
    assert offset is not None
    return offset


def _cutter(stage: Stage, p: Parameters, side: int, *, extra: float = 0.0, then: tuple[Phase, ...] = ()) -> Actor:
    """A hero beside and ahead of the ego that keeps its distance, then changes into its lane and slows down."""
    gap, speed = p["gap"] + extra, p["ego_speed"]
    phases = (
        Phase(name="beside", gap=gap, until=Trigger(kind="time", value=p["wait"])),
        Phase(
            name="cuts in",
            speed=max(speed - p["slower"], 2.0),
            deceleration=4.0,
            offset=0.0,
            duration=p["duration"],
            until=Trigger(kind="time", value=p["duration"]) if then else Trigger(),
        ),
        *then,
    )
    return Actor(path=stage.path, s=stage.start + CAR[0] + gap, d=_side(stage, side), speed=speed, phases=phases)


def _plot(stage: Stage, p: Parameters, rng: Generator, *heroes: Actor) -> Plot:
    """Everybody, with traffic that keeps away from the ego and its heroes."""
    speed = p["ego_speed"]
    lanes = {0.0, *(hero.d for hero in heroes)}
    clear = [(d, stage.start - 30.0, stage.start + 90.0) for d in lanes]
    cars = traffic(stage, rng, round(p["traffic"]), speed, clear=clear)
    return Plot(stage=stage, ego=Actor(path=stage.path, s=stage.start, speed=speed), others=heroes, traffic=cars)


def cut_in(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    return _plot(stage, p, rng, _cutter(stage, p, 1))


def cut_in_from_right(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    return _plot(stage, p, rng, _cutter(stage, p, -1))


def double_cut_in(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    first = _cutter(stage, p, 1, extra=CAR[0] + p["apart"])
    second = _cutter(stage, p, -1)
    return _plot(stage, p, rng, first, second)


def cut_in_and_brake(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    brakes = Phase(name="brakes", speed=0.0, deceleration=p["deceleration"])
    return _plot(stage, p, rng, _cutter(stage, p, 1, then=(brakes,)))


def drift(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    ahead = p["ahead"]
    phases = (
        Phase(name="beside", until=Trigger(kind="time", value=p["wait"])),
        Phase(name="drifts", offset=_side(stage, 1) - p["drift"], duration=p["duration"]),
    )
    hero = Actor(path=stage.path, s=stage.start + ahead, d=_side(stage, 1), speed=p["ego_speed"], phases=phases)
    return _plot(stage, p, rng, hero)


def swerve(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    home = _side(stage, -1)
    phases = (
        Phase(name="beside", gap=p["gap"], until=Trigger(kind="time", value=p["wait"])),
        Phase(
            name="swerves",
            speed=max(p["ego_speed"] - p["slower"], 2.0),
            deceleration=5.0,
            offset=home + p["swerve"],
            duration=p["duration"],
            until=Trigger(kind="time", value=p["duration"] + 0.8),
        ),
        Phase(name="returns", offset=home, duration=1.5 * p["duration"]),
    )
    s = stage.start + CAR[0] + p["gap"]
    hero = Actor(path=stage.path, s=s, d=home, speed=p["ego_speed"], phases=phases)
    return _plot(stage, p, rng, hero)


def tailgater(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    speed = p["ego_speed"]
    ahead = stage.start + CAR[0] + p["headway"] * speed
    brakes = (
        Phase(name="leads", until=Trigger(kind="time", value=p["wait"] + 1.0)),
        Phase(name="brakes", speed=max(speed - p["slower"], 0.0), deceleration=p["deceleration"]),
    )
    lead = Actor(path=stage.path, s=ahead, speed=speed, phases=brakes)
    behind = -p["behind"]
    follows = (
        Phase(name="closes up", gap=behind, acceleration=2.0, until=Trigger(kind="never", at_most=60.0)),
        Phase(name="stays close", gap=behind),
    )
    hero = Actor(path=stage.path, s=stage.start - CAR[0] - p["behind"] - 6.0, speed=speed, phases=follows)
    return _plot(stage, p, rng, hero, lead)


CUT_IN = {
    "ego_speed": EGO_SPEED,
    "gap": GAP,
    "slower": SLOWER,
    "duration": DURATION,
    "wait": WAIT,
    "traffic": TRAFFIC,
}
"""From either side."""

LANE_CHANGES = (
    LogicalScenario(
        name="cut-in",
        story="A vehicle on the left changes into the ego's lane right ahead of it and slows down.",
        road="highway",
        setting=on_highway(left=True),
        write=cut_in,
        parameters=CUT_IN,
    ),
    LogicalScenario(
        name="cut-in-from-right",
        story="A vehicle on the right changes into the ego's lane right ahead of it and slows down.",
        road="highway",
        setting=on_highway(right=True),
        write=cut_in_from_right,
        parameters=CUT_IN,
    ),
    LogicalScenario(
        name="double-cut-in",
        story="Two vehicles, from the left and from the right, change into the ego's lane one behind the other.",
        road="highway",
        setting=on_highway(left=True, right=True),
        write=double_cut_in,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": Range(low=4.0, high=14.0, unit="m", about="from the ego to the nearer hero", harder="low"),
            "apart": Range(low=5.0, high=12.0, unit="m", about="between both heroes"),
            "slower": SLOWER,
            "duration": DURATION,
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="cut-in-and-brake",
        story="A vehicle cuts in from the left and then brakes to a stop.",
        road="highway",
        setting=on_highway(left=True),
        write=cut_in_and_brake,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": Range(low=6.0, high=20.0, unit="m", about="from the ego to the hero as it cuts in", harder="low"),
            "slower": Range(low=0.0, high=5.0, unit="m/s", about="by which it slows down at first", harder="high"),
            "deceleration": Range(low=4.0, high=8.0, unit="m/s^2", about="braking after that", harder="high"),
            "duration": DURATION,
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="drift",
        story="A vehicle beside the ego drifts out of its lane into the ego's.",
        road="highway",
        setting=on_highway(left=True),
        write=drift,
        parameters={
            "ego_speed": EGO_SPEED,
            "ahead": Range(low=-3.0, high=6.0, unit="m", about="from the ego's centre to the hero's", harder="low"),
            "drift": Range(low=1.8, high=3.2, unit="m", about="how far it comes over", harder="high"),
            "duration": Range(low=2.0, high=5.0, unit="s", about="of the drift", harder="low"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="swerve",
        story="A vehicle on the right swerves into the ego's lane, around something, and back.",
        road="highway",
        setting=on_highway(right=True),
        write=swerve,
        parameters={
            "ego_speed": EGO_SPEED,
            "gap": Range(low=2.0, high=10.0, unit="m", about="from the ego's front to the hero's rear", harder="low"),
            "swerve": Range(low=2.0, high=3.4, unit="m", about="how far it comes over", harder="high"),
            "slower": Range(low=4.0, high=10.0, unit="m/s", about="by which it slows down", harder="high"),
            "duration": Range(low=0.9, high=1.8, unit="s", about="of the way out", harder="low"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="tailgater",
        story="The lead brakes while a vehicle behind keeps far too close.",
        road="highway",
        setting=on_highway(),
        write=tailgater,
        parameters={
            "ego_speed": EGO_SPEED,
            "headway": Range(low=0.8, high=1.8, unit="s", about="time gap from the ego to the lead", harder="low"),
            "behind": Range(low=3.0, high=8.0, unit="m", about="that the hero keeps behind the ego", harder="low"),
            "slower": Range(low=8.0, high=15.0, unit="m/s", about="by which the lead slows down", harder="high"),
            "deceleration": Range(low=3.0, high=6.0, unit="m/s^2", about="braking of the lead", harder="high"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
)
