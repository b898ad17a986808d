"""Scenes with one hero on a straight highway of two or more lanes, the ego at 25 m/s in one of them."""

from __future__ import annotations

import numpy as np

from trafficgym.scene.scene import Scene
from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.settings import highway
from trafficgym_scenarios.stage import CAR, Actor, compose

SPEED = 25.0


def scene_with(*others: Actor, needs_left: bool = True, ego_speed: float = SPEED) -> Scene:
    """The ego, at constant speed in its log, and others given by `actor`."""
    stage = highway(np.random.default_rng(0), speed=SPEED, needs_left=needs_left)
    ego = Actor(path=stage.path, s=stage.start, speed=ego_speed)
    moved = [
        Actor(path=stage.path, s=stage.start + one.s, d=one.d, speed=one.speed, size=one.size, phases=one.phases)
        for one in others
    ]
    return compose("test", stage, ego, moved)


def actor(gap: float, speed: float, *phases: Phase, d: float = 0.0) -> Actor:
    """A car whose rear is `gap` metres ahead of the ego's front."""
    path = highway(np.random.default_rng(0), speed=SPEED, needs_left=True).path  # replaced by that of the scene
    return Actor(path=path, s=gap + CAR[0], d=d, speed=speed, phases=phases)


def braking_lead(headway_s: float, deceleration: float) -> Actor:
    """A lead that goes at the ego's speed and brakes to a stop after 1.5 s."""
    phases = (
        Phase(name="leads", until=Trigger(kind="time", value=1.5)),
        Phase(name="brakes", speed=0.0, deceleration=deceleration),
    )
    return actor(headway_s * SPEED, SPEED, *phases)


def cutting_in(gap: float, speed: float, *, duration: float) -> Actor:
    """A car in the lane on the left that moves in front of the ego, `gap` metres ahead as it begins."""
    phases = (
        Phase(name="drives beside", gap=gap, until=Trigger(kind="time", value=1.5)),
        Phase(name="cuts in", speed=speed, deceleration=8.0, offset=0.0, duration=duration),
    )
    return actor(gap, SPEED, *phases, d=3.6)
