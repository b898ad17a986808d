"""Gymnasium environments over generated scenes: one for each family, the long tail, and nominal traffic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from trafficgym.envs.single import SceneEnv, SceneVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.families import TRAINED, find_family
from trafficgym_scenarios.nominal import nominal_scene
from trafficgym_scenarios.scenario import Split, check_split
from trafficgym_scenarios.scenes import SIZE, LazyScenes, family_scenes


def make(name: str, *, background: Any = None, **options: Any) -> SceneEnv:
    """Drive the ego of generated scenes: what ``gymnasium.make("trafficgym/CutIn-v0")`` calls.

    Args:
        name: Of the family, or ``"long-tail"`` (all that are not held out), or ``"nominal"``.
        background: Who drives the others, heroes apart; default ``"idm"``.
        **options: Those of `generated_scenes` and of `SceneEnv`.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """
    scenes, options = _scenes(name, background, options)
    return SceneEnv(scenes, **options)


def make_vec(name: str, *, num_envs: int = 1, background: Any = None, **options: Any) -> SceneVectorEnv:
    """The same for ``gymnasium.make_vec``; see `make`."""
    scenes, options = _scenes(name, background, options)
    return SceneVectorEnv(scenes, num_envs=num_envs, **options)


@cache
def generated_scenes(
    name: str, split: Split | None = None, criticality: float | None = None, num_scenes: int = SIZE
) -> Sequence[Scene]:
    """The scenes of a family, of the long tail, or of nominal traffic.

    Environments of one process that draw from the same scenes share them.

    Args:
        name: See `make`.
        split: Part of the parameters' ranges: ``"train"`` (the default), ``"eval"``, or ``"any"``.
        criticality: How aggressive heroes are, from 0 to 1, instead of a split.
        num_scenes: From how many scenes; few are made once and kept, which makes resets quick.
    """
    if split is None:
        split = "train" if criticality is None else "any"
    if name == "nominal":
        if criticality is not None:
            raise ConfigError("nominal traffic has no hero; leave criticality out")
        first, stride = {"any": (0, 1), "train": (0, 2), "eval": (1, 2)}[check_split(split)]
        return LazyScenes(lambda i: nominal_scene(first + stride * i), num_scenes)
    families = TRAINED if name == "long-tail" else [find_family(name)]
    return family_scenes(families, split=split, criticality=criticality, size=num_scenes)


def _scenes(name: str, background: Any, options: dict[str, Any]) -> tuple[Sequence[Scene], dict[str, Any]]:
    """The scenes, and the options that are left for the environment."""
    if "scenes" in options:
        raise ConfigError("this environment generates its scenes; use trafficgym/Scene-v0 for your own")
    of_scenes = {key: options.pop(key) for key in ("split", "criticality", "num_scenes") if key in options}
    if background is None and options.get("control") is None:
        background = "idm"
    return generated_scenes(name, **of_scenes), options if background is None else {**options, "background": background}
