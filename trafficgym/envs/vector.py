"""B worlds of up to A agents each, as arrays: what learners use, and what the other facades stand on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from trafficgym.envs.actions import ActionSpace
from trafficgym.envs.config import EnvConfig
from trafficgym.envs.episodes import Episodes
from trafficgym.envs.observations import Observer
from trafficgym.envs.rendering import Renderer
from trafficgym.errors import ActionError, ConfigError, SceneError
from trafficgym.rewards import Reward
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import default_scenes, open_scenes
from trafficgym.world.world import World

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Observation = Float | dict[str, Float]
Source = str | Path | Scene | Sequence[Scene] | None


class TrafficVectorEnv:
    """Arrays in, arrays out.

    Observation: float32 ``[B, A, size]`` (or a dict of its blocks, ``[B, A, *shape]``); see `ObservationConfig`.
    Action: ``[B, A, action_size]`` in [-1, 1], or bin numbers for discrete dynamics; rows of agents that are not
    alive are ignored. Reward: float32 ``[B, A]``. Terminated: crash or goal, bool ``[B, A]``, once per agent.
    Truncated: horizon, bool ``[B, A]``.

    An agent is alive from the reset on until it terminates or its episode is truncated; `info["alive"]` is
    who acts next. A world whose agents are all done starts anew in the following `step` (Gymnasium's
    ``NEXT_STEP`` autoreset), which ignores its actions and gives reward 0; `info["reset"]` says which ones did.

    Args:
        scenes: Scenes, or where to read them (`open_scenes`); None for generated ones.
        num_worlds: B.
        render_mode: None, ``"rgb_array"`` or ``"human"``; world 0 is drawn.
        **options: Fields of `EnvConfig`.

    Raises:
        ConfigError: an option is unknown or makes no sense.
        SceneError: the scenes cannot be read, or no agent would be external in one of them.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, scenes: Source = None, *, num_worlds: int = 1, render_mode: str | None = None, **options: Any
    ) -> None:
        self.config = EnvConfig(**options)
        if not isinstance(num_worlds, int) or num_worlds < 1:
            raise ConfigError(f"num_worlds is {num_worlds!r}; it must be a whole number, 1 or more")
        size = self.config.worlds_per_scene
        if num_worlds % size:
            raise ConfigError(
                f"num_worlds is {num_worlds} and worlds_per_scene {size}; num_worlds must be a multiple of it, such as "
                f"{-(-num_worlds // size) * size}"
            )
        self.num_worlds = num_worlds
        self.scenes = open_scenes(scenes) if scenes is not None else default_scenes()
        if next(iter(self.scenes), None) is None:
            raise SceneError("there is no scene to drive in; the sequence given is empty")
        self.control = self.config.control if self.config.control is not None else "external"
        self.episodes = Episodes(self.scenes, self.control, self.config, num_worlds)
        self.num_agents = self.config.num_agents or min(
            self.episodes.most_agents(), self.config.world.max_agents or sys.maxsize
        )
        self.actions = ActionSpace(self.config.dynamics)  # type: ignore[arg-type]
        self.single_observation_space: spaces.Space = (
            self.config.observation.flat_space
            if self.config.observation_format == "flat"
            else self.config.observation.dict_space
        )
        self.single_action_space = self.actions.space
        self.action_space = self.actions.batched(num_worlds, self.num_agents)
        self.observation_space = _stack(self.single_observation_space, (num_worlds, self.num_agents))
        self.render_mode = render_mode
        self._renderer = Renderer(render_mode, self.config.picture_size)
        self.world: World | None = None
        self._observer: Observer | None = None
        self._out: Float | None = None
        self._most_tracks: int | None = None
        self._over = np.ones(num_worlds, bool)
        self._keeps_history = False
        self.prepare(self.config.reward)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all worlds anew.

        Args:
            seed: World b gets `seed` + b, or ``seed[b]`` (None: entropy); None: the generators go on (from entropy at
                first).
            options: ``{"scene": index or id}``, or a list of one per world (or, with `worlds_per_scene`, one per
                block of worlds), to choose the scenes.

        Returns:
            Observation and info: ``alive`` bool ``[B, A]``, ``scene_id`` list of B, ``track_id`` int64 ``[B, A]``.
        """
        seeds = self._spread(seed) if self.world is None or seed is not None else None
        if seeds is not None:
            self.episodes.seed(seeds)
        chosen = self.episodes.start(options)
        if self.world is None:
            config = replace(
                self.config.world,
                max_agents=self.num_agents,
                keep_history=self.config.world.keep_history or self._keeps_history,
            )
            dynamics: Any = self.config.dynamics
            self.world = World(chosen, dynamics=dynamics, control=self.control, config=config, seeds=seeds)
            self._observer = Observer(self.world, self.config.observation, self.num_agents)
        else:
            self.world.reset(scenes=chosen, seeds=seeds)
            self._observer.forget(np.ones(self.num_worlds, bool))  # type: ignore[union-attr]
        self._name()
        self._over[:] = False
        return self._observe(), self._info()

    def step(self, actions: NDArray) -> tuple[Observation, Float, Bool, Bool, dict[str, Any]]:
        """Advance every world by one decision.

        Returns:
            Observation, reward, terminated, truncated and info: ``alive``, ``scene_id`` and ``track_id`` as from
            `reset`, ``reward_terms`` (dict of float32 ``[B, A]``), ``reset`` bool ``[B]``.

        Raises:
            ActionError: wrong shape, not finite, or called before `reset`.
        """
        world = self.world
        if world is None:
            raise ActionError("step was called before reset; call reset(seed=...) first")
        fresh = self._over.copy()
        if fresh.any() and self.config.autoreset:
            self._restart(fresh)
        running = ~fresh
        before = self._alive()
        world.step(self._physical(actions), running=running)
        acted = before & running[:, None]
        reward, terms = self.evaluate(self.config.reward, idle=fresh)
        alive = self._alive()
        terminated = acted & ~alive
        truncated = acted & alive & world.truncated[:, None]
        observation = self._observe()  # who is truncated still sees where it ended, for bootstrapping
        world.alive[world.truncated & running] = False
        self._over[:] = ~self._alive().any(1)
        info = {**self._info(), "reward_terms": terms, "reset": fresh}
        return observation, reward, terminated, truncated, info

    def prepare(self, reward: Reward) -> None:
        """Make sure that a reward will find what it needs: some look back on the whole episode.

        Raises:
            ConfigError: the reward makes no sense here, or needs the world's history and the world began without one.
        """
        reward.check(self.config.world)
        if not reward.needs_history:
            return
        if self.world is not None and self.world.history is None:
            raise ConfigError(
                "the reward needs the world's history, and this environment has run without it; wrap it before its "
                "first reset, or make it with world=WorldConfig(keep_history=True)"
            )
        self._keeps_history = True

    def evaluate(self, reward: Reward, *, idle: Bool | None = None) -> tuple[Float, dict[str, Float]]:
        """What a reward gives for the last decision.

        Args:
            reward: The reward.
            idle: Worlds that did not act in it, bool ``[B]``; default none.

        Returns:
            The reward and its terms, float32 ``[B, A]`` each.
        """
        world: World = self.world  # type: ignore[assignment]
        terms = {k: self._pad(v) for k, v in reward.terms(world, world.events).items()}
        if idle is not None and idle.any():
            for values in terms.values():
                values[idle] = 0
        return sum(terms.values(), start=np.zeros((self.num_worlds, self.num_agents), np.float32)), terms

    @property
    def unwrapped(self) -> TrafficVectorEnv:
        """Itself; wrappers lead here."""
        return self

    @property
    def is_over(self) -> Bool:
        """Worlds whose episode is over, bool ``[B]``."""
        return self._over.copy()

    def state(self) -> Float:
        """The centralised observation: every slot's state, float32 ``[B, N, 16]`` in scene frame, SI units.

        N is the most tracks that any scene has or, of more than 256 scenes, that any has had so far.

        Columns are those of `trafficgym.world.state`: x, y, z, yaw, vx, vy, speed, acceleration, yaw rate,
        length, width, height, cos yaw, sin yaw, present, type.
        """
        if self.world is None:
            raise ActionError("state was asked for before reset; call reset(seed=...) first")
        table, num = self.world.state.table, self.num_slots
        state = np.zeros((self.num_worlds, num, table.shape[2]), np.float32)
        state[:, : table.shape[1]] = table
        return state

    @property
    def num_slots(self) -> int:
        """N of `state`."""
        if self._most_tracks is None:
            self._most_tracks = self.episodes.most_tracks() or 0
        return max(self._most_tracks, self.world.num_slots if self.world is not None else 0)

    def render(self) -> NDArray[np.uint8] | None:
        """Draw world 0: uint8 ``[H, W, 3]`` in mode ``"rgb_array"``, else None."""
        return self._renderer.render(self.world)

    def close(self) -> None:
        """Close the window, if there is one."""
        self._renderer.close()

    # Who is who.

    def _alive(self) -> Bool:
        world: World = self.world  # type: ignore[assignment]
        return self._pad(world.alive[:, : int(world.num_agents)])

    def _pad(self, values: NDArray) -> NDArray:
        """Widen ``[B, a]`` to ``[B, A]``."""
        if values.shape[1] == self.num_agents:
            return values.copy() if values.dtype == bool else values
        out = np.zeros((self.num_worlds, self.num_agents), values.dtype)
        out[:, : values.shape[1]] = values
        return out

    def _physical(self, actions: NDArray) -> Float:
        actions = np.asarray(actions)
        shape = (self.num_worlds, self.num_agents, *self.actions.shape)
        if actions.shape != shape:
            raise ActionError(f"actions must be (worlds, agents, numbers) = {shape}, got {actions.shape}")
        world: World = self.world  # type: ignore[assignment]
        if self.actions.is_discrete:
            wrong = self.actions.is_no_bin(actions) & self._alive()
            if wrong.any():
                b, n = np.argwhere(wrong)[0]
                raise ActionError(f"world {b}, agent {n}: {actions[b, n]} is not in {self.single_action_space}")
        return self.actions.physical(actions)[:, : int(world.num_agents)]

    def _info(self) -> dict[str, Any]:
        return {"alive": self._alive(), "scene_id": self._scene_id, "track_id": self._track_id}

    def _name(self) -> None:
        """Note who is who after a reset."""
        world: World = self.world  # type: ignore[assignment]
        ids = np.full((self.num_worlds, self.num_agents), -1, np.int64)
        num = world.num_agents
        for b, scene in enumerate(world.scenes):
            track = world.track[b, :num]
            ids[b, :num] = np.where(world.agents[b], scene.tracks.id[np.maximum(track, 0)], -1)
        self._scene_id, self._track_id = [s.id for s in world.scenes], ids

    def _observe(self) -> Observation:
        observer: Observer = self._observer  # type: ignore[assignment]
        if self._out is None or self.config.copy:
            self._out = observer.observe()
        else:
            observer.observe(self._out)
        return self._out if self.config.observation_format == "flat" else self.config.observation.split(self._out)

    def _spread(self, seed: int | Sequence[int | None] | None) -> list[int]:
        """One seed per world; None, and Nones among them, come from entropy."""
        seeds: list[int | None]
        if seed is None:
            seeds = [None] * self.num_worlds
        elif isinstance(seed, int | np.integer):
            seeds = [int(seed) + b for b in range(self.num_worlds)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_worlds:
            raise ConfigError(f"{len(seeds)} seeds for {self.num_worlds} worlds; give one int, or one per world")
        fresh = np.random.SeedSequence().generate_state(self.num_worlds)
        return [int(f if s is None else s) for s, f in zip(seeds, fresh, strict=True)]

    def _restart(self, fresh: Bool) -> None:
        world: World = self.world  # type: ignore[assignment]
        world.reset(fresh, scenes=[self.episodes.next(int(b)) for b in np.flatnonzero(fresh)])
        self._observer.forget(fresh)  # type: ignore[union-attr]
        self._name()


def _stack(space: spaces.Space, lead: tuple[int, ...]) -> spaces.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({k: _stack(v, lead) for k, v in space.items()})
    return spaces.Box(-1.0, 1.0, (*lead, *space.shape), np.float32)  # type: ignore[misc]
