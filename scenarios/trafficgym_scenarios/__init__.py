"""Generated scenes: roads, nominal traffic, and what goes wrong in it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trafficgym.world
from trafficgym.world.kernel_cache import discard_stale_kernels

if TYPE_CHECKING:
    from trafficgym_scenarios.families import FAMILIES, find_family, load_scenario
    from trafficgym_scenarios.highway import HighwayConfig, highway_scene, highway_scenes
    from trafficgym_scenarios.scenes import LazyScenes, family_scenes, mixture

# Before the first kernel is loaded.
_PACKAGE = Path(__file__).absolute().parent
discard_stale_kernels(_PACKAGE, _PACKAGE, _PACKAGE / "nominal", Path(trafficgym.world.__file__).parent)

# Lazily, since `import trafficgym` reads the ids from this package.
_LAZY = {
    "FAMILIES": "families",
    "HighwayConfig": "highway",
    "LazyScenes": "scenes",
    "family_scenes": "scenes",
    "find_family": "families",
    "highway_scene": "highway",
    "highway_scenes": "highway",
    "load_scenario": "families",
    "mixture": "scenes",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"trafficgym_scenarios.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'trafficgym_scenarios' has no attribute {name!r}")


__all__ = [
    "FAMILIES",
    "HighwayConfig",
    "LazyScenes",
    "family_scenes",
    "find_family",
    "highway_scene",
    "highway_scenes",
    "load_scenario",
    "mixture",
]
