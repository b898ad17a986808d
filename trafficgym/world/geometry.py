"""Scalar geometry, written once and inlined into every kernel.

Angles are radians, lengths metres, all in one flat frame with y to the left of x. A box is given by its
centre, the cosine and sine of its yaw, and its half length and half width.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TWO_PI = np.float32(2.0 * math.pi)
PI = np.float32(math.pi)


@njit(cache=True, inline="always")
def wrap_angle(angle):
    """Wrap to [-pi, pi)."""
    wrapped = angle - TWO_PI * np.floor((angle + PI) / TWO_PI)
    return wrapped if wrapped < PI else -PI


@njit(cache=True)
def separation(dx, dy, cos_a, sin_a, half_length_a, half_width_a, cos_b, sin_b, half_length_b, half_width_b):
    """Gap between two boxes along one of their four axes, by the separating axis theorem.

    Args:
        dx: Centre of b minus centre of a, x [m].
        dy: The same, y [m].

    Returns:
        gap [m] and the unit normal (x, y) of its axis, pointing from a to b. Where the boxes overlap it is
        the largest, minus the penetration depth; where they don't, it is the first that is not negative.
    """
    cos_ab = cos_a * cos_b + sin_a * sin_b
    sin_ab = cos_a * sin_b - sin_a * cos_b
    c, s = abs(cos_ab), abs(sin_ab)
    best = np.float32(-1e30)
    normal_x, normal_y = np.float32(1.0), np.float32(0.0)
    for axis in range(4):
        if axis == 0:
            ux, uy = cos_a, sin_a
            reach = half_length_a + half_length_b * c + half_width_b * s
        elif axis == 1:
            ux, uy = -sin_a, cos_a
            reach = half_width_a + half_length_b * s + half_width_b * c
        elif axis == 2:
            ux, uy = cos_b, sin_b
            reach = half_length_b + half_length_a * c + half_width_a * s
        else:
            ux, uy = -sin_b, cos_b
            reach = half_width_b + half_length_a * s + half_width_a * c
        along = dx * ux + dy * uy
        gap = abs(along) - reach
        if gap > best:
            best = gap
            sign = np.float32(1.0) if along >= 0 else np.float32(-1.0)
            normal_x, normal_y = sign * ux, sign * uy
            if gap >= 0:
                break
    return best, normal_x, normal_y


@njit(cache=True, inline="always")
def corner(index, x, y, cos, sin, half_length, half_width):
    """One corner of a box; 0 front left, 1 rear left, 2 rear right, 3 front right."""
    along = half_length if index == 0 or index == 3 else -half_length
    aside = half_width if index < 2 else -half_width
    return x + along * cos - aside * sin, y + along * sin + aside * cos


@njit(cache=True, inline="always")
def cross(ax, ay, bx, by):
    """z component of a x b: positive where b turns left of a."""
    return ax * by - ay * bx
