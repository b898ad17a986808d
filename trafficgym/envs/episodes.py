"""Which scene comes next."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from trafficgym.envs.config import EnvConfig
from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import Scene
from trafficgym.world.controllers import Control, assign_drivers
from trafficgym.world.state import Driver

MAX_SCENES_COUNTED = 256
MAX_PASSED_OVER = 1000
"""So many scenes without an agent in a row mean that there is none with one."""


class Episodes:
    """Chooses the scene of each episode; those without an external agent at their start are passed over.

    Worlds come in blocks of `EnvConfig.worlds_per_scene`. The k-th episodes of a block have the same scene, even
    where some of its worlds get to theirs earlier than others.

    Args:
        scenes: All scenes.
        control: Who drives whom.
        config: `scene_order`, `worlds_per_scene` and `world.start_step` count.
        num_worlds: B; each has its own generator, and those of a block give the same numbers.
    """

    def __init__(self, scenes: Sequence[Scene], control: Control, config: EnvConfig, num_worlds: int) -> None:
        self.scenes, self.control, self.config, self.num_worlds = scenes, control, config, num_worlds
        self._rngs: list[np.random.Generator] = []
        self._num_chosen = np.zeros(num_worlds, np.int64)
        self._external: WeakKeyDictionary[Scene, int] = WeakKeyDictionary()
        # A store reads anew at each access; worlds with the same scene share the object and what is derived from it.
        self._in_use: WeakValueDictionary[int | str, Scene] = WeakValueDictionary()

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be copied; what they held is found again.
        return {**self.__dict__, "_external": None, "_in_use": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _external=WeakKeyDictionary(), _in_use=WeakValueDictionary())

    def seed(self, seeds: Sequence[int]) -> None:
        """Begin the sequences of all worlds anew, one seed per world; that of its first world counts for a block."""
        size = self.config.worlds_per_scene
        self._rngs = [np.random.default_rng([seeds[b - b % size], 1]) for b in range(self.num_worlds)]
        self._num_chosen[:] = 0

    def start(self, options: dict[str, Any] | None = None) -> list[Scene]:
        """The scenes of all worlds, which start anew together; see `next`.

        The worlds of a block go on from where the furthest of them was.
        """
        size = self.config.worlds_per_scene
        for first in range(0, self.num_worlds, size):
            block = slice(first, first + size)
            furthest = first + int(self._num_chosen[block].argmax())
            self._num_chosen[block] = self._num_chosen[furthest]
            for rng in self._rngs[block]:
                rng.bit_generator.state = self._rngs[furthest].bit_generator.state
        return [self.next(b, options) for b in range(self.num_worlds)]

    def most_agents(self) -> int:
        """The most external agents that any scene has.

        Raises:
            ConfigError: there are too many scenes to look at.
            SceneError: none has any.
        """
        if len(self.scenes) > MAX_SCENES_COUNTED:
            raise ConfigError(
                f"{len(self.scenes)} scenes are too many to count their agents; say num_agents=32, for example"
            )
        most = max(self.num_external(scene) for scene in self.scenes)
        if most == 0:
            raise SceneError(f"no scene has an external agent at its start under control={self.control!r}")
        return most

    def most_tracks(self) -> int | None:
        """The most tracks that any scene has; None where there are too many scenes to look at."""
        if len(self.scenes) > MAX_SCENES_COUNTED:
            return None
        return max(scene.num_agents for scene in self.scenes)

    def num_external(self, scene: Scene) -> int:
        """How many agents of a scene are external."""
        if scene not in self._external:
            start = self.config.world.start_step
            start = scene.current_step if start is None else min(start, scene.num_steps - 1)
            driver = assign_drivers(scene, self.control, start, []).driver
            self._external[scene] = int((driver == Driver.EXTERNAL).sum())
        return self._external[scene]

    def next(self, b: int, options: dict[str, Any] | None = None) -> Scene:
        """The scene of the next episode of world b.

        Args:
            options: Those of `reset`; ``{"scene": index or id}``, or a list of one per world or per block, chooses.

        Raises:
            ConfigError: the list is too long or too short, or gives the worlds of a block different scenes.
            SceneError: there is no such scene, or it (or every scene) has no external agent at its start.
        """
        wanted = self._wanted(b, options)
        if wanted is not None:
            scene = self._find(wanted)
            if self.num_external(scene) == 0:
                raise SceneError(
                    f"scene {scene.id!r} has no external agent at its start under control={self.control!r}; choose "
                    "other tracks, or another scene"
                )
            return scene
        for _ in range(MAX_PASSED_OVER):
            scene = self._get(self._index(b))
            if self.num_external(scene) > 0:
                return scene
        raise SceneError(
            f"scene {scene.id!r} has no external agent at its start under control={self.control!r}, nor have the "
            f"{MAX_PASSED_OVER - 1} chosen before it; choose other tracks, or leave the scene out"
        )

    def _wanted(self, b: int, options: dict[str, Any] | None) -> int | str | None:
        options = options or {}
        # Keys that are not ours may be meant for a wrapper; a misspelt one of ours is an error.
        for key in get_close_matches("scene", options, cutoff=0.7):
            if key != "scene":
                raise ConfigError(f"no reset option is called {key!r}; did you mean 'scene'?")
        wanted = options.get("scene")
        if not isinstance(wanted, list | tuple):
            return wanted
        size = self.config.worlds_per_scene
        first = b - b % size
        if size > 1 and len(wanted) == self.num_worlds // size:
            return wanted[b // size]
        if len(wanted) != self.num_worlds:
            blocks = f" in blocks of {size}; give one, one per block," if size > 1 else "; give one,"
            raise ConfigError(f"{len(wanted)} scenes for {self.num_worlds} worlds{blocks} or one per world")
        if wanted[b] != wanted[first]:
            raise ConfigError(
                f"scenes {wanted[first]!r} and {wanted[b]!r} for worlds {first} and {b}, which are of one block; "
                f"with worlds_per_scene={size}, give each block one scene"
            )
        return wanted[b]

    def _index(self, b: int) -> int:
        number = int(self._num_chosen[b])
        self._num_chosen[b] += 1
        if self.config.scene_order == "sequential":
            size = self.config.worlds_per_scene
            return (b // size + number * (self.num_worlds // size)) % len(self.scenes)
        return int(self._rngs[b].integers(len(self.scenes)))

    def _find(self, wanted: int | str) -> Scene:
        if isinstance(wanted, int | np.integer):
            if not -len(self.scenes) <= wanted < len(self.scenes):
                raise SceneError(f"there is no scene {wanted}; there are {len(self.scenes)}")
            return self._get(int(wanted))
        if hasattr(self.scenes, "ids"):  # a store
            return self._get(wanted)
        for scene in self.scenes:
            if scene.id == wanted:
                return scene
        raise SceneError(f"no scene is called {wanted!r}; there are {len(self.scenes)}")

    def _get(self, key: int | str) -> Scene:
        scene = self._in_use.get(key)
        if scene is None:
            scene = self._in_use[key] = self.scenes[key]  # type: ignore[index]
        return scene
