"""Gymnasium environments over generated scenes: one for each family, the long tail, and nominal traffic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from trafficgym.envs.single import SceneEnv, SceneVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.families import FAMILIES, find_family
from trafficgym_scenarios.scenario import Split
from trafficgym_scenarios.scenes import SIZE, family_scenes


def make(
    name: str, *, split: Split = "train", num_scenes: int = SIZE, background: Any = None, **options: Any
) -> SceneEnv:
    """Drive the ego of generated scenes: what ``gymnasium.make("trafficgym/CutIn-v0")`` calls.

    Args:
        name: Of the family, or ``"long-tail"`` (all that are not held out), or ``"nominal"``.
        split: Part of the parameters' ranges that scenarios are drawn from: ``"train"``, ``"eval"`` or ``"any"``.
        num_scenes: From how many scenes; few are made once and kept, which makes resets quick.
        background: Who drives the others, heroes apart; default ``"idm"``.
        **options: Those of `SceneEnv`.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """
    return SceneEnv(generated_scenes(name, split, num_scenes), **_options(background, options))


def make_vec(
    name: str,
    *,
    num_envs: int = 1,
    split: Split = "train",
    num_scenes: int = SIZE,
    background: Any = None,
    **options: Any,
) -> SceneVectorEnv:
    """The same for ``gymnasium.make_vec``; see `make`."""
    return SceneVectorEnv(generated_scenes(name, split, num_scenes), num_envs=num_envs, **_options(background, options))


@cache
def generated_scenes(name: str, split: Split = "train", num_scenes: int = SIZE) -> Sequence[Scene]:
    """The scenes of a family, of the long tail, or of nominal traffic; see `make`.

    Environments of one process that draw from the same scenes share them.
    """
    if name == "long-tail":
        return family_scenes(
            [family for family in FAMILIES.values() if not family.held_out], split=split, size=num_scenes
        )
    if name == "nominal":
        raise ConfigError("nominal scenes are not there yet")
    return family_scenes([find_family(name)], split=split, size=num_scenes)


def _options(background: Any, options: dict[str, Any]) -> dict[str, Any]:
    if "scenes" in options:
        raise ConfigError("this environment generates its scenes; use trafficgym/Scene-v0 for your own")
    if background is None and options.get("control") is None:
        background = "idm"
    return options if background is None else {**options, "background": background}
