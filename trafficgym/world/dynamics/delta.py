"""Delta pose: how far to move and to turn, in the agent's own frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from trafficgym.errors import names_nearest
from trafficgym.world.dynamics.motion import Array, Body, Motion, check_steps, clip, glide, namespace, wrap


@names_nearest
@dataclass(frozen=True, kw_only=True)
class DeltaPose:
    """Move the box centre by (dx, dy) and turn by dyaw over a decision, x forward and y to the left of the agent.

    The agent glides there in a straight line; its velocity is displacement over time. The bounds grow with the
    length of the decision; those per 0.1 s are Waymax's.
    """

    steps_per_action: int = 1
    max_distance: float = 6.0
    """m per 0.1 s, along each axis."""
    max_turn: float = math.pi
    """rad per 0.1 s; no decision turns by more than pi."""

    action_size: ClassVar[int] = 3
    action_names: ClassVar[tuple[str, ...]] = ("dx", "dy", "dyaw")
    num_actions: ClassVar[tuple[int, ...] | None] = None

    def __post_init__(self) -> None:
        check_steps(self.steps_per_action)

    @property
    def low(self) -> tuple[float, ...]:
        return tuple(-bound for bound in self.high)

    @property
    def high(self) -> tuple[float, ...]:
        distance = self.max_distance * self.steps_per_action
        return (distance, distance, min(self.max_turn * self.steps_per_action, math.pi))

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision; see `Dynamics.step`. The action is (m, m, rad); `body` plays no part."""
        xp = namespace(motion.x, action)
        dx, dy, turn = (clip(xp, action[..., i], -bound, bound) for i, bound in enumerate(self.high))
        cos, sin = xp.cos(motion.yaw), xp.sin(motion.yaw)
        x, y = motion.x + dx * cos - dy * sin, motion.y + dx * sin + dy * cos
        return glide(motion, x, y, wrap(xp, motion.yaw + turn), self.steps_per_action)

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return (dx, dy, dyaw) from one pose to the other, clipped; see `Dynamics.inverse`."""
        xp = namespace(motion.x, after.x)
        east, north, cos, sin = after.x - motion.x, after.y - motion.y, xp.cos(motion.yaw), xp.sin(motion.yaw)
        pose = (east * cos + north * sin, north * cos - east * sin, wrap(xp, after.yaw - motion.yaw))
        return xp.stack([clip(xp, v, -bound, bound) for v, bound in zip(pose, self.high, strict=True)], axis=-1)
