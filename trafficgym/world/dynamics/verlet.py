"""Verlet-wrapped acceleration grid: discrete accelerations along the axes of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.world.dynamics.motion import (
    Array,
    Body,
    Motion,
    check_steps,
    clip,
    closing_speed,
    glide,
    namespace,
    wrap,
)
from trafficgym.world.state import DT


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Verlet:
    """A grid of ``bins x bins`` accelerations along x and y of the scene frame (MotionLM, Waymo's RL fine-tuning).

    With D the length of the decision, ``v' = v + a D`` and ``p' = p + (a D + v) D``: the middle bin repeats the
    last displacement. The agent glides there in a straight line. Its yaw follows the displacement, forward or in
    reverse, whichever turns it less, and is held below `min_turning_speed`, where displacements are mostly noise.
    The grid is in the scene's axes, so it does not turn with the agent.
    """

    steps_per_action: int = 1
    bins: int = 13
    """Per axis; odd, so that zero is one of them."""
    max_acceleration: float = 6.0
    """m/s^2, of the outermost bins."""
    min_turning_speed: float = 0.5
    """m/s."""

    action_size: ClassVar[int] = 2
    action_names: ClassVar[tuple[str, ...]] = ("ax_bin", "ay_bin")

    def __post_init__(self) -> None:
        check_steps(self.steps_per_action)
        if self.bins < 3 or self.bins % 2 == 0:
            raise ConfigError(f"bins is {self.bins}; give an odd number, 3 or more, so that one bin is zero")
        if self.max_acceleration <= 0:
            raise ConfigError(f"max_acceleration is {self.max_acceleration}; it must be positive")

    @property
    def num_actions(self) -> tuple[int, ...] | None:
        return (self.bins, self.bins)

    @property
    def low(self) -> tuple[float, ...]:
        return (0.0, 0.0)

    @property
    def high(self) -> tuple[float, ...]:
        return (self.bins - 1.0, self.bins - 1.0)

    @property
    def spacing(self) -> float:
        """Acceleration from one bin to the next, m/s^2."""
        return 2 * self.max_acceleration / (self.bins - 1)

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision; see `Dynamics.step`. The action is two bin indices; `body` plays no part."""
        xp, duration = namespace(motion.x, action), DT * self.steps_per_action
        bins = clip(xp, xp.astype(action, motion.x.dtype), 0.0, self.bins - 1.0)
        gain = bins * (self.spacing * duration) - self.max_acceleration * duration
        vx, vy = motion.vx + gain[..., 0], motion.vy + gain[..., 1]
        yaw = self._heading(xp, motion.yaw, vx, vy)
        return glide(motion, motion.x + vx * duration, motion.y + vy * duration, yaw, self.steps_per_action)

    def _heading(self, xp: Any, yaw: Array, vx: Array, vy: Array) -> Array:
        forward = vx * xp.cos(yaw) + vy * xp.sin(yaw) >= 0
        course = wrap(xp, xp.atan2(xp.where(forward, vy, -vy), xp.where(forward, vx, -vx)))
        return xp.where(vx * vx + vy * vy < self.min_turning_speed**2, yaw, course)

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return the bins, int32, that bring the agent nearest to `after`; see `Dynamics.inverse`.

        Actions made one after the other, each from the motion that the last one led to, do not drift.
        """
        xp = namespace(motion.x, after.x)
        axes = ((motion.x, motion.vx, after.x, after.vx), (motion.y, motion.vy, after.y, after.vy))
        return xp.stack([xp.astype(self._bin(xp, *axis), xp.int32) for axis in axes], axis=-1)

    def _bin(self, xp: Any, position: Array, velocity: Array, target: Array, target_velocity: Array) -> Array:
        duration = DT * self.steps_per_action
        error = target - (position + target_velocity * duration)  # where the target's velocity alone would leave it
        wanted = target_velocity + closing_speed(xp, error, duration, self.max_acceleration)
        index = xp.round((wanted - velocity) / (duration * self.spacing)) + (self.bins - 1) // 2
        return clip(xp, index, 0.0, self.bins - 1.0)
