"""Rewards through the facades."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import trafficgym
from tests.scene.make_scene import make_scene
from trafficgym.envs.reward_wrapper import RewardWrapper
from trafficgym.envs.single import SceneEnv
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.rewards import Collision, DisplacementError, Goal, OffRoad, Progress, Reward, SpeedLimit
from trafficgym.world.world import WorldConfig

REWARD: Reward = -1.0 * Collision() - 0.5 * OffRoad() - 0.1 * DisplacementError() + Goal() + Progress() + SpeedLimit()
SCENES = [make_scene(f"scene-{n}", num_agents=n) for n in (2, 5)]
WORLD = WorldConfig(on_infraction="terminate", horizon=15)


def random_actions(shape: tuple[int, ...], steps: int = 50) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (steps, *shape)).astype(np.float32)


def test_terms_sum_to_the_reward_of_the_vector() -> None:
    env = TrafficVectorEnv(SCENES, num_worlds=3, reward=REWARD, world=WORLD)
    env.reset(seed=0)
    earned = 0
    for action in random_actions((3, 5, 2)):
        before = env.world.alive[:, :5].copy()  # type: ignore[union-attr]
        _, reward, _, _, info = env.step(action)
        assert set(info["reward_terms"]) >= {"collision", "off_road", "displacement", "progress"}
        np.testing.assert_allclose(sum(info["reward_terms"].values()), reward, atol=1e-6)
        acted = before & ~info["reset"][:, None]
        assert not reward[~acted & ~env.world.alive[:, :5]].any()  # type: ignore[union-attr]
        assert not reward[info["reset"]].any()
        earned += int((reward != 0).sum())
    assert earned > 100


@pytest.mark.parametrize("kind", ["vector", "single", "parallel"])
def test_a_wrapper_gives_what_the_option_gives(kind: str) -> None:
    def make(**options: Any) -> Any:
        if kind == "vector":
            return TrafficVectorEnv(SCENES, num_worlds=2, world=WORLD, **options)
        if kind == "single":
            return gymnasium.make("trafficgym/Scene-v0", scenes=SCENES, world=WORLD, **options)
        return trafficgym.parallel_env(SCENES, world=WORLD, **options)

    own, wrapped = make(reward=REWARD), RewardWrapper(make(), REWARD)
    for env in (own, wrapped):
        env.reset(seed=7)
    for action in random_actions((2, 5, 2), 12):
        given: Any = action
        if kind == "single":
            given = action[0, 0]
        elif kind == "parallel":
            given = {name: action[0, i] for i, name in enumerate(own.possible_agents) if name in own.agents}
            assert own.agents == wrapped.agents
        one, two = own.step(given), wrapped.step(given)
        np.testing.assert_equal(two, one)
        if kind == "single" and (one[2] or one[3]):
            break


def test_terms_sum_to_the_reward_of_single_and_parallel() -> None:
    single = SceneEnv(SCENES, reward=REWARD, world=WORLD)
    single.reset(seed=3)
    _, reward, _, _, info = single.step(np.array([0.5, 0.2], np.float32))
    assert sum(info["reward_terms"].values()) == pytest.approx(reward, abs=1e-6)
    parallel = trafficgym.parallel_env(SCENES, reward=REWARD, world=WORLD)
    parallel.reset(seed=3)
    _, rewards, _, _, infos = parallel.step(dict.fromkeys(parallel.agents, np.array([0.5, 0.2], np.float32)))
    for name, value in rewards.items():
        assert sum(infos[name]["reward_terms"].values()) == pytest.approx(value, abs=1e-6)


def test_the_wrapper_refuses_strangers() -> None:
    with pytest.raises(ConfigError, match="RewardWrapper wraps trafficgym's environments, got CartPoleEnv"):
        RewardWrapper(gymnasium.make("CartPole-v1"), REWARD)
