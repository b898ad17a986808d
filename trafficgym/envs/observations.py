"""What an agent sees: itself, its neighbours, the road around it, the signals, and its goal.

Everything is in the agent's own frame (x ahead, y to the left), scaled and clipped to [-1, 1]. Blocks are
laid out feature by feature, ``[features, items]``, as for a one-dimensional convolution: torch wants it so,
and it is what lets the kernel write eight items at a time. Items that are missing are all zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from trafficgym.envs.road_points import Rings, rings_of
from trafficgym.envs.sight import Memory, observe
from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.world.world import World

EGO_FEATURES = ("speed", "acceleration", "yaw_rate", "length", "width", "goal_x", "goal_y")
AGENT_FEATURES = ("x", "y", "cos_yaw", "sin_yaw", "speed", "length", "width")
ROAD_FEATURES = ("x", "y", "cos_direction", "sin_direction", "z", "length", "type")
SIGNAL_FEATURES = ("x", "y", "stop", "caution", "go")


@names_nearest
@dataclass(frozen=True, kw_only=True)
class ObservationConfig:
    """Sizes and reach of an observation.

    The flat observation is float32 ``[size]`` in [-1, 1]: ego (7), agents (7 x `agents`), road
    (7 x `road_points`), signals (5 x `signals`); see `EGO_FEATURES` and its neighbours for the features.

    Raises:
        ConfigError: a size or a radius is out of range.
    """

    agents: int = 16
    """K: the nearest others."""
    road_points: int = 128
    """R: road points; which ones, `road_order` says."""
    signals: int = 4
    """The nearest signals, nearest first."""
    agent_radius: float = 100.0
    """Others further away than this [m] are not seen; also the scale of positions."""
    road_radius: float = 100.0
    """Road points are looked for about so far away [m]; also the scale of positions. Rings are squares around the
    agent's cell, so that points in their corners may be further away; their positions are clipped."""
    agent_order: Literal["nearest", "slot"] = "nearest"
    """`nearest`: nearest first; `slot`: the same K agents by their number in the world, so that one keeps its place
    from step to step while others come and go, which is also faster."""
    road_order: Literal["rings", "nearest"] = "rings"
    """`rings`: points by rings of grid cells (5 m) from the agent's own outward, which is several times
    faster; `nearest`: exactly the nearest ones, nearest first."""

    def __post_init__(self) -> None:
        check_whole(self, agents=0, road_points=0, signals=0)
        for name in ("agent_radius", "road_radius"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.agent_order not in ("nearest", "slot"):
            raise ConfigError(f"agent_order is {self.agent_order!r}; it is 'nearest' or 'slot'")
        if self.road_order not in ("rings", "nearest"):
            raise ConfigError(f"road_order is {self.road_order!r}; it is 'rings' or 'nearest'")

    @property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """Shape of each block of the flat observation, in order."""
        return {
            "ego": (len(EGO_FEATURES),),
            "agents": (len(AGENT_FEATURES), self.agents),
            "road": (len(ROAD_FEATURES), self.road_points),
            "signals": (len(SIGNAL_FEATURES), self.signals),
        }

    @property
    def size(self) -> int:
        """Numbers in the flat observation."""
        return sum(math.prod(shape) for shape in self.blocks.values())

    @property
    def flat_space(self) -> spaces.Box:
        """Space of the flat observation."""
        return spaces.Box(-1.0, 1.0, (self.size,), np.float32)

    @property
    def dict_space(self) -> spaces.Dict:
        """Space of the same observation by blocks."""
        return spaces.Dict({k: spaces.Box(-1.0, 1.0, shape, np.float32) for k, shape in self.blocks.items()})

    def split(self, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Views of the blocks of flat observations ``[..., size]``, each ``[..., *shape]``.

        An item (agent, road point, signal) is there if its column holds anything but zeros.
        """
        parts, start = {}, 0
        for name, shape in self.blocks.items():
            end = start + math.prod(shape)
            parts[name] = flat[..., start:end].reshape(*flat.shape[:-1], *shape)
            start = end
        return parts


class Observer:
    """Observations of the external agents of a world.

    Args:
        world: The world to look at.
        config: What is seen.
        num_agents: A; agents beyond the world's own are all zero.
    """

    def __init__(self, world: World, config: ObservationConfig, num_agents: int | None = None) -> None:
        self.world, self.config = world, config
        self.num_agents = world.num_agents if num_agents is None else num_agents
        shape, room = (world.num_worlds, self.num_agents), config.road_points
        self._shape = (*shape, config.size)
        self._options = (
            np.array([config.agents, room, config.signals]),
            np.array([config.agent_order == "nearest", config.road_order == "nearest"]),
            np.array([config.agent_radius, config.road_radius], np.float32),
        )
        self._memory = Memory(
            np.full(shape, -1, np.int32),
            np.zeros(shape, np.int32),
            np.zeros((*shape, 7, room), np.float32),
            np.zeros((world.num_worlds, 2), np.int64),
        )
        self._found: list[Rings] = [rings_of(road, config.road_points, config.road_radius) for road in world.road]
        self.forget(np.ones(world.num_worlds, bool))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.forget(np.ones(self.world.num_worlds, bool))  # the addresses are those of the original

    def forget(self, worlds: NDArray[np.bool_]) -> None:
        """Call after a reset of `worlds`, bool ``[B]``: their scenes may be others now."""
        self._memory.cell[worlds] = -1
        for b in np.flatnonzero(worlds):
            self._found[b] = rings_of(self.world.road[b], self.config.road_points, self.config.road_radius)
            self._memory.rings[b] = self._found[b].row

    def observe(self, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Look.

        Args:
            out: Array to write into, float32 ``[B, A, size]``, C-contiguous; default a new one.

        Returns:
            Flat observations, float32 ``[B, A, size]``; zeros for agents that are not alive.
        """
        world = self.world
        if out is None:
            out = np.empty(self._shape, np.float32)
        observe(
            world.state.table,
            world.alive,
            world.watch.goal,
            world.step_index,
            world.road_rows,
            tuple(self._memory),
            *self._options,
            out,
        )
        return out
