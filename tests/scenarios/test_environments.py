"""Every generated id passes the checkers of the libraries that users come from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test

import trafficgym
from trafficgym_scenarios.environments import generated_scenes
from trafficgym_scenarios.ids import IDS

ids = pytest.mark.parametrize("name", IDS)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Checkers warn about what they would rather have; what they insist on, they raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@ids
def test_gymnasium_and_stable_baselines3(name: str) -> None:
    env = gymnasium.make(name, num_scenes=8, render_mode="rgb_array", picture_size=(64, 64)).unwrapped
    check_env(env)
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="the extra [baselines] is missing")
    checker.check_env(env, warn=False)
    env.close()


@pytest.mark.parametrize("name", ["cut-in", "long-tail", "nominal"])
def test_pettingzoo(name: str) -> None:
    scenes = [generated_scenes(name, num_scenes=8)[i] for i in range(3)]
    parallel_api_test(trafficgym.parallel_env(scenes), num_cycles=60)
    parallel_seed_test(lambda: trafficgym.parallel_env(scenes), num_cycles=20)


@ids
def test_the_same_seed_gives_the_same_episode(name: str) -> None:
    def episode() -> tuple[str, list[np.ndarray]]:
        env = gymnasium.make(name, num_scenes=8)
        observation, info = env.reset(seed=4)
        seen, rng = [observation], np.random.default_rng(0)
        for _ in range(25):
            observation, reward, terminated, truncated, _ = env.step(rng.uniform(-0.1, 0.1, 2))
            seen.append(np.append(observation, reward))
            if terminated or truncated:
                break
        return info["scene_id"], seen

    (first, seen), (again, again_seen) = episode(), episode()
    assert first == again
    assert len(seen) == len(again_seen)
    for a, b in zip(seen, again_seen, strict=True):
        np.testing.assert_array_equal(a, b)
