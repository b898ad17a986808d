"""Scenes to look at, and how the commands `view` and `record` find them by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.viewer.clip import Clip, clip_of_log, clip_of_rollout
from trafficgym.viewer.live import live_clip

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Playlist:
    """Scenes to look at, each loaded when it is looked at."""

    num_scenes: int | None
    """How many, or None where counting them would mean reading them all."""
    load: Callable[[int], Clip]
    """Raises IndexError past the last one."""


def playlist_of(scenes: Sequence[Scene], policy: str, seed: int) -> Playlist:
    """All of `scenes` as `clip_of` shows them."""
    from trafficgym.scene.sources import FileScenes

    num = None if isinstance(scenes, FileScenes) else len(scenes)
    return Playlist(num_scenes=num, load=lambda k: clip_of(scenes[k], policy, seed))


def playlist_of_family(family: str, background: str = "idm") -> Playlist:
    """Concrete scenarios of a family, each a run that keys can join; the number is the seed.

    Raises:
        ConfigError: there is no such policy for the background.
    """
    from trafficgym.scene.generated import family_scene
    from trafficgym.world.roll_out import check_policy

    check_policy(background)

    def load(seed: int) -> Clip:
        title = f"{family}, seed {seed}"
        return live_clip(family_scene(family, seed), title=title, background=background, seed=seed)

    return Playlist(num_scenes=None, load=load)


def playlist_of_scenario(path: str, seed: int, background: str = "idm") -> Playlist:
    """The scenario in a file, as a run that keys can join.

    Raises:
        ConfigError: there is no such file, or no such policy for the background.
    """
    from trafficgym.scene.generated import scenario_scene
    from trafficgym.world.roll_out import check_policy

    check_policy(background)
    scene = scenario_scene(path)
    return Playlist(num_scenes=1, load=lambda _: live_clip(scene, title=scene.id, background=background, seed=seed))


def scenario_of(family: str | None, scenario: str | None, seed: int) -> Scene | None:
    """The scene that ``--family`` or ``--scenario`` names; None where neither is given.

    Raises:
        ConfigError: both are given, or there is no such family or file.
    """
    from trafficgym.scene.generated import family_scene, scenario_scene

    if family is not None and scenario is not None:
        raise ConfigError("give --family or --scenario, not both")
    if family is not None:
        return family_scene(family, seed)
    return None if scenario is None else scenario_scene(scenario)


def open_source(source: str) -> Sequence[Scene]:
    """The scenes of a store, file or folder.

    Raises:
        SceneError, StoreError: there are none.
    """
    from trafficgym.scene.sources import open_scenes

    return open_scenes(source)


def find_scene(scenes: Sequence[Scene], wanted: str) -> int:
    """Index of the scene whose id is `wanted` or, where only one does, begins with it; else `wanted` is a number.

    Raises:
        ConfigError: there is none, or more than one.
    """
    ids: list[str] = []
    for id in getattr(scenes, "ids", None) or (scene.id for scene in scenes):
        if id == wanted:  # before the rest is read
            return len(ids)
        ids.append(id)
    found = [k for k, id in enumerate(ids) if id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(ids[k] for k in found[:5])
        raise ConfigError(f"--scene {wanted}: {len(found)} scenes begin so ({some}, ...); give more of the id")
    if wanted.isdecimal() and int(wanted) < len(ids):
        return int(wanted)
    raise ConfigError(f"--scene {wanted}: no such scene among {len(ids)}; {nearest_key(wanted, ids[:1000])}")


def clip_of(scene: Scene, policy: str, seed: int) -> Clip:
    """The recording of `scene`, or a rollout of it.

    Raises:
        ConfigError: there is no such policy.
    """
    if policy == "log":
        return clip_of_log(scene)
    from trafficgym.world.roll_out import roll_out

    return clip_of_rollout(roll_out(scene, policy, seed=seed))
