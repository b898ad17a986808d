"""Scenes that an installed package makes from a name: concrete scenarios of logical families.

The packages say so by entry points of the group ``trafficgym.scenes``: ``family`` takes a name and a seed, ``scenario``
a file, and both return a Scene.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene

GROUP = "trafficgym.scenes"


def family_scene(name: str, seed: int = 0) -> Scene:
    """A concrete scenario of a family, such as ``cut-in``.

    Raises:
        ConfigError: there is no such family, or no installed package has families.
    """
    scene: Scene = load_maker("family")(name, seed)
    return scene


def scenario_scene(path: str | Path) -> Scene:
    """A concrete scenario that was saved as JSON.

    Raises:
        ConfigError: the file is not there or of no use, or no installed package reads such files.
    """
    scene: Scene = load_maker("scenario")(path)
    return scene


def load_maker(name: str) -> Any:
    """What makes scenes, by the name of its entry point.

    Raises:
        ConfigError: no installed package has it.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise ConfigError(
            f"no installed package makes such scenes: none has the entry point {name!r} of the group {GROUP!r}; "
            "trafficgym_scenarios has it: reinstall with `pip install -e .`"
        )
    return next(iter(found)).load()
