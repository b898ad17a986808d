"""PettingZoo: agents by name."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import trafficgym
from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene
from trafficgym.errors import ActionError
from trafficgym.world.world import WorldConfig

CRASH = micro_scene(Box(speed=10.0), Box(x=6.0), Box(y=30.0, speed=3.0), num_steps=21, id="crash")
"""Track 0 drives into track 1 in its third step; both end. Track 2 goes on to the horizon."""


def coast(env: Any) -> dict[str, np.ndarray]:
    return dict.fromkeys(env.agents, np.zeros(2, np.float32))


def test_agents_leave_when_they_are_done_and_do_not_come_back() -> None:
    env = trafficgym.parallel_env(CRASH, world=WorldConfig(on_infraction="terminate", horizon=6))
    observations, infos = env.reset(seed=0)
    assert env.agents == env.possible_agents == ["agent_0", "agent_1", "agent_2"]
    assert set(observations) == set(infos) == set(env.agents)
    assert [infos[a]["track_id"] for a in env.agents] == [0, 1, 2]
    alive = []
    for step in range(1, 7):
        acting = list(env.agents)
        results = env.step(coast(env))
        assert all(set(r) == set(acting) for r in results)
        _, rewards, terminations, truncations, _ = results
        if step == 3:
            assert terminations == {"agent_0": True, "agent_1": True, "agent_2": False}
            assert rewards["agent_0"] == pytest.approx(-1)
        assert truncations == dict.fromkeys(acting, step == 6)
        alive.append(len(env.agents))
    assert alive == [3, 3, 1, 1, 1, 0]
    assert env.step({}) == ({}, {}, {}, {}, {})
    env.reset()
    assert len(env.agents) == 3


def test_bad_actions_say_what_is_wrong() -> None:
    env = trafficgym.parallel_env(CRASH)
    with pytest.raises(ActionError, match="before reset"):
        env.state()
    env.reset(seed=0)
    good = coast(env)
    for actions, message in [
        ({**good, "agent_7": good["agent_0"]}, "no agent is called 'agent_7'; did you mean 'agent_2'|no agent is"),
        ({k: v for k, v in good.items() if k != "agent_1"}, "no action for agent_1; every living agent needs one"),
        ({**good, "agent_1": np.zeros(3)}, r"the action of agent_1 must have shape \(2,\), got \(3,\)"),
        ({**good, "agent_2": np.array([0, np.nan])}, r"agent 2 \(track 2\).*not finite"),
        ({**good, "agent_2": np.array([0, -np.inf])}, r"agent 2 \(track 2\).*not finite"),
    ]:
        with pytest.raises(ActionError, match=message):
            env.step(actions)
    for _ in range(3):
        env.step(coast(env))
    with pytest.raises(ActionError, match="agent_0 is not alive; act for those in `env"):
        env.step(good)


def test_bins_that_do_not_exist_are_refused() -> None:
    env = trafficgym.parallel_env(CRASH, dynamics="verlet")
    env.reset(seed=0)
    with pytest.raises(ActionError, match="the action of agent_1 is not finite"):
        env.step({**coast(env), "agent_1": np.array([np.nan, 3])})
    for bad in (99, -1, 6.5):
        with pytest.raises(ActionError, match=r"is not in MultiDiscrete"):
            env.step(dict.fromkeys(env.agents, np.array([6, bad])))
    env.step(dict.fromkeys(env.agents, np.array([6, 12])))


def test_state_holds_every_slot() -> None:
    env = trafficgym.parallel_env(CRASH, control={0: "external"})
    env.reset(seed=0)
    state = env.state()
    assert state.shape == (3, 16)
    assert env.state_space.contains(state)
    assert state[:, 0].tolist() == [0, 6, 0]
    env.step(coast(env))
    assert state[0, 0] == 0  # a copy


def test_a_scene_with_fewer_agents_has_fewer_names() -> None:
    env = trafficgym.parallel_env([make_scene("few", num_agents=2), make_scene("many", num_agents=4)])
    for wanted, num in (("few", 2), ("many", 4), ("few", 2)):
        env.reset(options={"scene": wanted})
        assert len(env.agents) == num
        observations, *_ = env.step(coast(env))
        assert len(observations) == num
    assert len(env.possible_agents) == 4


def test_spaces_are_the_same_objects_every_time() -> None:
    env = trafficgym.parallel_env(CRASH)
    assert env.observation_space("agent_0") is env.observation_space("agent_0")
    assert env.action_space("agent_0") is not env.action_space("agent_1")  # each has its own generator


def test_the_window_follows_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr("trafficgym.viewer.window.Window.show", lambda self, picture: shown.append(picture))
    options = {"render_mode": "human", "picture_size": (32, 32)}
    env = trafficgym.parallel_env(CRASH, **options)
    env.reset(seed=0)
    env.step(coast(env))
    assert len(shown) == 2
    vector = gymnasium.make_vec("trafficgym/Scene-v0", num_envs=2, scenes=CRASH, **options)
    vector.reset(seed=0)
    vector.step(vector.action_space.sample())
    assert len(shown) == 4
