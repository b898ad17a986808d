"""Recorded runs: the right values at the right track and step."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene, straight
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType
from trafficgym.world.dynamics import Bicycle
from trafficgym.world.events import Event
from trafficgym.world.roll_out import POLICIES, roll_out
from trafficgym.world.state import Driver
from trafficgym.world.world import World, WorldConfig

LATE = [False, True, True, False, True]


def test_the_log_comes_back_in_the_order_of_the_scene() -> None:
    """Slots are in another order than tracks where some are external or never valid again."""
    scene = micro_scene(
        Box(x=straight(0, 10, 5), speed=10.0, valid=[True, False, False, False, False]),
        Box(y=9, valid=LATE),
        Box(x=straight(20, 5, 5), speed=5.0),
        num_steps=5,
        current_step=1,
    )
    run = roll_out(scene, "log")
    assert (run.start_step, run.num_steps, run.num_agents) == (1, 4, 3)
    assert np.array_equal(run.present, scene.tracks.valid[:, 1:])
    for name in ("x", "y", "z", "yaw", "vx", "vy"):
        there = run.present
        assert np.array_equal(getattr(run, name)[there], run.log(name)[there])
    assert run.is_simulated.tolist() == [False, True, True]
    assert run.controller.tolist() == [-1, Driver.LOG, Driver.LOG]
    assert run.length.tolist() == [0, 4, 4]


def test_events_name_tracks_not_slots() -> None:
    """Track 2 runs into track 0; track 1 is parked elsewhere. Constant velocity drives track 2 only."""
    scene = micro_scene(Box(x=6.0), Box(y=50.0), Box(speed=10.0), num_steps=6)
    run = roll_out(scene, "constant_velocity", control=2)
    hit = (run.state & Event.COLLISION) != 0
    assert hit[2].tolist() == [False, False, False, True, True, True]  # 2 m of room: touches at step 2
    assert hit[0].tolist() == hit[2].tolist()
    assert not hit[1].any()
    assert run.collision_with[2].tolist() == [-1, -1, -1, 0, 0, 0]
    assert run.collision_with[0].tolist() == [-1, -1, -1, 2, 2, 2]
    assert run.at_fault[2].tolist() == [False, False, False, True, True, True]
    assert not run.at_fault[0].any()
    began = (run.onset & Event.COLLISION) != 0
    assert began[2].tolist() == [False, False, False, True, False, False]
    assert run.is_simulated.tolist() == [False, False, True]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_makes_the_same_run_twice(policy: str) -> None:
    scene = make_scene()
    first, second = (roll_out(scene, policy, seed=5, config=WorldConfig(horizon=30)) for _ in range(2))
    assert first.num_steps == 31
    assert first.x.tobytes() == second.x.tobytes()
    assert first.state.tobytes() == second.state.tobytes()
    assert np.isfinite(first.x).all()
    assert np.array_equal(first.x[:, 0], scene.tracks.x[:, 10])


def test_another_seed_is_another_run() -> None:
    first, second = (roll_out(make_scene(), "random", seed=seed, config=WorldConfig(horizon=30)) for seed in (1, 2))
    assert not np.array_equal(first.x, second.x)


def test_a_decision_of_five_steps_is_recorded_step_by_step() -> None:
    """At 20 m/s it passes through a pedestrian: its box overlaps theirs at 2 m and at 4 m and is clear again at 8 m."""

    class Still:
        name = "still"

        def act(self, world: World, mask: np.ndarray) -> np.ndarray:
            return np.zeros((*mask.shape, 2))

    walker = Box(x=4.0, length=1.0, width=1.0, kind=AgentType.PEDESTRIAN)
    scene = micro_scene(Box(speed=20.0), walker, num_steps=14)
    runs = [roll_out(scene, Still(), control=0, dynamics=Bicycle(steps_per_action=n)) for n in (1, 5)]
    assert [run.num_steps for run in runs] == [14, 11]  # two whole decisions fit
    np.testing.assert_allclose(runs[1].x[0], 2.0 * np.arange(11), atol=1e-4)
    for run in runs:
        assert np.flatnonzero(run.state[0] & Event.COLLISION).tolist() == [1, 2, 3]
        assert np.flatnonzero(run.onset[0] & Event.COLLISION).tolist() == [1]
        assert run.collision_with[0, :6].tolist() == [-1, 1, 1, 1, -1, -1]
        assert run.at_fault[0, :6].tolist() == [False, True, True, True, False, False]
        assert run.present.all()


def test_an_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no policy is called 'idn'; did you mean 'idm'"):
        roll_out(make_scene(), "idn")
    with pytest.raises(ConfigError, match="no selector is called 'cars'"):
        roll_out(make_scene(), "log", control="cars")
