"""The contract between a world and what moves its agents, and the few formulas that all models share.

Everything in this package is written once against the Python array API standard: the world runs it on
NumPy, a learner differentiates the same source on torch. No operation works in place.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from array_api_compat import array_namespace

from trafficgym.errors import ConfigError
from trafficgym.world.state import DT

Array = Any
"""A NumPy array or a torch tensor."""


class Motion(NamedTuple):
    """Kinematic state in the scene frame, arrays of one common shape such as ``[B, A]``."""

    x: Array  # m, box centre
    y: Array  # m
    yaw: Array  # rad, counter-clockwise from +x, in [-pi, pi)
    speed: Array  # m/s along yaw, negative in reverse
    vx: Array  # m/s, of the box centre
    vy: Array  # m/s


class Body(NamedTuple):
    """What agents are, as far as it matters for how they move; arrays of the same shape as those of their `Motion`."""

    length: Array  # m, of the box
    type: Array  # codes of `AgentType`


class Dynamics(Protocol):
    """How agents move: a pure function from motion and action to motion, and its inverse."""

    @property
    def action_size(self) -> int:
        """Numbers in one action."""

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is."""

    @property
    def low(self) -> tuple[float, ...]:
        """Smallest value of each number, in its own unit; `step` clips to it."""

    @property
    def high(self) -> tuple[float, ...]:
        """Largest value of each number, in its own unit; `step` clips to it."""

    @property
    def num_actions(self) -> tuple[int, ...] | None:
        """Choices for each number where actions are discrete, None where they are continuous."""

    @property
    def steps_per_action(self) -> int:
        """Steps of 0.1 s that one decision lasts."""

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision.

        Args:
            motion: Where the agents are, ``[...]``.
            action: Physical units, ``[..., action_size]``.
            body: What the agents are, ``[...]``.

        Returns:
            The motion after each step of 0.1 s, `steps_per_action` entries.
        """

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return the action within bounds that leads from `motion` as near as possible to `after`.

        Args:
            motion: Where the agents are, ``[...]``.
            after: Where they should be one decision later, ``[...]``.
            body: What the agents are, ``[...]``.

        Returns:
            Actions, ``[..., action_size]``; ``step(motion, action, body)[-1]`` is `after` where the
            model can reach it.
        """


def namespace(*arrays: Array) -> Any:
    """Return the array API namespace of `arrays`."""
    return array_namespace(*arrays)


def wrap(xp: Any, angle: Array) -> Array:
    """Bring angles into [-pi, pi); those that are there already keep every bit."""
    return angle - math.tau * xp.floor((angle + math.pi) * (1 / math.tau))


def clip(xp: Any, values: Array, low: float, high: float) -> Array:
    """Limit `values`; ``xp.clip`` of array-api-compat costs NumPy five times as much."""
    return xp.minimum(xp.maximum(values, low), high)


def glide(start: Motion, x: Array, y: Array, yaw: Array, steps: int) -> list[Motion]:
    """Move in a straight line at constant speed to the pose ``(x, y, yaw)``, turning the short way round.

    Returns:
        The motion after each of `steps` steps of 0.1 s; the last has exactly the given pose.
    """
    xp = namespace(start.x, x)
    vx, vy = (x - start.x) / (steps * DT), (y - start.y) / (steps * DT)
    path = []
    for k in range(1, steps):
        yaw_k = wrap(xp, start.yaw + wrap(xp, yaw - start.yaw) * (k / steps))
        path.append(moving(xp, start.x + vx * (k * DT), start.y + vy * (k * DT), yaw_k, vx, vy))
    return [*path, moving(xp, x, y, yaw, vx, vy)]


def moving(xp: Any, x: Array, y: Array, yaw: Array, vx: Array, vy: Array) -> Motion:
    """The motion with this pose and velocity."""
    return Motion(x, y, yaw, vx * xp.cos(yaw) + vy * xp.sin(yaw), vx, vy)


def closing_speed(xp: Any, error: Array, duration: float, max_acceleration: float) -> Array:
    """The relative speed at which to take out a position `error` (m): ``error / duration`` where that is small.

    A large error is closed no faster than what half of `max_acceleration` can stop in time (the other half is left
    for what the target does meanwhile); else the inverse of a model with bounded acceleration overshoots for ever.
    """
    deceleration = 0.5 * max_acceleration
    margin = deceleration * duration
    return xp.sign(error) * (xp.sqrt(xp.abs(error) * (2 * deceleration) + margin**2) - margin)


def check_steps(steps_per_action: int) -> None:
    """Raise ConfigError unless a decision lasts a whole, positive number of steps."""
    if not isinstance(steps_per_action, int) or steps_per_action < 1:
        raise ConfigError(f"steps_per_action is {steps_per_action!r}; give a whole number of 0.1 s steps, 1 or more")
