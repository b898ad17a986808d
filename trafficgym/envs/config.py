"""Every option of the environments, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trafficgym.envs.actions import make_dynamics
from trafficgym.envs.observations import ObservationConfig
from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.rewards import Goal, Infraction, Progress, Reward
from trafficgym.world.controllers import Control
from trafficgym.world.dynamics import Bicycle, Dynamics
from trafficgym.world.world import WorldConfig


def default_reward() -> Reward:
    """-1 for an infraction, +1 for the goal, and 0.01 per metre of progress."""
    return Infraction() + Goal() + 0.01 * Progress()


@names_nearest
@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Options of `vector_env`, `parallel_env` and ``gymnasium.make("trafficgym/...")``.

    Raises:
        ConfigError: a value makes no sense; the message says which ones do.
    """

    dynamics: str | Dynamics = field(default_factory=Bicycle)
    """``"bicycle"``, ``"delta_pose"``, ``"verlet"``, ``"target_pose"``, or an object such as
    `MotionTokens`."""
    control: Control | None = None
    """Who drives whom; see `trafficgym.world.controllers.assign_drivers`. None: everybody is external; in the
    single-agent environment the ego alone, and the rest is driven by its option `background`."""
    observation: ObservationConfig = field(default_factory=ObservationConfig)
    observation_format: Literal["flat", "dict"] = "flat"
    """One Box, or a Dict of its blocks."""
    reward: Reward = field(default_factory=default_reward)
    world: WorldConfig = field(default_factory=lambda: WorldConfig(on_infraction="terminate", on_goal="terminate"))
    num_agents: int | None = None
    """A: agents per world, the nearest to the ego where a scene has more. None: the most that any scene has."""
    scene_order: Literal["random", "sequential"] = "random"
    """How the scene of the next episode is chosen."""
    worlds_per_scene: int = 1
    """R: so many consecutive worlds of the vector environment get the same scene in each episode, and own seeds."""
    autoreset: bool = True
    """Whether a world of the vector environment starts anew by itself, in the step after its episode ended."""
    copy: bool = True
    """Whether the vector environment returns new observation arrays; False: one array, written over by each step."""
    picture_size: tuple[int, int] = (800, 800)
    """Width and height of rendered pictures [pixels]."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dynamics", make_dynamics(self.dynamics))
        _one_of("observation_format", self.observation_format, ("flat", "dict"))
        _one_of("scene_order", self.scene_order, ("random", "sequential"))
        check_whole(self, num_agents=1, worlds_per_scene=1)
        if self.worlds_per_scene is None:
            raise ConfigError("worlds_per_scene is None; it must be a whole number, 1 or more")
        size = self.picture_size
        if not isinstance(size, tuple | list) or len(size) != 2 or min(size) < 1:
            raise ConfigError(f"picture_size is {self.picture_size!r}; it is (width, height) in pixels")
        for name, kind in (("observation", ObservationConfig), ("world", WorldConfig), ("reward", Reward)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"{name} must be a {kind.__name__}, got {getattr(self, name)!r}")


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; it is one of {', '.join(map(repr, choices))}")
