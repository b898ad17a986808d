"""The checkers of the libraries that users come from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, TimeLimit
from gymnasium.wrappers import vector as vector_wrappers
from pettingzoo.test import parallel_api_test, parallel_seed_test

import trafficgym
from tests.scene.make_scene import make_scene
from tests.world.make_tokens import tiny_tokens
from trafficgym.envs.registration import IDS
from trafficgym.envs.single import SceneEnv
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.scene.scene import Scene
from trafficgym.world.world import WorldConfig

VARIANTS = [
    {},
    {"observation_format": "dict"},
    {"dynamics": "verlet"},
    {"dynamics": "verlet", "observation_format": "dict", "background": "idm"},
    {"dynamics": "delta_pose", "background": "random"},
    {"dynamics": tiny_tokens()},
]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(num_agents=n, num_steps=31) for n in (1, 3, 5)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Checkers warn about what they would rather have; what they insist on, they raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("name", IDS)
def test_gymnasium(name: str, options: dict[str, Any], scenes: list[Scene]) -> None:
    env = gymnasium.make(name, scenes=scenes, render_mode="rgb_array", picture_size=(64, 64), **options)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("name", IDS)
def test_stable_baselines3(name: str, options: dict[str, Any], scenes: list[Scene]) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="the extra [baselines] is missing")
    checker.check_env(gymnasium.make(name, scenes=scenes, **options).unwrapped, warn=False)


@pytest.mark.parametrize("options", [*VARIANTS, {"control": {"to_predict": "external", "all": "external"}}])
def test_pettingzoo(options: dict[str, Any], scenes: list[Scene]) -> None:
    options = {k: v for k, v in options.items() if k != "background"}
    parallel_api_test(trafficgym.parallel_env(scenes, **options), num_cycles=100)
    parallel_seed_test(lambda: trafficgym.parallel_env(scenes, **options), num_cycles=20)


def test_without_scenes_there_are_generated_ones() -> None:
    env = gymnasium.make("trafficgym/Scene-v0")
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert info["scene_id"].startswith("nominal-") or "/" in info["scene_id"]


def test_wrappers_of_gymnasium_work(scenes: list[Scene]) -> None:
    env = gymnasium.make("trafficgym/Scene-v0", scenes=scenes, observation_format="dict", background="idm")
    env = RecordEpisodeStatistics(TimeLimit(FlattenObservation(env), 9))
    observation, _ = env.reset(seed=1)
    assert observation.shape == env.observation_space.shape
    total, over, steps = 0.0, False, 0
    while not over:
        _, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
        total, over, steps = total + float(reward), terminated or truncated, steps + 1
    assert steps == 9
    assert info["episode"]["r"] == pytest.approx(total, abs=1e-4)


def test_make_vec_and_its_wrappers(scenes: list[Scene]) -> None:
    """Episodes of 6 steps in 3 worlds: each ends at step 6, starts anew in step 7, and ends again in step 13."""
    envs = gymnasium.make_vec("trafficgym/Scene-v0", num_envs=3, scenes=scenes, world=WorldConfig(horizon=6))
    assert envs.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
    envs = vector_wrappers.RecordEpisodeStatistics(envs)
    observation, _ = envs.reset(seed=5)
    assert envs.observation_space.contains(observation)
    finished, total = [], np.zeros(3)
    for step in range(1, 14):
        observation, reward, terminated, truncated, info = envs.step(envs.action_space.sample() * 0)
        assert envs.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (3,)
        assert not terminated.any()
        if step in (7,):
            assert not reward.any()
            total[:] = 0
        total += reward
        if truncated.any():
            finished.append(step)
            assert truncated.all()
            assert info["episode"]["l"].tolist() == [6, 6, 6]
            np.testing.assert_allclose(info["episode"]["r"], total, atol=1e-4)
    assert finished == [6, 13]
    envs.close()


def test_environments_live_in_worker_processes(scenes: list[Scene]) -> None:
    """Scenes travel to the workers by pickle; what comes back is what the environment gives here."""

    def make() -> gymnasium.Env:
        return SceneEnv(scenes, background="idm")

    envs = gymnasium.vector.AsyncVectorEnv([make, make])
    try:
        observation, _ = envs.reset(seed=3)
        action = np.full((2, 2), 0.1, np.float32)
        after, reward, *_ = envs.step(action)
    finally:
        envs.close()
    for i in range(2):
        env = make()
        assert np.array_equal(env.reset(seed=3 + i)[0], observation[i])
        here = env.step(action[i])
        assert np.array_equal(here[0], after[i])
        assert here[1] == reward[i]


@pytest.mark.parametrize("size", [(64, 48), (200, 200)])
def test_pictures(size: tuple[int, int], scenes: list[Scene]) -> None:
    options: dict[str, Any] = {"render_mode": "rgb_array", "picture_size": size}
    single, parallel = SceneEnv(scenes, **options), trafficgym.parallel_env(scenes, **options)
    vector = TrafficVectorEnv(scenes, num_worlds=2, **options)
    envs = gymnasium.make_vec("trafficgym/Scene-v0", num_envs=2, scenes=scenes, **options)
    for env in (single, parallel, vector, envs):
        env.reset(seed=0)
        picture = env.render()
        if env is envs:
            assert len(picture) == 1
            picture = picture[0]
        assert picture.shape == (size[1], size[0], 3)
        assert picture.dtype == np.uint8
        assert np.ptp(picture) > 50
        env.close()
