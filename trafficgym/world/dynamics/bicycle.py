"""Kinematic bicycle: acceleration and steering, held over a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.world.dynamics.motion import Array, Body, Motion, check_steps, clip, closing_speed, namespace, wrap
from trafficgym.world.state import DT


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Bicycle:
    """Kinematic bicycle whose reference point is the rear axle, integrated by Euler's method.

    With ``v`` the speed of the rear axle and ``L`` the wheelbase::

        x' = v cos(yaw)    y' = v sin(yaw)    yaw' = v tan(steering) / L    v' = acceleration

    The box centre lies ``rear_axle_ratio * length`` ahead of the rear axle; states go in and come out at the
    centre. The speed of a `Motion` along its yaw is the same at both points.

    Euler's method is explicit: with one sub-step an action changes speed and yaw at once, and where the rear axle
    is only with the next decision. ``Bicycle(steps_per_action=5, substeps=1)`` is RTR's model (Euler at 0.5 s,
    straight between the 0.1 s outputs); ``substeps=5`` integrates the same decision five times as finely.

    Reversing is possible down to `min_speed`, as in Waymax and GPUDrive, since real drivers reverse; with
    ``min_speed=0.0`` braking ends at a standstill.
    """

    steps_per_action: int = 1
    substeps: int = 1
    """Euler steps per decision; a multiple or a divisor of `steps_per_action`."""
    wheelbase_ratio: float = 0.6
    """Wheelbase over box length."""
    rear_axle_ratio: float = 0.3
    """Distance from the box centre back to the rear axle over box length; half the wheelbase: axles symmetric."""
    max_acceleration: float = 8.0
    """m/s^2, for speeding up and for braking."""
    max_steering: float = 0.5
    """rad, of the front wheel, to either side."""
    min_speed: float = -5.0
    """m/s; negative is reverse."""

    action_size: ClassVar[int] = 2
    action_names: ClassVar[tuple[str, ...]] = ("acceleration", "steering")
    num_actions: ClassVar[tuple[int, ...] | None] = None

    def __post_init__(self) -> None:
        check_steps(self.steps_per_action)
        if self.substeps < 1 or (self.substeps % self.steps_per_action and self.steps_per_action % self.substeps):
            raise ConfigError(
                f"substeps is {self.substeps} for {self.steps_per_action} steps per action; "
                "give a multiple or a divisor of it, so that every 0.1 s has a state"
            )
        for name in ("wheelbase_ratio", "max_acceleration", "max_steering"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")

    @property
    def low(self) -> tuple[float, ...]:
        return (-self.max_acceleration, -self.max_steering)

    @property
    def high(self) -> tuple[float, ...]:
        return (self.max_acceleration, self.max_steering)

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision; see `Dynamics.step`. The action is (m/s^2, rad)."""
        xp, length = namespace(motion.x, action), body.length
        acceleration = clip(xp, action[..., 0], -self.max_acceleration, self.max_acceleration)
        steering = clip(xp, action[..., 1], -self.max_steering, self.max_steering)
        curvature = xp.sin(steering) / (xp.cos(steering) * length * self.wheelbase_ratio)  # np.tan is slow
        return self._roll(xp, motion, acceleration, curvature, length * self.rear_axle_ratio)

    def _roll(self, xp: Any, motion: Motion, acceleration: Array, curvature: Array, offset: Array) -> list[Motion]:
        """Integrate; `curvature` (1/m) is that of the rear axle's path, `offset` (m) the centre's lead on it."""
        h = DT * self.steps_per_action / self.substeps
        states_per_euler = max(self.steps_per_action // self.substeps, 1)
        eulers_per_state = max(self.substeps // self.steps_per_action, 1)
        axle = _RearAxle.under(xp, motion, offset)
        path = []
        for substep in range(1, self.substeps + 1):
            for part in range(1, states_per_euler):
                between = axle.euler(xp, acceleration, curvature, h * part / states_per_euler, self.min_speed)
                path.append(between.centre(curvature, offset))
            axle = axle.euler(xp, acceleration, curvature, h, self.min_speed)
            if substep % eulers_per_state == 0:
                path.append(axle.centre(curvature, offset))
        return path

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return the action that tracks `after`; see `Dynamics.inverse`.

        The action that gives the speed and the yaw of `after` comes first; if `after` came from `step`, it is exact.
        What it leaves of the position error is taken out lengthwise by speed, and sideways by turning about the rear
        axle until a point ahead of the box centre (behind it in reverse), far enough to converge, is back in line.
        """
        xp, length = namespace(motion.x, after.x), body.length
        duration, offset = DT * self.steps_per_action, length * self.rear_axle_ratio
        gain, turn = after.speed - motion.speed, wrap(xp, after.yaw - motion.yaw)
        acceleration = clip(xp, gain / duration, -self.max_acceleration, self.max_acceleration)
        curvature = self._curvature(xp, motion, turn, acceleration, length)
        reached = self._roll(xp, motion, acceleration, curvature, offset)[-1]

        dx, dy, cos, sin = after.x - reached.x, after.y - reached.y, xp.cos(reached.yaw), xp.sin(reached.yaw)
        ahead, aside = dx * cos + dy * sin, dy * cos - dx * sin
        gain = gain + closing_speed(xp, ahead, duration, self.max_acceleration)
        acceleration = clip(xp, gain / duration, -self.max_acceleration, self.max_acceleration)
        lever = offset + xp.abs(motion.speed) * (0.5 * duration)
        turn = turn + xp.where(motion.speed < 0, -aside, aside) / lever
        curvature = self._curvature(xp, motion, turn, acceleration, length)
        return xp.stack([acceleration, xp.atan(curvature * length * self.wheelbase_ratio)], axis=-1)

    def _curvature(self, xp: Any, motion: Motion, turn: Array, acceleration: Array, length: Array) -> Array:
        """The curvature within bounds that turns by `turn` rad in one decision, 0 where the car hardly moves."""
        duration = DT * self.steps_per_action
        way = motion.speed * duration + acceleration * (0.5 * duration**2 * (1 - 1 / self.substeps))
        moves = xp.abs(way) > SHORTEST_WAY
        curvature = xp.where(moves, turn, 0.0) / xp.where(moves, way, 1.0)
        limit = math.tan(self.max_steering) / (length * self.wheelbase_ratio)
        return xp.minimum(xp.maximum(curvature, -limit), limit)


SHORTEST_WAY = 1e-3
"""Below this way per decision (m), the turn of a car says nothing about its steering."""


class _RearAxle(NamedTuple):
    """The state that Euler's method integrates, with the sine and cosine that two of its users share."""

    x: Array
    y: Array
    yaw: Array
    speed: Array
    cos: Array
    sin: Array

    @classmethod
    def under(cls, xp: Any, motion: Motion, offset: Array) -> _RearAxle:
        cos, sin = xp.cos(motion.yaw), xp.sin(motion.yaw)
        return cls(motion.x - offset * cos, motion.y - offset * sin, motion.yaw, motion.speed, cos, sin)

    def euler(self, xp: Any, acceleration: Array, curvature: Array, h: float, min_speed: float) -> _RearAxle:
        way = self.speed * h
        yaw = wrap(xp, self.yaw + way * curvature)
        speed = xp.maximum(self.speed + acceleration * h, min_speed)
        return _RearAxle(self.x + way * self.cos, self.y + way * self.sin, yaw, speed, xp.cos(yaw), xp.sin(yaw))

    def centre(self, curvature: Array, offset: Array) -> Motion:
        side = offset * curvature * self.speed  # m/s, of the centre to the left: it turns about the rear axle
        return Motion(
            x=self.x + offset * self.cos,
            y=self.y + offset * self.sin,
            yaw=self.yaw,
            speed=self.speed,
            vx=self.speed * self.cos - side * self.sin,
            vy=self.speed * self.sin + side * self.cos,
        )
