"""Pedestrians and cyclists in the ego's way (NHTSA pre-crash typology: pedestrian, pedalcyclist)."""

from __future__ import annotations

from numpy.random import Generator

from trafficgym.scene.scene import AgentType
from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.families.encounter import (
    PATIENCE,
    STREET_SPEED,
    STREET_TRAFFIC,
    WAIT,
    across,
    on_a_street,
    parked,
    time_for,
    waits_then_goes,
)
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.stage import BICYCLE, WALKER, Actor, Stage
from trafficgym_scenarios.town import on_street

VAN = (5.9, 2.0, 2.6)
LAG = Range(low=-0.4, high=0.4, unit="s", about="when the hero is in the middle of the ego's lane, after the ego")


def jaywalker(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    side = -1.0 if rng.random() < 0.7 else 1.0
    first = (stage.edge_right if side < 0 else stage.edge_left) + side * 0.5
    acceleration = 2.5
    time = p["wait"] + time_for(abs(first), p["speed"], acceleration) - p["lag"]
    s = stage.start + p["ego_speed"] * time
    path = across(stage, s, start=first, end=-side * 30.0)
    phases = waits_then_goes(
        "stands at the kerb",
        "crosses",
        distance=abs(first),
        speed=p["speed"],
        acceleration=acceleration,
        lag=p["lag"],
        at_most=p["wait"] + PATIENCE,
    )
    hero = Actor(path=path, s=0.0, size=WALKER, type=AgentType.PEDESTRIAN, phases=phases, meets=abs(first))
    beside = time - side * stage.lane_width / p["speed"]  # s until the hero is in the oncoming lane
    return on_a_street(stage, p, rng, [hero], at=s, time=beside)


def cyclist_from_occlusion(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    first, acceleration = stage.edge_right + BICYCLE[0] / 2 + 0.1, 1.5
    time = p["wait"] + time_for(-first, p["speed"], acceleration) - p["lag"]
    s = stage.start + p["ego_speed"] * time
    phases = waits_then_goes(
        "is hidden",
        "crosses",
        distance=-first,
        speed=p["speed"],
        acceleration=acceleration,
        lag=p["lag"],
        at_most=p["wait"] + PATIENCE,
    )
    hero = Actor(
        path=across(stage, s, start=first, end=30.0),
        s=0.0,
        size=BICYCLE,
        type=AgentType.CYCLIST,
        phases=phases,
        meets=-first,
    )
    van_s = s - BICYCLE[1] / 2 - p["behind"] - VAN[0] / 2
    van = Actor(path=stage.path, s=van_s, d=stage.edge_right + 0.15 + VAN[1] / 2, size=VAN)
    cars = parked(stage, rng, clear=[(van_s - VAN[0] / 2, s + 4.0)])
    beside = time + stage.lane_width / p["speed"]
    return on_a_street(stage, p, rng, [hero, van], at=s, time=beside, scenery=cars)


def cyclist_swerve(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    ride = -stage.lane_width / 2 + 0.05
    closing = p["ego_speed"] - p["speed"]
    half_lengths = 0.5 * (4.8 + BICYCLE[0])
    s = stage.start + half_lengths + closing * (p["ttc"] + p["wait"])
    phases = (
        Phase(name="rides at the edge", until=Trigger(kind="ttc", value=p["ttc"])),
        Phase(
            name="swerves",
            offset=ride + p["swerve"],
            duration=p["duration"],
            until=Trigger(kind="time", value=p["duration"] + 1.5),
        ),
        Phase(name="returns", offset=ride, duration=2.0),
    )
    hero = Actor(path=stage.path, s=s, d=ride, speed=p["speed"], size=BICYCLE, type=AgentType.CYCLIST, phases=phases)
    cars = parked(stage, rng, share=0.8)
    at = s + p["speed"] * (p["wait"] + p["ttc"])
    return on_a_street(stage, p, rng, [hero], at=at, time=p["wait"] + p["ttc"], scenery=cars)


VULNERABLE = (
    LogicalScenario(
        name="jaywalker",
        story="A pedestrian crosses the street in the middle of a block, right in front of the ego.",
        road="street",
        setting=on_street(0.6, 1.2, needs=("kerb",)),
        write=jaywalker,
        parameters={
            "ego_speed": STREET_SPEED,
            "speed": Range(low=1.2, high=2.6, unit="m/s", about="speed of the pedestrian", harder="high"),
            "lag": LAG,
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
    LogicalScenario(
        name="cyclist-from-occlusion",
        story="A cyclist comes out from behind a parked van and crosses the ego's way.",
        road="street",
        setting=on_street(2.3, 2.6, needs=("parking",)),
        write=cyclist_from_occlusion,
        parameters={
            "ego_speed": STREET_SPEED,
            "speed": Range(low=2.0, high=4.5, unit="m/s", about="speed of the cyclist", harder="high"),
            "behind": Range(low=0.4, high=2.0, unit="m", about="from the van to the cyclist", harder="low"),
            "lag": LAG,
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
)

VULNERABLE_HELD_OUT = (
    LogicalScenario(
        name="cyclist-swerve",
        story="A cyclist on the right, along parked cars, swerves into the ego's lane.",
        road="street",
        held_out=True,
        setting=on_street(2.7, 3.0),
        write=cyclist_swerve,
        parameters={
            "ego_speed": Range(low=9.0, high=15.0, unit="m/s", about="speed of the ego", harder="high"),
            "speed": Range(low=3.0, high=6.0, unit="m/s", about="speed of the cyclist", harder="low"),
            "ttc": Range(low=1.8, high=3.0, unit="s", about="until the ego is beside it, as it swerves", harder="low"),
            "swerve": Range(low=1.0, high=2.2, unit="m", about="how far it comes over", harder="high"),
            "duration": Range(low=0.8, high=1.5, unit="s", about="of the way out", harder="low"),
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
)
