"""Generated scenes: roads, nominal traffic, and what goes wrong in it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trafficgym.world
from trafficgym.world.kernel_cache import discard_stale_kernels

if TYPE_CHECKING:
    from trafficgym_scenarios.families import FAMILIES, find_family, load_scenario
    from trafficgym_scenarios.nominal import NominalConfig, expert_policy, nominal_scene, nominal_scenes
    from trafficgym_scenarios.scenes import LazyScenes, family_scenes, mixture

# Before the first kernel is loaded.
_PACKAGE = Path(__file__).absolute().parent
discard_stale_kernels(_PACKAGE, _PACKAGE, _PACKAGE / "nominal", Path(trafficgym.world.__file__).parent)

# Lazily, since `import trafficgym` reads the ids from this package.
_LAZY = {
    "FAMILIES": "families",
    "LazyScenes": "scenes",
    "NominalConfig": "nominal",
    "expert_policy": "nominal",
    "family_scenes": "scenes",
    "find_family": "families",
    "load_scenario": "families",
    "mixture": "scenes",
    "nominal_scene": "nominal",
    "nominal_scenes": "nominal",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"trafficgym_scenarios.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'trafficgym_scenarios' has no attribute {name!r}")


__all__ = [
    "FAMILIES",
    "LazyScenes",
    "NominalConfig",
    "expert_policy",
    "family_scenes",
    "find_family",
    "load_scenario",
    "mixture",
    "nominal_scene",
    "nominal_scenes",
]
