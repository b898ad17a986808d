"""Traffic agents in closed loop: environments over real and generated driving scenes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("trafficgym")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"

from trafficgym.envs.registration import register

if TYPE_CHECKING:
    from trafficgym.envs.parallel import TrafficParallelEnv as parallel_env
    from trafficgym.envs.reward_wrapper import RewardWrapper
    from trafficgym.envs.vector import TrafficVectorEnv as vector_env
    from trafficgym.scene.sources import open_scenes
    from trafficgym.world.roll_out import roll_out

# Gymnasium has had no plug-ins since 1.0: importing a package is how its ids become known.
register()

_LAZY = {
    "parallel_env": ("trafficgym.envs.parallel", "TrafficParallelEnv"),
    "vector_env": ("trafficgym.envs.vector", "TrafficVectorEnv"),
    "RewardWrapper": ("trafficgym.envs.reward_wrapper", "RewardWrapper"),
    "open_scenes": ("trafficgym.scene.sources", "open_scenes"),
    "roll_out": ("trafficgym.world.roll_out", "roll_out"),
}


def __getattr__(name: str) -> Any:
    # Lazily, so that `import trafficgym` is quick.
    if name in _LAZY:
        from importlib import import_module

        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'trafficgym' has no attribute {name!r}")


__all__ = ["RewardWrapper", "__version__", "open_scenes", "parallel_env", "roll_out", "vector_env"]
