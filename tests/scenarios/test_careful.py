"""The careful driver: what it avoids, what it obeys, and that it says the same twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.scenarios.make_scenario import SPEED, actor, braking_lead, cutting_in, scene_with
from tests.world.micro import Box, Light, micro_scene, straight
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene, SignalState
from trafficgym.world.dynamics import Bicycle, DeltaPose, Dynamics, TargetPose, Verlet
from trafficgym.world.events import Event
from trafficgym.world.world import World
from trafficgym_scenarios import NominalConfig, nominal_scenes
from trafficgym_scenarios.careful import CarefulDriver
from trafficgym_scenarios.outcome import outcome

ROAD_EDGES = [[(-60, -2.5), (300, -2.5)], [(300, 6.0), (-60, 6.0)]]
HIGHWAY = NominalConfig(roads="highway")


def drive(scene: Scene, *, dynamics: Dynamics | None = None, steps: int = 80) -> np.ndarray:
    """Rows of `State.table` of the ego, ``[steps + 1, 16]``, driven by the careful driver."""
    world = World([scene], control={"all": "idm", "ego": CarefulDriver()}, dynamics=dynamics)
    ego = int(np.flatnonzero(world.track[0] == scene.sdc)[0])
    rows = [world.state.table[0, ego].copy()]
    for _ in range(steps // world.dynamics.steps_per_action):
        world.step()
        rows.append(world.state.table[0, ego].copy())
    return np.array(rows)


@pytest.mark.parametrize("deceleration", [5.0, 8.0])
def test_it_does_not_run_into_a_lead_that_brakes_hard(deceleration: float) -> None:
    scene = scene_with(braking_lead(1.5, deceleration))
    assert outcome(scene, "constant_velocity").collision
    done = outcome(scene, CarefulDriver())
    assert not done.infraction and not done.near_miss


@pytest.mark.parametrize("needs_left", [False, True])
def test_it_stops_before_or_passes_a_stopped_car(needs_left: bool) -> None:
    scene = scene_with(actor(2.2 * SPEED, 0.0), needs_left=needs_left)
    assert outcome(scene, "constant_velocity").collision
    assert not outcome(scene, CarefulDriver()).infraction


@pytest.mark.parametrize("gap", [3.0, 12.0])
def test_it_survives_who_cuts_in(gap: float) -> None:
    scene = scene_with(cutting_in(gap, SPEED - 5.0, duration=2.5))
    assert outcome(scene, "constant_velocity").collision
    assert not outcome(scene, CarefulDriver()).infraction


def test_alone_it_drives_at_the_limit_in_the_middle_of_its_lane() -> None:
    road = [[(-50, 0), (100, 0)], [(100, 0), (600, 0)]]
    box = Box(x=straight(0.0, 10.0, 91), y=0.6, speed=10.0, sdc=True)
    scene = micro_scene(box, lanes=road, edges=ROAD_EDGES, speed_limit=15.0, successors=[[1], []], num_steps=91)
    rows = drive(scene, steps=90)
    assert rows[-1, 6] == pytest.approx(15.0, abs=0.5)
    assert np.abs(rows[40:, 1]).max() < 0.25
    assert np.abs(rows[:, 7]).max() < 2.1  # m/s^2


@pytest.mark.parametrize(("shows", "stops"), [(SignalState.STOP, True), (SignalState.GO, False)])
def test_it_stops_for_a_red_light_only(shows: SignalState, stops: bool) -> None:
    light = Light(lane=1, stop=(60.0, 0.0), shows=[shows] * 91)
    box = Box(x=straight(0.0, 12.0, 91), speed=12.0, sdc=True)
    scene = micro_scene(
        box,
        lanes=[[(-50, 0), (60, 0)], [(60, 0), (600, 0)]],
        edges=ROAD_EDGES,
        lights=[light],
        speed_limit=15.0,
        successors=[[1], []],
        num_steps=91,
    )
    rows = drive(scene, steps=90)
    front = float(rows[-1, 0] + 0.5 * rows[-1, 9])
    assert (front < 60.0) is stops
    if stops:
        assert abs(rows[-1, 6]) < 0.8 and front > 55.0


def test_what_stands_does_not_creep_or_reverse() -> None:
    wall = Box(x=10.0, y=0.0, speed=0.0)
    box = Box(x=straight(0.0, 6.0, 91), speed=6.0, sdc=True)
    road = [[(-50, 0), (9, 0)], [(9, 0), (99, 0)]]
    scene = micro_scene(box, wall, lanes=road, edges=ROAD_EDGES, speed_limit=9.0, successors=[[1], []], num_steps=91)
    rows = drive(scene, steps=90)
    assert rows[:, 6].min() >= -1e-4
    assert rows[-1, 0] <= 6.0


def test_alone_or_in_a_batch_it_does_the_same() -> None:
    scenes = list(nominal_scenes(3, config=HIGHWAY))

    def states(of: Sequence[Scene]) -> list[np.ndarray]:
        world = World(of, control=CarefulDriver(), seeds=range(len(of)))
        for _ in range(30):
            world.step()
        return [world.state.table[b, world.track[b] >= 0].copy() for b in range(len(of))]

    together = states(scenes)
    for scene, expected in zip(scenes, together, strict=True):
        assert_array_equal(states([scene])[0], expected)


@pytest.mark.parametrize("dynamics", [TargetPose(), DeltaPose(), Verlet(), Bicycle(steps_per_action=5, substeps=5)])
def test_other_dynamics_follow_the_same_plan(dynamics: Dynamics) -> None:
    scene = scene_with(braking_lead(2.0, 4.0))
    expected, got = drive(scene)[:: dynamics.steps_per_action], drive(scene, dynamics=dynamics)
    assert np.abs(got[:, :2] - expected[:, :2]).max() < 4.0
    assert not outcome(scene, CarefulDriver(), dynamics=dynamics).infraction


def test_traffic_of_careful_drivers_keeps_apart_and_on_the_road() -> None:
    world = World(nominal_scenes(3, config=HIGHWAY), control=CarefulDriver())
    for _ in range(80):
        world.step()
        assert not world.events.holds(Event.COLLISION | Event.OFF_ROAD | Event.INFEASIBLE).any()
    assert world.state.speed[world.track >= 0].mean() > 20.0


def test_an_option_that_makes_no_sense_is_named() -> None:
    with pytest.raises(ConfigError, match="headway_s is -1"):
        CarefulDriver(headway_s=-1.0)
    with pytest.raises(ConfigError, match="did you mean 'headway_s'"):
        CarefulDriver(headway=1.0)  # type: ignore[call-arg]
