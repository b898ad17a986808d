"""Put another reward on an environment, whichever facade it is."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo.utils import BaseParallelWrapper

from trafficgym.envs.parallel import TrafficParallelEnv
from trafficgym.envs.single import SceneEnv
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.rewards.reward import Reward

Float = NDArray[np.float32]


def RewardWrapper(env: Any, reward: Reward) -> Any:
    """Wrap an environment so that its reward is `reward`; the terms are in ``info["reward_terms"]``.

    ::

        env = RewardWrapper(trafficgym.parallel_env(), -1.0 * Collision() - 0.1 * DisplacementError())

    Args:
        env: A `TrafficVectorEnv`, `TrafficParallelEnv` or `SceneEnv`, wrapped or not.
        reward: The new reward.

    Raises:
        ConfigError: it is none of these, or the reward needs a history that the environment did not keep.
    """
    base = getattr(env, "unwrapped", env)
    for kind, wrapper in (
        (TrafficVectorEnv, VectorRewardWrapper),
        (TrafficParallelEnv, ParallelRewardWrapper),
        (SceneEnv, SingleRewardWrapper),
    ):
        if isinstance(base, kind):
            vector = base if isinstance(base, TrafficVectorEnv) else base.vector
            vector.prepare(reward)
            return wrapper(env, reward)
    raise ConfigError(f"RewardWrapper wraps trafficgym's environments, got {type(base).__name__}")


class VectorRewardWrapper:
    """A `TrafficVectorEnv` with another reward; everything else is passed on."""

    def __init__(self, env: Any, reward: Reward) -> None:
        self.env, self.reward = env, reward

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not yet there while a copy is being unpickled
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def unwrapped(self) -> TrafficVectorEnv:
        """The environment itself."""
        base: TrafficVectorEnv = self.env.unwrapped
        return base

    def step(self, actions: NDArray) -> tuple[Any, Float, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """See `TrafficVectorEnv.step`."""
        observation, _, terminated, truncated, info = self.env.step(actions)
        reward, info["reward_terms"] = self.unwrapped.evaluate(self.reward, idle=info["reset"])
        return observation, reward, terminated, truncated, info


class ParallelRewardWrapper(BaseParallelWrapper):
    """A `TrafficParallelEnv` with another reward."""

    def __init__(self, env: Any, reward: Reward) -> None:
        super().__init__(env)
        self.reward = reward

    def step(self, actions: dict[str, Any]) -> Any:
        """See `TrafficParallelEnv.step`."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        if rewards:
            base: TrafficParallelEnv = self.unwrapped
            reward, terms = base.vector.evaluate(self.reward)
            by_slot = base.terms_of(terms)
            for name in rewards:
                rewards[name] = float(reward[0, base.slots[name]])
                infos[name]["reward_terms"] = by_slot[base.slots[name]]
        return observations, rewards, terminations, truncations, infos


class SingleRewardWrapper(gymnasium.Wrapper):
    """A `SceneEnv` with another reward."""

    def __init__(self, env: Any, reward: Reward) -> None:
        super().__init__(env)
        self.reward = reward

    def step(self, action: NDArray) -> Any:
        """See `SceneEnv.step`."""
        observation, _, terminated, truncated, info = self.env.step(action)
        base: SceneEnv = self.unwrapped  # type: ignore[assignment]
        reward, terms = base.vector.evaluate(self.reward)
        info["reward_terms"] = {k: float(v[0, 0]) for k, v in terms.items()}
        return observation, float(reward[0, 0]), terminated, truncated, info
