"""Heroes who meet the ego at a point of its way, and who else is on a street."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.scenario import Parameters, Plot, Range
from trafficgym_scenarios.stage import CAR, Actor, Stage

STREET_SPEED = Range(low=8.0, high=15.0, unit="m/s", about="speed of the ego", harder="high")
STREET_TRAFFIC = Range(low=0.0, high=4.0, unit="cars", about="other traffic")
WAIT = Range(low=1.0, high=2.5, unit="s", about="when the hero acts")

PATIENCE = 3.0
"""s that a hero waits for an ego that is late."""
PARKED = (4.5, 1.85, 1.5)
"""Length, width, height [m]."""


def time_for(distance: float, speed: float, acceleration: float) -> float:
    """Seconds from a standstill until `distance` m lie behind, at most at `speed` m/s."""
    ramp = 0.5 * speed**2 / acceleration
    if distance < ramp:
        return float(np.sqrt(2.0 * distance / acceleration))
    return speed / acceleration + (distance - ramp) / speed


def waits_then_goes(
    waits: str,
    goes: str,
    *,
    distance: float,
    speed: float,
    acceleration: float,
    lag: float,
    at_most: float,
    backwards_for: float | None = None,
) -> tuple[Phase, Phase]:
    """Stand until it is time to go, so as to be `distance` m further on `lag` s after the ego is at the meeting point.

    Args:
        waits: Name of the phase.
        goes: Likewise.
        distance: m from where the hero stands to where it meets the ego.
        speed: m/s, at most.
        acceleration: m/s^2.
        lag: s, negative: before the ego.
        at_most: s after which it goes in any case, should the ego stand.
        backwards_for: s that it goes backwards; None: it goes forward, for good.
    """
    ahead = time_for(distance, speed, acceleration) - lag
    return (
        Phase(name=waits, speed=0.0, until=Trigger(kind="arrival", value=ahead, at_most=at_most)),
        Phase(
            name=goes,
            speed=speed if backwards_for is None else -speed,
            acceleration=acceleration,
            deceleration=3.0 if backwards_for is None else acceleration,
            until=Trigger() if backwards_for is None else Trigger(kind="time", value=backwards_for),
        ),
    )


def against(path: Path, d: float) -> Path:
    """The way back along `path`, `d` metres to the left of it."""
    return Path(path.xy(path.at[::-1], d))


def across(stage: Stage, s: float, *, start: float, end: float) -> Path:
    """Straight across the street at `s` m along the ego's path, from the offset `start` to `end` [m]."""
    return Path(stage.path.xy([s, s], [start, end]))


def followers(stage: Stage, rng: Generator, num: int, speed: float) -> list[Actor]:
    """Cars behind the ego, each 1.2 to 2.2 s behind the one before it, as far as the road goes."""
    found: list[Actor] = []
    s = stage.start
    for _ in range(num):
        s -= CAR[0] + float(rng.uniform(1.2, 2.2)) * speed
        if s - 1.1 * speed < 0:
            break
        found.append(Actor(path=stage.path, s=s, speed=speed))
    return found


def oncoming(stage: Stage, rng: Generator, num: int, speed: float, *, at: float, time: float) -> list[Actor]:
    """Cars in the nearest oncoming lane that in `time` s are nowhere near `at` m along the ego's path."""
    if stage.opposite is None:
        return []
    path = against(stage.path, stage.opposite)
    found: list[Actor] = []
    for _ in range(4 * num):
        if len(found) == num:
            break
        own_speed = speed * float(rng.uniform(0.85, 1.05))
        then = at + float(rng.choice([-1.0, 1.0])) * float(rng.uniform(35.0, 95.0))
        s = path.length - (then + own_speed * time)
        if s - 1.1 * own_speed > 0 and all(abs(s - other.s) > 8.0 + 1.2 * speed for other in found):
            found.append(Actor(path=path, s=s, speed=own_speed))
    return found


def parked(
    stage: Stage, rng: Generator, *, clear: Sequence[tuple[float, float]] = (), share: float = 0.6, room: float = 0.2
) -> list[Actor]:
    """Cars parked at the right kerb from 15 m behind the ego to 70 m ahead of it.

    Args:
        clear: Stretches without any, from where to where along the ego's path [m].
        share: Of the places that are taken.
        room: Between them and the kerb [m].
    """
    d = stage.edge_right + room + PARKED[1] / 2
    places = np.arange(stage.start - 15.0, stage.start + 70.0, PARKED[0] + 1.6) + float(rng.uniform(0.0, 6.0))
    taken = rng.random(len(places)) < share
    half = PARKED[0] / 2 + 0.5
    return [
        Actor(path=stage.path, s=float(s), d=d, size=PARKED)
        for s in places[taken]
        if not any(first - half < s < last + half for first, last in clear)
    ]


def on_a_street(
    stage: Stage,
    p: Parameters,
    rng: Generator,
    heroes: list[Actor],
    *,
    at: float,
    time: float,
    scenery: Sequence[Actor] = (),
) -> Plot:
    """Everybody, with `scenery` and traffic.

    Args:
        heroes: And whatever else the story needs.
        at: Place along the ego's path [m] that oncoming traffic keeps away from.
        time: When it does [s].
        scenery: Cars that are parked.
    """
    speed, num = p["ego_speed"], round(p["traffic"])
    behind = int(rng.integers(num + 1))
    cars = [
        *followers(stage, rng, behind, speed),
        *oncoming(stage, rng, num - behind, stage.speed_limit, at=at, time=time),
    ]
    ego = Actor(path=stage.path, s=stage.start, speed=speed)
    return Plot(stage=stage, ego=ego, others=heroes, traffic=[*scenery, *cars])
