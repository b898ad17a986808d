"""Conflicts with a lead on the highway (NHTSA pre-crash typology: lead vehicle stopped, slower, decelerating)."""

from __future__ import annotations

from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.settings import on_highway
from trafficgym_scenarios.stage import CAR, Actor, Stage, traffic

EGO_SPEED = Range(low=20.0, high=33.0, unit="m/s", about="speed of the ego", harder="high")
HEADWAY = Range(low=0.7, high=2.0, unit="s", about="time gap from the ego to the lead", harder="low")
WAIT = Range(low=1.0, high=2.5, unit="s", about="when the hero acts")
TRAFFIC = Range(low=0.0, high=8.0, unit="cars", about="other traffic")


def _ahead(stage: Stage, ego_speed: float, headway: float) -> float:
    """Where a car stands whose rear is `headway` seconds ahead of the ego's front."""
    return stage.start + headway * ego_speed + CAR[0]


def _ego(stage: Stage, speed: float) -> Actor:
    return Actor(path=stage.path, s=stage.start, speed=speed)


def _plot(stage: Stage, p: Parameters, rng: Generator, *heroes: Actor, last: float) -> Plot:
    """Everybody, with traffic that keeps out of the ego's lane between it and `last` m along its path."""
    speed = p["ego_speed"]
    cars = traffic(stage, rng, round(p["traffic"]), speed, clear=[(0.0, stage.start - 30.0, last)])
    return Plot(stage=stage, ego=_ego(stage, speed), others=heroes, traffic=cars)


def hard_brake(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    s = _ahead(stage, p["ego_speed"], p["headway"])
    phases = (
        Phase(name="leads", until=Trigger(kind="time", value=p["wait"])),
        Phase(name="brakes", speed=0.0, deceleration=p["deceleration"]),
    )
    lead = Actor(path=stage.path, s=s, speed=p["ego_speed"], phases=phases)
    return _plot(stage, p, rng, lead, last=s + 60.0)


def brake_and_release(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    s = _ahead(stage, p["ego_speed"], p["headway"])
    phases = (
        Phase(name="leads", until=Trigger(kind="time", value=p["wait"])),
        Phase(
            name="brakes",
            speed=2.0,
            deceleration=p["deceleration"],
            until=Trigger(kind="time", value=p["braking"]),
        ),
        Phase(name="goes on", speed=p["ego_speed"], acceleration=2.5),
    )
    lead = Actor(path=stage.path, s=s, speed=p["ego_speed"], phases=phases)
    return _plot(stage, p, rng, lead, last=s + 60.0)


def slow_lead(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    closing = p["ego_speed"] * (1.0 - p["share"])
    s = stage.start + CAR[0] + p["ttc"] * closing
    lead = Actor(path=stage.path, s=s, speed=p["ego_speed"] * p["share"], phases=(Phase(name="crawls"),))
    return _plot(stage, p, rng, lead, last=s + 60.0)


def stopped_lead(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    s = stage.start + CAR[0] + p["ttc"] * p["ego_speed"]
    lead = Actor(path=stage.path, s=s, d=p["aside"], phases=(Phase(name="stands", speed=0.0),))
    return _plot(stage, p, rng, lead, last=s + 40.0)


def stop_and_go(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    gap = CAR[0] + p["headway"] * p["ego_speed"]
    waves = []
    for k in range(3):
        slow = Trigger(kind="time", value=p["wait"] if k == 0 else p["period"] / 2)
        waves.append(Phase(name="goes on", speed=p["ego_speed"], acceleration=2.5, until=slow))
        waves.append(
            Phase(
                name="slows down",
                speed=p["slowest"],
                deceleration=p["deceleration"],
                until=Trigger(kind="time", value=p["period"] / 2),
            )
        )
    lead = Actor(path=stage.path, s=stage.start + gap, speed=p["ego_speed"], phases=tuple(waves))
    behind = [
        Actor(path=stage.path, s=stage.start - gap * (k + 1), speed=p["ego_speed"])
        for k in range(round(p["followers"]))
    ]
    return Plot(stage=stage, ego=_ego(stage, p["ego_speed"]), others=[lead], traffic=behind)


def cut_out(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    assert stage.left is not None
    s = _ahead(stage, p["ego_speed"], p["headway"])
    stands = s + CAR[0] + p["reveal_ttc"] * p["ego_speed"] + p["wait"] * p["ego_speed"]
    phases = (
        Phase(name="hides it", until=Trigger(kind="time", value=p["wait"])),
        Phase(name="cuts out", offset=stage.left, duration=p["duration"]),
    )
    lead = Actor(path=stage.path, s=s, speed=p["ego_speed"], phases=phases)
    stopped = Actor(path=stage.path, s=stands, phases=(Phase(name="stands", speed=0.0),))
    speed = p["ego_speed"]
    clear = [(0.0, stage.start - 30.0, stands + 40.0), (stage.left, s - 40.0, stands + 40.0)]
    cars = traffic(stage, rng, round(p["traffic"]), speed, clear=clear)
    return Plot(stage=stage, ego=_ego(stage, speed), others=[lead, stopped], traffic=cars)


FOLLOWING = (
    LogicalScenario(
        name="hard-brake",
        story="The lead brakes hard, to a stop.",
        road="highway",
        setting=on_highway(),
        write=hard_brake,
        parameters={
            "ego_speed": EGO_SPEED,
            "headway": HEADWAY,
            "deceleration": Range(low=4.0, high=8.0, unit="m/s^2", about="braking of the lead", harder="high"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="brake-and-release",
        story="The lead brakes for a moment, for nothing that can be seen, and goes on.",
        road="highway",
        setting=on_highway(),
        write=brake_and_release,
        parameters={
            "ego_speed": EGO_SPEED,
            "headway": Range(low=0.6, high=1.2, unit="s", about="time gap from the ego to the lead", harder="low"),
            "deceleration": Range(low=5.0, high=8.0, unit="m/s^2", about="braking of the lead", harder="high"),
            "braking": Range(low=1.5, high=3.0, unit="s", about="how long it brakes", harder="high"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="slow-lead",
        story="The ego comes upon a lead that is far slower.",
        road="highway",
        setting=on_highway(),
        write=slow_lead,
        parameters={
            "ego_speed": EGO_SPEED,
            "share": Range(low=0.25, high=0.6, unit="1", about="speed of the lead by that of the ego", harder="low"),
            "ttc": Range(low=3.0, high=6.5, unit="s", about="time to collision at the start", harder="low"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="stopped-lead",
        story="A vehicle stands in the ego's lane.",
        road="highway",
        setting=on_highway(),
        write=stopped_lead,
        parameters={
            "ego_speed": Range(low=15.0, high=30.0, unit="m/s", about="speed of the ego", harder="high"),
            "ttc": Range(low=3.5, high=6.5, unit="s", about="time to collision at the start", harder="low"),
            "aside": Range(low=-0.6, high=0.6, unit="m", about="offset of the standing vehicle in the lane"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="stop-and-go",
        story="A wave of stop and go comes down the lane.",
        road="highway",
        setting=on_highway(),
        write=stop_and_go,
        parameters={
            "ego_speed": Range(low=12.0, high=22.0, unit="m/s", about="speed of the ego", harder="high"),
            "headway": Range(low=0.8, high=1.6, unit="s", about="time gaps in the queue", harder="low"),
            "slowest": Range(low=0.0, high=3.0, unit="m/s", about="speed in the wave", harder="low"),
            "deceleration": Range(low=3.0, high=6.0, unit="m/s^2", about="braking of the lead", harder="high"),
            "period": Range(low=5.0, high=8.0, unit="s", about="from wave to wave"),
            "wait": WAIT,
            "followers": Range(low=0.0, high=3.0, unit="cars", about="behind the ego"),
        },
    ),
    LogicalScenario(
        name="cut-out",
        story="The lead changes lane and reveals a vehicle that stands.",
        road="highway",
        setting=on_highway(left=True),
        write=cut_out,
        parameters={
            "ego_speed": Range(low=15.0, high=28.0, unit="m/s", about="speed of the ego", harder="high"),
            "headway": Range(low=0.8, high=1.8, unit="s", about="time gap from the ego to the lead"),
            "reveal_ttc": Range(
                low=1.5, high=3.0, unit="s", about="from the lead to the standing vehicle as it cuts out", harder="low"
            ),
            "duration": Range(low=1.8, high=3.0, unit="s", about="of the lane change"),
            "wait": WAIT,
            "traffic": TRAFFIC,
        },
    ),
)
