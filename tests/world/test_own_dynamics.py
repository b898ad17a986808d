"""Policies with dynamics of their own: asked at their own pace, and played step by step whatever the world's pace."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trafficgym
from tests.world.make_policies import Drawer
from tests.world.make_tokens import FAST, LEFT, tiny_tokens
from tests.world.micro import Box, micro_scene
from trafficgym.errors import ActionError, ConfigError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Bicycle, Body, Dynamics, Motion, TargetPose
from trafficgym.world.roll_out import roll_out
from trafficgym.world.world import World, WorldConfig

TOKENS = tiny_tokens()
FIELDS = Motion._fields


class Fixed:
    """The same token always."""

    name = "fixed"
    dynamics = TOKENS

    def __init__(self, token: float) -> None:
        self.token = token

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        return np.full((*mask.shape, 1), self.token)


def street(num: int = 4, id: str = "street", current_step: int = 0) -> Scene:
    kinds = [AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST]
    boxes = [Box(x=9.0 * k, y=7.0 * k, yaw=0.3 * k, speed=3.0, kind=kinds[k % 3]) for k in range(num)]
    return micro_scene(*boxes, num_steps=80, current_step=current_step, id=id)


def drive(world: World, num_steps: int, each: Any) -> None:
    """Step with a bicycle ego that brakes a little."""
    action = np.full((world.num_worlds, world.num_agents, 2), [-1.0, 0.02])
    for _ in range(num_steps // world.dynamics.steps_per_action):
        world.step(action, after_each=each)


def trajectory(scene: Scene, policy: Any, dynamics: Dynamics, seed: int = 3) -> list[bytes]:
    """States of track 0, an external bicycle, and of the others, whom `policy` drives, for 20 steps of 0.1 s."""
    world = World([scene], dynamics=dynamics, control={"all": policy, 0: "external"}, seeds=[seed])
    states: list[bytes] = []
    drive(world, 20, lambda _: states.append(world.state.table[0, 1:].tobytes()))
    return states


def test_motions_are_played_step_by_step_from_where_the_slot_was() -> None:
    world = World([street()], control={"all": Fixed(LEFT), 0: "external"})
    start = Motion(*(getattr(world.state, name)[0].copy() for name in FIELDS))
    body = Body(world.state.length[0], world.state.type[0])
    wanted = TOKENS.step(start, np.full((4, 1), LEFT), body)
    wanted += TOKENS.step(wanted[-1], np.full((4, 1), LEFT), body)
    for expected in wanted:
        world.step(np.zeros((1, 1, 2)))
        for name in FIELDS:
            assert np.array_equal(getattr(world.state, name)[0, 1:], getattr(expected, name)[1:]), name
    assert world.state.x[0, 0] == pytest.approx(3.0)  # ten steps at 3 m/s


def test_the_pace_of_the_world_makes_no_difference() -> None:
    runs = [trajectory(street(), Drawer(), Bicycle(steps_per_action=n)) for n in (1, 2, 4, 5, 10)]
    assert all(run == runs[0] for run in runs[1:])


@pytest.mark.parametrize(("pace", "num_steps"), [(1, 12), (2, 12), (5, 15)])
def test_it_is_asked_at_its_own_pace_from_the_start_of_the_episode(pace: int, num_steps: int) -> None:
    policy, scenes = Drawer(), [street(current_step=c, id=f"from-{c}") for c in (0, 3)]
    world = World(scenes, dynamics=Bicycle(steps_per_action=pace), control={"all": policy, 0: "external"})
    drive(world, num_steps, None)
    assert world.memory_of(policy)["asked"] == [[0, 5, 10], [3, 8, 13]]


def test_with_the_dynamics_of_the_world_it_drives_as_through_them() -> None:
    runs = []
    for own in (TOKENS, None):
        world = World([street(), street(3)], dynamics=TOKENS, control=Drawer(own), seeds=[1, 2])
        states: list[bytes] = []
        for _ in range(4):
            world.step(after_each=lambda _, w=world, s=states: s.append(w.state.table.tobytes()))
        runs.append(states)
    assert runs[0] == runs[1]


def test_policies_of_both_kinds_and_learners_drive_side_by_side() -> None:
    control = {"all": "log", 0: "external", 1: Fixed(FAST), 2: "random", 3: Drawer()}
    alone = World([street()], control=control, seeds=[7])
    batch = World([street(6, "crowd"), street()], control=control, seeds=[1, 7])
    for _ in range(13):
        alone.step(np.zeros((1, 1, 2)))
        batch.step(np.zeros((2, 1, 2)))
        assert batch.state.table[1, :4].tobytes() == alone.state.table[0].tobytes()


def test_a_world_that_starts_anew_decides_anew_and_the_others_go_on() -> None:
    """The new scene has more slots, so that all arrays grow in the middle of the other world's decision."""
    policy = Drawer()
    control, action = {"all": policy, 0: "external"}, np.zeros((2, 1, 2))
    world = World([street(), street()], control=control, seeds=[1, 2])
    undisturbed = World([street(), street()], control=control, seeds=[1, 2])
    for step in range(13):
        if step == 7:
            world.reset(np.array([True, False]), scenes=[street(9, "more", current_step=2)], seeds=[5])
        world.step(action)
        undisturbed.step(action)
        assert world.state.table[1, :4].tobytes() == undisturbed.state.table[1].tobytes()
    assert world.memory_of(policy)["asked"] == [[0, 5, 2, 7], [0, 5, 10]]
    fresh = World([street(9, "more", current_step=2)], control=control, seeds=[5])
    for _ in range(6):
        fresh.step(action[:1])
    assert fresh.state.table[0].tobytes() == world.state.table[0].tobytes()


def test_worlds_that_rest_keep_their_plans() -> None:
    policy = Drawer()
    world = World([street(), street()], control=policy, seeds=[4, 4])
    for step in range(20):
        world.step(running=np.array([True, step % 2 == 0]))
    for _ in range(10):
        world.step(running=np.array([False, True]))
    assert world.state.table[0].tobytes() == world.state.table[1].tobytes()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda world: pickle.loads(pickle.dumps(world))])
def test_a_copy_in_the_middle_of_a_decision_goes_on_alike(copied: Any) -> None:
    world = World([street(), street(3)], control={"all": Drawer(), 0: "external"})
    drive(world, 7, None)
    twin = copied(world)
    drive(world, 9, None)
    drive(twin, 9, None)
    assert twin.state.table.tobytes() == world.state.table.tobytes()
    first, second = (one.memory_of(one.policies[0])["asked"] for one in (world, twin))
    assert first == second == [[0, 5, 10, 15], [0, 5, 10, 15]]
    assert first is not second


def test_a_rollout_takes_every_step_whatever_the_dynamics_of_the_policy() -> None:
    run = roll_out(street(), Fixed(FAST), config=WorldConfig(horizon=13))
    assert run.num_steps == 14
    np.testing.assert_allclose(run.x[0], np.arange(14.0), atol=1e-4)  # 5 m in 0.5 s


def test_an_ego_stops_and_the_others_drive_on() -> None:
    """The ego runs into a parked car and is stopped; the policy's slots do not care."""
    scene = micro_scene(Box(speed=10.0), Box(x=8.0), Box(y=30.0, speed=1.0), num_steps=40)
    control = {"all": "external", 1: "log", 2: Fixed(FAST)}
    world = World([scene], control=control, config=WorldConfig(on_infraction="stop"))
    for _ in range(10):
        world.step(np.zeros((1, 1, 2)))
    slot = {int(track): slot for slot, track in enumerate(world.track[0])}
    assert world.frozen[0, slot[0]]
    assert world.state.x[0, slot[0]] < 8.0
    assert world.state.x[0, slot[2]] == pytest.approx(10.0, abs=1e-4)


def test_autoreset_of_the_vector_environment_is_the_same_as_alone() -> None:
    """Worlds restart at different times: the tokens drawn are those of each world's own generator."""
    options: dict[str, Any] = {
        "scenes": [street(), street(3, "other")],
        "control": {"all": Drawer(), 0: "external"},
        "world": WorldConfig(horizon=7),
    }
    both = trafficgym.vector_env(num_worlds=2, **options)
    alone = [trafficgym.vector_env(num_worlds=1, **options) for _ in range(2)]
    seen = [both.reset(seed=8)[0][b] for b in range(2)]
    assert all(np.array_equal(env.reset(seed=8 + b)[0][0], seen[b]) for b, env in enumerate(alone))
    for _ in range(20):
        observation = both.step(np.zeros((2, 1, 2), np.float32))[0]
        for b, env in enumerate(alone):
            assert np.array_equal(env.step(np.zeros((1, 1, 2), np.float32))[0][0], observation[b])


def test_what_makes_no_sense_is_refused() -> None:
    class Wrong(Fixed):
        dynamics = "motion_tokens"  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="'fixed' has an attribute `dynamics` that is no Dynamics: 'motion_tokens'"):
        World([street()], control=Wrong(FAST))
    with pytest.raises(ActionError, match="policy 'fixed' must give finite actions of shape"):
        World([street()], control=Fixed(np.nan)).step()
    far = Fixed(FAST)
    far.dynamics = TargetPose()  # type: ignore[assignment]
    with pytest.raises(ActionError, match=r"of shape \(1, 4, 3\)"):
        World([street()], control=far).step()
