"""A vocabulary small enough to be worked by hand; its classes have different numbers of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.world.dynamics.motion_tokens import CORNERS
from trafficgym_agents.policies.smart.vocabulary import NOMINAL_SIZE, Vocabulary

VEHICLE = ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0), (5.0, 0.0, 0.0), (4.5, 1.0, 0.4), (4.5, -1.0, -0.4))
PEDESTRIAN = ((0.0, 0.0, 0.0), (0.7, 0.0, 0.0))
CYCLIST = ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (2.5, 0.0, 0.0))
"""Where the motions of each class end: x, y [m] and yaw [rad]."""


def small_vocabulary() -> Vocabulary:
    """Motions that glide to their ends; pieces of the map that run straight, bend to the left, fold back."""
    x = np.arange(11) * 0.5
    straight, bend = np.stack([x, 0 * x], -1), np.stack([x, 0.05 * x**2], -1)
    fold = np.stack([np.minimum(x, 5 - x), 0 * x], -1)
    return Vocabulary(
        vehicle=motions(VEHICLE, NOMINAL_SIZE[0]),
        pedestrian=motions(PEDESTRIAN, NOMINAL_SIZE[1]),
        cyclist=motions(CYCLIST, NOMINAL_SIZE[2]),
        map_pieces=np.stack([straight, bend, fold]).astype(np.float32),
    )


def motions(ends: object, size: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes of a size that glide to `ends`, ``[V, 3]``, float32 ``[V, 6, 4, 2]`` m."""
    poses = np.asarray(ends)[:, None] * np.arange(6)[:, None] / 5
    corners = CORNERS * size
    cos, sin = np.cos(poses[..., 2:]), np.sin(poses[..., 2:])
    x = corners[:, 0] * cos - corners[:, 1] * sin + poses[..., 0:1]
    y = corners[:, 0] * sin + corners[:, 1] * cos + poses[..., 1:2]
    return np.stack([x, y], -1).astype(np.float32)
