"""PettingZoo Parallel: one world, agents by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from trafficgym.envs.vector import Source, TrafficVectorEnv
from trafficgym.errors import ActionError, ConfigError, nearest_key


class TrafficParallelEnv(ParallelEnv):
    """Agents ``agent_0`` ... ``agent_{A-1}`` of one scene at a time; `infos[name]["track_id"]` says which track it is.

    Observations, actions, rewards and the life of an agent are those of `TrafficVectorEnv` with one world; an agent
    that is done leaves `agents` and does not come back before the next `reset`.

    Args:
        scenes: Scenes, or where to read them; None for generated ones.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        **options: Fields of `EnvConfig`.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array"],
        "name": "trafficgym_v0",
        "is_parallelizable": True,
        "render_fps": 10,
    }

    def __init__(self, scenes: Source = None, *, render_mode: str | None = None, **options: Any) -> None:
        if "autoreset" in options:
            raise ConfigError("autoreset is no option of a PettingZoo environment: whoever runs it calls reset")
        self.vector = TrafficVectorEnv(scenes, render_mode=render_mode, autoreset=False, **options)
        self.render_mode = render_mode
        self.possible_agents = [f"agent_{i}" for i in range(self.vector.num_agents)]
        self.slots = {name: i for i, name in enumerate(self.possible_agents)}
        self.agents: list[str] = []
        # PettingZoo wants the same space object at every call.
        self.observation_spaces = {name: self._space(self.vector.single_observation_space) for name in self.slots}
        self.action_spaces = {name: self._space(self.vector.single_action_space) for name in self.slots}
        self._actions = np.zeros((1, self.vector.num_agents, *self.vector.actions.shape))

    @staticmethod
    def _space(space: spaces.Space) -> spaces.Space:
        import copy

        return copy.deepcopy(space)

    @property
    def unwrapped(self) -> TrafficParallelEnv:
        return self

    def observation_space(self, agent: str) -> spaces.Space:
        """Space of one agent's observation."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Space of one agent's action."""
        return self.action_spaces[agent]

    @property
    def state_space(self) -> spaces.Space:
        """Space of `state`; see `TrafficVectorEnv.state` for the number of slots."""
        return spaces.Box(-np.inf, np.inf, (self.vector.num_slots, 16), np.float32)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Start an episode; see `TrafficVectorEnv.reset`."""
        observation, info = self.vector.reset(seed=seed, options=options)
        alive = info["alive"][0]
        self.agents = [name for name, i in self.slots.items() if alive[i]]
        self._show()
        return self._observations(observation), self._infos(info)

    def step(
        self, actions: dict[str, NDArray]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Advance by one decision; see `TrafficVectorEnv.step`.

        Raises:
            ActionError: an action is missing, of the wrong shape, not finite, or for an agent that is not alive.
        """
        if self.vector.world is None:
            raise ActionError("step was called before reset; call reset(seed=...) first")
        if not self.agents:
            return {}, {}, {}, {}, {}
        self._fill(actions)
        observation, reward, terminated, truncated, info = self.vector.step(self._actions)
        # Lists first: taking single numbers out of arrays is slow.
        all_rewards, all_ended, all_cut = reward[0].tolist(), terminated[0].tolist(), truncated[0].tolist()
        rewards = {name: all_rewards[self.slots[name]] for name in self.agents}
        ended = {name: all_ended[self.slots[name]] for name in self.agents}
        cut = {name: all_cut[self.slots[name]] for name in self.agents}
        infos, terms = self._infos(info), self.terms_of(info["reward_terms"])
        for name in self.agents:
            infos[name]["reward_terms"] = terms[self.slots[name]]
        observations = self._observations(observation)
        self.agents = [name for name in self.agents if not (ended[name] or cut[name])]
        self._show()
        return observations, rewards, ended, cut, infos

    def state(self) -> NDArray[np.float32]:
        """The centralised observation, float32 ``[N, 16]``; see `TrafficVectorEnv.state`."""
        return self.vector.state()[0]

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the world: uint8 ``[H, W, 3]`` in mode ``"rgb_array"``, else None."""
        return self.vector.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self.vector.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def _fill(self, actions: dict[str, NDArray]) -> None:
        living, shape = set(self.agents), self.vector.actions.shape
        for name in (name for name in actions if name not in living):  # in the caller's order: same error every time
            if name not in self.slots:
                raise ActionError(f"no agent is called {name!r}; {nearest_key(str(name), self.slots)}")
            raise ActionError(f"{name} is not alive; act for those in `env.agents` only")
        missing = living - actions.keys()
        if missing:
            raise ActionError(f"no action for {', '.join(sorted(missing))}; every living agent needs one")
        given = [np.asarray(actions[name]) for name in self.agents]
        for name, action in zip(self.agents, given, strict=True):
            if action.shape != shape:
                raise ActionError(f"the action of {name} must have shape {shape}, got {action.shape}")
            if self.vector.actions.is_discrete and not np.isfinite(action).all():
                raise ActionError(f"the action of {name} is not finite: {action}")  # others the world checks
        self._actions[:] = 0
        self._actions[0, [self.slots[name] for name in self.agents]] = given

    def _observations(self, observation: Any) -> dict[str, Any]:
        if isinstance(observation, dict):
            return {name: {k: v[0, self.slots[name]] for k, v in observation.items()} for name in self.agents}
        return {name: observation[0, self.slots[name]] for name in self.agents}

    def _infos(self, info: dict[str, Any]) -> dict[str, dict[str, Any]]:
        scene, tracks = info["scene_id"][0], info["track_id"][0].tolist()
        return {name: {"track_id": tracks[self.slots[name]], "scene_id": scene} for name in self.agents}

    @staticmethod
    def terms_of(terms: dict[str, NDArray[np.float32]]) -> list[dict[str, float]]:
        """Reward terms, ``[1, A]`` each, as one dict per slot."""
        return [
            dict(zip(terms, values, strict=True))
            for values in zip(*(v[0].tolist() for v in terms.values()), strict=True)
        ]
