"""The loop: replay, growth, resets, and what infractions and goals do."""

from __future__ import annotations

import copy
import gc
import pickle
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene, straight
from trafficgym.errors import ActionError, ConfigError
from trafficgym.scene.readers import read
from trafficgym.scene.scene import AgentType, RoadMap, Scene, Signals
from trafficgym.world.dynamics import Bicycle, Body, Motion, TargetPose
from trafficgym.world.events import Event
from trafficgym.world.state import Driver
from trafficgym.world.world import World, WorldConfig

FIELDS = ("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height")


def assert_replays(scene: Scene, start_step: int | None = None) -> None:
    world = World([scene], control="log", config=WorldConfig(start_step=start_step))
    start = scene.current_step if start_step is None else start_step
    for step in range(start, scene.num_steps):
        track = world.track[0]
        assert np.array_equal(world.state.present[0], scene.tracks.valid[track, step])
        here = world.state.present[0]
        for name in FIELDS:
            assert np.array_equal(getattr(world.state, name)[0, here], getattr(scene.tracks, name)[track[here], step])
        if step + 1 < scene.num_steps:
            world.step()
    assert world.truncated.all() or start == scene.num_steps - 1


def test_log_replay_is_the_log_bit_for_bit(data_root: Path) -> None:
    files = [
        *sorted((data_root / "data/womd").glob("*.tfrecord")),
        *sorted((data_root / "data/womd_converted").glob("*of-0000[12]")),
        *sorted((data_root / "data/nocturne").glob("*.json*"))[:2],
    ]
    scenes = [s for file in files for s in islice(read(file), 2) if isinstance(s, Scene)]
    assert len(scenes) > 6
    for scene in scenes:
        assert_replays(scene)
    assert_replays(scenes[0], start_step=0)


def test_tracks_come_and_go_as_recorded() -> None:
    comes_back = [True, False, False, True, False]
    late = [False, False, True, True, True]
    scene = micro_scene(Box(valid=comes_back), Box(x=9, valid=late), Box(x=50, valid=[False] * 5), num_steps=5)
    assert_replays(scene)
    world = World([scene], control="log")
    assert world.track[0].tolist() == [0, 1]  # the third is on the road at no step


def test_constant_velocity_goes_straight_on() -> None:
    scene = micro_scene(Box(x=3, y=-1, yaw=np.pi / 2, speed=5.0), num_steps=41)
    world = World([scene], control="constant_velocity")
    for _ in range(40):
        world.step()
    np.testing.assert_allclose(world.state.table[0, 0, :8], [3, 19, 0.75, np.pi / 2, 0, 5, 5, 0], atol=1e-4)
    assert world.truncated.all()


def test_external_agents_are_where_the_dynamics_put_them() -> None:
    scene = micro_scene(Box(speed=10.0), Box(y=9.0, speed=4.0))
    world = World([scene], dynamics=Bicycle())
    world.step(np.array([[[1.0, 0.0], [-2.0, 0.0]]], np.float32))
    assert world.state.speed[0].tolist() == pytest.approx([10.1, 3.8])
    assert world.state.acceleration[0].tolist() == pytest.approx([1.0, -2.0], abs=1e-4)
    assert world.before.speed[0].tolist() == [10.0, 4.0]
    assert world.previous.speed[0].tolist() == [10.0, 4.0]
    world.step(np.zeros((1, 2, 2)))
    assert world.state.acceleration[0].tolist() == [0.0, 0.0]


def test_before_is_one_step_ago_and_previous_one_decision_ago() -> None:
    scene = micro_scene(Box(speed=10.0), num_steps=11)
    world = World([scene], dynamics=Bicycle(steps_per_action=5))
    world.step(np.zeros((1, 1, 2)))
    assert world.state.x[0, 0] == pytest.approx(5.0, abs=1e-5)
    assert world.before.x[0, 0] == pytest.approx(4.0, abs=1e-5)
    assert world.previous.x[0, 0] == 0.0
    assert world.step_index[0] == 5
    world.step(np.zeros((1, 1, 2)))
    assert world.previous.x[0, 0] == pytest.approx(5.0, abs=1e-5)
    assert world.truncated.all()


def test_a_car_follows_the_slope_of_the_road() -> None:
    """10 m/s up a road that rises 1 m in 10: 0.1 m a step, one step late."""
    road = [(0.0, 0.0, 0.0), (100.0, 0.0, 10.0)]
    scene = micro_scene(Box(speed=10.0), lanes=[road], num_steps=41)
    world = World([scene], control="constant_velocity")
    for _ in range(40):
        world.step()
    bottom = float(world.state.z[0, 0] - 0.75)
    assert bottom == pytest.approx(3.9, abs=0.02)


CRASH = micro_scene(Box(speed=10.0), Box(x=6.0), Box(y=50.0, speed=1.0), num_steps=21)
"""Box 0 runs into the parked box 1 in the third step (2 m of room at 1 m a step); box 2 is elsewhere."""
STAY = np.zeros((1, 2, 2), np.float32)


def crash(on_infraction: Any, **config: Any) -> World:
    control = {0: "external", 2: "external"}
    return World([CRASH], control=control, config=WorldConfig(on_infraction=on_infraction, **config))


def test_terminate_takes_the_agent_off_the_road_for_good() -> None:
    world = crash("terminate")
    for k in range(6):
        assert world.alive[0, :2].tolist() == [k < 3, True]
        assert world.state.present[0, :2].tolist() == [k < 3, True]
        events = world.step(STAY)
        assert events.began(Event.COLLISION)[0].tolist() == [k == 2, False, False]
        assert events.holds(Event.COLLISION)[0].tolist() == [k == 2, False, False]
        assert events.collision_with[0, 0] == (2 if k == 2 else -1)  # slots: 0 and 2 are agents, then the prop
    world.reset()
    assert world.alive[0, :2].all()
    assert world.state.x[0, 0] == 0


def test_stop_leaves_the_agent_where_it_is_and_alive() -> None:
    world = crash("stop")
    for _ in range(10):
        world.step(np.array([[[1, 0], [1, 0]]], np.float32))
    assert world.alive[0, 0]
    assert world.state.speed[0, 0] == 0
    assert 2.0 < world.state.x[0, 0] < 3.5
    assert world.state.speed[0, 1] > 1.0
    assert world.events.holds(Event.COLLISION)[0, 0]
    assert not world.events.began(Event.COLLISION)[0, 0]
    world.reset()
    world.step(STAY)
    assert world.state.speed[0, 0] == 10


def test_ignore_lets_it_drive_on() -> None:
    world = crash("ignore")
    for _ in range(12):
        world.step(STAY)
    assert world.state.x[0, 0] == pytest.approx(12, abs=1e-4)
    assert world.alive[0, 0]


def test_which_events_are_infractions_is_a_choice() -> None:
    world = crash("terminate", infractions=Event.OFF_ROAD)
    for _ in range(6):
        world.step(STAY)
    assert world.alive[0, 0]


def test_reaching_the_goal_may_end_it() -> None:
    scene = micro_scene(Box(x=straight(0, 10, 21), speed=10.0), num_steps=21)
    world = World([scene], config=WorldConfig(on_goal="terminate"))
    alive = []
    for _ in range(20):
        world.step(np.zeros((1, 1, 2)))
        alive.append(bool(world.alive[0, 0]))
    assert alive == [True] * 17 + [False] * 3  # within 2 m of x = 20 at step 18


def test_who_starts_in_an_infraction_is_ended_by_the_next_one() -> None:
    """Box 0 starts beyond the edge (the road is north of y = 0), drives onto the road and off it again.

    Boxes 1 and 2 overlap from the start and stay where they are.
    """
    scene = micro_scene(
        Box(y=-3.5, yaw=np.pi / 2, speed=10.0),
        Box(x=50.0, y=20.0),
        Box(x=53.0, y=20.0),
        edges=[[(-90, 0), (90, 0)], [(90, 30), (-90, 30)]],
        num_steps=41,
    )
    world = World([scene], config=WorldConfig(on_infraction="terminate"))
    assert world.events.began(Event.OFF_ROAD)[0].tolist() == [True, False, False]
    assert world.events.began(Event.COLLISION)[0].tolist() == [False, True, True]
    alive = []
    for _ in range(40):
        world.step(np.zeros((1, 3, 2)))
        alive.append(world.alive[0, :3].tolist())
    ended = [step for step, (first, _, _) in enumerate(alive, 1) if not first]
    assert ended[0] == 32  # its front is 2 m ahead of its centre: -3.5 + 31.5 + 2 = 30
    assert all(second and third for _, second, third in alive)


def test_two_that_crash_into_each_other_both_end() -> None:
    scene = micro_scene(Box(speed=10.0), Box(x=12.0, yaw=-np.pi, speed=10.0))
    world = World([scene], config=WorldConfig(on_infraction="terminate", horizon=20))
    for _ in range(5):
        world.step(STAY)
    assert not world.alive.any()
    assert not world.state.present.any()


def test_the_horizon() -> None:
    scene = make_scene()  # 91 steps, now is 10
    for config, end in [
        (WorldConfig(), 90),
        (WorldConfig(horizon=7), 17),
        (WorldConfig(start_step=0), 90),
        (WorldConfig(start_step=90), 170),
        (WorldConfig(horizon=200), 210),
    ]:
        world = World([scene], config=config)
        assert world.end_step[0] == end
        assert not world.truncated.any()
    with pytest.raises(ConfigError, match="'made' has 91 steps; start_step 91"):
        World([scene], config=WorldConfig(start_step=91))
    with pytest.raises(ConfigError, match="start_step is -1; it must be a whole number"):
        WorldConfig(start_step=-1)


def test_beyond_the_end_of_the_log_agents_drive_on_and_props_are_gone() -> None:
    scene = micro_scene(Box(speed=10.0), Box(y=20.0, speed=10.0), num_steps=11, current_step=10)
    world = World([scene], control={0: "external"})
    assert world.end_step[0] == 90
    while not world.truncated.any():
        world.step(np.zeros((1, 1, 2)))
    assert world.state.x[0, 0] == pytest.approx(80, abs=1e-3)
    assert world.state.present[0].tolist() == [True, False]
    assert not world.log_valid.any()


@pytest.mark.parametrize("on", ["on_infraction", "on_goal"])
def test_bad_options_name_the_good_ones(on: str) -> None:
    with pytest.raises(ConfigError, match=f"{on} is 'explode'; it is 'terminate', 'stop' or 'ignore'"):
        WorldConfig(**{on: "explode"})  # type: ignore[arg-type]


def test_numbers_that_make_no_sense() -> None:
    for bad in ({"horizon": 0}, {"max_agents": 0}, {"point_spacing": -1.0}):
        with pytest.raises(ConfigError, match=r"must be positive|must be a whole number, 1 or more"):
            WorldConfig(**bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one scene"):
        World([])


def test_scenes_without_map_graph_or_neighbours() -> None:
    bare = micro_scene(Box(speed=3.0))
    for control in ("external", "log", "idm", "constant_velocity", "random"):
        world = World([bare], control=control, config=WorldConfig(horizon=5, watch_log=True))
        for _ in range(5):
            world.step(np.zeros((1, 1, 2)) if control == "external" else None)
        assert np.isfinite(world.state.table).all()
        assert not world.events.holds(Event.OFF_ROAD | Event.WRONG_WAY | Event.RED_LIGHT | Event.COLLISION).any()


def test_an_action_must_fit() -> None:
    world = crash("terminate")
    for bad in (np.zeros((1, 1, 2)), np.zeros((1, 2, 3)), np.zeros(2)):
        with pytest.raises(ActionError, match=r"\(worlds, agents, acceleration and steering\) = \(1, 2, 2\)"):
            world.step(bad)
    with pytest.raises(ActionError, match="2 agents are external; give actions"):
        world.step()
    with pytest.raises(ActionError, match=r"world 0, agent 1 \(track 2\).*not finite"):
        world.step(np.array([[[0, 0], [0, np.nan]]]))
    assert world.state.x[0, 0] == 0  # nothing has moved


def test_the_action_of_a_dead_agent_may_be_anything() -> None:
    world = crash("terminate")
    for _ in range(3):
        world.step(STAY)
    world.step(np.array([[[np.nan, np.inf], [0, 0]]], np.float32))
    assert np.isfinite(world.state.table).all()


def test_max_agents_keeps_those_nearest_to_the_ego() -> None:
    boxes = [Box(x=30.0), Box(x=0.0, sdc=True), Box(x=-8.0), Box(x=20.0), Box(x=11.0)]
    world = World([micro_scene(*boxes)], config=WorldConfig(max_agents=3))
    assert world.num_agents == 3
    assert world.track[0].tolist() == [1, 2, 4, 0, 3]
    assert world.controller[0].tolist() == [Driver.EXTERNAL] * 3 + [Driver.LOG] * 2
    # No SDC: the ego is who goes furthest. An SDC that comes later has no place yet.
    far = Box(x=[100, 105, 110])
    for late in ((), (Box(x=-50.0, sdc=True, valid=[False, True, True]),)):
        world = World([micro_scene(Box(), far, Box(x=90.0), *late)], config=WorldConfig(max_agents=2))
        assert world.track[0, :2].tolist() == [1, 2]


def test_resetting_some_worlds_leaves_the_others_alone() -> None:
    scene = micro_scene(Box(speed=10.0), num_steps=21)
    world = World([scene] * 3, config=WorldConfig())
    for _ in range(4):
        world.step(np.zeros((3, 1, 2)))
    before = world.state.table.copy()
    world.reset(np.array([False, True, False]))
    assert world.step_index.tolist() == [4, 0, 4]
    assert np.array_equal(world.state.table[[0, 2]], before[[0, 2]])
    assert world.state.x[1, 0] == 0
    world.step(np.zeros((3, 1, 2)), running=np.array([True, True, False]))
    assert world.step_index.tolist() == [5, 1, 4]
    assert world.state.x[:, 0].tolist() == pytest.approx([5, 1, 4], abs=1e-4)


def test_the_world_grows_when_a_larger_scene_comes_and_forgets_nothing() -> None:
    """World 0 goes on as if nothing had happened; world 1 gets 30 boxes instead of one, then one again."""
    small = micro_scene(Box(speed=10.0), edges=[[(-9, -9), (99, -9)]], num_steps=21, id="small")
    crowd = micro_scene(*(Box(y=10.0 * i, speed=1.0) for i in range(30)), num_steps=21, id="crowd")
    alone, pair = World([small]), World([small, small])
    for k in range(20):
        if k == 5:
            pair.reset(np.array([False, True]), scenes=[crowd])
            assert pair.num_agents == 30
        if k == 10:
            pair.reset(np.array([False, True]), scenes=[small])
            assert pair.num_agents == 30
            assert pair.agents.sum(1).tolist() == [1, 1]
            assert not pair.state.present[1, 1:].any()
        push = np.zeros((2, pair.num_agents, 2), np.float32)
        push[0, 0] = 1.0, 0.1
        alone.step(push[:1, :1])
        pair.step(push)
        assert alone.state.table[0].tobytes() == pair.state.table[0, :1].tobytes()
        assert alone.events.state[0, 0] == pair.events.state[0, 0]


def test_the_world_grows_for_more_paths_of_idm() -> None:
    one = micro_scene(Box(speed=10.0), Box(y=50.0, kind=AgentType.PEDESTRIAN), num_steps=21)
    two = micro_scene(Box(speed=10.0), Box(y=50.0, speed=5.0), num_steps=21)
    world = World([one, one], control={"vehicle": "idm"})
    world.reset(np.array([False, True]), scenes=[two])
    alone = World([one], control={"vehicle": "idm"})
    for _ in range(20):
        world.step()
        alone.step()
    assert world.state.table[0].tobytes() == alone.state.table[0].tobytes()
    assert world.state.x[1, 1] > 5


def test_worlds_that_hold_a_scene_share_what_is_derived_from_it_and_let_it_go() -> None:
    import weakref

    scene = micro_scene(Box(speed=1.0))
    world = World([scene, scene])
    assert world.road[0] is world.road[1]
    known, index = weakref.ref(scene), weakref.ref(world.road[0])
    world.reset(scenes=[CRASH, CRASH])
    del scene
    gc.collect()
    assert known() is None
    assert index() is None


class Steady:
    """Drives everybody at constant speed, and counts."""

    name = "steady"

    def __init__(self, value: Any = 0.0) -> None:
        self.value, self.asked = value, 0

    def act(self, world: World, mask: np.ndarray) -> np.ndarray:
        self.asked += int(mask.sum())
        return np.full((*mask.shape, world.dynamics.action_size), self.value)


def test_a_policy_drives_its_slots_through_the_dynamics() -> None:
    policy = Steady(1.0)
    scene = micro_scene(Box(speed=10.0), Box(y=50.0, speed=10.0), Box(y=90.0, speed=10.0))
    world = World([scene], control={0: policy, 1: "external"}, dynamics=Bicycle(max_steering=1e-6))
    assert world.track[0].tolist() == [1, 0, 2]
    world.step(np.zeros((1, 1, 2)))
    assert world.state.speed[0].tolist() == pytest.approx([10, 10.1, 10])
    assert policy.asked == 1
    world.step(np.zeros((1, 1, 2)), running=np.array([False]))
    assert policy.asked == 1  # worlds that do not run ask nobody


def test_a_policy_that_gives_nonsense_is_named() -> None:
    scene = micro_scene(Box(speed=10.0))
    with pytest.raises(ActionError, match="'steady' must give finite actions"):
        World([scene], control=Steady(np.nan)).step()

    class Flat(Steady):
        def act(self, world: World, mask: np.ndarray) -> np.ndarray:
            return np.zeros(2)

    with pytest.raises(ActionError, match=r"finite actions of shape \(1, 1, 2\)"):
        World([scene], control=Flat()).step()


def test_target_poses_are_reached_exactly() -> None:
    scene = micro_scene(Box(speed=10.0), num_steps=11)
    world = World([scene], dynamics=TargetPose())
    now = Motion(*(getattr(world.state, n) for n in Motion._fields))
    goal = Motion(now.x + 1, now.y + 0.1, now.yaw, now.vx, now.vy, now.speed)
    world.step(world.dynamics.inverse(now, goal, Body(world.state.length, world.state.type)))
    assert (world.state.x[0, 0], world.state.y[0, 0]) == pytest.approx((1.0, 0.1), abs=1e-5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_a_copy_goes_on_by_itself(duplicate: Any) -> None:
    """Kernels reach roads and logs by address: a copy must have addresses of its own."""
    world = World([make_scene(), make_scene(num_agents=1)], control="idm")
    world.step()
    other = duplicate(world)
    assert not set(world.road_rows[:, 0]) & set(other.road_rows[:, 0])
    tables = []
    for _ in range(20):
        world.step()
        tables.append(world.state.table.copy())
    del world
    gc.collect()
    for table in tables:
        other.step()
        assert other.state.table.tobytes() == table.tobytes()


def test_a_scene_from_which_everything_is_missing() -> None:
    scene = make_scene(num_steps=11, num_agents=1)
    scene = replace(scene, road=RoadMap.empty(), signals=Signals.empty(11))
    world = World([scene], config=WorldConfig(on_infraction="terminate"))
    for _ in range(80):
        world.step(np.zeros((1, 1, 2)))
    assert world.truncated.all()
    assert world.alive.sum() == 1
