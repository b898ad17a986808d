"""The intelligent driver model on straight lanes, where its equilibria are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.world.micro import Box, Light, micro_scene, straight
from trafficgym.scene.scene import AgentType, Scene, SignalState
from trafficgym.world.events import Event
from trafficgym.world.idm import IdmParameters
from trafficgym.world.world import World, WorldConfig

LANE = [[(-20.0, 0.0), (100.0, 0.0)], [(100.0, 0.0), (400.0, 0.0)]]
GRAPH: dict[str, Any] = {"lanes": LANE, "successors": [[1], []]}
STEPS = 400


def drive(scene: Scene, *, control: Any = "idm", steps: int = STEPS, **config: Any) -> tuple[np.ndarray, World]:
    """States of all slots, ``[steps + 1, N, 16]``, slots in the order of the tracks."""
    world = World([scene], control=control, config=WorldConfig(horizon=steps, **config))
    assert world.track[0].tolist() == list(range(scene.num_agents))
    states = [world.state.table[0].copy()]
    for _ in range(steps):
        events = world.step()
        assert not events.holds(Event.COLLISION).any()
        states.append(world.state.table[0].copy())
    return np.stack(states), world


def moving(x: float, speed: float, **box: Any) -> Box:
    """A car that the log has driving, so that IDM does not take it for parked."""
    return Box(x=straight(x, speed, 3), speed=speed, **box)


def test_a_free_road_is_driven_at_its_limit() -> None:
    states, world = drive(micro_scene(moving(0, 5.0), speed_limit=12.0, **GRAPH))
    assert states[-1, 0, 6] == pytest.approx(12.0, abs=0.1)
    assert np.diff(states[:, 0, 6]).max() <= 0.15 + 1e-5  # 1.5 m/s^2
    assert np.abs(states[:, 0, 1]).max() < 1e-3
    assert not world.events.holds(Event.OFF_ROAD).any()


def test_without_a_limit_the_log_gives_the_speed() -> None:
    states, _ = drive(micro_scene(moving(0, 7.0), **GRAPH))
    assert states[-1, 0, 6] == pytest.approx(7.0, abs=0.1)
    states, _ = drive(micro_scene(Box(x=[0, 0.05, 2.5], speed=0.3), num_steps=3, **GRAPH))
    assert states[-1, 0, 6] == pytest.approx(13.4, abs=0.2)


@pytest.mark.parametrize("speed", [5.0, 12.0, 20.0])
def test_it_stops_behind_a_stopped_car_without_touching_it(speed: float) -> None:
    """The gap at rest is the standstill gap of 2 m; bumpers are 2 m from the centres."""
    states, _ = drive(micro_scene(moving(0, speed), Box(x=100.0), **GRAPH))
    assert states[-1, 0, 6] == pytest.approx(0, abs=0.1)
    gap = 100 - states[-1, 0, 0] - 4
    assert 1.2 < gap < 2.6
    assert np.diff(states[:, 0, 6]).min() >= -0.8 - 1e-5  # never harder than 8 m/s^2


def test_it_follows_a_leader_at_the_headway_of_the_model() -> None:
    """At equilibrium, eq. 3 with zero acceleration: gap = (s0 + v T) / sqrt(1 - (v / v0)^4)."""
    speed, limit, parameters = 8.0, 16.0, IdmParameters()
    scene = micro_scene(moving(0, 10.0), moving(40, speed), speed_limit=limit, **GRAPH)
    states, _ = drive(scene, control={0: "idm", 1: "constant_velocity"})
    expected = (parameters.standstill_gap + speed * parameters.headway_s) / math.sqrt(1 - (speed / limit) ** 4)
    assert states[-1, 0, 6] == pytest.approx(speed, abs=0.05)
    assert states[-1, 1, 0] - states[-1, 0, 0] - 4 == pytest.approx(expected, abs=0.2)


def test_what_is_beside_or_behind_or_above_the_lane_does_not_matter() -> None:
    """A car 3.5 m to the side, one behind; the leader is looked for at half the widths plus a margin of 0.2 m."""
    free, _ = drive(micro_scene(moving(0, 10.0), speed_limit=12.0, **GRAPH), steps=100)
    for box in (Box(x=60.0, y=3.5), Box(x=60.0, y=2.25), Box(x=-10.0)):
        states, _ = drive(micro_scene(moving(0, 10.0), box, speed_limit=12.0, **GRAPH), steps=100)
        assert np.array_equal(states[:, 0], free[:, 0])
    states, _ = drive(micro_scene(moving(0, 10.0), Box(x=60.0, y=2.15), speed_limit=12.0, **GRAPH), steps=100)
    assert states[-1, 0, 0] < 60


def test_whoever_crosses_is_a_leader_too() -> None:
    states, _ = drive(
        micro_scene(moving(0, 10.0), Box(x=60.0, yaw=1.57, width=0.6, length=0.6, kind=AgentType.PEDESTRIAN), **GRAPH)
    )
    assert 60 - states[-1, 0, 0] - 2 - 0.3 == pytest.approx(2.0, abs=0.7)


@pytest.mark.parametrize("shown", [SignalState.STOP, SignalState.ARROW_STOP])
def test_it_waits_at_a_red_light_and_goes_when_it_is_green(shown: SignalState) -> None:
    shows = [shown] * 200 + [SignalState.GO] * 201
    light = Light(lane=1, stop=(101.0, 0.0), shows=shows)
    car = Box(x=straight(0, 10.0, 401), speed=10.0)
    scene = micro_scene(car, lights=[light], num_steps=401, speed_limit=12.0, **GRAPH)
    states, _ = drive(scene)
    front = states[:, 0, 0] + 2
    assert front[:200].max() < 101
    assert front[199] == pytest.approx(99, abs=0.7)
    assert states[199, 0, 6] < 0.2
    assert front[-1] > 200


def test_a_yellow_light_stops_who_still_can() -> None:
    """At 10 m/s and 2 m/s^2 the way to stop is 25 m: from 60 m away it stops, from 10 m away it drives on."""
    for x, stops in ((39.0, True), (89.0, False)):
        light = Light(lane=1, stop=(101.0, 0.0), shows=[SignalState.CAUTION] * 101)
        car = Box(x=straight(x, 10.0, 101), speed=10.0)
        scene = micro_scene(car, lights=[light], num_steps=101, speed_limit=10.0, **GRAPH)
        states, _ = drive(scene, steps=100)
        assert (states[-1, 0, 0] + 2 < 101) == stops


def test_the_light_of_the_oncoming_lane_is_not_ours() -> None:
    lanes = [LANE[0], LANE[1], [(400.0, 1.0), (-20.0, 1.0)]]
    light = Light(lane=2, stop=(101.0, 1.0), shows=[SignalState.STOP] * 201)
    car = Box(x=straight(0, 10.0, 201), speed=10.0)
    scene = micro_scene(car, lanes=lanes, successors=[[1], [], []], lights=[light], num_steps=201)
    states, _ = drive(scene, steps=200)
    assert states[-1, 0, 0] == pytest.approx(200, abs=1)


def test_parked_cars_stay_parked() -> None:
    states, _ = drive(micro_scene(Box(x=[5.0, 5.3, 5.1]), Box(x=50.0, y=30.0), **GRAPH), steps=100)
    assert np.ptp(states[:, :, 0], axis=0).max() == 0
    assert np.all(states[:, :, 6] == 0)


def test_a_curve_is_driven_no_faster_than_its_lateral_acceleration_allows() -> None:
    """A half circle of 20 m radius after 100 m: at most sqrt(2.5 * 20) = 7.1 m/s in it."""
    turn = np.linspace(0, math.pi, 60)
    arc = np.stack([100 + 20 * np.sin(turn), 20 - 20 * np.cos(turn)], 1)
    back = [(100.0, 40.0), (-300.0, 40.0)]
    scene = micro_scene(
        moving(0, 15.0), lanes=[LANE[0], arc.tolist(), back], successors=[[1], [2], []], speed_limit=15.0
    )
    states, _ = drive(scene)
    x, y, speed = states[:, 0, 0], states[:, 0, 1], states[:, 0, 6]
    in_curve = (x > 103) & (y > 1) & (y < 39)
    assert in_curve.any()
    assert speed[in_curve].max() < 1.2 * math.sqrt(2.5 * 20)  # the model brakes gently, some of it in the curve
    assert speed[in_curve & (x > 119)].max() < math.sqrt(2.5 * 20) + 0.1
    assert np.abs(np.hypot(x[in_curve] - 100, y[in_curve] - 20) - 20).max() < 0.3
    assert speed[-1] > 13
    yaw = states[in_curve, 0, 3]
    assert np.all(np.diff(yaw) > -0.02)


def test_without_a_lane_graph_it_follows_its_log() -> None:
    """A log that goes 40 m east, turns north in a quarter circle of 10 m, and goes 50 m on, 1 m a step."""
    arc = np.arange(106.0)
    turned = np.clip((arc - 40) / 10, 0, math.pi / 2)
    x = np.minimum(arc, 40) + 10 * np.sin(turned)
    y = 10 - 10 * np.cos(turned) + np.maximum(arc - 40 - 5 * math.pi, 0)
    scene = micro_scene(Box(x=x.tolist(), y=y.tolist(), yaw=turned.tolist(), speed=10.0), num_steps=106)
    states, _ = drive(scene, steps=200)
    assert states[-1, 0, 1] > 60
    assert abs(states[-1, 0, 0] - 50) < 0.5
    assert states[-1, 0, 3] == pytest.approx(math.pi / 2, abs=0.02)
