"""Vocabularies of motion small enough to be worked by hand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trafficgym.world.dynamics import MotionTokens
from trafficgym.world.dynamics.motion_tokens import CORNERS, NOMINAL_SIZE

STAND, SLOW, FAST, LEFT, RIGHT = range(5)
CAR_ENDS = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (5.0, 0.0, 0.0), (4.0, 1.0, 0.4), (4.0, -1.0, -0.4))
"""Where the tokens of `tiny_tokens` end, x, y [m] and yaw [rad]; those of cyclists are at half the way."""
WALKER_ENDS = ((0.0, 0.0, 0.0), (0.7, 0.0, 0.0), (0.0, 0.0, math.pi / 2))


def contours(ends: NDArray, size: NDArray) -> NDArray[np.float32]:
    """Boxes that glide to `ends`, ``[V, 3]``, in five equal steps, float32 ``[V, 6, 4, 2]``."""
    poses = np.asarray(ends)[:, None] * np.arange(6)[:, None] / 5
    corners = CORNERS * size
    cos, sin = np.cos(poses[..., 2:]), np.sin(poses[..., 2:])
    x = corners[:, 0] * cos - corners[:, 1] * sin + poses[..., 0:1]
    y = corners[:, 0] * sin + corners[:, 1] * cos + poses[..., 1:2]
    return np.stack([x, y], -1).astype(np.float32)


def tiny_tokens() -> MotionTokens:
    """Stand, slow, fast, left, right for vehicles and cyclists; stand, walk, turn for pedestrians."""
    car, walker = np.array(CAR_ENDS), np.array(WALKER_ENDS)
    return MotionTokens(
        vehicle=contours(car, NOMINAL_SIZE[0]),
        pedestrian=contours(walker, NOMINAL_SIZE[1]),
        cyclist=contours(car * [0.5, 0.5, 1.0], NOMINAL_SIZE[2]),
    )
