"""The recorded episodes of a world, against the states that were seen while they ran."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.world.micro import Box, micro_scene
from trafficgym.scene.sources import open_scenes
from trafficgym.world.controllers import Policy
from trafficgym.world.dynamics import Bicycle
from trafficgym.world.state import VX, VY, YAW, X, Y, Z
from trafficgym.world.world import World, WorldConfig

KEEP = WorldConfig(keep_history=True)
COLUMNS = (X, Y, Z, YAW, VX, VY)
SMALL = micro_scene(Box(speed=10.0), Box(x=50.0, valid=[True] * 8 + [False] * 13), num_steps=21, id="small")
CROWD = micro_scene(*(Box(y=10.0 * i, speed=1.0) for i in range(30)), num_steps=31, id="crowd")


def push(world: World) -> np.ndarray:
    return np.full((world.num_worlds, world.num_agents, 2), (1.0, 0.1), np.float32)


def test_it_is_off_unless_asked_for() -> None:
    assert World([SMALL]).history is None


@pytest.mark.parametrize("steps_per_action", [1, 5])
def test_it_holds_what_was_seen_at_every_step_also_within_a_decision(steps_per_action: int) -> None:
    control: dict[str | int, str | Policy] = {"all": "log", 0: "external"}
    world = World([SMALL], dynamics=Bicycle(steps_per_action=steps_per_action), control=control, config=KEEP)
    tables = [world.state.table[0].copy()]
    for _ in range(20 // steps_per_action):
        world.step(push(world), after_each=lambda _: tables.append(world.state.table[0].copy()))
    history, seen = world.history, np.stack(tables, axis=1)  # (N, T+1, 16)
    assert history is not None
    assert history.motion.shape == (1, 2, 21, 6)
    assert np.array_equal(history.motion[0], seen[..., COLUMNS])
    assert history.present[0].tolist() == [[True] * 21, [True] * 8 + [False] * 13]
    assert history.start_step.tolist() == [0]


def test_replay_of_a_real_log_is_the_log(data_root: Path) -> None:
    scene = open_scenes(data_root / "data/womd/motion_data_one_scenario.tfrecord")[0]
    world = World([scene], control="log", config=KEEP)
    for _ in range(80):
        world.step()
    history, tracks = world.history, scene.tracks
    assert history is not None
    slots = np.flatnonzero(world.track[0] >= 0)
    valid = tracks.valid[world.track[0, slots], 10:]
    assert np.array_equal(history.present[0, slots], valid)
    for i, name in enumerate(("x", "y", "z", "yaw", "vx", "vy")):
        logged = getattr(tracks, name)[world.track[0, slots], 10:]
        assert np.array_equal(history.motion[0, slots, :, i][valid], logged[valid])


def test_a_reset_forgets_its_own_world_and_growth_forgets_nothing() -> None:
    """World 0 records as if it were alone, while world 1 gets more slots and a longer horizon, then fewer again."""
    alone, pair = World([SMALL], config=KEEP), World([SMALL, SMALL], config=KEEP)
    for k in range(20):
        if k == 5:
            pair.reset(np.array([False, True]), scenes=[CROWD])
        if k == 12:
            pair.reset(np.array([False, True]), scenes=[SMALL])
        alone.step(push(alone))
        pair.step(push(pair))
    one, two = alone.history, pair.history
    assert one is not None and two is not None
    assert two.motion.shape == (2, 30, 31, 6)
    assert one.motion[0].tobytes() == two.motion[0, :2, :21].tobytes()
    assert not two.motion[0, 2:].any() and not two.present[0, :, 21:].any()
    assert two.present[1].any(0).tolist() == [True] * 9 + [False] * 22  # 8 steps since the reset
    assert one.motion[0, :, :9].tobytes() == two.motion[1, :2, :9].tobytes()


def test_it_says_who_advanced_and_when() -> None:
    world = World([SMALL, SMALL], config=KEEP)
    history = world.history
    assert history is not None
    assert not history.advanced.any()
    world.step(push(world), running=np.array([True, False]))
    assert history.advanced.tolist() == [True, False]
    assert history.present[:, 0, :3].tolist() == [[True, True, False], [True, False, False]]
    number = history.num_recorded
    world.step(push(world))
    assert history.num_recorded > number
    world.reset(np.array([True, False]))
    assert history.advanced.tolist() == [False, True]


def test_steps_past_the_horizon_are_not_kept() -> None:
    world = World([SMALL], config=WorldConfig(keep_history=True, horizon=4), dynamics=Bicycle(steps_per_action=3))
    for _ in range(3):
        world.step(push(world))
    assert world.history is not None
    assert world.history.present.shape == (1, 2, 5)
    assert world.history.present[0, 0].all()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_a_copy_records_by_itself(duplicate: Any) -> None:
    world = World([SMALL], config=KEEP)
    world.step(push(world))
    other = duplicate(world)
    for _ in range(3):
        world.step(push(world))
    assert other.history.present[0, 0].sum() == 2
    for _ in range(3):
        other.step(push(other))
    assert other.history.motion.tobytes() == world.history.motion.tobytes()  # type: ignore[union-attr]
