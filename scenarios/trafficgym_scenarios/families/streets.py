"""Vehicles on a street or a country road that get into the ego's way (NHTSA pre-crash typology: opposite direction,
backing up, parking, making a U-turn)."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.families.encounter import (
    PARKED,
    PATIENCE,
    STREET_SPEED,
    STREET_TRAFFIC,
    WAIT,
    across,
    against,
    followers,
    on_a_street,
    parked,
    time_for,
    waits_then_goes,
)
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range, Setting
from trafficgym_scenarios.stage import CAR, TRUCK, Actor, Stage
from trafficgym_scenarios.town import AHEAD_M, BEHIND_M, on_street, street

COUNTRY_LIMITS = (20.1, 24.6)
"""45 and 55 mph [m/s]."""
LAG = Range(low=-0.4, high=0.3, unit="s", about="when the hero is in the ego's lane, after the ego")
KEEPS_RIGHT = -0.4
"""Offset in its lane of a vehicle that is overtaken [m]."""
LEAVES_LANE_S = 1.3
"""s until a vehicle that changes lane no longer blocks the one that it leaves."""


def _country_road(p: Parameters, rng: Generator) -> Stage:
    far = (p["ego_speed"] + p["speed"]) * (p["wait"] + p["ttc"]) + 60.0
    ahead = max(far, 8.0 * (p["ego_speed"] + 5.0) + 20.0)
    kerb = float(rng.uniform(1.8, 2.3))
    return street(rng, before=60.0, after=ahead, kerb=kerb, limits=COUNTRY_LIMITS)


def oncoming_overtake(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    assert stage.opposite is not None
    path = against(stage.path, stage.opposite)
    faster = p["speed"] - p["slow"]
    gap = faster * LEAVES_LANE_S + 3.0
    passing = (gap + TRUCK[0] + CAR[0] + 2.0) / faster

    def place(ahead: float, opposite: float = stage.opposite) -> float:
        return float(path.project(stage.path.xy(stage.start + ahead, opposite))[0])

    ahead = CAR[0] + (p["ego_speed"] + p["speed"]) * (p["wait"] + p["ttc"])
    phases = (
        Phase(name="comes up", until=Trigger(kind="time", value=p["wait"])),
        Phase(
            name="overtakes",
            offset=p["aside"],
            duration=2.0,
            until=Trigger(kind="time", value=passing + p["stays"]),
        ),
        Phase(name="returns", offset=0.0, duration=2.0),
    )
    hero = Actor(path=path, s=place(ahead), speed=p["speed"], phases=phases)
    slow_s = hero.s + (CAR[0] + TRUCK[0]) / 2 + gap + faster * p["wait"]
    slow = Actor(path=path, s=slow_s, d=KEEPS_RIGHT, speed=p["slow"], size=TRUCK, phases=(Phase(name="is slow"),))
    cars = followers(stage, rng, round(p["traffic"]), p["ego_speed"])
    ego = Actor(path=stage.path, s=stage.start, speed=p["ego_speed"])
    return Plot(stage=stage, ego=ego, others=[hero, slow], traffic=cars)


def reversing_car(p: Parameters, rng: Generator) -> Plot:
    stage = street(rng, before=BEHIND_M, after=AHEAD_M, kerb=float(rng.uniform(5.2, 5.5)))
    d, acceleration = stage.edge_right + 0.3 + PARKED[0] / 2, 1.2
    enters = -d - PARKED[0] / 2  # m until its rear is in the middle of the ego's lane
    time = p["wait"] + time_for(enters, p["speed"], acceleration) - p["lag"]
    s = stage.start + p["ego_speed"] * time
    waits, reverses = waits_then_goes(
        "is parked",
        "reverses",
        distance=enters,
        speed=p["speed"],
        acceleration=acceleration,
        lag=p["lag"],
        at_most=p["wait"] + PATIENCE,
        backwards_for=time_for(enters + p["beyond"], p["speed"], acceleration),
    )
    start = 8.0
    phases = (waits, reverses, Phase(name="stops", speed=0.0))
    hero = Actor(
        path=across(stage, s, start=start, end=stage.edge_right - 1.0),
        s=start - d,
        size=PARKED,
        phases=phases,
        meets=start,
    )
    places = s + 2.9 * np.arange(-12, 8)
    taken = (rng.random(len(places)) < 0.7) & (np.arange(-12, 8) != 0)
    cars = [
        Actor(path=across(stage, float(at), start=start, end=stage.edge_right - 1.0), s=start - d, size=PARKED)
        for at in places[taken]
    ]
    return on_a_street(stage, p, rng, [hero], at=s, time=time, scenery=cars)


def _along_parked_cars(p: Parameters, rng: Generator) -> Stage:
    kerb = CAR[1] / 2 + p["gap"] + PARKED[1] + 0.2 - 1.725
    return street(rng, before=BEHIND_M, after=AHEAD_M, kerb=kerb)


def door_opener(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    time = p["wait"] + p["ttc"]
    s = stage.start + p["ego_speed"] * time
    d = -(CAR[1] / 2 + p["gap"] + PARKED[1] / 2)
    opening = [
        Phase(
            name="opens its door",
            speed=0.0,
            width=PARKED[1] + share * p["door"],
            offset=d + 0.5 * share * p["door"],
            duration=0.1,
            until=Trigger(kind="time", value=0.2),
        )
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    stands = Phase(
        name="is parked",
        speed=0.0,
        until=Trigger(kind="arrival", value=p["ttc"], at_most=p["wait"] + PATIENCE),
    )
    hero = Actor(path=stage.path, s=s, d=d, size=PARKED, phases=(stands, *opening), meets=s)
    cars = parked(stage, rng, clear=[(s - PARKED[0] / 2, s + PARKED[0] / 2)])
    return on_a_street(stage, p, rng, [hero], at=s, time=time, scenery=cars)


def pull_out(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    time = p["wait"] + p["ttc"]
    s = stage.start + p["ego_speed"] * time
    phases = (
        Phase(
            name="is parked",
            speed=0.0,
            until=Trigger(kind="arrival", value=p["ttc"], at_most=p["wait"] + PATIENCE),
        ),
        Phase(name="pulls out", speed=p["speed"], acceleration=2.5, offset=0.0, duration=p["duration"]),
    )
    d = stage.edge_right + 0.2 + PARKED[1] / 2
    hero = Actor(path=stage.path, s=s, d=d, size=PARKED, phases=phases, meets=s)
    cars = parked(stage, rng, clear=[(s - PARKED[0] / 2, s + 14.0)])
    return on_a_street(stage, p, rng, [hero], at=s, time=time, scenery=cars)


def u_turn(p: Parameters, rng: Generator) -> Plot:
    kerb = float(rng.uniform(2.4, 2.6))
    stage = street(rng, before=BEHIND_M, after=AHEAD_M, lanes=(2, 2), lane=int(rng.integers(2)), kerb=kerb)
    first = stage.edge_right + 0.3 + PARKED[1] / 2
    last = stage.edge_left - kerb - stage.lane_width / 2
    radius = (last - first) / 2
    angle = math.acos(1.0 + first / radius)  # of the turn, where it crosses the middle of the ego's lane
    straight, acceleration = 1.0, 2.0
    distance = straight + radius * angle
    time = p["wait"] + time_for(distance, p["speed"], acceleration) - p["lag"]
    s = stage.start + p["ego_speed"] * time
    turn = np.linspace(0.0, np.pi, 21)
    begins = s - radius * math.sin(angle)
    along = np.concatenate([[begins - straight], begins + radius * np.sin(turn), [begins - 100.0]])
    aside = np.concatenate([[first], first + radius * (1.0 - np.cos(turn)), [last]])
    phases = waits_then_goes(
        "is parked",
        "turns",
        distance=distance,
        speed=p["speed"],
        acceleration=acceleration,
        lag=p["lag"],
        at_most=p["wait"] + PATIENCE,
    )
    path = Path(stage.path.xy(along, aside))
    hero = Actor(path=path, s=0.0, size=PARKED, phases=phases, meets=distance)
    hero_s = begins - straight
    cars = parked(stage, rng, clear=[(hero_s - PARKED[0] / 2, hero_s + 14.0)])
    return on_a_street(stage, p, rng, [hero], at=s, time=time, scenery=cars)


STREETS = (
    LogicalScenario(
        name="oncoming-overtake",
        story="An oncoming vehicle overtakes a slow one and comes towards the ego in its lane; it returns late.",
        road="country road",
        setting=Setting(generate=_country_road, needs=("opposite",)),
        write=oncoming_overtake,
        parameters={
            "ego_speed": Range(low=14.0, high=22.0, unit="m/s", about="speed of the ego", harder="high"),
            "speed": Range(low=17.0, high=24.0, unit="m/s", about="speed of the hero", harder="high"),
            "slow": Range(
                low=6.0, high=10.0, unit="m/s", about="speed of the vehicle that it overtakes", harder="high"
            ),
            "ttc": Range(low=3.8, high=5.5, unit="s", about="to the ego, as the hero pulls out", harder="low"),
            "aside": Range(low=2.2, high=2.9, unit="m", about="how far it comes over", harder="high"),
            "stays": Range(low=0.5, high=2.0, unit="s", about="that it returns too late", harder="high"),
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
)

STREETS_HELD_OUT = (
    LogicalScenario(
        name="reversing-car",
        story="A car reverses out of a parking place into the ego's lane.",
        road="street",
        held_out=True,
        write=reversing_car,
        parameters={
            "ego_speed": STREET_SPEED,
            "speed": Range(low=0.8, high=2.2, unit="m/s", about="speed of the hero", harder="high"),
            "beyond": Range(
                low=0.6, high=2.0, unit="m", about="that its rear comes beyond the middle of the lane", harder="high"
            ),
            "lag": LAG,
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
    LogicalScenario(
        name="door-opener",
        story="The door of a parked car opens into the ego's lane.",
        road="street",
        held_out=True,
        setting=Setting(generate=_along_parked_cars, needs=("parking",)),
        write=door_opener,
        parameters={
            "ego_speed": STREET_SPEED,
            "gap": Range(low=0.4, high=0.9, unit="m", about="from the ego's side to the parked car", harder="low"),
            "door": Range(low=0.9, high=1.1, unit="m", about="width of the open door", harder="high"),
            "ttc": Range(low=1.6, high=2.8, unit="s", about="until the ego is beside it", harder="low"),
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
    LogicalScenario(
        name="u-turn",
        story="A car at the right edge makes a U-turn across the ego's way.",
        road="street of four lanes",
        held_out=True,
        write=u_turn,
        parameters={
            "ego_speed": STREET_SPEED,
            "speed": Range(low=3.0, high=5.0, unit="m/s", about="speed of the hero", harder="high"),
            "lag": LAG,
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
    LogicalScenario(
        name="pull-out",
        story="A parked car pulls out into the ego's lane.",
        road="street",
        held_out=True,
        setting=on_street(2.4, 2.7, needs=("parking",)),
        write=pull_out,
        parameters={
            "ego_speed": Range(low=9.0, high=15.0, unit="m/s", about="speed of the ego", harder="high"),
            "speed": Range(low=3.0, high=7.0, unit="m/s", about="speed of the hero", harder="low"),
            "ttc": Range(
                low=1.9, high=3.2, unit="s", about="until the ego is beside it, as it pulls out", harder="low"
            ),
            "duration": Range(low=2.6, high=4.0, unit="s", about="of the way into the lane", harder="low"),
            "wait": WAIT,
            "traffic": STREET_TRAFFIC,
        },
    ),
)
