"""What the commands of trafficgym find here, by the entry points in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.families import TRAINED, find_family, load_scenario
from trafficgym_scenarios.nominal import nominal_scene, nominal_scenes
from trafficgym_scenarios.scenes import LazyScenes


def default_scenes(num: int, seed: int) -> LazyScenes:
    """What is driven where no scenes are given: nominal traffic and the long tail by turns."""
    return LazyScenes(lambda i: _long_tail(seed, i // 2) if i % 2 else nominal_scene(seed + i), num)


def nominal(num: int, seed: int) -> LazyScenes:
    """What is driven where no scenes are given and logs must be ordinary driving."""
    return nominal_scenes(num, seed)


def _long_tail(seed: int, number: int) -> Scene:
    return TRAINED[(seed + number) % len(TRAINED)].sample(seed + number).scene


def family_scene(name: str, seed: int) -> Scene:
    """The concrete scenario that a family draws with a seed.

    Raises:
        ConfigError: there is no such family, or the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must not be negative")
    return find_family(name).sample(seed).scene


def scenario_scene(path: str | Path) -> Scene:
    """A concrete scenario that was saved as JSON; see `load_scenario`."""
    return load_scenario(path).scene
