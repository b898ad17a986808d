"""Gymnasium: one ego, everybody else in the background; alone, or B of them as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from trafficgym.envs.vector import Source, TrafficVectorEnv
from trafficgym.errors import ActionError, ConfigError


class SceneEnv(gymnasium.Env):
    """Drive the ego of one scene at a time: ``gymnasium.make("trafficgym/Scene-v0")``.

    The ego is the SDC or, where the source names none, the first track to predict, else the vehicle that goes
    furthest. Observation: Box float32 ``[size]`` in [-1, 1], or a Dict of its blocks (`ObservationConfig`).
    Action: Box ``[-1, 1]^2`` (acceleration, steering) for the bicycle; see `actions.ActionSpace`. Reward: -1 for an
    infraction, +1 for the goal, 0.01 per metre of progress, unless `reward` says otherwise. Terminated: crash,
    off-road or goal. Truncated: the horizon.

    Args:
        scenes: Scenes, or where to read them; None for generated ones.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        **options: Fields of `EnvConfig`; and `background`, who drives the others (default ``"log"``).
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, scenes: Source = None, *, render_mode: str | None = None, **options: Any) -> None:
        self.vector = TrafficVectorEnv(scenes, render_mode=render_mode, **_ego_options(options))
        self.render_mode = render_mode
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; ``options={"scene": index or id}`` chooses the scene."""
        super().reset(seed=seed)
        observation, info = self.vector.reset(seed=seed, options=options)
        result = _ego(observation), _ego_info(info)
        if self.render_mode == "human":
            self.render()
        return result

    def step(self, action: NDArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance by one decision.

        Raises:
            ActionError: wrong shape, not finite, or the episode is over.
        """
        if self.vector.world is not None and self.vector.is_over[0]:
            raise ActionError("the episode is over; call reset")
        action = np.asarray(action)
        if action.shape != self.vector.actions.shape:
            raise ActionError(f"the action must have shape {self.vector.actions.shape}, got {action.shape}")
        observation, reward, terminated, truncated, info = self.vector.step(action[None, None])
        if self.render_mode == "human":
            self.render()
        return _ego(observation), float(reward[0, 0]), bool(terminated[0, 0]), bool(truncated[0, 0]), _ego_info(info)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the world: uint8 ``[H, W, 3]`` in mode ``"rgb_array"``, else None."""
        return self.vector.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self.vector.close()


class SceneVectorEnv(VectorEnv):
    """B independent `SceneEnv`, stepped as one world: ``gymnasium.make_vec("trafficgym/Scene-v0", num_envs=B)``.

    Autoreset is ``NEXT_STEP``: the step after an episode has ended ignores its action, gives reward 0 and the first
    observation of the next episode.

    Args:
        scenes: Scenes, or where to read them; None for generated ones.
        num_envs: B.
        render_mode: None, ``"rgb_array"`` (a tuple with the picture of world 0) or ``"human"``.
        **options: Fields of `EnvConfig`.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, scenes: Source = None, *, num_envs: int = 1, render_mode: str | None = None, **options: Any
    ) -> None:
        options = {**_ego_options(options), "autoreset": True}
        self.vector = TrafficVectorEnv(scenes, num_worlds=num_envs, render_mode=render_mode, **options)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space = self.vector.single_observation_space
        self.single_action_space = self.vector.single_action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start all episodes anew; world b gets `seed` + b."""
        super().reset(seed=None)
        observation, info = self.vector.reset(seed=seed, options=options)
        if self.render_mode == "human":
            self.render()
        return _egos(observation), _egos_info(info)

    def step(
        self, actions: NDArray
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every episode by one decision."""
        actions = np.asarray(actions)
        shape = (self.num_envs, *self.vector.actions.shape)
        if actions.shape != shape:
            raise ActionError(f"actions must have shape {shape}, got {actions.shape}")
        observation, reward, terminated, truncated, info = self.vector.step(actions[:, None])
        if self.render_mode == "human":
            self.render()
        return (
            _egos(observation),
            reward[:, 0].astype(np.float64),
            terminated[:, 0],
            truncated[:, 0],
            _egos_info(info),
        )

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw world 0."""
        picture = self.vector.render()
        return None if picture is None else (picture,)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, if there is one."""
        self.vector.close()


def _ego_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of the world of an ego.

    Raises:
        ConfigError: an option is given that this environment decides by itself, or that contradicts another.
    """
    options = dict(options)
    for key, reason in (("num_agents", "there is one agent"), ("autoreset", "the kind of environment decides")):
        if key in options:
            raise ConfigError(f"{key} is no option of this environment: {reason}")
    background = options.pop("background", None)
    if options.get("control") is None:
        options["control"] = {"all": background or "log", "ego": "external"}
    elif background is not None:
        raise ConfigError('background and control are both given; say in control who drives "all"')
    return {**options, "num_agents": 1, "autoreset": False}


def _ego(observation: Any) -> Any:
    return {k: v[0, 0] for k, v in observation.items()} if isinstance(observation, dict) else observation[0, 0]


def _egos(observation: Any) -> Any:
    return {k: v[:, 0] for k, v in observation.items()} if isinstance(observation, dict) else observation[:, 0]


def _ego_info(info: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"track_id": int(info["track_id"][0, 0]), "scene_id": info["scene_id"][0]}
    if "reward_terms" in info:
        found["reward_terms"] = {k: float(v[0, 0]) for k, v in info["reward_terms"].items()}
    return found


def _egos_info(info: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"track_id": info["track_id"][:, 0], "scene_id": np.array(info["scene_id"], object)}
    if "reward_terms" in info:
        found["reward_terms"] = {k: v[:, 0] for k, v in info["reward_terms"].items()}
    return found
