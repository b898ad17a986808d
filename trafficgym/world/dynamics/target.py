"""Target pose: where to be after the decision, in the scene frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.world.dynamics.motion import Array, Body, Motion, check_steps, clip, glide, namespace, wrap


@names_nearest
@dataclass(frozen=True, kw_only=True)
class TargetPose:
    """Be at the scene-frame pose (x, y, yaw) at the end of the decision, exactly.

    For trajectories that were planned elsewhere, such as the waypoints of a simulated-agents submission: unlike
    `DeltaPose`, where an agent is does not enter, so nothing adds up. Between, it glides in a straight line.
    """

    steps_per_action: int = 1
    extent: float = 10_000.0
    """m; targets are clipped to this far from the scene's origin along each axis."""

    action_size: ClassVar[int] = 3
    action_names: ClassVar[tuple[str, ...]] = ("x", "y", "yaw")
    num_actions: ClassVar[tuple[int, ...] | None] = None

    def __post_init__(self) -> None:
        check_steps(self.steps_per_action)
        if self.extent <= 0:
            raise ConfigError(f"extent is {self.extent}; it must be positive")

    @property
    def low(self) -> tuple[float, ...]:
        return (-self.extent, -self.extent, -math.pi)

    @property
    def high(self) -> tuple[float, ...]:
        return (self.extent, self.extent, math.pi)

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision; see `Dynamics.step`. The action is (m, m, rad); `body` plays no part."""
        xp = namespace(motion.x, action)
        x, y = (clip(xp, action[..., i], -self.extent, self.extent) for i in (0, 1))
        return glide(motion, x, y, wrap(xp, action[..., 2]), self.steps_per_action)

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return the pose of `after`; see `Dynamics.inverse`."""
        return namespace(after.x).stack([after.x, after.y, after.yaw], axis=-1)
